//! Short forms for runs that go through the fault proxy.

use super::proxy::{Fault, FaultProxy, RequestInfo};
use super::run::Run;
use super::running::Finished;
use super::servers::Servers;
use super::tenant::Tenant;
use std::sync::atomic::{AtomicUsize, Ordering};

impl Tenant {
    /// As `command`, by way of the proxy.
    pub fn through(&self, proxy: &FaultProxy) -> Run {
        self.command().env("VAULT_ADDR", proxy.url())
    }
}

/// A proxy that passes everything on, and tells what there was.
pub fn pass(servers: &Servers) -> FaultProxy {
    FaultProxy::start(&servers.vault.url(), |_| Fault::Pass)
}

/// A proxy that does this harm to every request that is such.
pub fn harm(
    servers: &Servers,
    which: impl Fn(&RequestInfo) -> bool + Send + Sync + 'static,
    fault: Fault,
) -> FaultProxy {
    harm_first(servers, usize::MAX, which, fault)
}

/// A proxy that does this harm to the first `count` requests that are such.
pub fn harm_first(
    servers: &Servers,
    count: usize,
    which: impl Fn(&RequestInfo) -> bool + Send + Sync + 'static,
    fault: Fault,
) -> FaultProxy {
    let done = AtomicUsize::new(0);
    FaultProxy::start(&servers.vault.url(), move |request| {
        if which(request) && done.fetch_add(1, Ordering::Relaxed) < count {
            fault.clone()
        } else {
            Fault::Pass
        }
    })
}

/// vaultexec gave up before there was a child (which would have written something), told no secret and left nothing behind.
#[track_caller]
pub fn assert_refused(run: &Finished, proxy: &FaultProxy, tenant: &Tenant) {
    run.assert_code(125).stdout_is("");
    run.assert_no_secret(&proxy.secrets());
    assert!(!run.stderr.is_empty(), "wanted a reason on stderr");
    tenant.assert_nothing_left();
}
