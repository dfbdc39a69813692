//! A JWT of a file, of a variable, and of GitHub, whose endpoint is a small server here.

use super::{Other, WHO, assert_works};
use crate::support::children::telling_who;
use crate::support::folder::write_secret;
use crate::support::jwt::Issuer;
use crate::support::*;
use serde_json::json;
use std::fs;
use std::time::Duration;

const AUDIENCE: &str = "https://vault.example";

pub fn enabled(issuer: &Issuer, token_ttl: &str) -> Other {
    enabled_for(issuer, AUDIENCE, "app", token_ttl)
}

/// A mount whose role of that name takes JWTs for that audience.
pub fn enabled_for(issuer: &Issuer, audience: &str, name: &str, token_ttl: &str) -> Other {
    let other = Other::enable("jwt");
    other.write(
        "config",
        json!({"jwt_validation_pubkeys": [issuer.public_key()]}),
    );
    let role = json!({
        "role_type": "jwt", "bound_audiences": [audience], "user_claim": "sub", "token_ttl": token_ttl,
        "token_max_ttl": token_ttl, "token_policies": [other.tenant.policy()],
    });
    other.write(&format!("role/{name}"), role);
    other
}

pub fn jwt(other: &Other, issuer: &Issuer, seconds: i64) -> String {
    let claims = json!({"sub": "job", "aud": AUDIENCE, "n": fastrand()});
    other.tenant.remember(issuer.jwt(seconds, claims))
}

/// Two JWTs of the same second are still two.
fn fastrand() -> u64 {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(0)
}

/// GitHub's endpoint, which makes a JWT for whoever shows the job's own token, for the audience that is asked for.
pub fn github(issuer: Issuer) -> FaultProxy {
    FaultProxy::start("http://127.0.0.1:1", move |request| {
        if request.header("authorization") != Some("bearer of-the-job") {
            return Fault::error(401, "no");
        }
        let asked = request
            .path
            .strip_prefix("/token?api-version=2.0&audience=");
        let audience = asked.unwrap_or("nobody");
        let audience = audience.replace("%3A", ":").replace("%2F", "/");
        let jwt = issuer.jwt(300, json!({"sub": "job", "aud": audience, "n": fastrand()}));
        Fault::body(&json!({"count": 1, "value": jwt}).to_string())
    })
}

#[test]
fn a_jwt_of_a_variable_or_a_file_is_shown_and_its_token_revoked() {
    let issuer = Issuer::new();
    let other = enabled(&issuer, "1h");
    let text = jwt(&other, &issuer, 300);
    let folder = folder::Folder::new().unwrap();
    let file = folder.path().join("jwt");
    write_secret(&file, format!("{text}\n"));
    let command = || other.command("jwt").args(["--auth-role", "app"]);
    assert_works(&other, command().env("VAULTEXEC_JWT", &text));
    assert_works(&other, command().env("VAULTEXEC_JWT_FILE", &file));
    assert_works(
        &other,
        command()
            .arg("--jwt-file")
            .arg(&file)
            .env("VAULTEXEC_JWT", "x.y.z"),
    );
    assert_works(
        &other,
        command()
            .args(["--jwt-file", "-"])
            .stdin_bytes(text.clone()),
    );
    // The mount's own role.
    other.write(
        "config",
        json!({"jwt_validation_pubkeys": [issuer.public_key()], "default_role": "app"}),
    );
    assert_works(&other, other.command("jwt").env("VAULTEXEC_JWT", &text));
}

#[test]
fn a_job_of_github_gets_its_jwt_anew_for_each_login() {
    let issuer = Issuer::new();
    let other = enabled(&issuer, "6s");
    let github = github(issuer);
    let command = |bearer: &str| {
        let run = other
            .command("jwt")
            .args(["--auth-role", "app", "--jwt-audience", AUDIENCE]);
        let run = run.env(
            "ACTIONS_ID_TOKEN_REQUEST_URL",
            format!("{}/token?api-version=2.0", github.url()),
        );
        run.env("ACTIONS_ID_TOKEN_REQUEST_TOKEN", bearer)
    };
    let run = telling_who(command("of-the-job")).spawn();
    run.wait_for_line("start");
    run.wait_for_line("start");
    run.signal(libc::SIGTERM);
    run.wait().assert_code(7);
    assert!(github.requests().len() >= 2, "one for each login");
    let refused = command("hunter2-of-another")
        .canary("hunter2-of-another")
        .args(["-vvv"])
        .child(["true"])
        .output();
    refused
        .assert_code(125)
        .stdout_is("")
        .stderr_contains("cannot get a token from GitHub at ACTIONS_ID_TOKEN_REQUEST_URL")
        .stderr_contains("id-token: write");
    other.tenant.assert_nothing_left();
}

