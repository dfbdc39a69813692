//! The story of a run, from the command line to the exit, with the cleaning up on every path.

use std::convert::Infallible;
use std::ffi::OsString;
use std::io::{IsTerminal as _, Write as _};
use std::rc::Rc;

use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::LocalSet;

use crate::check::{self, Check, Finding, Report, Step, Subject};
use crate::command::{Command, Invocation};
use crate::companion::Companion;
use crate::environment::{self, Inherited};
use crate::error::{Error, Problem};
use crate::exit::{self, Exit};
use crate::handover::Folder;
use crate::ledger::{Ledger, Left};
use crate::logging::Logging;
use crate::login::{Login, Secret};
use crate::manager::{Manager, Rules as ManagerRules, wording};
use crate::render::environment::is_secret;
use crate::render::recipe::Handover;
use crate::settings::{self, Call, Config, Flags, Lookup};
use crate::supervise::{self, Machine, OnExpiry, Operations as _, Rules, Startup, Stop};
use crate::sys::clock::Moment;
use crate::sys::signals::Signals;
use crate::sys::{helper, inherited, mask, own_environment, process, prompt};
use crate::trial;
use crate::vault::Client;

/// Runs vaultexec as it was called.
pub fn run() -> Exit {
    if process::has_rights_of_its_file() {
        return refuse_rights();
    }
    own_environment::take(is_secret);
    if process::is_init() {
        // A file of the settings may be a pipe that nobody writes to.
        mask::end_when_asked_to();
    }
    let (call, flags) = match settings::parse(environment::arguments()) {
        Ok(parsed) => parsed,
        Err(usage) => return explain_usage(&usage),
    };
    let lookup = Lookup::new(&flags, &Inherited);
    settings::logging(&lookup).start();
    let done = match call {
        Call::Run(command) => start(lookup, command),
        Call::Check(command) => check_run(lookup, command),
        Call::PrintConfig => print_config(lookup),
        Call::Print(text) => Ok(print(&text)),
    };
    done.unwrap_or_else(|error| {
        tell(&error);
        error.exit()
    })
}

/// Whoever may start such a program would read what it may read.
fn refuse_rights() -> Exit {
    let words = "the program's file has a set-user-ID or set-group-ID bit, or capabilities, \
                 and does not run with them: take them away (chmod ug-s, setcap -r)";
    Logging::default().start();
    log::error!(event = "error"; "{words}");
    Exit::Code(exit::FAILURE)
}

/// Everything that is done before the first request, which leaves no trace, and then the rest.
fn start(lookup: Lookup<'_>, command: Vec<OsString>) -> Result<Exit, Error> {
    let config = Rc::new(gather(lookup)?);
    let mut invocation = Invocation::find(command, &Inherited)?;
    if config.wait_login {
        invocation.psql = Some(trial::find_psql(&Inherited)?);
    }
    if config.recipe.handover != Handover::Env {
        invocation.folder = Some(Folder::choose(&Inherited)?);
    }
    if config.vault.tls.skip_verify {
        log::warn!(
            event = "unverified";
            "the server's certificate is not verified (--tls-skip-verify, VAULT_SKIP_VERIFY): whoever answers gets the secret \
             id and the token"
        );
    }
    // From here on there are secrets in memory, and soon more threads.
    let companion = Companion::start(&config)
        .map_err(|error| Error::system("start the companion process", &error))?;
    let client = new_client(&config)?;
    let runtime = event_loop().map_err(|error| Error::system("start the event loop", &error))?;
    let work = obtain_run_and_clean_up(&config, invocation, companion, client);
    LocalSet::new()
        .block_on(&runtime, work)
        .map(|ended| match ended {})
}

fn new_client(config: &Config) -> Result<Client, Error> {
    Client::new(&config.vault)
        .map_err(|words| Error::Config(vec![Problem::new("the server's settings", words)]))
}

/// One thread: the kernel watches the thread that starts the child, and nothing here is worth a
/// second one.
fn event_loop() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
}

async fn obtain_run_and_clean_up(
    config: &Config,
    invocation: Invocation,
    companion: Option<Companion>,
    client: Client,
) -> Result<Infallible, Error> {
    let mut signals =
        Signals::install().map_err(|error| Error::system("handle signals", &error))?;
    let login = read_secrets(config, &mut signals).await?;
    let rules = manager_rules(config);
    let mut manager = Manager::new(rules, client, login, companion, config.vault.max_retries);
    let outcome = obtain_and_run(config, invocation, &mut manager, &mut signals).await;
    if let Err(error) = &outcome {
        tell(error);
        // No child was started, so --no-revoke does not apply.
        manager.claim_back();
    }
    clean_up(config, &mut manager, &mut signals).await;
    let left = manager.conclude();
    // Nothing is put away first: the kernel takes all memory at once, and does not wait for a name that is still looked up.
    conclude(config, outcome, &left).end_process()
}

