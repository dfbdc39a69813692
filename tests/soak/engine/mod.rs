//! The soak: random children × random faults × random signals on the real servers, and after each run the oracle.
//!
//! A run's plan hangs on the seed and its number alone. What must come out of it is worked out from what was really done to it: the
//! proxy's record of the faults, what the child said, the signal and its time. Every token and every lease that the server gave out
//! is known from the proxy too, so that each is looked for by its name afterwards.

mod aftermath;
mod carry_out;
mod furnished;
mod harm;
mod kinds;
mod observed;
mod oracle;
mod plan;

pub use crate::support::Options;
use crate::support::*;
use aftermath::Pending;
use furnished::{Files, SECOND_ROLE_POLICY, furnish};
use kinds::KINDS;
use observed::{Exit, Observed};
use oracle::judge;
use plan::Plan;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// What is sent to vaultexec.
const SIGNALS: &[i32] = &[
    libc::SIGTERM,
    libc::SIGINT,
    libc::SIGHUP,
    libc::SIGQUIT,
    libc::SIGUSR1,
    libc::SIGKILL,
];

/// In milliseconds: vaultexec's `--stop-timeout`.
const STOP_TIMEOUT: u64 = 1000;
/// In milliseconds: its `--revoke-timeout`.
const REVOKE_TIMEOUT: u64 = 20_000;
/// In milliseconds: how far apart the moments are at which many end at once.
const TOGETHER: u64 = 1000;
/// What hangs takes that long: half of the time for the cleaning up.
const CLIENT_TIMEOUT: &str = "10s";

/// What came of it.
#[derive(Debug, Default)]
pub struct Report {
    /// Counts by name.
    pub figures: BTreeMap<String, u64>,
    /// What should not have been, each with the number of its run.
    pub violations: Vec<String>,
}

impl Report {
    /// The figures, a line each.
    pub fn table(&self) -> String {
        let mut table = String::new();
        for (name, count) in &self.figures {
            let _ = writeln!(table, "{count:>8}  {name}");
        }
        table
    }
}

struct Soak<'a> {
    options: &'a Options,
    servers: &'a Servers,
    cache: CachingProxy,
    tenants: Vec<Tenant>,
    /// Where runs put the files that they hand over; each is gone with its run.
    files: Files,
    role_ids: Vec<String>,
    figures: Mutex<BTreeMap<String, u64>>,
    violations: Mutex<Vec<String>>,
    pending: Mutex<Vec<Pending>>,
    next: AtomicU32,
    done: AtomicBool,
}

/// Runs it on these servers.
pub fn soak(servers: &Servers, options: &Options) -> Report {
    let started = Instant::now();
    let tenants: Vec<Tenant> = KINDS
        .iter()
        .map(|kind| {
            let spec = |spec: TenantSpec| (kind.change)(spec.secret_id_num_uses(0));
            Tenant::with(servers, |all| spec(all).policy(SECOND_ROLE_POLICY))
        })
        .collect();
    tenants.iter().for_each(furnish);
    let cleans_up = cleans_up_after_kill(&tenants[0]);
    let soak = Soak {
        options,
        servers,
        cache: CachingProxy::start(servers),
        role_ids: tenants.iter().map(Tenant::role_id).collect(),
        tenants,
        files: Files::new(),
        figures: Mutex::default(),
        violations: Mutex::default(),
        pending: Mutex::default(),
        next: AtomicU32::new(0),
        done: AtomicBool::new(false),
    };
    if !cleans_up {
        soak.violation("nobody cleans up after a KILL".to_owned());
    }
    thread::scope(|scope| {
        let checker = scope.spawn(|| soak.check_all());
        let workers: Vec<_> = (0..options.parallel)
            .map(|_| scope.spawn(|| soak.work()))
            .collect();
        for worker in workers {
            let _ = worker.join();
        }
        soak.done.store(true, Ordering::SeqCst);
        let _ = checker.join();
    });
    soak.check_tenants();
    if let Some(left) = soak.files.left() {
        soak.violation(format!("left at the end: {left}"));
    }
    soak.count("seconds in all", started.elapsed().as_secs());
    Report {
        figures: soak.figures.into_inner().unwrap(),
        violations: soak.violations.into_inner().unwrap(),
    }
}

/// Whether somebody cleans up after a vaultexec that was killed.
fn cleans_up_after_kill(tenant: &Tenant) -> bool {
    let running = tenant.command().child(["sleep", "60"]).spawn();
    running.wait_for_child("sleep");
    running.signal(libc::SIGKILL);
    running.wait();
    let clean = poll_until(Duration::from_secs(60), || {
        tenant.leftovers().is_empty().then_some(())
    });
    if clean.is_none() {
        tenant.revoke_tokens();
        tenant.assert_nothing_left();
    }
    clean.is_some()
}

impl Soak<'_> {
    fn count(&self, name: impl Into<String>, by: u64) {
        *self.figures.lock().unwrap().entry(name.into()).or_default() += by;
    }

    fn violation(&self, what: String) {
        eprintln!("soak: VIOLATION: {what}");
        self.violations.lock().unwrap().push(what);
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
            let plan = Plan::draw(self.options.seed, index, SIGNALS);
            let run = catch_unwind(AssertUnwindSafe(|| self.run(index, &plan)));
            if let Err(panic) = run {
                let words = panic.downcast_ref::<String>().cloned();
                let words = words.or_else(|| {
                    panic
                        .downcast_ref::<&str>()
                        .map(|words| (*words).to_owned())
                });
                self.violation(format!(
                    "run {index}: {}\n{plan:?}",
                    words.unwrap_or_default()
                ));
            }
            self.count("runs", 1);
            if self.options.progress && (index + 1).is_multiple_of(100) {
                println!("soak: {} runs", index + 1);
            }
        }
    }

    fn run(&self, index: u32, plan: &Plan) {
        let (observed, proxy) = self.carry_out(index, plan);
        let story = observed.story(plan);
        for what in judge(plan, &observed) {
            self.violation(format!("run {index}: {what}\n{story}"));
        }
        self.note(plan, &observed);
        self.hand_over(Pending::new(index, plan, &observed, proxy));
    }

    fn note(&self, plan: &Plan, observed: &Observed) {
        for (_, harm) in &observed.applied {
            self.count("faults", 1);
            self.count(format!("fault: {}", harm.name()), 1);
        }
        if let Some(sent) = &observed.sent {
            self.count(format!("signal: {}", signals::name(sent.signal)), 1);
        }
        let starts = observed.starts() as u64;
        self.count("children", starts);
        self.count("rotations", starts.saturating_sub(1));
        self.count(format!("tenant: {}", KINDS[plan.tenant].name), 1);
        let how = match observed.exit {
            Exit::Code(125) => "exit: 125".to_owned(),
            Exit::Code(_) => "exit: a code".to_owned(),
            Exit::Signal(_) => "exit: a signal".to_owned(),
        };
        self.count(how, 1);
        if plan.lag > 0 {
            self.count("runs with a node that is behind", 1);
        }
        if plan.cached {
            self.count("runs behind a caching proxy", 1);
        }
        self.count(format!("login: {:?}", plan.login), 1);
        self.count(format!("hand-over: {}", plan.handover), 1);
        if plan.two {
            self.count("runs with two credentials", 1);
        }
        if plan.together {
            self.count("runs that end together with others", 1);
        }
        self.count("requests", observed.requests.len() as u64);
    }
}
