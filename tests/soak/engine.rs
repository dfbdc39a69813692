//! The soak: random children × random faults × random signals on the real servers, and after each run the oracle.
//!
//! A run's plan hangs on the seed and its number alone. What must come out of it is worked out from what was really done to it: the
//! proxy's record of the faults, what the child said, the signal and its time. Every token and every lease that the server gave out
//! is known from the proxy too, so that each is looked for by its name afterwards.

use crate::support::probe_child::boot_millis;
use crate::support::*;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// What is sent to vaultexec. KILL is left out where nothing cleans up after it: see `cleans_up_after_kill`.
const SIGNALS: &[i32] = &[
    libc::SIGTERM,
    libc::SIGINT,
    libc::SIGHUP,
    libc::SIGUSR1,
    libc::SIGKILL,
];

/// What the server does in the background may take so long.
const PATIENCE: Duration = Duration::from_secs(15);
/// An answer on its way is waited for a little longer than this after a signal. One that comes later brings a role that is made
/// for a token which is revoked by then: the server keeps it to the lease's end.
const LAST_ANSWER: Duration = Duration::from_millis(350);
/// The same where the child has ended by itself while it was to be replaced.
const LAST_READ: Duration = Duration::from_millis(1800);
/// What a signal leaves the cleaning up, or all but.
const HURRIED: Duration = Duration::from_millis(950);
/// The old child's stop, the new one's start.
const REPLACED_WITHIN: Duration = Duration::from_millis(STOP_TIMEOUT + 1000);
const STOP_TIMEOUT: u64 = 1000;
const REVOKE_TIMEOUT: u64 = 5000;

/// How much of what.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many runs.
    pub runs: u32,
    /// Where chance comes from.
    pub seed: u64,
    /// How many at a time.
    pub parallel: u32,
    /// This run alone.
    pub only: Option<u32>,
    /// Say now and then how far it is.
    pub progress: bool,
}

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

#[derive(Clone, Debug)]
enum End {
    Code(i32),
    Die(i32),
}

#[derive(Clone, Debug)]
enum How {
    Plain,
    Heed(i32),
    Deaf(u64),
    Leave(u64),
    Query,
}

#[derive(Clone, Copy, Debug)]
enum When {
    AfterSpawn(u64),
    AfterReady(u64),
}

/// All that is decided beforehand about a run.
#[derive(Clone, Debug)]
struct Plan {
    tenant: usize,
    life: u64,
    end: End,
    how: How,
    /// Which request, by its number, meets which fault.
    faults: Vec<(usize, Harm)>,
    signal: Option<(i32, When)>,
}

/// The proxy's faults by what they mean for a request that must not be repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Harm {
    Status(u16),
    StatusAfter(u16),
    Delay(u64),
    ResetBefore,
    ResetAfter,
    Garbage,
    Html,
    Truncate,
    PassThenClose,
}

impl Harm {
    fn fault(self) -> Fault {
        match self {
            Self::Status(429) => Fault::Status(
                429,
                vec![("Retry-After", "1".to_owned())],
                r#"{"errors":["quota"]}"#.to_owned(),
            ),
            Self::Status(status) => Fault::error(status, "made up by the soak"),
            Self::StatusAfter(status) => Fault::StatusAfter(status, "<html>".to_owned()),
            Self::Delay(millis) => Fault::Delay(Duration::from_millis(millis)),
            Self::ResetBefore => Fault::ResetBefore,
            Self::ResetAfter => Fault::ResetAfter,
            Self::Garbage => Fault::Raw(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()),
            Self::Html => Fault::StatusAfter(200, "<html>welcome</html>".to_owned()),
            Self::Truncate => Fault::Truncate,
            Self::PassThenClose => Fault::PassThenClose,
        }
    }

    fn name(self) -> String {
        match self {
            Self::Status(status) => format!("status {status}"),
            Self::StatusAfter(status) => format!("status {status} after the server acted"),
            Self::Delay(_) => "delay".to_owned(),
            other => format!("{other:?}"),
        }
    }

    /// A login or a read of credentials that meets this is not repeated.
    fn is_final(self) -> bool {
        matches!(
            self,
            Self::ResetBefore | Self::ResetAfter | Self::Garbage | Self::Html | Self::Truncate
        )
    }
}