/// Reads what the login needs. A pipe or a terminal is read on a thread of its own: signals are
/// heard meanwhile, which as PID 1 would otherwise have no effect at all.
async fn read_secrets(config: &Config, signals: &mut Signals) -> Result<Login, Error> {
    let again = config.on_expiry.replaces();
    let settings = &config.auth;
    let typed = match settings.question() {
        Some(question) => Some(ask(&question, signals).await?),
        None => None,
    };
    let read = if settings.may_block() {
        let settings = settings.clone();
        let reading = helper::on_a_thread(move || settings.read(typed, again));
        let (nobody, _) = watch::channel(None);
        let reading = supervise::when_slow(wording::say_waiting_for_input, reading);
        match supervise::interruptible(reading, signals, &nobody).await {
            Startup::Done(Ok(read)) => read,
            Startup::Done(Err(lost)) => return Err(Error::system("read the secret id", &lost)),
            Startup::Interrupted(signal, _) => return Err(Error::Interrupted(signal)),
        }
    } else {
        settings.read(typed, again)
    };
    // The command gets what it is to keep, now and when it is started again.
    own_environment::forget(|name| config.child_environment.keeps(name));
    read.map_err(Error::Config)
}

/// Asks for a password at the terminal, which is as it was before when a signal ends that.
async fn ask(question: &str, signals: &mut Signals) -> Result<Secret, Error> {
    let (interrupt, mut heard) = watch::channel(None);
    let asking = async {
        tokio::select! {
            biased;
            _ = heard.wait_for(Option::is_some) => None,
            answer = prompt::ask(question) => Some(answer),
        }
    };
    match supervise::interruptible(asking, signals, &interrupt).await {
        Startup::Done(Some(Ok(answer))) => Ok(Secret::from(answer.as_str())),
        Startup::Done(Some(Err(error))) => Err(Error::Config(vec![Problem::new(
            settings::PASSWORD_FILE,
            format!("the password is missing: {error}"),
        )])),
        Startup::Done(None) => Err(Error::system("ask for the password", &"no answer")),
        Startup::Interrupted(signal, _) => Err(Error::Interrupted(signal)),
    }
}

/// Looks at everything that a run would need, and says so.
fn check_run(lookup: Lookup<'_>, command: Vec<OsString>) -> Result<Exit, Error> {
    let settings = settings::check(&lookup);
    let mut report = Report::new(settings.format);
    let config = match gather(lookup) {
        Ok(config) => config,
        Err(Error::Config(problems)) => {
            check::say_problems(&mut report, &problems);
            report.conclude();
            return Ok(Exit::Code(exit::FAILURE));
        }
        Err(other) => return Err(other),
    };
    // The run will want its file.
    let config = Config {
        auth: config.auth.keeping_files(),
        ..config
    };
    report.say(&Step::new(
        Subject::Settings,
        Finding::Good,
        "the settings are sound",
    ));
    if !command.is_empty() {
        report.say(&match Invocation::find(command, &Inherited) {
            Ok(_) => Step::new(Subject::Command, Finding::Good, "the command is there"),
            Err(error) => Step::failed(Subject::Command, &error),
        });
    }
    if config.wait_login {
        report.say(&match trial::find_psql(&Inherited) {
            Ok(_) => Step::new(
                Subject::Command,
                Finding::Good,
                "psql is there, to try the login with",
            ),
            Err(error) => Step::failed(Subject::Command, &error),
        });
    }
    let client = new_client(&config)?;
    let runtime = event_loop().map_err(|error| Error::system("start the event loop", &error))?;
    let work = check_and_give_back(&config, settings.login, Rc::new(client), &mut report);
    let exit = LocalSet::new().block_on(&runtime, work);
    runtime.shutdown_background();
    exit
}

async fn check_and_give_back(
    config: &Config,
    login_too: bool,
    client: Rc<Client>,
    report: &mut Report,
) -> Result<Exit, Error> {
    let mut signals =
        Signals::install().map_err(|error| Error::system("handle signals", &error))?;
    let mut login = match read_secrets(config, &mut signals).await {
        Ok(login) => login,
        Err(Error::Config(problems)) => {
            check::say_problems(report, &problems);
            report.conclude();
            return Ok(Exit::Code(exit::FAILURE));
        }
        Err(other) => return Err(other),
    };
    let mut ledger = Ledger::default();
    let (interrupt, heard) = watch::channel(None);
    let check = Check {
        config,
        client: &client,
        retry: check::retries(config, heard).until(Moment::now() + config.start_timeout),
        login: login_too,
    };
    let steps = check.take_steps(&mut login, &mut ledger, report);
    let done = supervise::interruptible(steps, &mut signals, &interrupt).await;
    let until = Moment::now() + config.revoke_timeout;
    let give_back = async |until| check::give_back(&client, &mut ledger, until).await;
    supervise::bounded(give_back, until, &mut signals).await;
    check::say_given_back(&mut ledger, report);
    if let Startup::Interrupted(signal, _) = done {
        return Err(Error::Interrupted(signal));
    }
    report.conclude();
    Ok(Exit::Code(if report.is_bad() { exit::FAILURE } else { 0 }))
}

