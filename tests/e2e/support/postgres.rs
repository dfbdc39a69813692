//! A real PostgreSQL in a temporary folder.

use super::folder::Folder;
use super::poll_until;
use super::process::{ServerProcess, free_port, on_path};
use nix::unistd::{Uid, User, chown};
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

/// The administrator the tutorial gives the server's database engine.
pub const USER: &str = "vaultadmin";
/// Its password.
pub const PASSWORD: &str = "vaultpassword";
/// The tutorial's database.
pub const DATABASE: &str = "appdb";

const HOW_TO_GET_IT: &str = "the end-to-end tests need PostgreSQL's server and psql: on Debian or Ubuntu `apt-get install postgresql`, \
     elsewhere have initdb, postgres and psql on the PATH";

/// A server on 127.0.0.1 with the tutorial's administrator and database.
pub struct Postgres {
    folder: Arc<Folder>,
    data: PathBuf,
    programs: PathBuf,
    port: u16,
    /// What it is started with beside what all are.
    settings: Vec<String>,
    process: Mutex<Option<ServerProcess>>,
}

impl Postgres {
    /// Sets a new one up in `folder` and starts it.
    pub fn launch(folder: &Arc<Folder>) -> Result<Self, String> {
        let programs = find_programs()?;
        let data = folder.path().join("pg");
        let passwords = folder.path().join("pg-password");
        let failed = |error: std::io::Error| format!("cannot set up PostgreSQL: {error}");
        fs::create_dir(&data).map_err(failed)?;
        fs::write(&passwords, PASSWORD).map_err(failed)?;
        if let Some(user) = server_user()? {
            for path in [&data, &passwords] {
                chown(path, Some(user.uid), Some(user.gid))
                    .map_err(|error| failed(error.into()))?;
            }
        }
        let mut initdb = as_server_user(Command::new(programs.join("initdb")))?;
        initdb.arg("-D").arg(&data).arg("--pwfile").arg(&passwords);
        initdb.args([
            "-U",
            USER,
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
        ]);
        let output = initdb.current_dir(folder.path()).output().map_err(failed)?;
        if !output.status.success() {
            return Err(format!(
                "initdb failed: {}",
                String::from_utf8_lossy(&output.stderr)
            ));
        }
        let postgres = Self::on_a_free_port(Self {
            folder: Arc::clone(folder),
            data,
            programs,
            port: 0,
            settings: Vec::new(),
            process: Mutex::new(None),
        })?;
        let database = format!("CREATE DATABASE {DATABASE}");
        postgres.try_sql_in("postgres", USER, PASSWORD, &database)?;
        Ok(postgres)
    }

    /// A replica of this one, which is so far behind it.
    pub fn replica(&self, behind: Duration) -> Result<Self, String> {
        let folder = Arc::new(Folder::new()?);
        let data = folder.path().join("pg");
        let failed = |error: std::io::Error| format!("cannot set a replica up: {error}");
        let private = &mut fs::DirBuilder::new();
        private.mode(0o700).create(&data).map_err(failed)?;
        if let Some(user) = server_user()? {
            chown(&data, Some(user.uid), Some(user.gid)).map_err(|error| failed(error.into()))?;
        }
        let mut copy = as_server_user(Command::new(self.program("pg_basebackup")))?;
        copy.arg("-D")
            .arg(&data)
            .args(["-R", "-c", "fast", "--no-sync"]);
        copy.args(["-h", "127.0.0.1", "-U", USER, "-p", &self.port.to_string()]);
        copy.env("PGPASSWORD", PASSWORD).current_dir(folder.path());
        let output = copy.output().map_err(failed)?;
        if !output.status.success() {
            let words = String::from_utf8_lossy(&output.stderr);
            return Err(format!("pg_basebackup failed: {words}"));
        }
        Self::on_a_free_port(Self {
            folder,
            data,
            programs: self.programs.clone(),
            port: 0,
            settings: vec![format!("recovery_min_apply_delay={}ms", behind.as_millis())],
            process: Mutex::new(None),
        })
    }