#[test]
fn a_fault_of_githubs_endpoint_does_not_keep_the_command_from_starting() {
    let issuer = Issuer::new();
    let other = enabled(&issuer, "1h");
    let text = jwt(&other, &issuer, 300);
    let answer = json!({ "value": text }).to_string();
    let github = FaultProxy::start("http://127.0.0.1:1", move |request| {
        match request.sequence {
            0 => Fault::ResetBefore,
            1 => Fault::error(503, "busy"),
            _ => Fault::body(&answer),
        }
    });
    let run = other.command("jwt").args(["--auth-role", "app"]);
    let run = run.env(
        "ACTIONS_ID_TOKEN_REQUEST_URL",
        format!("{}/token", github.url()),
    );
    let run = run
        .env("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "of-the-job")
        .child(WHO)
        .output();
    run.assert_code(0)
        .stderr_contains("cannot get a token from GitHub yet");
    other.tenant.assert_nothing_left();
}

#[test]
fn a_jwt_that_has_expired_or_is_none_is_told_before_anything_is_asked_for() {
    let issuer = Issuer::new();
    let other = enabled(&issuer, "1h");
    let proxy = pass(Servers::shared());
    let expired = jwt(&other, &issuer, -3600);
    for (text, needle) in [
        (
            expired.as_str(),
            "VAULTEXEC_JWT: it is a JWT that has expired, at 20",
        ),
        ("hunter2hunter2", "VAULTEXEC_JWT: it is not a JWT"),
        (
            "{\"value\": \"hunter2hunter2\"}",
            "VAULTEXEC_JWT: it is not a JWT",
        ),
    ] {
        let run = other
            .command("jwt")
            .env("VAULT_ADDR", proxy.url())
            .env("VAULTEXEC_JWT", text);
        let run = run
            .canary("hunter2hunter2")
            .args(["-vvv", "--log-format", "json"])
            .child(["true"])
            .output();
        run.assert_code(125).stdout_is("");
        assert!(run.err().contains(needle), "{needle} in {}", run.err());
    }
    assert_eq!(proxy.requests().len(), 0);
    let run = other.command("jwt").child(["true"]).output();
    run.assert_code(125)
        .stderr_contains("VAULTEXEC_JWT_FILE): the JWT is missing");
    let run = other
        .command("jwt")
        .env("GITHUB_ACTIONS", "true")
        .child(["true"])
        .output();
    run.assert_code(125)
        .stderr_contains("`permissions: id-token: write`");
    other.tenant.assert_nothing_left();
}

#[test]
fn a_jwt_that_the_role_does_not_take_is_told_with_what_may_be_wrong_and_not_shown() {
    let issuer = Issuer::new();
    let other = enabled(&issuer, "1h");
    let good = jwt(&other, &issuer, 300);
    let stranger = jwt(&other, &Issuer::new(), 300);
    for (role, text) in [("app", &stranger), ("nobody", &good)] {
        let run = other
            .command("jwt")
            .env("VAULTEXEC_JWT", text)
            .env("VAULTEXEC_AUTH_ROLE", role);
        let run = run.args(["-vvv"]).child(["true"]).output();
        run.assert_code(125)
            .stdout_is("")
            .stderr_contains("bound_claims fit the JWT?");
    }
    other.tenant.assert_nothing_left();
}

#[test]
fn a_jwt_that_was_written_anew_is_used_where_the_token_ends() {
    let issuer = Issuer::new();
    let other = enabled(&issuer, "8s");
    let folder = folder::Folder::new().unwrap();
    let file = folder.path().join("jwt");
    write_secret(&file, jwt(&other, &issuer, 4));
    let run = other
        .command("jwt")
        .args(["--auth-role", "app", "-v"])
        .arg("--jwt-file")
        .arg(&file);
    let run = telling_who(run).spawn();
    run.wait_for_line("start");
    run.wait_for_stderr("when the JWT ends");
    std::thread::sleep(Duration::from_secs(4));
    write_secret(&folder.path().join("new"), jwt(&other, &issuer, 300));
    fs::rename(folder.path().join("new"), &file).unwrap();
    run.wait_for_line("start");
    run.signal(libc::SIGTERM);
    run.wait().assert_code(7);
    other.tenant.assert_nothing_left();
}