/// The tenants: each way in which credentials come and go.
struct Kind {
    name: &'static str,
    rotates: bool,
    /// Whether a token that nobody knows is still there when it is looked for.
    long_token: bool,
    change: fn(TenantSpec) -> TenantSpec,
}

const KINDS: &[Kind] = &[
    Kind {
        name: "tutorial",
        rotates: false,
        long_token: true,
        change: |spec| spec,
    },
    Kind {
        name: "may revoke leases",
        rotates: false,
        long_token: true,
        change: TenantSpec::may_revoke_leases,
    },
    Kind {
        name: "counted token",
        rotates: false,
        long_token: true,
        change: |spec| spec.token_num_uses(30),
    },
    Kind {
        name: "short max_ttl",
        rotates: true,
        long_token: true,
        change: |spec| spec.default_ttl("3s").max_ttl("4s"),
    },
    Kind {
        name: "short max_ttl, may revoke leases",
        rotates: true,
        long_token: true,
        change: |spec| spec.default_ttl("3s").max_ttl("4s").may_revoke_leases(),
    },
    Kind {
        name: "short token",
        rotates: true,
        long_token: false,
        change: |spec| spec.token_ttl("3s").token_max_ttl("4s"),
    },
];

impl Plan {
    fn draw(seed: u64, index: u32, signals: &[i32]) -> Self {
        // Neighbouring numbers must not give neighbouring sequences.
        let mut rng = fastrand::Rng::with_seed(
            seed ^ u64::from(index + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15),
        );
        let tenant = if rng.u8(..100) < 80 {
            rng.usize(..3)
        } else {
            3 + rng.usize(..3)
        };
        let rotates = KINDS[tenant].rotates;
        let life = if rotates {
            rng.u64(3000..8500)
        } else if rng.u8(..10) == 0 {
            rng.u64(1000..2000)
        } else {
            rng.u64(..800)
        };
        let end = if rng.u8(..4) == 0 {
            End::Die(
                rng.choice([
                    libc::SIGSEGV,
                    libc::SIGABRT,
                    libc::SIGKILL,
                    libc::SIGTERM,
                    libc::SIGPIPE,
                ])
                .unwrap_or(libc::SIGKILL),
            )
        } else {
            End::Code(rng.i32(0..=255))
        };
        let how = match rng.u8(..10) {
            0..=3 => How::Plain,
            4 | 5 => How::Heed(rng.i32(0..=255)),
            6 | 7 => How::Deaf(rng.u64(50..1500)),
            8 => How::Leave(rng.u64(50..1000)),
            _ => How::Query,
        };
        // A query is over when it is over.
        let end = match (&how, end) {
            (How::Query, End::Die(_)) => End::Code(0),
            (_, end) => end,
        };
        let span = if rotates { 24 } else { 8 };
        let count = [0, 0, 1, 1, 2, 2, 3, 4][rng.usize(..8)];
        let faults = (0..count).map(|_| {
            let at = rng.usize(..span);
            (at, Self::draw_harm(&mut rng, at))
        });
        let faults: Vec<_> = faults.collect();
        let signal = (rng.u8(..100) < 45).then(|| {
            let signal = signals[rng.usize(..signals.len())];
            let when = if rng.u8(..3) == 0 {
                When::AfterSpawn(rng.u64(..150))
            } else {
                When::AfterReady(rng.u64(..life + 200))
            };
            (signal, when)
        });
        Self {
            tenant,
            life,
            end,
            how,
            faults,
            signal,
        }
    }

    fn draw_harm(rng: &mut fastrand::Rng, at: usize) -> Harm {
        let passing = [
            Harm::Status(500),
            Harm::Status(502),
            Harm::Status(503),
            Harm::Status(429),
            Harm::StatusAfter(502),
            Harm::StatusAfter(504),
            Harm::Delay(rng.u64(10..300)),
        ];
        let breaking = [
            Harm::ResetBefore,
            Harm::ResetAfter,
            Harm::Garbage,
            Harm::Html,
            Harm::Truncate,
            Harm::PassThenClose,
        ];
        // Most runs have to get past the start.
        let gentle = if at < 3 { 75 } else { 45 };
        if rng.u8(..100) < gentle {
            passing[rng.usize(..passing.len())]
        } else {
            breaking[rng.usize(..breaking.len())]
        }
    }
}

