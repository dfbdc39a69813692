//! OpenBao as a real cluster: three nodes with raft storage on loopback, each of which can be killed, started again, sealed.

use super::admin::Admin;
use super::folder::Folder;
use super::poll_until;
use super::postgres::Postgres;
use super::process::{ServerProcess, free_port};
use super::servers::{Servers, wire_up};
use super::tenant::{Tenant, TenantSpec};
use super::vault::{ROOT_TOKEN, find_program, text};
use serde_json::{Value, json};
use std::fs;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Elections and joins take some seconds where many tests run.
const PATIENCE: Duration = Duration::from_secs(180);

/// One server of the cluster.
struct Node {
    name: String,
    port: u16,
    cluster_port: u16,
    process: Mutex<Option<ServerProcess>>,
}

/// Three nodes in front of the shared PostgreSQL. All of it ends with the value, or with the test process.
pub struct Cluster {
    folder: Arc<Folder>,
    nodes: Vec<Node>,
    unseal_key: String,
    postgres: Arc<Postgres>,
}

impl Cluster {
    /// A new cluster, unsealed, with a leader, wired as the single servers are.
    pub fn launch() -> Self {
        Self::try_launch().unwrap_or_else(|error| panic!("{error}"))
    }

    fn try_launch() -> Result<Self, String> {
        let mut cluster = Self {
            folder: Arc::new(Folder::new()?),
            nodes: Vec::new(),
            unseal_key: String::new(),
            postgres: Arc::clone(&Servers::shared().postgres),
        };
        for number in 1..=3 {
            cluster.add(&format!("node{number}"))?;
        }
        let said = |error: super::admin::Refused| error.to_string();
        let body = json!({"secret_shares": 1, "secret_threshold": 1});
        let keys = cluster.anyone(0).write("sys/init", body).map_err(said)?;
        cluster.unseal_key = text(&keys["keys"][0]);
        cluster.try_unseal(0, &[200])?;
        let root = json!({"id": ROOT_TOKEN, "policies": ["root"], "no_parent": true});
        let first = Admin::new(&cluster.authority(0), &text(&keys["root_token"]));
        first.write("auth/token/create", root).map_err(said)?;
        for node in 1..3 {
            let body = json!({"leader_api_addr": cluster.url(0)});
            cluster
                .anyone(node)
                .write("sys/storage/raft/join", body)
                .map_err(said)?;
            cluster.try_unseal(node, &[200, 429])?;
        }
        wire_up(&cluster.admin(0), &cluster.postgres)?;
        // A leader may only be lost when the others can go on without it.
        let voters = poll_until(PATIENCE, || {
            let answer = cluster
                .admin(0)
                .read("sys/storage/raft/configuration")
                .ok()?;
            let servers = answer["data"]["config"]["servers"].as_array()?.clone();
            let voting = servers
                .iter()
                .filter(|server| server["voter"] == Value::Bool(true));
            (voting.count() == 3).then_some(())
        });
        voters.ok_or("the nodes did not all become voters")?;
        Ok(cluster)
    }

    /// Starts another node, which knows of nobody yet.
    fn add(&mut self, name: &str) -> Result<(), String> {
        let mut last = String::new();
        for _ in 0..5 {
            let node = Node {
                name: name.to_owned(),
                port: free_port()?,
                cluster_port: free_port()?,
                process: Mutex::new(None),
            };
            self.nodes.push(node);
            let added = self.nodes.len() - 1;
            self.write_config(added)?;
            *self.nodes[added].process.lock().unwrap() = Some(self.spawn(added)?);
            match self.await_health(added, &[501]) {
                Ok(()) => return Ok(()),
                // The port may have been taken meanwhile.
                Err(error) => last = error,
            }
            self.nodes.pop();
        }
        Err(format!("{name} did not come up: {last}"))
    }

    /// `http://127.0.0.1:PORT` of a node, from 0.
    pub fn url(&self, node: usize) -> String {
        format!("http://{}", self.authority(node))
    }

    /// These nodes' URLs, as `VAULT_ADDR` takes them.
    pub fn urls(&self, nodes: &[usize]) -> String {
        nodes
            .iter()
            .map(|node| self.url(*node))
            .collect::<Vec<_>>()
            .join(",")
    }

