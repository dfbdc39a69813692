//! Carrying out a plan: the proxy, the command, the signal at its time.

use super::furnished::{self, second_creds, userpass};
use super::harm::Harm;
use super::observed::{Exit, Observed, Sent};
use super::plan::{End, How, Login, Plan, When};
use super::{CLIENT_TIMEOUT, KINDS, REVOKE_TIMEOUT, STOP_TIMEOUT, Soak, TOGETHER};
use crate::support::probe_child::boot_millis;
use crate::support::*;
use serde_json::json;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// The requests that met harm, as they come.
type Log = Arc<Mutex<Vec<(RequestInfo, Harm)>>>;

impl Soak<'_> {
    /// Does what the plan says. The proxy is still there: somebody may go on to ask through it.
    pub fn carry_out(&self, index: u32, plan: &Plan) -> (Observed, FaultProxy) {
        let log = Log::default();
        let proxy = self.proxy(plan, Arc::clone(&log));
        let until = together(plan, boot_millis() + plan.life);
        let tenant = &self.tenants[plan.tenant];
        let handed_in = (plan.login == Login::Token).then(|| tenant.token(json!({"ttl": "1h"})));
        let running = self
            .command(plan, &proxy, until, handed_in.as_deref())
            .spawn();
        let sent = plan
            .signal
            .and_then(|(signal, when)| send(&running, signal, when, until));
        let finished = running.wait();
        let ended = Instant::now();
        let late = boot_millis().saturating_sub(until);
        if !proxy.settle(Duration::from_secs(60)) {
            self.violation(format!("run {index}: the proxy still serves somebody"));
        }
        finished.assert_no_secret(&proxy.secrets());
        let applied = log.lock().unwrap().clone();
        let exit = match (finished.code(), finished.signal()) {
            (Some(code), _) => Exit::Code(code),
            (None, signal) => Exit::Signal(signal.unwrap_or(0)),
        };
        // Before the requests: so each has its own among them.
        let issued = proxy.issued();
        let observed = Observed {
            requests: proxy.requests(),
            issued,
            handed_in,
            applied,
            sent,
            exit,
            out: finished.out(),
            err: finished.err(),
            shown: finished.to_string(),
            wall: finished.wall,
            ended,
            late,
        };
        (observed, proxy)
    }

    fn proxy(&self, plan: &Plan, log: Log) -> FaultProxy {
        let (faults, rotates) = (plan.faults.clone(), KINDS[plan.tenant].rotates);
        let lag = plan.lag;
        let upstream = if plan.cached {
            self.cache.url()
        } else {
            self.servers.vault.url()
        };
        FaultProxy::start(&upstream, move |request| {
            if let Some(fault) = lagging(request, lag) {
                return fault;
            }
            let harm = faults.iter().find(|(at, _)| *at == request.sequence);
            let Some((_, harm)) = harm else {
                return Fault::Pass;
            };
            if !harm.suits(request, rotates) {
                return Fault::Pass;
            }
            log.lock().unwrap().push((request.clone(), *harm));
            harm.fault()
        })
    }

    fn command(&self, plan: &Plan, proxy: &FaultProxy, until: u64, token: Option<&str>) -> Run {
        let tenant = &self.tenants[plan.tenant];
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
        let mut run = tenant.command_without_secret();
        run = match plan.login {
            Login::AppRole => run
                .env("VAULT_ROLE_ID", &self.role_ids[plan.tenant])
                .env("VAULT_SECRET_ID", tenant.secret_id()),
            Login::Userpass => run
                .env("VAULTEXEC_AUTH_MOUNT", userpass(tenant))
                .args(["--auth", "userpass", "--username", furnished::USER])
                .env("VAULTEXEC_PASSWORD_FILE", self.files.password()),
            Login::Token => run
                .env_remove("VAULTEXEC_AUTH_MOUNT")
                .env("VAULT_TOKEN", token.unwrap_or_default()),
        };
        if plan.two {
            let two = format!("{},two={}", tenant.creds_path(), second_creds(tenant));
            run = run.env("VAULTEXEC_CREDS", two);
        }
        let run = run
            .env("VAULT_ADDR", proxy.url())
            .env("XDG_RUNTIME_DIR", self.files.path())
            .args(["--handover", plan.handover, "--on-expiry", "restart"])
            .env("VAULT_CLIENT_TIMEOUT", CLIENT_TIMEOUT)
            // QUIT leaves no core.
            .limited(libc::RLIMIT_CORE, 0)
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
}

/// What a standby says that has not heard yet of what was just made.
fn lagging(request: &RequestInfo, lag: usize) -> Option<Fault> {
    if request.path == "/v1/sys/health" && lag > 0 {
        return Some(Fault::Status(429, Vec::new(), "{}".to_owned()));
    }
    let behind = request.nth < lag;
    match request {
        _ if !behind => None,
        login if login.is_login() => Some(Fault::error(400, "invalid role or secret ID")),
        read if read.is_creds() => Some(Fault::error(403, "permission denied")),
        _ => None,
    }
}

/// The next moment at which several end, for a run that is one of them.
fn together(plan: &Plan, until: u64) -> u64 {
    if plan.together {
        until.next_multiple_of(TOGETHER)
    } else {
        until
    }
}

/// Sends the signal at its time; nothing if the run is over by then.
fn send(running: &Running, signal: i32, when: When, until: u64) -> Option<Sent> {
    let is_over = || matches!(running.state(), None | Some('Z'));
    let is_ready = || running.stdout_so_far().contains("ready");
    let wait = match when {
        When::AfterSpawn(millis) => millis,
        When::AfterReady(millis) => {
            poll_until(Duration::from_secs(90), || {
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
    if signal == libc::SIGKILL {
        // Whoever is about to be born is seen too.
        running.signal(libc::SIGSTOP);
        poll_until(Duration::from_secs(30), || {
            (is_over() || running.state() == Some('T')).then_some(())
        });
    }
    // The companion too: it has to be done with its work some time.
    let (at, family) = (Instant::now(), procfs::all_children(running.pid()));
    running.signal(signal);
    Some(Sent {
        signal,
        ready,
        before_end,
        at,
        family,
    })
}
