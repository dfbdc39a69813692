//! The server's own proxy, with a cache.

use super::folder::Folder;
use super::poll_until;
use super::process::{ServerProcess, free_port};
use super::servers::Servers;
use super::vault::find_program;
use std::net::TcpStream;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

/// `bao proxy` with `cache {}`.
pub struct CachingProxy {
    port: u16,
    _process: ServerProcess,
}

impl CachingProxy {
    /// Starts one in front of the server.
    pub fn start(servers: &Servers) -> Self {
        let folder = Arc::new(Folder::new().unwrap());
        let up = (0..5).find_map(|_| Self::try_start(servers, &folder));
        up.expect("the proxy did not come up")
    }

    fn try_start(servers: &Servers, folder: &Arc<Folder>) -> Option<Self> {
        let port = free_port().unwrap();
        let config = folder.path().join("proxy.hcl");
        let text = format!(
            "vault {{ address = \"{}\" }}\ncache {{}}\nlistener \"tcp\" {{\n  address = \"127.0.0.1:{port}\"\n  tls_disable = true\n}}\n",
            servers.vault.url()
        );
        std::fs::write(&config, text).unwrap();
        let mut command = Command::new(find_program().unwrap());
        command
            .arg("proxy")
            .arg(format!("-config={}", config.display()));
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", folder.path());
        let mut process = ServerProcess::start(folder, "proxy", command, libc::SIGKILL).unwrap();
        let up = poll_until(Duration::from_secs(60), || {
            let connected = TcpStream::connect(("127.0.0.1", port)).is_ok();
            (connected || !process.is_alive()).then_some(connected)
        });
        (up == Some(true)).then_some(Self {
            port,
            _process: process,
        })
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}
