//! The story of a run, from the command line to the exit, with the cleaning up on every path.

use std::ffi::OsString;
use std::io::{IsTerminal as _, Write as _};
use std::rc::Rc;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::{Mutex, mpsc};
use tokio::task::LocalSet;

use crate::auth::Method;
use crate::companion::Companion;
use crate::environment::{self, Inherited};
use crate::error::{Error, Problem};
use crate::exit::{self, Exit};
use crate::interrupt::Interrupt;
use crate::lease::{self, Holdings, Witness};
use crate::provider::{Invocation, Issuer, Provider, say_what_is_left};
use crate::report::Reporter;
use crate::settings::{self, Call, Config, Flags, Lookup};
use crate::supervise::{self, Event, Machine, Rules, Startup, Stop};
use crate::sys::clock::Moment;
use crate::sys::signals::Signals;
use crate::sys::{helper, inherited, mask, process};
use crate::vault::Client;

/// How long an acquisition that is under way when the child ends is waited for. Nobody has asked
/// to be quick.
const LAST_READ: Duration = Duration::from_secs(2);

/// Runs vaultexec as it was called.
pub fn run() -> Exit {
    if process::has_rights_of_its_file() {
        return refuse_rights();
    }
    if process::is_init() {
        // A file of the settings may be a pipe that nobody writes to.
        mask::end_when_asked_to();
    }
    let (call, flags) = match settings::parse(environment::arguments()) {
        Ok(parsed) => parsed,
        Err(usage) => return explain_usage(&usage),
    };
    let lookup = Lookup::new(&flags, &Inherited);
    let report = settings::reporting(&lookup);
    let done = match call {
        Call::Run(command) => start(lookup, command),
        Call::PrintConfig => print_config(lookup),
        Call::Print(text) => Ok(print(&text)),
    };
    done.unwrap_or_else(|error| {
        tell(report, &error);
        error.exit()
    })
}

/// Whoever may start such a program would read what it may read.
fn refuse_rights() -> Exit {
    let words = "the program's file has a set-user-ID or set-group-ID bit, or capabilities, \
                 and does not run with them: take them away (chmod ug-s, setcap -r)";
    Reporter::default().error(words, None);
    Exit::Code(exit::FAILURE)
}

/// Everything that is done before the first request, which leaves no trace, and then the rest.
fn start(lookup: Lookup<'_>, command: Vec<OsString>) -> Result<Exit, Error> {
    let config = gather(lookup)?;
    let invocation = Invocation::find(command, &Inherited)?;
    // From here on there are secrets in memory, and soon more threads.
    let companion = Companion::start(&config)
        .map_err(|error| Error::system("start the companion process", &error))?;
    let client = Client::new(&config.vault, config.report)
        .map_err(|words| Error::Config(vec![Problem::new("the server's settings", words)]))?;
    let runtime = event_loop().map_err(|error| Error::system("start the event loop", &error))?;
    let work = obtain_run_and_give_back(config, invocation, companion, client);
    let exit = LocalSet::new().block_on(&runtime, work);
    // A look-up of a name that still hangs is not waited for.
    runtime.shutdown_background();
    exit
}

/// One thread: the kernel watches the thread that starts the child, and nothing here is worth a
/// second one.
fn event_loop() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
}

async fn obtain_run_and_give_back(
    config: Config,
    invocation: Invocation,
    companion: Option<Companion>,
    client: Client,
) -> Result<Exit, Error> {
    let mut signals =
        Signals::install().map_err(|error| Error::system("handle signals", &error))?;
    let method = read_secrets(&config, &mut signals).await?;
    let companion = companion.map(Rc::new);
    let witness = companion
        .clone()
        .map(|companion| Box::new(companion) as Box<dyn Witness>);
    let issuer = Rc::new(Issuer {
        client: Rc::new(client),
        method: Mutex::new(method),
        holdings: Rc::new(Holdings::new(witness)),
        companion,
        config,
    });
    let (sender, mut news) = mpsc::unbounded_channel();
    let mut provider = Provider::new(Rc::clone(&issuer), invocation, sender);
    let outcome = obtain_and_run(&issuer, &mut provider, &mut news, &mut signals).await;
    if let Err(error) = &outcome {
        tell(issuer.config.report, error);
        // Without a child there is nobody to leave anything to.
        issuer.holdings.claim_back();
    }
    give_back(&issuer, &mut provider, &mut signals).await;
    let exit = conclude(&issuer, outcome);
    if let Some(companion) = &issuer.companion {
        companion.dismiss();
    }
    Ok(exit)
}

