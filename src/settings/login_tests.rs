use super::super::command_line::Flags;
use super::*;
use crate::environment::Given;

/// The settings of the login, or everything that is wrong with them.
fn login(flags: &[&str], environment: &[(&str, &str)]) -> String {
    let (flags, environment) = (Flags::of(flags), Given(environment.to_vec()));
    let lookup = Lookup::new(&flags, &environment);
    let auth = auth(&lookup);
    let problems = lookup.into_problems();
    match auth {
        Some(auth) if problems.is_empty() => format!("{auth:?}"),
        _ => problems
            .iter()
            .map(|problem| format!("{problem}\n"))
            .collect(),
    }
}

#[track_caller]
fn assert_says(flags: &[&str], environment: &[(&str, &str)], needle: &str) {
    let said = login(flags, environment);
    assert!(said.contains(needle), "{flags:?} {environment:?}: {said}");
}

#[test]
fn a_token_is_used_where_there_is_one_and_nothing_of_an_approle() {
    let token = ("VAULT_TOKEN", "t");
    assert_says(&[], &[token], "Token(Variable(\"VAULT_TOKEN\"))");
    assert_says(
        &[],
        &[("BAO_TOKEN", "t"), token],
        "Token(Variable(\"BAO_TOKEN\"))",
    );
    assert_says(&[], &[token, ("VAULT_ROLE_ID", "r")], "AppRole(");
    assert_says(&["--role-id", "r"], &[token], "AppRole(");
    assert_says(
        &["--auth", "token"],
        &[token, ("VAULT_ROLE_ID", "r")],
        "Token(Variable",
    );
    // A secret id without its role id is a mistake, and no reason to take the rights of a token.
    assert_says(
        &[],
        &[token, ("VAULT_SECRET_ID", "s")],
        "the role id is missing",
    );
    assert_says(&["--auth", "approle"], &[token], "the role id is missing");
    assert_says(&[], &[], "the role id is missing");
    assert_says(
        &["--auth", "token"],
        &[],
        "the token is missing, and there is no ~/.vault-token",
    );
}

#[test]
fn the_official_clients_token_is_found_at_home_and_is_the_last_one_to_be_taken() {
    let home = std::env::temp_dir().join(format!("vaultexec-home-{}", std::process::id()));
    std::fs::create_dir_all(&home).expect("a folder");
    let file = home.join(".vault-token");
    std::fs::write(&file, "t").expect("a file");
    let at_home = ("HOME", home.to_str().expect("text"));
    let found = login(&[], &[at_home]);
    let variable = login(&[], &[at_home, ("VAULT_TOKEN", "t")]);
    let flag = login(
        &["--token-file", "/etc/passwd"],
        &[at_home, ("VAULT_TOKEN", "t")],
    );
    let both = login(
        &[],
        &[
            ("VAULTEXEC_TOKEN_FILE", "/etc/passwd"),
            ("VAULT_TOKEN", "t"),
        ],
    );
    std::fs::remove_dir_all(&home).expect("it is there");
    assert!(found.contains("setting: \"~/.vault-token\""), "{found}");
    assert!(variable.contains("VAULT_TOKEN"), "{variable}");
    assert!(flag.contains("path: \"/etc/passwd\""), "{flag}");
    assert!(
        both.contains("VAULTEXEC_TOKEN_FILE and VAULT_TOKEN: give only one"),
        "{both}"
    );
    assert_says(
        &["--token-file", "/nowhere/t"],
        &[],
        "--token-file: cannot read /nowhere/t",
    );
    assert_says(
        &[],
        &[("VAULTEXEC_TOKEN_FILE", "/etc")],
        "VAULTEXEC_TOKEN_FILE: cannot read /etc",
    );
}

#[test]
fn an_option_of_another_method_is_named_and_a_variable_is_not() {
    let role = ("VAULT_ROLE_ID", "r");
    assert_says(
        &["--token-file", "/etc/passwd"],
        &[role],
        "--token-file: it is for --auth token, and this login is by approle: give one of them",
    );
    assert_says(
        &["--auth", "token", "--secret-id-file", "-"],
        &[("VAULT_TOKEN", "t")],
        "--secret-id-file: it is for --auth approle, and this login is by token",
    );
    assert_says(
        &[],
        &[role, ("VAULTEXEC_TOKEN_FILE", "/nowhere/t")],
        "AppRole(",
    );
    assert_says(
        &["--auth", "token", "--auth-mount", "x"],
        &[("VAULT_TOKEN", "t")],
        "--auth-mount: a token is used as it is, and logs in at no mount",
    );
}

#[test]
fn a_pod_needs_a_role_and_has_a_place_for_its_token() {
    let of_the_pod = "/var/run/secrets/kubernetes.io/serviceaccount/token: No such file";
    let auth = ("VAULTEXEC_AUTH", "kubernetes");
    let said = login(&[], &[auth]);
    assert!(
        said.contains("--auth-role (VAULTEXEC_AUTH_ROLE): it is missing"),
        "{said}"
    );
    assert!(said.contains(of_the_pod), "{said}");
    let given = ["--auth-role", "app", "--jwt-file", "/etc/passwd"];
    assert_says(
        &given,
        &[auth],
        "method: Kubernetes, mount: \"kubernetes\", role: Some(\"app\"), jwt: Given(File",
    );
    // A JWT for something else is not taken for the pod's.
    assert_says(
        &["--auth-role", "app"],
        &[auth, ("VAULTEXEC_JWT", "x")],
        of_the_pod,
    );
    assert_says(
        &[&given[..], &["--jwt-audience", "x"]].concat(),
        &[auth],
        "--jwt-audience: it is for --auth jwt, and this login is by kubernetes",
    );
}

