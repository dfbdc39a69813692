//! The keeper under a paused clock, with a server that answers from a script.

use std::cell::RefCell;
use std::collections::VecDeque;

use super::*;
use crate::lease::schedule::Grant;
use crate::report::{Format, Level};

/// tokio's clock, which a test pauses: it jumps to the next timer when nothing else is to be done.
#[derive(Clone)]
struct PausedClock {
    start: tokio::time::Instant,
    resumed: Rc<tokio::sync::Notify>,
}

impl Clock for PausedClock {
    fn now(&self) -> Moment {
        Moment::since_boot(self.start.elapsed())
    }

    async fn sleep_until(&self, moment: Moment) {
        let since_start = moment.since(Moment::since_boot(Duration::ZERO));
        tokio::time::sleep_until(self.start + since_start).await;
    }

    async fn resumed(&self) {
        self.resumed.notified().await;
    }
}

struct Script {
    answers: RefCell<VecDeque<Result<Renewed, Failure>>>,
    asked: RefCell<Vec<(Subject, u64)>>,
    moments: RefCell<Vec<Duration>>,
    clock: PausedClock,
    alive: Option<bool>,
}

impl Renew for Rc<Script> {
    async fn renew(
        &self,
        subject: Subject,
        increment: Duration,
        _limit: Duration,
    ) -> Result<Renewed, Failure> {
        let now = self.clock.now().since(Moment::since_boot(Duration::ZERO));
        self.asked.borrow_mut().push((subject, now.as_secs()));
        self.moments.borrow_mut().push(now);
        let answer = self.answers.borrow_mut().pop_front();
        answer.unwrap_or(Ok(Renewed {
            granted: increment,
            renewable: true,
        }))
    }

    async fn token_is_alive(&self, _limit: Duration) -> Option<bool> {
        self.alive
    }

    fn use_next_address(&self) {}

    fn extended(&self, _subject: Subject, _expiry: Moment) {}
}

type Ends = (
    Rc<Script>,
    mpsc::UnboundedSender<Command>,
    mpsc::UnboundedReceiver<Event>,
);

/// Starts a keeper of a lease of an hour and a token of a day.
fn start(answers: Vec<Result<Renewed, Failure>>, alive: impl Into<Option<bool>>) -> Ends {
    let clock = PausedClock {
        start: tokio::time::Instant::now(),
        resumed: Rc::default(),
    };
    let grant = |seconds| Grant {
        at: clock.now(),
        duration: Duration::from_secs(seconds),
        fixed: None,
    };
    let script = Rc::new(Script {
        answers: RefCell::new(answers.into()),
        asked: RefCell::default(),
        moments: RefCell::default(),
        clock: clock.clone(),
        alive: alive.into(),
    });
    let (command, commands) = mpsc::unbounded_channel();
    let (events, event) = mpsc::unbounded_channel();
    let keeper = Keeper {
        renewer: Rc::clone(&script),
        schedule: Schedule::new(
            Some(grant(86_400)),
            Some(grant(3600)),
            None,
            None,
            &mut || 0.5,
        ),
        clock,
        report: Reporter {
            level: Level::Error,
            format: Format::Text,
        },
        commands,
        events,
        told_end: false,
    };
    tokio::task::spawn_local(keeper.run());
    (script, command, event)
}

fn refused(status: u16, words: &str) -> Result<Renewed, Failure> {
    Err(Failure::Refused {
        status,
        errors: vec![words.to_owned()],
        from_api: true,
        retry_after: None,
    })
}

fn paused(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    tokio::task::LocalSet::new().block_on(&runtime.expect("a runtime"), test);
}

#[test]
fn a_lease_is_renewed_at_its_instants_and_nothing_is_said() {
    paused(async {
        let (script, _command, mut events) = start(vec![], true);
        tokio::time::sleep(Duration::from_secs(3600)).await;
        assert_eq!(*script.asked.borrow(), [(Subject::Lease, 2580)]);
        tokio::time::sleep(Duration::from_secs(3 * 3600)).await;
        let asked = script.asked.borrow().len();
        assert!((5..=6).contains(&asked), "{asked}");
        assert!(events.try_recv().is_err());
    });
}