    /// The administrator at a node; a standby passes on what it cannot do itself.
    pub fn admin(&self, node: usize) -> Admin {
        Admin::new(&self.authority(node), ROOT_TOKEN)
    }

    /// An application whose oracle asks that node.
    pub fn tenant(&self, node: usize, change: impl FnOnce(TenantSpec) -> TenantSpec) -> Tenant {
        Tenant::on(self.admin(node), &self.postgres, self.url(node), change)
    }

    /// Waits until there is a leader among the living, and says which.
    pub fn leader(&self) -> usize {
        let leader = poll_until(PATIENCE, || {
            (0..self.nodes.len()).find(|node| self.anyone(*node).read("sys/health").is_ok())
        });
        leader.expect("no leader was found")
    }

    /// Kills a node: its connections are refused from now on.
    pub fn kill(&self, node: usize) {
        if let Some(mut process) = self.nodes[node].process.lock().unwrap().take() {
            process.end(libc::SIGKILL);
        }
    }

    /// Starts a killed node again; it is sealed.
    pub fn start_sealed(&self, node: usize) {
        self.kill(node);
        *self.nodes[node].process.lock().unwrap() = Some(self.spawn(node).unwrap());
        self.await_health(node, &[503]).unwrap();
    }

    /// Unseals a node and waits until it serves.
    pub fn unseal(&self, node: usize) {
        self.try_unseal(node, &[200, 429]).unwrap();
    }

    fn authority(&self, node: usize) -> String {
        format!("127.0.0.1:{}", self.nodes[node].port)
    }

    fn anyone(&self, node: usize) -> Admin {
        Admin::new(&self.authority(node), "")
    }

    fn try_unseal(&self, node: usize, wanted: &[u16]) -> Result<(), String> {
        // A node that has just joined needs a moment until it has the leader's word on how it is sealed.
        let body = json!({"key": self.unseal_key});
        let mut last = String::new();
        let done = poll_until(PATIENCE, || {
            self.anyone(node)
                .write("sys/unseal", body.clone())
                .map_err(|error| last = error.to_string())
                .ok()
        });
        done.ok_or(last)?;
        self.await_health(node, wanted)
    }

    fn await_health(&self, node: usize, wanted: &[u16]) -> Result<(), String> {
        let mut last = String::new();
        let up = poll_until(PATIENCE, || {
            let mut process = self.nodes[node].process.lock().unwrap();
            if !process.as_mut().is_some_and(ServerProcess::is_alive) {
                return Some(false);
            }
            let status = self.anyone(node).read("sys/health").map_or_else(
                |refused| {
                    last = refused.to_string();
                    refused.status
                },
                |_| 200,
            );
            wanted.contains(&status).then_some(true)
        });
        if up == Some(true) {
            Ok(())
        } else {
            Err(format!("its health was not one of {wanted:?}: {last}"))
        }
    }

    fn spawn(&self, node: usize) -> Result<ServerProcess, String> {
        let name = &self.nodes[node].name;
        let mut command = Command::new(find_program()?);
        let config = self.folder.path().join(format!("{name}.hcl"));
        command
            .arg("server")
            .arg(format!("-config={}", config.display()));
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", self.folder.path())
            .current_dir(self.folder.path());
        ServerProcess::start(&self.folder, name, command, libc::SIGKILL)
    }

    fn write_config(&self, node: usize) -> Result<(), String> {
        let Node {
            name,
            port,
            cluster_port,
            ..
        } = &self.nodes[node];
        let data = self.folder.path().join(format!("{name}-data"));
        let failed = |error: std::io::Error| format!("cannot set {name} up: {error}");
        let _ = fs::remove_dir_all(&data);
        fs::create_dir(&data).map_err(failed)?;
        let config = format!(
            "listener \"tcp\" {{\n  address = \"127.0.0.1:{port}\"\n  cluster_address = \"127.0.0.1:{cluster_port}\"\n  \
             tls_disable = true\n}}\n\
             storage \"raft\" {{\n  path = {data:?}\n  node_id = {name:?}\n  performance_multiplier = 3\n}}\n\
             api_addr = \"http://127.0.0.1:{port}\"\ncluster_addr = \"https://127.0.0.1:{cluster_port}\"\ndisable_mlock = true\n"
        );
        fs::write(self.folder.path().join(format!("{name}.hcl")), config).map_err(failed)
    }
}
