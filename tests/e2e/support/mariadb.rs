//! A real MariaDB in a temporary folder.

use super::folder::Folder;
use super::poll_until;
use super::process::{ServerProcess, free_port, on_path};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

/// The administrator that the server's database engine gets.
pub const USER: &str = "vaultadmin";
/// Its password.
pub const PASSWORD: &str = "vaultpassword";

const HOW_TO_GET_IT: &str = "this test needs MariaDB: on Debian or Ubuntu `apt-get install mariadb-server-core mariadb-client-core`, \
     elsewhere have mariadbd, mariadb-install-db and mariadb on the PATH";

/// A server on 127.0.0.1 with an administrator and the database `appdb`.
pub struct MariaDb {
    port: u16,
    _process: ServerProcess,
}

impl MariaDb {
    /// Sets a new one up and starts it.
    pub fn launch() -> Self {
        Self::try_launch().unwrap_or_else(|error| panic!("{error}"))
    }

    fn try_launch() -> Result<Self, String> {
        let folder = Arc::new(Folder::new()?);
        let data = folder.path().join("data");
        let mut install = Command::new(program("mariadb-install-db")?);
        install.args(["--no-defaults", "--auth-root-authentication-method=normal"]);
        install.args(["--skip-test-db", "--user=root"]);
        let install = install.arg(format!("--datadir={}", data.display()));
        let output = install.output().map_err(|error| error.to_string())?;
        if !output.status.success() {
            let words = String::from_utf8_lossy(&output.stderr);
            return Err(format!("mariadb-install-db failed: {words}"));
        }
        let port = free_port()?;
        let first = folder.path().join("first.sql");
        let statements = format!(
            "CREATE DATABASE appdb;\n\
             CREATE USER '{USER}'@'%' IDENTIFIED BY '{PASSWORD}';\n\
             GRANT ALL ON *.* TO '{USER}'@'%' WITH GRANT OPTION;\n"
        );
        std::fs::write(&first, statements).map_err(|error| error.to_string())?;
        let mut command = Command::new(program("mariadbd")?);
        command.args(["--no-defaults", "--user=root", "--bind-address=127.0.0.1"]);
        command.args(["--innodb-flush-log-at-trx-commit=0", "--skip-log-bin"]);
        command.arg(format!("--port={port}"));
        command.arg(format!("--datadir={}", data.display()));
        command.arg(format!(
            "--socket={}",
            folder.path().join("socket").display()
        ));
        command.arg(format!("--init-file={}", first.display()));
        let mut process = ServerProcess::start(&folder, "mariadb", command, libc::SIGTERM)?;
        let up = poll_until(Duration::from_secs(180), || {
            if !process.is_alive() {
                return Some(false);
            }
            let ran = sql(port, "SELECT 1");
            ran.is_ok().then_some(true)
        });
        match up {
            Some(true) => Ok(Self {
                port,
                _process: process,
            }),
            _ => Err(format!("MariaDB did not come up:\n{}", process.log())),
        }
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The users that Vault has made.
    pub fn users(&self) -> Vec<String> {
        let made = sql(
            self.port,
            "SELECT user FROM mysql.user WHERE user LIKE 'v-%'",
        );
        made.unwrap().lines().map(str::to_owned).collect()
    }
}

/// Runs SQL as the administrator.
fn sql(port: u16, sql: &str) -> Result<String, String> {
    let mut client = Command::new(program("mariadb")?);
    client.args(["--no-defaults", "--protocol=tcp", "--host=127.0.0.1"]);
    client.args([&format!("--port={port}"), &format!("--user={USER}")]);
    client.args(["--batch", "--skip-column-names", "--execute", sql]);
    let output = client.env("MYSQL_PWD", PASSWORD).output();
    let output = output.map_err(|error| error.to_string())?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

fn program(name: &str) -> Result<PathBuf, String> {
    // Debian has the server where only root's PATH looks.
    let sbin = PathBuf::from("/usr/sbin").join(name);
    on_path(name)
        .or_else(|| sbin.is_file().then_some(sbin))
        .ok_or_else(|| HOW_TO_GET_IT.to_owned())
}