#[test]
fn a_sick_server_is_asked_again_at_growing_intervals_and_never_in_a_loop() {
    paused(async {
        let sick = (0..200).map(|_| refused(503, "Vault is sealed")).collect();
        let (script, _command, mut events) = start(sick, true);
        tokio::time::sleep(Duration::from_secs(2 * 3600)).await;
        let asked: Vec<_> = script.asked.borrow().iter().map(|(_, at)| *at).collect();
        assert_eq!(asked.first(), Some(&2580));
        assert!((60..200).contains(&asked.len()), "{}", asked.len());
        let last: Vec<_> = asked
            .windows(2)
            .rev()
            .take(10)
            .map(|pair| pair[1] - pair[0])
            .collect();
        assert!(
            last.iter().all(|delay| (29..=61).contains(delay)),
            "{last:?}"
        );
        assert!(
            events.try_recv().is_err(),
            "a server that is away is no reason to act"
        );
    });
}

#[test]
fn a_shrinking_grant_is_told_well_before_the_end_and_again_at_the_end() {
    paused(async {
        let short = Renewed {
            granted: Duration::from_secs(1200),
            renewable: true,
        };
        let (_script, _command, mut events) = start(vec![Ok(short)], true);
        let Some(Event::Expiring(deadline)) = events.recv().await else {
            panic!("expiring")
        };
        assert_eq!(deadline.cause, Cause::MaxTtl(Subject::Lease));
        let at = deadline
            .at
            .since(Moment::since_boot(Duration::ZERO))
            .as_secs();
        assert_eq!(at, 2580 + 1200);
        let now = tokio::time::Instant::now();
        assert_eq!(events.recv().await, Some(Event::Expired(deadline)));
        let ahead = now.elapsed().as_secs();
        assert!((720..=1080).contains(&ahead), "{ahead}");
    });
}

#[test]
fn what_is_gone_is_told_apart_from_what_is_sick() {
    let cases = [
        (
            refused(400, "lease not found"),
            Some(true),
            Some(Cause::Lost(Subject::Lease)),
        ),
        (
            refused(403, "permission denied"),
            Some(false),
            Some(Cause::Lost(Subject::Token)),
        ),
        (
            refused(403, "permission denied"),
            Some(true),
            Some(Cause::Denied(Subject::Lease)),
        ),
        // Nobody knows what became of the token: it is asked about again.
        (refused(403, "permission denied"), None, None),
        (
            refused(400, "failed to renew entry: connection refused"),
            Some(true),
            None,
        ),
        (
            refused(
                400,
                "failed to renew entry: ERROR: role \"v-x\" does not exist (SQLSTATE 42704)",
            ),
            Some(true),
            Some(Cause::Lost(Subject::Lease)),
        ),
        (refused(500, "internal error"), Some(true), None),
        (
            refused(500, "past the max TTL, cannot renew"),
            Some(true),
            Some(Cause::MaxTtl(Subject::Lease)),
        ),
        (Err(Failure::Lost("reset".to_owned())), Some(true), None),
        (
            Err(Failure::Tls {
                kind: crate::vault::TlsFailure::Other,
                reason: "expired".to_owned(),
            }),
            Some(true),
            None,
        ),
        (
            Err(Failure::Refused {
                status: 403,
                errors: vec![],
                from_api: false,
                retry_after: None,
            }),
            Some(false),
            None,
        ),
        (
            Err(Failure::malformed("a body", "that is not JSON")),
            Some(true),
            None,
        ),
    ];
    for (answer, alive, cause) in cases {
        paused(async {
            let shown = format!("{answer:?}");
            let (_script, _command, mut events) = start(vec![answer], alive);
            tokio::time::sleep(Duration::from_secs(3599)).await;
            let told = events.try_recv().ok().map(|event| match event {
                Event::Expiring(deadline) | Event::Expired(deadline) => deadline.cause,
            });
            assert_eq!(told, cause, "{shown}");
        });
    }
}

#[test]
fn told_to_look_it_renews_at_once() {
    paused(async {
        let (script, command, _events) = start(vec![], true);
        tokio::time::sleep(Duration::from_secs(10)).await;
        command.send(Command::LookNow).expect("it listens");
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(
            *script.asked.borrow(),
            [(Subject::Token, 10), (Subject::Lease, 10)]
        );
    });
}