fn manager_rules(config: &Config) -> ManagerRules {
    let replace = config.on_expiry.replaces();
    ManagerRules {
        paths: config.recipe.paths.clone(),
        lease_ttl: config.lease_ttl,
        replace,
        end_child: replace || config.on_expiry == OnExpiry::Stop,
        stop_timeout: config.stop_timeout,
        start_timeout: config.start_timeout,
        revoke_timeout: config.revoke_timeout,
        keep: !config.revoke,
        strict: config.strict_revoke,
    }
}

/// Login, credentials, child, and the child's end.
async fn obtain_and_run(
    config: &Config,
    invocation: Invocation,
    manager: &mut Manager,
    signals: &mut Signals,
) -> Result<Exit, Error> {
    let interrupt = manager.interrupt();
    match supervise::interruptible(manager.first(), signals, &interrupt).await {
        Startup::Done(obtained) => obtained?,
        Startup::Interrupted(signal, Some(_in_time)) => return Err(Error::Interrupted(signal)),
        Startup::Interrupted(signal, None) => {
            // What a read of credentials may have left goes with its token, and is told if not.
            if manager.holds_nothing() {
                log::warn!(
                    event = "interrupted";
                    "interrupted before the server had answered: if that was the login, a use of the secret id may be \
                     spent, and if a wrapping token was being opened, it is spent"
                );
            }
            return Err(Error::Interrupted(signal));
        }
    }
    let mut command = Command::new(config, invocation, manager);
    let trial = command.try_credentials();
    let trial = supervise::when_slow(wording::say_waiting_for_the_database, trial);
    match supervise::interruptible(trial, signals, &interrupt).await {
        Startup::Done(tried) => tried?,
        Startup::Interrupted(signal, _) => return Err(Error::Interrupted(signal)),
    }
    let child = command.start_child(signals)?;
    let machine = Machine::new(Rules {
        on_expiry: config.on_expiry,
        ignored: inherited::ignored(),
        kill_after: config.kill_after,
    });
    let stop = Stop {
        signal: config.stop_signal,
        timeout: config.stop_timeout,
    };
    supervise::watch(child, machine, stop, signals, &mut command).await
}

/// Revokes what is held, within its bound. A signal shortens that, another one ends it.
async fn clean_up(config: &Config, manager: &mut Manager, signals: &mut Signals) {
    // Those that came while the child ran were about the child.
    signals.forget();
    let until = Moment::now() + config.revoke_timeout;
    let limit = config.revoke_timeout;
    let work = supervise::bounded(async |until| manager.clean_up(until).await, until, signals);
    supervise::when_slow(|| wording::say_waiting_at_the_end(limit), work).await;
}

/// The exit of a run that has been cleaned up.
fn conclude(config: &Config, outcome: Result<Exit, Error>, left: &[Left]) -> Exit {
    let exit = outcome.unwrap_or_else(|error| error.exit());
    if config.strict_revoke && exit.is_success() && !left.is_empty() {
        return Exit::Code(exit::FAILURE);
    }
    exit
}

fn tell(error: &Error) {
    match error {
        Error::Config(problems) => problems
            .iter()
            .for_each(|problem| log::error!(event = "error"; "{problem}")),
        // The shell tells of a death by signal; there is nothing to add.
        Error::Interrupted(_) => log::info!(event = "interrupted"; "{error}"),
        _ => {
            let path = error.path().unwrap_or_default();
            let hint = error.hint().unwrap_or_default();
            log::error!(event = "error", path = path, hint = hint; "{error}");
        }
    }
}

fn gather(lookup: Lookup<'_>) -> Result<Config, Error> {
    let at_terminal = std::io::stdin().is_terminal();
    settings::gather(lookup, at_terminal).map_err(Error::Config)
}

/// Says what holds; what is wrong or missing is told all the same.
fn print_config(lookup: Lookup<'_>) -> Result<Exit, Error> {
    let at_terminal = std::io::stdin().is_terminal();
    let printed = print(&settings::print(&lookup, at_terminal));
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
    settings::logging(&Lookup::new(&flags, &Inherited)).start();
    log::error!(event = "error", hint = settings::usage(); "{words}");
    Exit::Code(exit::FAILURE)
}
