//! What the recipes say works, word for word, with a tenant's names in place of theirs.

use crate::support::folder::Folder;
use crate::support::process::{ServerProcess, free_port, on_path};
use crate::support::*;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;

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

#[test]
fn the_readmes_commands_set_a_server_up_from_nothing() {
    let servers = Servers::private_vault();
    let admin = servers.admin();
    for mount in ["sys/mounts/database", "sys/auth/approle"] {
        admin.delete(mount).unwrap();
    }
    let folder = Folder::for_programs().unwrap();
    let client = crate::support::vault::find_program().unwrap();
    symlink(client, folder.path().join("vault")).unwrap();
    let readme = document("README.md");
    let (_, section) = readme.split_once("## Set up the server").unwrap();
    let commands = blocks(section, "sh").remove(0);
    let database = format!(
        "127.0.0.1:{}/appdb?sslmode=disable",
        servers.postgres.port()
    );
    for name in ["db.example.com:5432/appdb", "username=vaultadmin"] {
        assert!(commands.contains(name), "{commands}");
    }
    let commands = commands.replace("db.example.com:5432/appdb", &database);
    let use_it = "\nvaultexec --strict-revoke -- psql -XAtc 'select 1'\n";
    symlink(Run::binary(), folder.path().join("vaultexec")).unwrap();
    let run = Run::of("sh")
        .args(["-euc", &(commands + use_it)])
        .current_dir(folder.path())
        .env("PATH", {
            let path = std::env::var("PATH").unwrap();
            format!("{}:{path}", folder.path().display())
        })
        .env("VAULT_ADDR", servers.vault.url())
        .env("VAULT_TOKEN", crate::support::vault::ROOT_TOKEN)
        .env("ADMINS_PASSWORD", crate::support::postgres::PASSWORD)
        .env("VAULTEXEC_CREDS", "database/creds/app-role")
        .env("PGHOST", "127.0.0.1")
        .env("PGPORT", servers.postgres.port().to_string())
        .env("PGDATABASE", "appdb")
        .output();
    run.assert_code(0);
    assert!(run.out().ends_with("\n1\n"), "{run}");
}

#[test]
fn a_pooler_that_asks_the_database_lets_short_lived_users_in() {
    let servers = Servers::shared();
    let folder = Arc::new(Folder::for_programs().unwrap());
    let users = folder.path().join("userlist.txt");
    let line = format!("\"{}\" \"{}\"\n", postgres::USER, postgres::PASSWORD);
    std::fs::write(&users, line).unwrap();
    let port = free_port().unwrap();
    let mut settings = blocks(&document("docs/deploy.md"), "ini").remove(0);
    for (theirs, ours) in [
        ("db.example.com", "127.0.0.1".to_owned()),
        ("port=5432", format!("port={}", servers.postgres.port())),
        ("auth_user=pooler", format!("auth_user={}", postgres::USER)),
        ("listen_port = 6432", format!("listen_port = {port}")),
        ("/etc/pgbouncer/userlist.txt", users.display().to_string()),
    ] {
        assert!(settings.contains(theirs), "{theirs}");
        settings = settings.replace(theirs, &ours);
    }
    let file = folder.path().join("pgbouncer.ini");
    std::fs::write(&file, settings + "unix_socket_dir =\n").unwrap();
    let fetched = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/pgbouncer");
    let program = on_path("pgbouncer").unwrap_or_else(|| fetched.join("usr/sbin/pgbouncer"));
    let mut pooler = std::process::Command::new(program);
    let libraries = format!("usr/lib/{}-linux-gnu", std::env::consts::ARCH);
    pooler
        .env("LD_LIBRARY_PATH", fetched.join(libraries))
        .arg(&file);
    if nix::unistd::Uid::effective().is_root() {
        // It refuses to be root.
        pooler.args(["-u", "nobody"]);
    }
    let _pooler = ServerProcess::start(&folder, "pgbouncer", pooler, libc::SIGTERM).unwrap();
    let tenant = Tenant::new(servers);
    let query = ["psql", "-XAtc", "select current_user"];
    let through = |run: Run| run.env("PGPORT", port.to_string());
    // Also the trial is let in.
    let run = through(tenant.command().arg("--wait-login"))
        .child(query)
        .output();
    run.assert_code(0);
    assert!(run.out().starts_with("v-"), "{run}");
    // As the recipe says.
    let run = through(tenant.command().args(["--set-role", "x"]))
        .child(query)
        .output();
    run.assert_code(2)
        .stderr_contains("unsupported startup parameter: options");
    tenant.assert_nothing_left();
}
