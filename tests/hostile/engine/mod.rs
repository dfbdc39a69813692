//! Hostile answers: real servers behind a proxy that mutates what they say, at each endpoint that a run asks.
//!
//! The server acts on every request; only its answers are changed. A run's plan hangs on the seed and its number alone. Whatever
//! comes, vaultexec must neither panic nor hang, print no secret and nothing that drives a terminal, and leave no role in the
//! database, except where an answer was believed that lied about how long something lives or what it is.

mod alter;
#[path = "../../../src/fuzz/json.rs"]
mod json;
mod judge;
#[path = "../../../src/fuzz/mutate.rs"]
mod mutate;
mod plan;
mod report;

pub use crate::support::Options;
use crate::support::*;
use alter::alter;
use fastrand::Rng;
use judge::{Believed, judge};
use plan::{Plan, Way};
use report::Figures;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

pub use report::Report;

/// The server's background work, and whoever cleans up in the background.
const PATIENCE: Duration = Duration::from_secs(120);

/// A role that a run has had, and that has to go.
struct Role {
    index: u32,
    plan: Plan,
    username: String,
    /// What was lied about, if that can keep it.
    lie: bool,
    story: String,
}

struct Hostile<'a> {
    options: &'a Options,
    vault_url: String,
    plain: Tenant,
    renewing: Tenant,
    plain_id: String,
    renewing_id: String,
    figures: Mutex<Figures>,
    findings: Mutex<Vec<String>>,
    roles: Mutex<Vec<Role>>,
    /// Of runs after which somebody goes on in the background.
    proxies: Mutex<Vec<FaultProxy>>,
    next: AtomicU32,
}

/// Runs it on these servers.
pub fn hostile(servers: &Servers, options: &Options) -> Report {
    let started = Instant::now();
    let spec = |spec: TenantSpec| spec.secret_id_num_uses(0).may_revoke_leases();
    let plain = Tenant::with(servers, spec);
    let renewing = Tenant::with(servers, |all| {
        spec(all)
            .default_ttl("3s")
            .max_ttl("24h")
            .token_ttl("3s")
            .token_max_ttl("24h")
    });
    let hostile = Hostile {
        options,
        vault_url: servers.vault.url(),
        plain_id: plain.role_id(),
        renewing_id: renewing.role_id(),
        plain,
        renewing,
        figures: Mutex::default(),
        findings: Mutex::default(),
        roles: Mutex::default(),
        proxies: Mutex::default(),
        next: AtomicU32::new(0),
    };
    thread::scope(|scope| {
        for _ in 0..options.parallel {
            scope.spawn(|| hostile.work());
        }
    });
    hostile.wait_for_roles(&servers.postgres);
    for tenant in [&hostile.plain, &hostile.renewing] {
        tenant.sweep();
    }
    Report {
        figures: hostile.figures.into_inner().unwrap(),
        findings: hostile.findings.into_inner().unwrap(),
        took: started.elapsed(),
    }
}