    fn on_a_free_port(mut self) -> Result<Self, String> {
        let mut last = String::new();
        for _ in 0..5 {
            self.port = free_port()?;
            match self.try_start() {
                Ok(()) => return Ok(self),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Starts it again after `stop`, on the same port and with its data.
    pub fn start(&self) {
        self.try_start().unwrap();
    }

    /// Stops it at once; sessions are cut. Its data stay.
    pub fn stop(&self) {
        if let Some(mut process) = self.process.lock().unwrap().take() {
            process.end(libc::SIGQUIT);
        }
    }

    /// The client program itself: Debian's psql on the PATH is a Perl script around it, and slow.
    pub fn psql(&self) -> PathBuf {
        self.program("psql")
    }

    fn program(&self, name: &str) -> PathBuf {
        let own = self.programs.join(name);
        if own.is_file() {
            own
        } else {
            on_path(name).unwrap_or(own)
        }
    }

    /// The folder of that program, if PostgreSQL is to be had: a PATH that begins with it has the same one.
    pub fn programs_folder() -> Option<PathBuf> {
        static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
        let found = || {
            find_programs()
                .ok()
                .filter(|folder| folder.join("psql").is_file())
        };
        FOUND.get_or_init(found).clone()
    }

    /// Runs SQL as the administrator; the rows as `psql -At` prints them.
    pub fn sql(&self, sql: &str) -> String {
        self.try_sql(sql).unwrap()
    }

    /// As `sql`, with the server's words when it fails.
    pub fn try_sql(&self, sql: &str) -> Result<String, String> {
        self.try_sql_in(DATABASE, USER, PASSWORD, sql)
    }

    /// Runs SQL as somebody else, e.g. with credentials that the vault gave out.
    pub fn try_sql_as(&self, user: &str, password: &str, sql: &str) -> Result<String, String> {
        self.try_sql_in(DATABASE, user, password, sql)
    }

    fn try_sql_in(
        &self,
        database: &str,
        user: &str,
        password: &str,
        sql: &str,
    ) -> Result<String, String> {
        let output = Command::new(self.psql())
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql])
            .env_clear()
            .envs([
                ("PGHOST", "127.0.0.1"),
                ("PGDATABASE", database),
                ("PGUSER", user),
                ("PGPASSWORD", password),
            ])
            .env("PGPORT", self.port.to_string())
            .env("PGCONNECT_TIMEOUT", "60")
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .output()
            .map_err(|error| format!("cannot run psql: {error}; {HOW_TO_GET_IT}"))?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout)
                .trim_end()
                .to_owned())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    fn try_start(&self) -> Result<(), String> {
        let mut command = as_server_user(Command::new(self.programs.join("postgres")))?;
        command
            .arg("-D")
            .arg(&self.data)
            .current_dir(self.folder.path());
        command.args(["-p", &self.port.to_string()]);
        // Nothing has to outlive the machine, but all that was committed has to outlive `stop`: `synchronous_commit` stays on.
        for setting in [
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "fsync=off",
            "full_page_writes=off",
            "max_connections=200",
            "shared_buffers=16MB",
            "autovacuum=off",
        ] {
            command.args(["-c", setting]);
        }
        for setting in &self.settings {
            command.args(["-c", setting]);
        }
        let mut process = ServerProcess::start(&self.folder, "postgres", command, libc::SIGQUIT)?;
        let up = poll_until(Duration::from_secs(180), || {
            if !process.is_alive() {
                return Some(false);
            }
            self.try_sql_in("postgres", USER, PASSWORD, "SELECT 1")
                .is_ok()
                .then_some(true)
        });
        if up != Some(true) {
            return Err(format!("PostgreSQL did not come up:\n{}", process.log()));
        }
        *self.process.lock().map_err(|_| "poisoned")? = Some(process);
        Ok(())
    }
}

/// The folder with initdb and postgres: on the PATH, else Debian's newest.
fn find_programs() -> Result<PathBuf, String> {
    let is_complete =
        |folder: &PathBuf| folder.join("initdb").is_file() && folder.join("postgres").is_file();
    if let Some(folder) = on_path("initdb")
        .and_then(|file| file.parent().map(PathBuf::from))
        .filter(is_complete)
    {
        return Ok(folder);
    }
    let mut found: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            Some((
                entry.file_name().to_str()?.parse().ok()?,
                entry.path().join("bin"),
            ))
        })
        .filter(|(_, folder)| is_complete(folder))
        .collect();
    found.sort();
    found
        .pop()
        .map(|(_, folder)| folder)
        .ok_or_else(|| HOW_TO_GET_IT.to_owned())
}

/// PostgreSQL refuses to run as root: whom to become then.
fn server_user() -> Result<Option<User>, String> {
    if !Uid::effective().is_root() {
        return Ok(None);
    }
    for name in ["postgres", "nobody"] {
        if let Ok(Some(user)) = User::from_name(name) {
            return Ok(Some(user));
        }
    }
    Err("PostgreSQL refuses to run as root, and there is neither a user `postgres` nor `nobody` to run it as".to_owned())
}

fn as_server_user(mut command: Command) -> Result<Command, String> {
    if let Some(user) = server_user()? {
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
    }
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("LC_ALL", "C");
    Ok(command)
}
