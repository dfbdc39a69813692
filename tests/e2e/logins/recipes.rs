//! The recipes of `docs/deploy.md` for Kubernetes and for CI: what stands in them is run, with a tenant's names in place of theirs
//! and a stand-in for whoever makes the JWT.

use super::{jwt, kubernetes};
use crate::deploy::{blocks, document};
use crate::support::folder::{Folder, write_secret};
use crate::support::jwt::Issuer;
use crate::support::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

/// Reads YAML with Python's own reader, which is what people's tools do with it.
fn yaml(text: &str) -> Value {
    let mut python = Command::new("python3")
        .args([
            "-c",
            "import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout)",
        ])
        .env(
            "PYTHONPATH",
            Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/python"),
        )
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    python
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let read = python.wait_with_output().unwrap();
    serde_json::from_slice(&read.stdout).unwrap_or_else(|error| panic!("{error} in\n{text}"))
}

/// The recipes of `docs/deploy.md` that are YAML: a Deployment, a Job, GitHub's, GitLab's.
fn recipes() -> [Value; 4] {
    let all: Vec<Value> = blocks(&document("docs/deploy.md"), "yaml")
        .iter()
        .map(|text| yaml(text))
        .collect();
    all.try_into().unwrap()
}

/// A folder with the script that the recipes run, and the program under its name.
fn scene() -> Folder {
    let folder = Folder::new().unwrap();
    for name in ["migrate.sh", "server"] {
        let script = folder.path().join(name);
        fs::write(&script, "#!/bin/sh\npsql -XAtqc 'select 1'\n").unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    }
    symlink(Run::binary(), folder.path().join("vaultexec")).unwrap();
    folder
}

/// Runs a line of a recipe in a shell, where the tenant's names win over the recipe's.
fn run(
    tenant: &Tenant,
    folder: &Folder,
    line: &str,
    recipe: &BTreeMap<String, String>,
) -> Finished {
    let ours = tenant.command_without_secret();
    let mut run = Run::of("sh").args(["-c", line]).current_dir(folder.path());
    for (name, value) in recipe {
        run = run.env(name, value);
    }
    for (name, value) in ours.environment() {
        run = run.env(name, value);
    }
    let path = std::env::var("PATH").unwrap();
    run.env("PATH", format!("{}:{path}", folder.path().display()))
        .output()
}

#[track_caller]
fn assert_ran(run: &Finished, tenant: &Tenant) {
    run.assert_code(0).stdout_is("1\n").assert_quiet_stderr();
    tenant.assert_nothing_left();
}

/// A mapping of texts.
fn texts(mapping: &Value) -> BTreeMap<String, String> {
    let entries = mapping.as_object().unwrap().iter();
    entries
        .map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()))
        .collect()
}

#[test]
fn a_pod_runs_with_the_variables_of_its_manifest() {
    let (issuer, cluster) = (Issuer::new(), kubernetes::cluster());
    let other = kubernetes::enabled(&issuer, &cluster, "1h");
    let tenant = &other.tenant;
    let folder = scene();
    let token = folder.path().join("token");
    write_secret(
        &token,
        tenant.remember(issuer.jwt(600, kubernetes::claims())),
    );
    let [deployment, job, ..] = recipes();
    for manifest in [deployment, job] {
        let pod = &manifest["spec"]["template"]["spec"];
        let container = &pod["containers"][0];
        let variables = container["env"].as_array().unwrap().iter();
        let mut variables: BTreeMap<String, String> = variables
            .map(|one| [&one["name"], &one["value"]].map(|text| text.as_str().unwrap().to_owned()))
            .map(|[name, value]| (name, value))
            .collect();
        let kill_after = variables["VAULTEXEC_KILL_AFTER"].trim_end_matches('s');
        let all_of_it = kill_after.parse::<u64>().unwrap() + 5 + 5;
        assert_eq!(pod["terminationGracePeriodSeconds"], all_of_it);
        // Where the kubelet puts it in a pod.
        variables.insert("VAULTEXEC_JWT_FILE".to_owned(), token.display().to_string());
        // The role is that of the stand-in.
        variables.insert("VAULTEXEC_AUTH_ROLE".to_owned(), "app".to_owned());
        let words = [&container["command"], &container["args"]];
        let words = words.iter().flat_map(|list| list.as_array().unwrap());
        let line: Vec<&str> = words.map(|word| word.as_str().unwrap()).collect();
        assert_ran(&run(tenant, &folder, &line.join(" "), &variables), tenant);
    }
}

#[test]
fn the_steps_of_github_and_gitlab_run_with_the_systems_own_token() {
    let [.., github, gitlab] = recipes();
    let folder = scene();
    let step = &github["steps"][0];
    let line = step["run"].as_str().unwrap();
    let audience = line
        .split("--jwt-audience ")
        .nth(1)
        .unwrap()
        .split(' ')
        .next();
    let issuer = Issuer::new();
    let other = jwt::enabled_for(&issuer, audience.unwrap(), "ci", "1h");
    assert_eq!(github["permissions"], json!({"id-token": "write"}));
    let endpoint = jwt::github(issuer);
    let mut variables = texts(&step["env"]);
    let url = format!("{}/token?api-version=2.0", endpoint.url());
    variables.insert("ACTIONS_ID_TOKEN_REQUEST_URL".to_owned(), url);
    let bearer = "of-the-job".to_owned();
    variables.insert("ACTIONS_ID_TOKEN_REQUEST_TOKEN".to_owned(), bearer);
    assert_ran(
        &run(&other.tenant, &folder, line, &variables),
        &other.tenant,
    );

    let job = &gitlab["migrate"];
    let audience = job["id_tokens"]["VAULTEXEC_JWT"]["aud"].as_str().unwrap();
    let issuer = Issuer::new();
    let other = jwt::enabled_for(&issuer, audience, "ci", "1h");
    let mut variables = texts(&job["variables"]);
    let token = issuer.jwt(300, json!({"sub": "job", "aud": audience}));
    variables.insert("VAULTEXEC_JWT".to_owned(), other.tenant.remember(token));
    let line = job["script"].as_str().unwrap();
    assert_ran(
        &run(&other.tenant, &folder, line, &variables),
        &other.tenant,
    );
}