#[test]
fn a_jwt_is_given_once_or_is_githubs() {
    let auth = ("VAULTEXEC_AUTH", "jwt");
    let given = ("VAULTEXEC_JWT", "x");
    let github = [
        (
            "ACTIONS_ID_TOKEN_REQUEST_URL",
            "https://github.example/token?v=2",
        ),
        ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "hunter2"),
    ];
    assert_says(
        &[],
        &[auth, given],
        "role: None, jwt: Given(Variable(\"VAULTEXEC_JWT\"))",
    );
    assert_says(
        &["--jwt-file", "/etc/passwd"],
        &[auth, given],
        "jwt: Given(File",
    );
    assert_says(
        &[],
        &[auth, given, ("VAULTEXEC_JWT_FILE", "/etc/passwd")],
        "VAULTEXEC_JWT_FILE and VAULTEXEC_JWT: give only one",
    );
    assert_says(
        &["--jwt-audience", "a"],
        &[auth, given],
        "VAULTEXEC_JWT and --jwt-audience: a JWT that is given has its audience",
    );
    let asked = login(
        &["--jwt-audience", "a b&c"],
        &[&[auth], &github[..]].concat(),
    );
    assert!(
        asked.contains("query: Some(\"v=2&audience=a+b%26c\")"),
        "{asked}"
    );
    assert!(
        asked.contains("proxy: Direct") && !asked.contains("hunter2"),
        "{asked}"
    );
    let proxied = [
        &[
            auth,
            ("HTTPS_PROXY", "http://p:1"),
            ("VAULT_PROXY_ADDR", "http://q:1"),
        ],
        &github[..],
    ];
    assert_says(&[], &proxied.concat(), "proxy: Environment(");
    assert_says(
        &["--jwt-audience", "a"],
        &[auth],
        "the job needs `permissions: id-token: write`",
    );
    assert_says(
        &[],
        &[auth, ("GITHUB_ACTIONS", "true")],
        "`permissions: id-token: write`",
    );
    assert_says(
        &[],
        &[auth],
        "VAULTEXEC_JWT, --jwt-file (VAULTEXEC_JWT_FILE): the JWT is missing\n",
    );
    let wrong = [
        auth,
        ("ACTIONS_ID_TOKEN_REQUEST_URL", "nonsense"),
        github[1],
    ];
    assert_says(&[], &wrong, "ACTIONS_ID_TOKEN_REQUEST_URL: it is not a URL");
    let in_clear = [
        auth,
        ("ACTIONS_ID_TOKEN_REQUEST_URL", "http://github.example/x"),
        github[1],
    ];
    assert_says(
        &[],
        &in_clear,
        "ACTIONS_ID_TOKEN_REQUEST_URL: it is not https",
    );
    // Not asked for, none of this is a login.
    assert_says(
        &[],
        &[given, github[0], github[1]],
        "the role id is missing",
    );
}

#[test]
fn a_certificate_is_shown_by_tls() {
    let auth = ("VAULTEXEC_AUTH", "cert");
    let said = login(&[], &[auth, ("VAULT_ADDR", "https://a,unix:///s")]);
    assert!(
        said.contains("--client-cert (VAULT_CLIENT_CERT): it is missing"),
        "{said}"
    );
    assert!(
        said.contains("VAULT_ADDR: --auth cert needs https://"),
        "{said}"
    );
    let given = [auth, ("VAULT_CLIENT_CERT", "/c")];
    assert_says(
        &["--auth-role", "app"],
        &given,
        "Cert(Cert { mount: \"cert\", role: Some(\"app\") })",
    );
    assert_says(&[], &given, "role: None");
}

#[test]
fn a_user_is_needed_and_a_password_may_be_typed() {
    let said = login(&["--auth", "ldap"], &[]);
    assert!(
        said.starts_with("--username (VAULTEXEC_USERNAME): it is missing"),
        "{said}"
    );
    let user = ["--auth", "userpass", "--username", "ann"];
    assert_says(
        &user,
        &[],
        "method: \"userpass\", mount: \"userpass\", username: \"ann\", password: None",
    );
    let with_file = [&user[..], &["--password-file", "-"]].concat();
    assert_says(&with_file, &[], "password: Some(StandardInput");
    for name in ["..", "a/b", "a\u{7}b"] {
        assert_says(
            &["--auth", "ldap", "--username", name],
            &[],
            "is no user's name",
        );
    }
    assert_says(
        &[&user[..], &["--auth-role", "x"]].concat(),
        &[],
        "--auth-role: it is for --auth kubernetes or jwt or cert, and this login is by userpass",
    );
}
