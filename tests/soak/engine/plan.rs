//! The random plan of a run: it hangs on the seed and the run's number alone.

use super::harm::Harm;
use super::kinds::KINDS;

/// The only kind of tenant that a token is handed in for: its policy allows the revocation of leases.
const TOKEN_TENANT: usize = 1;

/// How the child ends by itself.
#[derive(Clone, Debug)]
pub enum End {
    Code(i32),
    Die(i32),
}

/// What the child does until then, and what it makes of being told to end.
#[derive(Clone, Debug)]
pub enum How {
    Plain,
    Heed(i32),
    Deaf(u64),
    Leave(u64),
    Query,
}

/// How the run logs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Login {
    AppRole,
    Userpass,
    /// With a token that somebody has handed in.
    Token,
}

/// When the signal is sent, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub enum When {
    AfterSpawn(u64),
    AfterReady(u64),
}

/// All that is decided beforehand about a run.
#[derive(Clone, Debug)]
pub struct Plan {
    pub tenant: usize,
    pub life: u64,
    pub end: End,
    pub how: How,
    /// Which request, by its number, meets which fault.
    pub faults: Vec<(usize, Harm)>,
    pub signal: Option<(i32, When)>,
    /// How often the server does not know yet what was just made, as a standby that is behind.
    pub lag: usize,
    /// Whether there is a caching proxy in front of the server.
    pub cached: bool,
    /// Whether it ends at the same time as others.
    pub together: bool,
    pub login: Login,
    /// Whether it reads another role's credentials beside the first.
    pub two: bool,
    /// What `--handover` says.
    pub handover: &'static str,
}

impl Plan {
    /// The plan of that run.
    pub fn draw(seed: u64, index: u32, signals: &[i32]) -> Self {
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
            // A query asks for a login, which short credentials may not live to see.
            _ if rotates => How::Plain,
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
        let mut faults: Vec<_> = faults.collect();
        // Two would take all the time there is for the cleaning up.
        let mut hangs = 0;
        faults.retain(|(_, harm)| {
            hangs += u32::from(harm.hangs());
            !harm.hangs() || hangs == 1
        });
        let signal = (rng.u8(..100) < 45).then(|| {
            let signal = signals[rng.usize(..signals.len())];
            let when = if rng.u8(..3) == 0 {
                When::AfterSpawn(rng.u64(..150))
            } else {
                When::AfterReady(rng.u64(..life + 200))
            };
            (signal, when)
        });
        // Twice is what it is forgiven: five failed logins would lock the role out.
        let lag = if rng.u8(..100) < 15 {
            rng.usize(1..=2)
        } else {
            0
        };
        if lag > 0 {
            // The same words, but from a node that is not behind.
            faults.retain(|(_, harm)| *harm != Harm::Status(403));
        }
        let cached = rng.u8(..100) < 8;
        let together = !rotates && rng.u8(..100) < 25;
        // What was drawn later than the rest leaves the rest of a seed's runs as they were.
        let login = match rng.u8(..100) {
            0..=14 if lag == 0 && KINDS[tenant].of_approle_alone.is_none() => Login::Userpass,
            15..=24 if lag == 0 && KINDS[tenant].name == KINDS[TOKEN_TENANT].name => Login::Token,
            _ => Login::AppRole,
        };
        let two = rng.u8(..100) < 20;
        let handover = ["env", "env", "env", "passfile", "service"][rng.usize(..5)];
        let mut plan = Self {
            tenant,
            life,
            end,
            how,
            faults,
            signal,
            lag,
            cached,
            together,
            login,
            two,
            handover,
        };
        if login == Login::Token {
            plan.spare_the_token();
        }
        plan
    }

    /// With a token that is not the run's to revoke, a lease whose answer is lost is out of reach: nothing of the kind is
    /// drawn.
    fn spare_the_token(&mut self) {
        self.faults.retain(|(_, harm)| {
            matches!(harm, Harm::Delay(_) | Harm::Status(412 | 429 | 500 | 503))
        });
        if let Some((_, when @ When::AfterSpawn(_))) = &mut self.signal {
            *when = When::AfterReady(0);
        }
    }

    fn draw_harm(rng: &mut fastrand::Rng, at: usize) -> Harm {
        let passing = [
            Harm::Status(500),
            Harm::Status(502),
            Harm::Status(503),
            Harm::Status(412),
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
            Harm::Status(403),
            Harm::Hang,
            Harm::HangAfter,
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