/// How a run can end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Exit {
    Code(i32),
    Signal(i32),
}

/// What is still to be looked for after a run.
struct Pending {
    index: u32,
    plan: Plan,
    /// All that is known of it, for whoever has to find out why.
    story: String,
    ended: Instant,
    tokens: Vec<String>,
    leases: Vec<(String, String)>,
    lost: Vec<String>,
    /// Leases whose answer came later than a run that ends waits for.
    slow: Vec<(String, String)>,
    /// Tokens whose answer came as vaultexec was killed, and that it never used: known to it or not.
    in_flight: Vec<String>,
    /// Processes that have to end after a KILL.
    family: Vec<i32>,
    /// What vaultexec has said, if it has named something that it could not revoke, with good reason.
    named: Option<String>,
    /// After a KILL somebody else still asks through it.
    proxy: Option<FaultProxy>,
}

struct Soak<'a> {
    options: &'a Options,
    servers: &'a Servers,
    tenants: Vec<Tenant>,
    role_ids: Vec<String>,
    signals: Vec<i32>,
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
        .map(|kind| Tenant::with(servers, |spec| (kind.change)(spec.secret_id_num_uses(0))))
        .collect();
    let kills = cleans_up_after_kill(&tenants[0]);
    let signals = SIGNALS
        .iter()
        .copied()
        .filter(|signal| kills || *signal != libc::SIGKILL);
    let soak = Soak {
        options,
        servers,
        role_ids: tenants.iter().map(Tenant::role_id).collect(),
        tenants,
        signals: signals.collect(),
        figures: Mutex::default(),
        violations: Mutex::default(),
        pending: Mutex::default(),
        next: AtomicU32::new(0),
        done: AtomicBool::new(false),
    };
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
    for (tenant, kind) in soak.tenants.iter().zip(KINDS) {
        let mut left = Vec::new();
        let clean = poll_until(PATIENCE, || {
            left = tenant.leftovers();
            left.is_empty().then_some(())
        });
        if clean.is_none() {
            soak.violation(format!(
                "left at the end, of the tenant {:?}: {}",
                kind.name,
                left.join(", ")
            ));
        }
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
    let clean = poll_until(Duration::from_secs(5), || {
        tenant.leftovers().is_empty().then_some(())
    });
    if clean.is_none() {
        for accessor in tenant.accessors() {
            revoke_accessor(tenant, &accessor);
        }
        tenant.assert_nothing_left();
    }
    clean.is_some()
}