#[test]
fn a_failed_act_comes_again_later_each_time() {
    paused(async {
        let (_script, command, mut events) = start(vec![refused(400, "lease not found")], true);
        let mut before = None;
        for _ in 0..6 {
            let Some(Event::Expiring(_)) = events.recv().await else {
                panic!("expiring")
            };
            let now = tokio::time::Instant::now();
            if let Some((last, least)) = before {
                let delay = now - last;
                assert!(delay >= least, "{delay:?} {least:?}");
                before = Some((now, delay / 2));
            } else {
                before = Some((now, Duration::from_millis(500)));
            }
            command.send(Command::ActFailed).expect("it listens");
        }
    });
}

#[test]
fn after_a_suspension_it_renews_at_once() {
    paused(async {
        let (script, _command, _events) = start(vec![], true);
        tokio::time::sleep(Duration::from_secs(600)).await;
        script.clock.resumed.notify_one();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(
            *script.asked.borrow(),
            [(Subject::Token, 600), (Subject::Lease, 600)]
        );
    });
}

/// How many of twenty such moments differ.
fn distinct(mut moment: impl FnMut() -> Duration) -> usize {
    let moments: std::collections::BTreeSet<_> = (0..20).map(|_| moment()).collect();
    moments.len()
}

/// When the `nth` event came of a keeper that has those answers, and whose acts all fail.
fn moment_of_event(nth: usize, answer: fn() -> Result<Renewed, Failure>) -> Duration {
    let moment = Rc::new(std::cell::Cell::new(Duration::ZERO));
    let seen = Rc::clone(&moment);
    paused(async move {
        let begun = tokio::time::Instant::now();
        let (_script, command, mut events) = start(vec![answer()], true);
        for _ in 0..nth {
            assert!(matches!(events.recv().await, Some(Event::Expiring(_))));
            command.send(Command::ActFailed).expect("it listens");
        }
        assert!(matches!(events.recv().await, Some(Event::Expiring(_))));
        seen.set(begun.elapsed());
    });
    moment.get()
}

#[test]
fn many_keepers_of_alike_credentials_do_not_act_at_the_same_moment() {
    let shrunk = || {
        Ok(Renewed {
            granted: Duration::from_secs(1200),
            renewable: true,
        })
    };
    let denied = || refused(403, "permission denied");
    let gone = || refused(400, "lease not found");
    assert!(distinct(|| moment_of_event(0, shrunk)) > 10, "shrunk");
    assert!(distinct(|| moment_of_event(0, denied)) > 10, "denied");
    // What is gone is acted on at once; what failed then is tried again at different moments.
    assert!(distinct(|| moment_of_event(1, gone)) > 10, "gone");
}

#[test]
fn many_keepers_do_not_ask_a_server_at_the_same_moment() {
    // The eighth request of a keeper whose server is sick from then on, or is not.
    let eighth = |sick: bool| {
        let moment = Rc::new(std::cell::Cell::new(Duration::ZERO));
        let seen = Rc::clone(&moment);
        paused(async move {
            let refusals = if sick { 8 } else { 0 };
            let answers = (0..refusals).map(|_| refused(503, "Vault is sealed"));
            let (script, _command, _events) = start(answers.collect(), true);
            tokio::time::sleep(Duration::from_secs(8 * 3600)).await;
            seen.set(script.moments.borrow()[7]);
        });
        moment.get()
    };
    assert!(distinct(|| eighth(true)) > 10, "sick");
    assert!(distinct(|| eighth(false)) > 10, "well");
}

#[test]
fn a_server_that_asks_for_time_gets_it() {
    paused(async {
        let busy = Err(Failure::Refused {
            status: 429,
            errors: vec!["quota".to_owned()],
            from_api: true,
            retry_after: Some(Duration::from_secs(100)),
        });
        let (script, _command, _events) = start(vec![busy], true);
        tokio::time::sleep(Duration::from_secs(3600)).await;
        assert_eq!(
            *script.asked.borrow(),
            [(Subject::Lease, 2580), (Subject::Lease, 2680)]
        );
    });
}