/// Reads what the login needs. A pipe or a terminal is read on a thread of its own: signals are
/// heard meanwhile, which as PID 1 would otherwise have no effect at all.
async fn read_secrets(config: &Config, signals: &mut Signals) -> Result<Method, Error> {
    let (settings, report) = (&config.auth, config.report);
    let read = if settings.may_block() {
        let settings = settings.clone();
        let reading = helper::on_a_thread(move || settings.read(report));
        match supervise::interruptible(reading, signals, &Interrupt::default()).await {
            Startup::Done(Ok(read)) => read,
            Startup::Done(Err(lost)) => return Err(Error::system("read the secret id", &lost)),
            Startup::Interrupted(signal, _) => return Err(Error::Interrupted(signal)),
        }
    } else {
        settings.read(report)
    };
    read.map_err(Error::Config)
}

/// Login, credentials, child, and the child's end.
async fn obtain_and_run(
    issuer: &Issuer,
    provider: &mut Provider,
    news: &mut mpsc::UnboundedReceiver<Event>,
    signals: &mut Signals,
) -> Result<Exit, Error> {
    let config = &issuer.config;
    let interrupt = Interrupt::default();
    let patience = issuer.patience(&interrupt);
    let acquisition = match supervise::interruptible(issuer.first(&patience), signals, &interrupt)
        .await
    {
        Startup::Done(acquisition) => acquisition?,
        Startup::Interrupted(signal, Some(_in_time)) => return Err(Error::Interrupted(signal)),
        Startup::Interrupted(signal, None) => {
            // What a read of credentials may have left goes with its token, and is told if not.
            if issuer.holdings.is_empty() {
                config.report.warn(
                    "interrupted before the server had answered: if that was the login, a use of the secret id may \
                     be spent, and if a wrapping token was being opened, it is spent",
                );
            }
            return Err(Error::Interrupted(signal));
        }
    };
    let child = provider.start_first(acquisition, signals)?;
    let machine = Machine::new(Rules {
        on_expiry: config.on_expiry,
        ignored: inherited::ignored(),
        kill_after: config.kill_after,
    });
    let stop = Stop {
        signal: config.stop_signal,
        timeout: config.stop_timeout,
    };
    supervise::watch(child, machine, stop, signals, news, provider).await
}

/// Revokes what is held, within its bound. A signal shortens that, another one ends it.
async fn give_back(issuer: &Issuer, provider: &mut Provider, signals: &mut Signals) {
    // Those that came while the child ran were about the child.
    signals.forget();
    let work = async |until: Moment| {
        let now = Moment::now();
        let last_read = now + LAST_READ.min(until.since(now) / 2);
        provider.finish(last_read).await;
        let Issuer {
            client, holdings, ..
        } = issuer;
        lease::revoke_all(client, holdings, until, issuer.config.report).await;
    };
    let until = Moment::now() + issuer.config.revoke_timeout;
    supervise::bounded(work, until, signals).await;
}

/// The exit of a run that has been cleaned up, after telling what could not be.
fn conclude(issuer: &Issuer, outcome: Result<Exit, Error>) -> Exit {
    let left = issuer.holdings.left();
    say_what_is_left(&left, issuer.config.report);
    let exit = outcome.unwrap_or_else(|error| error.exit());
    if issuer.config.strict_revoke && exit.is_success() && !left.is_empty() {
        return Exit::Code(exit::FAILURE);
    }
    exit
}

fn tell(report: Reporter, error: &Error) {
    match error {
        Error::Config(problems) => problems
            .iter()
            .for_each(|problem| report.error(problem, None)),
        // The shell tells of a death by signal; there is nothing to add.
        Error::Interrupted(_) => report.info(error),
        _ => report.error(error, error.hint()),
    }
}

fn gather(lookup: Lookup<'_>) -> Result<Config, Error> {
    let at_terminal = std::io::stdin().is_terminal();
    settings::gather(lookup, at_terminal).map_err(Error::Config)
}

/// Says what holds; what is wrong or missing is told all the same.
fn print_config(lookup: Lookup<'_>) -> Result<Exit, Error> {
    let printed = print(&settings::print(&lookup));
    gather(lookup)?;
    Ok(printed)
}

/// Prints what was asked for in place of a run.
fn print(text: &str) -> Exit {
    // A pipe that does not take the text is no reason for another exit code.
    let _printed = std::io::stdout().write_all(text.as_bytes());
    Exit::Code(0)
}

/// What is wrong with the command line.
fn explain_usage(words: &str) -> Exit {
    // Of the flags nothing is known, so that the variables have to say how.
    let flags = Flags::default();
    let report = settings::reporting(&Lookup::new(&flags, &Inherited));
    report.error(words, Some(&settings::usage()));
    Exit::Code(exit::FAILURE)
}