fn revoke_accessor(tenant: &Tenant, accessor: &str) {
    let body = serde_json::json!({"accessor": accessor});
    let _ = tenant.admin().write("auth/token/revoke-accessor", body);
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
            let plan = Plan::draw(self.options.seed, index, &self.signals);
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
        let tenant = &self.tenants[plan.tenant];
        let applied: Arc<Mutex<Vec<(RequestInfo, Harm)>>> = Arc::default();
        let (faults, log) = (plan.faults.clone(), Arc::clone(&applied));
        let proxy = FaultProxy::start(&self.servers.vault.url(), move |request| {
            let harm = faults.iter().find(|(at, _)| *at == request.sequence);
            let Some((_, harm)) = harm else {
                return Fault::Pass;
            };
            // What is sent on a connection that is being closed is lost, and must not be repeated: nobody can do better.
            if *harm == Harm::PassThenClose && (request.is_login() || request.is_creds()) {
                return Fault::Pass;
            }
            log.lock().unwrap().push((request.clone(), *harm));
            harm.fault()
        });
        let until = boot_millis() + plan.life;
        let running = self.command(tenant, plan, &proxy, until).spawn();
        let sent = plan
            .signal
            .and_then(|(signal, when)| self.send(&running, signal, when, until));
        let is_ready = |text: &str| text.lines().any(|line| line.starts_with("ready"));
        let finished = running.wait();
        let ended = Instant::now();
        let late = boot_millis().saturating_sub(until);
        if !proxy.settle(Duration::from_secs(10)) {
            self.violation(format!("run {index}: the proxy still serves somebody"));
        }
        finished.assert_no_secret(&proxy.secrets());
        let applied = applied.lock().unwrap().clone();
        let exit = match (finished.code(), finished.signal()) {
            (Some(code), _) => Exit::Code(code),
            (None, signal) => Exit::Signal(signal.unwrap_or(0)),
        };
        let started = is_ready(&finished.out());
        let expected = expected(plan, &proxy, &applied, started, sent.as_ref());
        let story = || {
            let requests: Vec<String> = proxy
                .requests()
                .iter()
                .map(|request| {
                    let harm = applied
                        .iter()
                        .find(|(harmed, _)| harmed.sequence == request.sequence);
                    let harm = harm
                        .map(|(_, harm)| format!(" [{}]", harm.name()))
                        .unwrap_or_default();
                    format!("{} {}{harm}", request.method, request.path)
                })
                .collect();
            format!(
                "{plan:?}\nsent: {sent:?}\n{}\n{finished}",
                requests.join("\n")
            )
        };
        if !expected.contains(&exit) {
            self.violation(format!(
                "run {index}: ended with {exit:?}, not one of {expected:?}\n{}",
                story()
            ));
        }
        let bound = STOP_TIMEOUT + REVOKE_TIMEOUT + 12_000;
        if late > bound {
            self.violation(format!("run {index}: {late} ms too late\n{}", story()));
        }
        let requests = proxy.requests().len();
        if requests as u128 > 40 + finished.wall.as_millis() / 100 {
            self.violation(format!("run {index}: {requests} requests\n{}", story()));
        }
        // A child that was told to end is not started again: then it keeps what it has.
        let goes_on = sent
            .as_ref()
            .is_none_or(|sent| ![libc::SIGTERM, libc::SIGINT].contains(&sent.signal));
        let kept = if goes_on {
            kept_too_long(&proxy, ended)
        } else {
            Vec::new()
        };
        for lease_id in kept {
            self.violation(format!(
                "run {index}: the lease {lease_id} was kept after it was replaced\n{}",
                story()
            ));
        }
        let clean_up_was_harmed = applied
            .iter()
            .any(|(request, _)| request.is_lease_revoke() || request.is_revoke_self());
        let named = finished.err().contains("could not be revoked");
        // A signal leaves the cleaning up no more than a second: with a fault in it, or a slow server, that can be too little.
        let was_hurried = sent
            .as_ref()
            .is_some_and(|sent| clean_up_was_harmed || ended.duration_since(sent.at) >= HURRIED);
        if named && !was_hurried {
            self.violation(format!("run {index}: left something behind\n{}", story()));
        }
        self.note(plan, &applied, &finished.out(), exit, sent.as_ref());
        self.count("requests", requests as u64);
        let pending = Pending {
            index,
            plan: plan.clone(),
            story: story(),
            ended,
            tokens: Vec::new(),
            leases: Vec::new(),
            lost: Vec::new(),
            in_flight: Vec::new(),
            slow: Vec::new(),
            family: Vec::new(),
            named: named.then(|| finished.err()),
            proxy: None,
        };
        self.hand_over(pending, proxy, sent.as_ref());
    }

    fn command(&self, tenant: &Tenant, plan: &Plan, proxy: &FaultProxy, until: u64) -> Run {
        let end = match plan.end {
            End::Code(code) => code.to_string(),
            End::Die(signal) => format!("die-{}", signals::name(signal)),
        };
        let (until, mut words) = (until.to_string(), vec!["work"]);
        words.extend([until.as_str(), end.as_str()]);
        let millis;
        match &plan.how {
            How::Plain | How::Query => {}
            How::Heed(code) => {
                millis = code.to_string();
                words.extend(["heed", &millis]);
            }
            How::Deaf(time) => {
                millis = time.to_string();
                words.extend(["deaf", &millis]);
            }
            How::Leave(time) => {
                millis = time.to_string();
                words.extend(["leave", &millis]);
            }
        }
        let run = tenant
            .command_without_secret()
            .env("VAULT_ADDR", proxy.url())
            .env("VAULT_ROLE_ID", &self.role_ids[plan.tenant])
            .env("VAULT_SECRET_ID", tenant.secret_id())
            .args(["--stop-timeout", &format!("{STOP_TIMEOUT}ms")])
            .args(["--revoke-timeout", &format!("{REVOKE_TIMEOUT}ms")]);
        if matches!(plan.how, How::Query) {
            let script =
                r#"echo ready; "$PSQL" -XAtqc 'select 1' >/dev/null || exit 99; exit "$0""#;
            run.env("PSQL", self.servers.postgres.psql())
                .child(["sh", "-c", script, end.as_str()])
        } else {
            run.child(Probe::command(&words))
        }
    }

    /// Sends the signal at its time; nothing if the run is over by then.
    fn send(&self, running: &Running, signal: i32, when: When, until: u64) -> Option<Sent> {
        let is_over = || matches!(running.state(), None | Some('Z'));
        let is_ready = || running.stdout_so_far().contains("ready");
        let wait = match when {
            When::AfterSpawn(millis) => millis,
            When::AfterReady(millis) => {
                poll_until(Duration::from_secs(20), || {
                    (is_ready() || is_over()).then_some(())
                });
                millis
            }
        };
        thread::sleep(Duration::from_millis(wait));
        let ready = is_ready();
        if is_over() {
            return None;
        }
        let before_end = until.saturating_sub(boot_millis());
        let ready_for = ready.then(boot_millis);
        if signal == libc::SIGKILL {
            // Whoever is about to be born is seen too.
            running.signal(libc::SIGSTOP);
            poll_until(Duration::from_secs(5), || {
                (is_over() || running.state() == Some('T')).then_some(())
            });
        }
        let (at, family) = (Instant::now(), running.children());
        running.signal(signal);
        Some(Sent {
            signal,
            ready: ready_for.is_some(),
            before_end,
            at,
            family,
        })
    }

    fn note(
        &self,
        plan: &Plan,
        applied: &[(RequestInfo, Harm)],
        out: &str,
        exit: Exit,
        sent: Option<&Sent>,
    ) {
        for (_, harm) in applied {
            self.count(format!("fault: {}", harm.name()), 1);
        }
        if let Some(sent) = sent {
            self.count(format!("signal: {}", signals::name(sent.signal)), 1);
        }
        let starts = out.lines().filter(|line| line.starts_with("ready")).count() as u64;
        self.count("children", starts);
        self.count("rotations", starts.saturating_sub(1));
        self.count(format!("tenant: {}", KINDS[plan.tenant].name), 1);
        let how = match exit {
            Exit::Code(125) => "exit: 125".to_owned(),
            Exit::Code(_) => "exit: a code".to_owned(),
            Exit::Signal(_) => "exit: a signal".to_owned(),
        };
        self.count(how, 1);
    }

    fn hand_over(&self, mut pending: Pending, proxy: FaultProxy, sent: Option<&Sent>) {
        let killed_at = sent
            .filter(|sent| sent.signal == libc::SIGKILL)
            .map(|sent| sent.at);
        let asked: BTreeMap<usize, Instant> = proxy
            .requests()
            .iter()
            .map(|request| (request.sequence, request.at))
            .collect();
        let requests = proxy.requests();
        for issued in proxy.issued() {
            let took = issued.at - asked[&issued.sequence];
            let waits = if sent.is_some() {
                LAST_ANSWER
            } else {
                LAST_READ
            };
            let was_slow = issued.lost && took > waits;
            let just_then = |at: Instant| issued.at + Duration::from_millis(100) > at;
            match issued.what {
                IssuedKind::Token { accessor, .. } if issued.lost => pending.lost.push(accessor),
                IssuedKind::Token { accessor, token }
                    if killed_at.is_some_and(just_then)
                        // Whoever has used it has known it, and told the companion first.
                        && !requests
                            .iter()
                            .any(|request| request.header("x-vault-token") == Some(&token)) =>
                {
                    pending.in_flight.push(accessor);
                }
                IssuedKind::Token { accessor, .. } => pending.tokens.push(accessor),
                IssuedKind::Lease { lease_id, username } if was_slow => {
                    pending.slow.push((lease_id, username));
                }
                IssuedKind::Lease { lease_id, username } => {
                    pending.leases.push((lease_id, username))
                }
            }
        }
        let tokens = pending.tokens.len() + pending.lost.len() + pending.in_flight.len();
        self.count("tokens", tokens as u64);
        self.count("leases", pending.leases.len() as u64);
        if let Some(sent) = sent.filter(|_| killed_at.is_some()) {
            pending.family.clone_from(&sent.family);
        }
        pending.proxy = killed_at.is_some().then_some(proxy);
        self.pending.lock().unwrap().push(pending);
    }

    /// Looks for what the finished runs may have left, until there are no more.
    fn check_all(&self) {
        let mut waiting: Vec<Pending> = Vec::new();
        loop {
            let done = self.done.load(Ordering::SeqCst);
            waiting.append(&mut self.pending.lock().unwrap());
            if !waiting.is_empty() {
                let roles = self
                    .servers
                    .postgres
                    .sql("SELECT rolname FROM pg_roles WHERE rolname LIKE 'v-%'");
                let roles: BTreeSet<&str> = roles.lines().collect();
                waiting.retain_mut(|pending| !self.is_settled(pending, &roles));
            } else if done {
                return;
            }
            thread::sleep(Duration::from_millis(200));
        }
    }

    fn is_settled(&self, pending: &mut Pending, roles: &BTreeSet<&str>) -> bool {
        let tenant = &self.tenants[pending.plan.tenant];
        let admin = tenant.admin();
        let token_is_there = |accessor: &String| {
            let looked = admin.write(
                "auth/token/lookup-accessor",
                serde_json::json!({"accessor": accessor}),
            );
            !looked.is_err_and(|refused| matches!(refused.status, 400 | 403 | 404))
        };
        let lease_is_there = |lease_id: &str| {
            let looked = admin.write(
                "sys/leases/lookup",
                serde_json::json!({"lease_id": lease_id}),
            );
            !looked.is_err_and(|refused| matches!(refused.status, 400 | 403 | 404))
        };
        pending.tokens.retain(|accessor| token_is_there(accessor));
        pending.leases.retain(|(lease_id, username)| {
            roles.contains(username.as_str()) || lease_is_there(lease_id)
        });
        let late = pending.ended.elapsed() > PATIENCE;
        pending
            .family
            .retain(|pid| !matches!(procfs::state(*pid), None | Some('Z')));
        let clean =
            pending.tokens.is_empty() && pending.leases.is_empty() && pending.family.is_empty();
        if !(clean || late) {
            return false;
        }
        // It may be known to the companion, which needs a moment.
        pending
            .in_flight
            .retain(|accessor| token_is_there(accessor));
        if !pending.in_flight.is_empty() && pending.ended.elapsed() < Duration::from_secs(3) {
            return false;
        }
        let index = pending.index;
        // What it has named, a token by no name, and nothing else.
        let is_named = pending.named.as_ref().is_some_and(|said| {
            let all = pending
                .leases
                .iter()
                .all(|(lease_id, _)| said.contains(lease_id));
            all && pending.tokens.len() <= 1 && pending.family.is_empty()
        });
        if late && !is_named {
            let Pending {
                tokens,
                leases,
                family,
                story,
                ..
            } = &*pending;
            self.violation(format!(
                "run {index}: left the tokens {tokens:?}, the leases {leases:?}, the processes {family:?}\n{story}"
            ));
        }
        // Inherent: a login whose answer never arrived leaves a token that nobody can know, and nothing but that.
        for accessor in &pending.lost {
            let there = token_is_there(accessor);
            if !there && KINDS[pending.plan.tenant].long_token {
                self.violation(format!(
                    "run {index}: the token {accessor} was to be lost, and is gone\n{}",
                    pending.story
                ));
            }
            self.count("tokens of logins whose answer was lost", 1);
            revoke_accessor(tenant, accessor);
        }
        for accessor in &pending.in_flight {
            self.count(
                "tokens of logins whose answer came as vaultexec was killed, never used",
                1,
            );
            revoke_accessor(tenant, accessor);
        }
        if pending.named.is_some() {
            self.count(
                "runs that were hurried while cleaning up and said what they left",
                1,
            );
        }
        self.count(
            "leases that came too late to be waited for",
            pending.slow.len() as u64,
        );
        for (lease_id, _) in pending.leases.iter().chain(&pending.slow) {
            let _ = admin.write(
                "sys/leases/revoke",
                serde_json::json!({"lease_id": lease_id, "sync": true}),
            );
        }
        for accessor in &pending.tokens {
            revoke_accessor(tenant, accessor);
        }
        true
    }
}

