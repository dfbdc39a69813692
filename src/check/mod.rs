//! `vaultexec check`: says step by step whether a run would work, and how to mend what would not.
//!
//! It takes the steps of a run up to the one that would make a database role, asks for the rights
//! to all others in place of taking them, and gives its token back.

mod database;
mod needs;
mod server;
mod step;

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use crate::environment::Inherited;
use crate::error::{Problem, hints};
use crate::ledger::{Fact, Ledger, NewSession};
use crate::login::Login;
use crate::manager::wording;
use crate::render::postgres::Place;
use crate::render::recipe;
use crate::revoke;
use crate::settings::Config;
use crate::sys::clock::Moment;
use crate::vault::{Backoff, Client, Interrupt, Retries, Retry};

use needs::{Facts, Need, needs};
pub use step::{Finding, Report, Step, Subject};

/// How long the question for the policy may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often a request is tried again at most, unless the settings say less: somebody is waiting.
const MOST_RETRIES: u32 = 2;

/// What is wrong with settings.
pub fn say_problems(report: &mut Report, problems: &[Problem]) {
    for problem in problems {
        report.say(&Step::new(
            Subject::Settings,
            Finding::Bad,
            problem.to_string(),
        ));
    }
}

/// The tries of a run, but fewer.
pub fn retries(config: &Config, interrupt: Interrupt) -> Retries {
    Retries {
        time: config.start_timeout,
        most: Some(
            config
                .vault
                .max_retries
                .map_or(MOST_RETRIES, |most| most.min(MOST_RETRIES)),
        ),
        interrupt,
        told: Rc::default(),
    }
}

/// Everything between the settings and the end. What was obtained is in the ledger.
pub struct Check<'a> {
    /// The settings of the run.
    pub config: &'a Config,
    /// Asks the server.
    pub client: &'a Client,
    /// The tries.
    pub retry: Retry,
    /// Whether to log in.
    pub login: bool,
}

