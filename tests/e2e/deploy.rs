//! What the recipes say works, word for word, with a tenant's names in place of theirs.

use crate::support::*;
use std::path::Path;

pub fn document(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// The code of a kind in a document.
pub fn blocks(document: &str, kind: &str) -> Vec<String> {
    let begin = format!("```{kind}\n");
    let blocks = document.split(&begin).skip(1);
    blocks
        .map(|rest| rest.split("```").next().unwrap().to_owned())
        .collect()
}

fn of_tenant(policy: &str) -> String {
    policy.replace("database/creds/app-role", "{mount}/creds/{role}")
}

#[test]
fn the_policies_of_the_recipes_allow_what_they_are_for() {
    let servers = Servers::shared();
    let policies = blocks(&document("docs/deploy.md"), "hcl");
    let [_read, any, one_role, rest] = policies.as_slice() else {
        panic!("{policies:#?}");
    };
    for revoke in [any, one_role] {
        let policy = of_tenant(&format!("{revoke}{rest}"));
        let tenant = Tenant::with(servers, |spec| {
            spec.approle("token_no_default_policy", true)
                .policy(&policy)
        });
        let check = tenant.command().args(["check", "--strict-revoke"]).output();
        check.assert_code(0);
        assert!(!check.out().contains("does not let it"), "{check}");
        let run = tenant
            .command()
            .arg("--strict-revoke")
            .child(["echo", "ran"])
            .output();
        run.assert_code(0).stdout_is("ran\n").assert_quiet_stderr();
        tenant.assert_nothing_left();
    }
}

#[test]
fn a_migration_leaves_what_it_creates_to_an_owner_that_stays() {
    let servers = Servers::shared();
    let document = document("docs/deploy.md");
    let grant = "GRANT app_owner TO \"{{name}}\";";
    assert!(document.contains(grant));
    let owner = format!("app_owner_{}", std::process::id());
    let postgres = &servers.postgres;
    for sql in blocks(&document, "sql") {
        postgres.sql(&sql.replace("app_owner", &owner));
    }
    let creation = format!(
        "{}{}",
        crate::support::tenant::CREATION,
        grant.replace("app_owner", &owner)
    );
    let tenant = Tenant::with(servers, |spec| {
        spec.creation_statements(&creation).may_revoke_leases()
    });
    let line = "vaultexec --set-role app_owner -- ./migrate.sh\n";
    assert!(blocks(&document, "sh").iter().any(|block| block == line));
    let table = format!("t_{owner}");
    let create = format!("create table {table} (a int)");
    let run = tenant
        .command()
        .args(["--set-role", &owner, "--strict-revoke"])
        .child(["psql", "-XqAtc", &create])
        .output();
    run.assert_code(0).assert_silent();
    tenant.assert_nothing_left();
    let owned = postgres.sql(&format!(
        "select tableowner from pg_tables where tablename = '{table}'"
    ));
    assert!(format!("{owned:?}").contains(&owner), "{owned:?}");
    postgres.sql(&format!("drop owned by {owner}; drop role {owner}"));
}

#[test]
fn every_link_between_documents_leads_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = std::fs::read_dir(root.join("docs"))
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let top = [
        "README.md",
        "ARCHITECTURE.md",
        "SECURITY.md",
        "CONTRIBUTING.md",
    ]
    .map(|name| root.join(name));
    for path in docs
        .chain(top)
        .filter(|path| path.extension().is_some_and(|kind| kind == "md"))
    {
        let text = std::fs::read_to_string(&path).unwrap();
        for link in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            let file = link.split('#').next().unwrap();
            if file.is_empty() || file.contains("://") {
                continue;
            }
            assert!(
                path.parent().unwrap().join(file).exists(),
                "{}: {link}",
                path.display()
            );
        }
    }
}