/// The leases that were replaced, and not given back soon after although the run went on: at its end all are revoked, which would
/// hide it.
fn kept_too_long(proxy: &FaultProxy, ended: Instant) -> Vec<String> {
    let requests = proxy.requests();
    let leases: Vec<(Issued, String)> = proxy
        .issued()
        .into_iter()
        .filter(|issued| !issued.lost)
        .filter_map(|issued| match issued.what.clone() {
            IssuedKind::Lease { lease_id, .. } => Some((issued, lease_id)),
            IssuedKind::Token { .. } => None,
        })
        .collect();
    let is_given_back_by = |issued: &Issued, lease_id: &str, by: Instant| {
        let token = requests[issued.sequence].header("x-vault-token");
        requests.iter().any(|request| {
            let by_id = request.path.ends_with(lease_id) || request.json()["lease_id"] == lease_id;
            let with_token = request.is_revoke_self() && request.header("x-vault-token") == token;
            request.at < by && (request.is_lease_revoke() && by_id || with_token)
        })
    };
    let kept = leases.windows(2).filter(|two| {
        let by = two[1].0.at + REPLACED_WITHIN;
        ended > by && !is_given_back_by(&two[0].0, &two[0].1, by)
    });
    kept.map(|two| two[0].1.clone()).collect()
}

