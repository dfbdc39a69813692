//! The two servers of a test: shared by all tests of the process, or private to one that breaks them.

use super::admin::Admin;
use super::folder::Folder;
use super::postgres::{self, Postgres};
use super::vault::Vault;
use serde_json::json;
use std::sync::{Arc, OnceLock};

/// A vault and a PostgreSQL, wired as in the tutorial: `database/` with the connection `appdb`, and `auth/approle`.
pub struct Servers {
    /// OpenBao or Vault.
    pub vault: Vault,
    /// PostgreSQL.
    pub postgres: Arc<Postgres>,
}

impl Servers {
    /// The servers of this test process, started by the first test that asks. Leave them as they are: other tests run.
    pub fn shared() -> &'static Servers {
        static SHARED: OnceLock<Result<Servers, String>> = OnceLock::new();
        // A failure is kept too, so that every test says at once why it fails.
        match SHARED.get_or_init(|| Self::launch(Vault::launch_dev)) {
            Ok(servers) => servers,
            Err(error) => panic!("{error}"),
        }
    }

    /// Both servers for one test alone, to be sealed, frozen, killed; they end with the value. The vault's data survive a restart.
    pub fn private() -> Servers {
        match Self::launch(Vault::launch_durable) {
            Ok(servers) => servers,
            Err(error) => panic!("{error}"),
        }
    }

    /// A private vault in front of the shared PostgreSQL, which starts faster: for tests that break the vault only.
    pub fn private_vault() -> Servers {
        let postgres = Arc::clone(&Self::shared().postgres);
        let launched = Folder::new().and_then(|folder| {
            let vault = Vault::launch_durable(&Arc::new(folder))?;
            Self::wire(vault, postgres)
        });
        match launched {
            Ok(servers) => servers,
            Err(error) => panic!("{error}"),
        }
    }

    /// The administrator's client of the vault.
    pub fn admin(&self) -> Admin {
        self.vault.admin()
    }

    fn launch(vault: fn(&Arc<Folder>) -> Result<Vault, String>) -> Result<Self, String> {
        let folder = Arc::new(Folder::new()?);
        // The slower half of the work is PostgreSQL's: let both start at the same time.
        let (vault, postgres) = std::thread::scope(|scope| {
            let postgres = scope.spawn(|| Postgres::launch(&folder));
            (vault(&folder), postgres.join())
        });
        let postgres = postgres.map_err(|_| "starting PostgreSQL panicked".to_owned())??;
        Self::wire(vault?, Arc::new(postgres))
    }

    fn wire(vault: Vault, postgres: Arc<Postgres>) -> Result<Self, String> {
        wire_up(&vault.admin(), &postgres)?;
        Ok(Self { vault, postgres })
    }
}

/// Mounts the database's engine and AppRole on a new server.
pub fn wire_up(admin: &Admin, postgres: &Postgres) -> Result<(), String> {
    let mounts = [
        ("sys/mounts/database", json!({"type": "database"})),
        ("database/config/appdb", connection(postgres)),
        ("sys/auth/approle", json!({"type": "approle"})),
    ];
    for (path, body) in mounts {
        admin
            .write(path, body)
            .map_err(|refused| format!("cannot set the vault up: {refused}"))?;
    }
    Ok(())
}

/// The tutorial's connection, open to every database role of the mount.
pub fn connection(postgres: &Postgres) -> serde_json::Value {
    json!({
        "plugin_name": "postgresql-database-plugin",
        "allowed_roles": "*",
        "connection_url": format!(
            "postgresql://{{{{username}}}}:{{{{password}}}}@127.0.0.1:{}/{}?sslmode=disable",
            postgres.port(),
            postgres::DATABASE
        ),
        "username": postgres::USER,
        "password": postgres::PASSWORD,
    })
}
