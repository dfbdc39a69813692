//! What the end-to-end tests stand on: real servers, isolated tenants, a runner, a probe child, a terminal, a fault proxy.

// Each helper is used by some of the tests only.
#![allow(dead_code, unused_imports, unused_macros)]

pub mod admin;
pub mod caching;
pub mod canary;
pub mod children;
pub mod cluster;
pub mod expiring;
pub mod fake;
pub mod folder;
pub mod fresh;
pub mod http;
pub mod jwt;
pub mod mariadb;
pub mod options;
pub mod pidns;
pub mod postgres;
pub mod probe;
pub mod probe_child;
pub mod process;
pub mod procfs;
pub mod proxy;
pub mod pty;
pub mod run;
pub mod running;
pub mod scripted;
pub mod seccomp;
pub mod servers;
pub mod signals;
pub mod surroundings;
pub mod switch;
pub mod tenant;
pub mod tls;
pub mod traced;
pub mod transcript;
pub mod tunnel;
pub mod vault;

pub use admin::{Admin, Refused};
pub use caching::CachingProxy;
pub use cluster::Cluster;
pub use fake::FakeVault;
pub use mariadb::MariaDb;
pub use options::Options;
pub use postgres::Postgres;
pub use probe::Probe;
pub use proxy::{Fault, FaultProxy, Hold, Issued, IssuedKind, RequestInfo, Which};
pub use pty::Pty;
pub use run::{Place, Run};
pub use running::{Finished, Running};
pub use scripted::{assert_refused, harm, harm_first, pass};
pub use servers::Servers;
pub use surroundings::{Ending, Scene, Surroundings};
pub use tenant::{Change, NASTY_PASSWORD_POLICY, Tenant, TenantSpec, nasty_password_policy};
pub use vault::Vault;

use std::time::{Duration, Instant};

/// Whether it comes about in one of three tries: for what has to be quick, and can be held up by whatever else the machine does.
pub fn best_of_three(mut attempt: impl FnMut() -> bool) -> bool {
    (0..3).any(|_| attempt())
}

/// Asks `done` again and again until it says `Some`, at most for `limit`. For states that announce themselves to nobody.
pub fn poll_until<T>(limit: Duration, mut done: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = done() {
            return Some(found);
        }
        if Instant::now() >= deadline {
            return None;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}