/// A signal that was sent.
#[derive(Clone, Debug)]
struct Sent {
    signal: i32,
    /// Whether there was a child by then.
    ready: bool,
    /// How many milliseconds before the child's own end.
    before_end: u64,
    at: Instant,
    /// vaultexec's children then: after a KILL they have to end too.
    family: Vec<i32>,
}

/// How the run may end, by what was done to it.
fn expected(
    plan: &Plan,
    proxy: &FaultProxy,
    applied: &[(RequestInfo, Harm)],
    started: bool,
    sent: Option<&Sent>,
) -> Vec<Exit> {
    let natural = match plan.end {
        End::Code(code) => Exit::Code(code),
        End::Die(signal) => Exit::Signal(signal),
    };
    // The first credentials that arrived are the start.
    let first = proxy
        .issued()
        .into_iter()
        .find(|issued| matches!(issued.what, IssuedKind::Lease { .. }) && !issued.lost);
    let first = first.map_or(usize::MAX, |issued| issued.sequence);
    let failed = applied.iter().any(|(request, harm)| {
        request.sequence < first && harm.is_final() && (request.is_login() || request.is_creds())
    });
    let Some(sent) = sent else {
        return vec![if failed { Exit::Code(125) } else { natural }];
    };
    let (by_signal, rotates) = (Exit::Signal(sent.signal), KINDS[plan.tenant].rotates);
    if failed {
        return vec![Exit::Code(125), by_signal];
    }
    if !started || !sent.ready {
        // Before the child, or to it, or after it.
        let heeded = match plan.how {
            How::Heed(code) if sent.signal == libc::SIGTERM => Exit::Code(code),
            _ => by_signal,
        };
        return if started {
            vec![by_signal, natural, heeded]
        } else {
            vec![by_signal]
        };
    }
    if sent.signal == libc::SIGKILL {
        // Nothing survives it; but it may have come to somebody who had ended a moment before.
        let ended = (sent.before_end == 0).then_some(natural);
        return std::iter::once(by_signal).chain(ended).collect();
    }
    let effect = match plan.how {
        How::Heed(code) if sent.signal == libc::SIGTERM => Exit::Code(code),
        _ => by_signal,
    };
    let mut set = vec![effect];
    // It may have been past its own end, or deaf to the signal; a query is over at once.
    if sent.before_end < 300 || matches!(plan.how, How::Deaf(_) | How::Query) {
        set.push(natural);
    }
    if rotates {
        let asks_to_end = [libc::SIGTERM, libc::SIGINT].contains(&sent.signal);
        if asks_to_end {
            // In the middle of a rotation it is the rotation's TERM, or its KILL, that the child died of.
            set.push(Exit::Signal(libc::SIGTERM));
            set.push(Exit::Signal(libc::SIGKILL));
            if let How::Heed(code) = plan.how {
                set.push(Exit::Code(code));
            }
        }
        // What only the old child heard, or what came too late for it.
        set.push(natural);
    }
    set
}
