//! Engines that are not PostgreSQL's: another database, certificates.

use crate::support::*;
use serde_json::json;
use std::path::Path;

/// A tenant whose database role is one of MariaDB, with that server.
fn tenant_of_mariadb() -> (Tenant, MariaDb) {
    let mariadb = MariaDb::launch();
    let servers = Servers::shared();
    let tenant = Tenant::with(servers, |spec| {
        spec.policy("path \"my-{role}/creds/app\" { capabilities = [\"read\"] }\n")
            .may_revoke_leases()
    });
    let (admin, mount) = (tenant.admin(), mount(&tenant));
    let policy = format!("passwords-{mount}");
    let connection = format!(
        "{{{{username}}}}:{{{{password}}}}@tcp(127.0.0.1:{})/",
        mariadb.port()
    );
    let creation = "CREATE USER '{{name}}'@'%' IDENTIFIED BY '{{password}}'; GRANT SELECT ON appdb.* TO '{{name}}'@'%';";
    for (path, body) in [
        (format!("sys/mounts/{mount}"), json!({"type": "database"})),
        (
            format!("sys/policies/password/{policy}"),
            json!({"policy": r#"length = 24 rule "charset" { charset = "@:/?#[]%&+ ;=!$(){}|~^`\"<>,aB1-" min-chars = 24 }"#}),
        ),
        (
            format!("{mount}/config/appdb"),
            json!({
                "plugin_name": "mysql-database-plugin",
                "allowed_roles": "*",
                "connection_url": connection,
                "username": mariadb::USER,
                "password": mariadb::PASSWORD,
                "password_policy": policy,
            }),
        ),
        (
            format!("{mount}/roles/app"),
            json!({"db_name": "appdb", "creation_statements": creation, "default_ttl": "1h"}),
        ),
    ] {
        admin.write(&path, body).unwrap();
    }
    (tenant, mariadb)
}

fn mount(tenant: &Tenant) -> String {
    format!("my-{}", tenant.database_role())
}

/// What SQLAlchemy sees through PyMySQL.
const CONNECT: &str = r#"
import os, sqlalchemy
with sqlalchemy.create_engine(os.environ["DATABASE_URL"]).connect() as connection:
    print(connection.execute(sqlalchemy.text("select concat(current_user(), ' ', database())")).scalar())
"#;

#[test]
fn mariadbs_own_client_and_pythons_take_what_they_are_handed() {
    let (tenant, mariadb) = tenant_of_mariadb();
    let creds = format!("{}/creds/app", mount(&tenant));
    let run = |scheme: &str| {
        let url = format!("{scheme}://127.0.0.1:{}/appdb", mariadb.port());
        tenant.command().env("VAULTEXEC_CREDS", &creds).args([
            "--strict-revoke",
            "--database-url",
            &url,
        ])
    };
    let client = "mariadb --no-defaults --protocol=tcp --host=127.0.0.1 --port=$0 --user=\"$DB_USER\" --batch \
                  --skip-column-names --execute 'SELECT current_user(), database()' appdb";
    let port = mariadb.port().to_string();
    let own = run("mysql")
        .args([
            "--env",
            "DB_USER={{username}}",
            "--env",
            "MYSQL_PWD={{password}}",
        ])
        .child(["sh", "-c", client, &port])
        .output();
    own.assert_code(0).assert_quiet_stderr();
    assert!(own.out().starts_with("v-"), "{own}");
    assert!(own.out().ends_with("@%\tappdb\n"), "{own}");
    let drivers = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/python");
    for scheme in ["mysql+pymysql", "mariadb+pymysql"] {
        let python = run(scheme)
            .env("PYTHONPATH", &drivers)
            .child(["python3", "-c", CONNECT])
            .output();
        python.assert_code(0).assert_quiet_stderr();
        assert!(python.out().ends_with("@% appdb\n"), "{scheme}: {python}");
    }
    // --strict-revoke is the server's word for it; this is the database's.
    assert_eq!(mariadb.users(), [""; 0]);
    tenant.assert_nothing_left();
}

#[test]
fn a_certificate_is_issued_for_the_run_and_revoked_with_its_lease() {
    let servers = Servers::shared();
    let tenant = Tenant::with(servers, |spec| {
        spec.policy("path \"my-{role}/issue/*\" { capabilities = [\"update\"] }\n")
            .may_revoke_leases()
    });
    let (admin, mount) = (tenant.admin(), mount(&tenant));
    for (path, body) in [
        (format!("sys/mounts/{mount}"), json!({"type": "pki"})),
        (
            format!("{mount}/root/generate/internal"),
            json!({"common_name": "the tests' root", "ttl": "24h"}),
        ),
        (
            format!("{mount}/roles/leased"),
            json!({"allow_any_name": true, "generate_lease": true, "no_store": false}),
        ),
        (
            format!("{mount}/roles/plain"),
            json!({"allow_any_name": true}),
        ),
    ] {
        admin.write(&path, body).unwrap();
    }
    let script = "printf %s \"$KEY\" >key; printf %s \"$CERT\" >cert; printf %s \"$CA\" >ca; \
                  openssl verify -CAfile ca cert >&2 && openssl x509 -in cert -noout -subject -ext subjectAltName && \
                  [ \"$(openssl pkey -in key -pubout)\" = \"$(openssl x509 -in cert -noout -pubkey)\" ] && echo \"$SERIAL\"";
    for role in ["leased", "plain"] {
        let folder = folder::Folder::new().unwrap();
        let creds = tenant.creds_path();
        let issue = format!(
            "tls={mount}/issue/{role} common_name=app.example.com alt_names=b.example.com,c.example.com ttl=1h"
        );
        let run = tenant
            .command()
            .current_dir(folder.path())
            .env_remove("VAULTEXEC_CREDS")
            .args(["--creds", &creds, "--creds", &issue, "--strict-revoke"])
            .args([
                "--env",
                "KEY={{tls.private_key}}",
                "--env",
                "CERT={{tls.certificate}}",
            ])
            .args([
                "--env",
                "CA={{tls.issuing_ca}}",
                "--env",
                "SERIAL={{tls.serial_number}}",
            ]);
        let check = run.child(["sh", "-c", script]).output();
        check.assert_code(0);
        for part in ["app.example.com", "DNS:b.example.com", "DNS:c.example.com"] {
            assert!(check.out().contains(part), "{check}");
        }
        let serial = check.out().lines().last().unwrap().to_owned();
        let revoked = || {
            let found = admin.read(&format!("{mount}/cert/{serial}")).unwrap();
            found["data"]["revocation_time"].as_u64().unwrap() > 0
        };
        assert_eq!(revoked(), role == "leased", "{role}");
    }
    tenant.assert_nothing_left();
}

#[test]
fn what_is_sent_is_checked_and_the_policy_line_for_it_is_an_update() {
    let tenant = Tenant::new(Servers::shared());
    let run = |creds: &str| tenant.command().env("VAULTEXEC_CREDS", creds);
    // A reference is read, whatever blanks it is made of.
    for blank in [' ', '\u{a0}', '\u{3000}', '\t'] {
        let reference = format!("vault:kv/app{blank}pw=evil#pw");
        let refused = tenant
            .command()
            .env("REFERRING", reference)
            .arg("--resolve-env");
        refused
            .child(["true"])
            .output()
            .assert_code(125)
            .stderr_contains("REFERRING: what stands before the # of a reference is no path");
    }
    run("pki/issue/web common_name=a b")
        .child(["true"])
        .output()
        .assert_code(125)
        .stderr_contains("\"b\" is not KEY=VALUE");
    let refused = run("pki/issue/web common_name=a").args(["--env", "KEY={{private_key}}"]);
    refused
        .child(["true"])
        .output()
        .assert_code(125)
        .stderr_contains("path \"pki/issue/web\" { capabilities = [\"update\"] }");
    tenant.assert_nothing_left();
}