impl Hostile<'_> {
    fn finding(&self, index: u32, plan: &Plan, what: &str, story: &str) {
        self.figures.lock().unwrap().finding(plan);
        let finding = format!("run {index}: {what}\n{plan:?}\n{story}");
        eprintln!("hostile: FINDING: {finding}");
        self.findings.lock().unwrap().push(finding);
    }

    fn work(&self) {
        loop {
            let index = self.next.fetch_add(1, Ordering::SeqCst);
            if index >= self.options.runs {
                return;
            }
            if self.options.only.is_some_and(|only| only != index) {
                continue;
            }
            let plan = Plan::draw(self.options.seed, index);
            let run = catch_unwind(AssertUnwindSafe(|| self.run(index, &plan)));
            if let Err(panic) = run {
                let words = panic.downcast_ref::<String>().cloned();
                let words =
                    words.or_else(|| panic.downcast_ref::<&str>().map(|&words| words.to_owned()));
                self.finding(index, &plan, &words.unwrap_or_default(), "");
            }
            if self.options.progress && (index + 1).is_multiple_of(100) {
                println!("hostile: {} runs", index + 1);
            }
        }
    }

    fn run(&self, index: u32, plan: &Plan) {
        let believed = Arc::new(Mutex::new(Believed::default()));
        let harmed = Arc::new(AtomicUsize::new(0));
        let proxy = self.proxy(plan, Arc::clone(&believed), Arc::clone(&harmed));
        let run = self.command(plan, &proxy);
        let finished = run.deadline(judge::LATEST).output();
        proxy.settle(Duration::from_secs(60));
        let believed = believed.lock().unwrap().clone();
        let story = finished.to_string();
        if self.options.only.is_some() {
            println!("{plan:?}\n{story}");
        }
        for what in judge(plan, &finished, &proxy.secrets(), &believed) {
            self.finding(index, plan, &what, &story);
        }
        let harmed = harmed.load(Ordering::SeqCst);
        self.figures
            .lock()
            .unwrap()
            .run(plan, harmed > 0, &finished);
        let lie = plan.way == Way::Token || believed.is_a_lie();
        for issued in proxy.issued() {
            if let IssuedKind::Lease { username, .. } = issued.what {
                let (plan, story) = (plan.clone(), story.clone());
                self.roles.lock().unwrap().push(Role {
                    index,
                    plan,
                    username,
                    lie,
                    story,
                });
            }
        }
        if finished.err().contains("in the background") {
            self.proxies.lock().unwrap().push(proxy);
        }
    }

    fn proxy(
        &self,
        plan: &Plan,
        believed: Arc<Mutex<Believed>>,
        harmed: Arc<AtomicUsize>,
    ) -> FaultProxy {
        let plan = plan.clone();
        FaultProxy::start(&self.vault_url, move |request| {
            if !plan.endpoint.is_asked_by(request) {
                return Fault::Pass;
            }
            let nth = harmed.fetch_add(1, Ordering::SeqCst);
            if nth >= plan.times {
                return Fault::Pass;
            }
            let (plan, believed, request) = (plan.clone(), Arc::clone(&believed), request.clone());
            Fault::Alter(Arc::new(move |answer| {
                let mut rng = Rng::with_seed(plan.seed ^ nth as u64);
                let altered = alter(plan.kind, &mut rng, &request, answer);
                believed.lock().unwrap().hears(&request, answer, &altered.0);
                altered
            }))
        })
    }

    fn command(&self, plan: &Plan, proxy: &FaultProxy) -> Run {
        let (tenant, role_id) = match plan.way {
            Way::Renewing => (&self.renewing, &self.renewing_id),
            _ => (&self.plain, &self.plain_id),
        };
        let run = tenant
            .command_without_secret()
            .env("VAULT_ADDR", proxy.url())
            .env("VAULT_CLIENT_TIMEOUT", "3s");
        let run = match plan.way {
            Way::Plain | Way::Renewing => run
                .env("VAULT_ROLE_ID", role_id)
                .env("VAULT_SECRET_ID", tenant.secret_id()),
            Way::Wrapped | Way::Check => run
                .env("VAULT_ROLE_ID", role_id)
                .env("VAULT_WRAPPED_SECRET_ID", tenant.wrapped_secret_id("300s")),
            Way::Token | Way::CheckToken => run
                .env("VAULTEXEC_AUTH", "token")
                .env_remove("VAULTEXEC_AUTH_MOUNT")
                .env(
                    "VAULT_TOKEN",
                    tenant.token(serde_json::json!({"ttl": "10m"})),
                ),
        };
        let run = match plan.way {
            Way::Check | Way::CheckToken => run.arg("check"),
            Way::Renewing => run,
            _ => run.arg("--strict-revoke"),
        };
        let run = run
            .args(["--start-timeout", "3s", "--revoke-timeout", "3s"])
            .args(plan.verbose.then_some("-vv"))
            .args(plan.json_log.then_some("--log-format=json"));
        match plan.way {
            // What cannot be renewed any more would start the command again and again.
            Way::Renewing => run.args(["--on-expiry", "warn"]).child(["sleep", "4"]),
            _ => run.child(["true"]),
        }
    }

    /// Waits until the roles of all runs are gone, and judges those that are not.
    fn wait_for_roles(&self, postgres: &Postgres) {
        let mut waiting = std::mem::take(&mut *self.roles.lock().unwrap());
        poll_until(PATIENCE, || {
            let there = postgres.sql("SELECT rolname FROM pg_roles WHERE rolname LIKE 'v-%'");
            let there: BTreeSet<&str> = there.lines().collect();
            waiting.retain(|role| there.contains(role.username.as_str()));
            waiting.iter().all(|role| role.lie).then_some(())
        });
        for role in waiting {
            if role.lie {
                self.figures.lock().unwrap().left(&role.plan);
            } else {
                self.finding(
                    role.index,
                    &role.plan,
                    &format!("left the role {}", role.username),
                    &role.story,
                );
            }
        }
    }
}