impl Check<'_> {
    /// Takes the steps, as far as one leads to the next.
    pub async fn take_steps(&self, login: &mut Login, ledger: &mut Ledger, report: &mut Report) {
        let (steps, works) = server::look(self.client, &self.config.vault).await;
        for step in &steps {
            report.say(step);
        }
        if works && self.may_log_in(login, report).await {
            self.log_in(login, ledger, report).await;
        } else {
            report.say(&Step::new(
                Subject::Policy,
                Finding::Unknown,
                "what the policy allows is not known without a login",
            ));
        }
        let paths = paths(self.config);
        let mut looked_at = Vec::new();
        for wanted in &self.config.recipe.credentials {
            let recipe::Place::Postgres(base) = &wanted.place else {
                continue;
            };
            if looked_at.contains(&base) {
                continue;
            }
            looked_at.push(base);
            let place = Place::find(base.as_ref(), &Inherited);
            for step in database::look(&place).await {
                report.say(&step);
            }
            if let Some(step) = database::name(&place) {
                report.say(&step);
            }
        }
        let of = paths.join(" and ");
        report.say(&Step::new(
            Subject::Credentials,
            Finding::Unknown,
            format!("whether there are credentials at {of} is not tried: that would make a database role; nor is whether the database lets them in"),
        ));
    }

    /// Looks at what the login is made of, and says what a login would take away.
    async fn may_log_in(&self, login: &Login, report: &mut Report) -> bool {
        match login.look_up(self.client, &self.retry).await {
            Ok(None) => {}
            Ok(Some(info)) => {
                let until = info.until.map_or_else(String::new, |until| {
                    format!(
                        ", and good until {}",
                        humantime::format_rfc3339_seconds(until)
                    )
                });
                report.say(&Step::new(
                    Subject::Wrapping,
                    Finding::Good,
                    format!(
                        "the wrapping token is whole, made at {}{until}",
                        info.creation_path
                    ),
                ));
            }
            Err(error) => {
                report.say(&Step::failed(Subject::Wrapping, &error));
                return false;
            }
        }
        let preview = login.preview();
        let left_out = if preview.wrapped {
            Some("that would open the wrapping token, which can be done once".to_owned())
        } else if !self.login {
            Some("--no-login".to_owned())
        } else {
            None
        };
        if let Some(reason) = left_out {
            report.say(&Step::new(
                Subject::Login,
                Finding::Unknown,
                format!("the login at {} is left out: {reason}", preview.path),
            ));
            return false;
        }
        if let Some(spends) = preview.spends {
            report.say(&Step::new(
                Subject::Login,
                Finding::Drawback,
                format!("logging in takes {spends} (--no-login leaves it out)"),
            ));
        }
        true
    }

    async fn log_in(&self, login: &mut Login, ledger: &mut Ledger, report: &mut Report) {
        let session = match login.log_in(self.client, &self.retry).await {
            Ok(session) => session,
            Err(error) => {
                report.say(&Step::failed(Subject::Login, &error));
                report.say(&Step::new(
                    Subject::Policy,
                    Finding::Unknown,
                    "what the policy allows is not known without a login",
                ));
                return;
            }
        };
        ledger.apply(Fact::LoggedIn(session.clone()));
        let path = login.preview().path;
        report.say(&Step::new(
            Subject::Login,
            Finding::Good,
            format!("logged in at {path}{}", wording::life(&session)),
        ));
        if let Some(step) = uses(&session) {
            report.say(&step);
        }
        if let Some(session) = ledger.sessions().last().map(|session| session.no) {
            ledger.apply(Fact::Used(session));
        }
        for step in self.rights(&session).await {
            report.say(&step);
        }
    }

    /// What the token's policies allow of what the run will ask for.
    async fn rights(&self, session: &NewSession) -> Vec<Step> {
        let paths = paths(self.config);
        let needs = needs(Facts {
            paths: &paths,
            batch: session.batch,
            foreign: session.foreign,
            renewable: session.renewable,
            strict: self.config.strict_revoke,
            revoke: self.config.revoke,
        });
        let asked: Vec<String> = needs
            .iter()
            .flat_map(Need::asked)
            .map(str::to_owned)
            .collect();
        let answer = self
            .client
            .capabilities(&asked, &session.token, PATIENCE)
            .await;
        let known: BTreeMap<String, Vec<String>> = match answer {
            Ok(capabilities) => asked.into_iter().zip(capabilities).collect(),
            Err(failure) => {
                let message = format!("what the policy allows cannot be found out: {failure}");
                let step = Step::new(Subject::Policy, Finding::Unknown, message);
                let question = hints::policy("sys/capabilities-self", "update");
                let lines = needs.iter().filter_map(Need::line);
                return vec![if failure.is_policy() {
                    Step {
                        policy: std::iter::once(question).chain(lines).collect(),
                        ..step.hint(Some("a policy of this login that has these lines lets it do all that a run does, and ask for that:".to_owned()))
                    }
                } else {
                    step.hint(hints::for_failure(&failure))
                }];
            }
        };
        let of = |path: &str| known.get(path).map(Vec::as_slice);
        needs.iter().map(|need| need.judge(of)).collect()
    }
}

/// What counted uses of the token mean.
fn uses(session: &NewSession) -> Option<Step> {
    let uses = session.uses?;
    let (finding, words) = match uses {
        1 => (
            Finding::Bad,
            "the token is good for 1 call: reading credentials takes it, and revokes them at once"
                .to_owned(),
        ),
        uses => (
            Finding::Drawback,
            format!(
                "the token is good for {uses} calls: renewals and the revocation are among them, and the last one ends it"
            ),
        ),
    };
    let hint = "give the role a token_num_uses of 0: the calls are not counted then";
    Some(Step::new(Subject::Token, finding, words).hint(Some(hint.to_owned())))
}

/// The paths that are read.
fn paths(config: &Config) -> Vec<String> {
    config.recipe.paths.clone()
}

/// Gives the token back until a moment, as a run does at its end.
pub async fn give_back(client: &Rc<Client>, ledger: &mut Ledger, until: Moment) {
    revoke::everything(client, ledger, until, until, Backoff::SOON, |_| {}).await;
}

/// Says what has become of the token.
pub fn say_given_back(ledger: &mut Ledger, report: &mut Report) {
    let now = Moment::now();
    ledger.apply(Fact::Abandoned);
    for left in ledger.left(now) {
        let end = wording::end(&left, now);
        let message = format!(
            "{} could not be given back: {}; {end}",
            left.what, left.verdict
        );
        report.say(&Step::new(Subject::Token, Finding::Drawback, message).hint(left.hint));
    }
}
