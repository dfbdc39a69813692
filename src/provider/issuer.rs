//! Credentials and the server: issuing them, replacing them, taking them back.

use std::rc::Rc;

use tokio::sync::Mutex;

use crate::auth::Method;
use crate::companion::Companion;
use crate::error::Error;
use crate::interrupt::Interrupt;
use crate::lease::{self, Acquisition, Cause, Holding, Holdings};
use crate::settings::Config;
use crate::sys::clock::Moment;
use crate::vault::{Client, Patience};

use super::plan::{Facts, Plan, plan};
use super::wording;

/// The server's side of a run: issues credentials, the first and all later ones, and takes them back.
#[derive(Debug)]
pub struct Issuer {
    /// The server.
    pub client: Rc<Client>,
    /// How to log in.
    pub method: Mutex<Method>,
    /// What is held.
    pub holdings: Rc<Holdings>,
    /// Who cleans up if this process cannot.
    pub companion: Option<Rc<Companion>>,
    /// The settings.
    pub config: Config,
}

/// Why there are no new credentials.
pub(super) struct Irreplaceable {
    /// In words.
    pub words: String,
    /// Whether another try may succeed.
    pub again: bool,
}

impl Issuer {
    /// How long, and how often, the server is asked for credentials.
    #[must_use]
    pub fn patience<'a>(&self, interrupt: &'a Interrupt) -> Patience<'a> {
        let Config {
            start_timeout,
            vault,
            report,
            ..
        } = &self.config;
        Patience::new(*start_timeout, vault.max_retries, *report, interrupt)
    }

    /// The first credentials of a run.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn first(&self, patience: &Patience<'_>) -> Result<Acquisition, Error> {
        let mut method = self.method.lock().await;
        lease::acquire(
            &self.client,
            &mut method,
            None,
            &self.config.creds,
            patience,
            &self.holdings,
        )
        .await
    }

    /// New credentials in place of those that will end for `cause`. With a new login where that is
    /// possible, so that the old lease can go with its token; with the old token where that is
    /// good enough.
    pub(super) async fn replace(
        &self,
        holding: &Rc<Holding>,
        lease: Option<&lease::Lease>,
        cause: Option<Cause>,
        interrupt: &Interrupt,
    ) -> Result<Acquisition, Irreplaceable> {
        let config = &self.config;
        let patience = self.patience(interrupt);
        let mut method = self.method.lock().await;
        // A lease may end early because it never outlives a token that cannot be renewed.
        let session = &holding.session;
        let fixed_token = session.batch || !session.renewable;
        let bounded_by_token = session
            .expiry()
            .filter(|_| fixed_token)
            .zip(lease)
            .is_some_and(|(expiry, lease)| expiry.since(Moment::now()) < lease.duration);
        let token_ends = cause.is_none_or(Cause::is_of_token) || bounded_by_token;
        let lease_goes_alone = match lease {
            // A lease that nobody knows goes only with its token, so that one is to be replaced too.
            Some(lease) if !token_ends && !holding.unknown_lease.get() => {
                lease::can_revoke_alone(&self.client, holding, lease, config.revoke_timeout).await
            }
            _ => false,
        };
        let facts = Facts {
            token_ends,
            lease_goes_alone,
            can_log_in: method.can_repeat(),
        };
        let plan = plan(facts).map_err(|reason| Irreplaceable {
            words: format!("another login is needed, and {reason}"),
            again: false,
        })?;
        let token = (plan == Plan::KeepToken).then(|| Rc::clone(holding));
        let acquired = lease::acquire(
            &self.client,
            &mut method,
            token,
            &config.creds,
            &patience,
            &self.holdings,
        )
        .await;
        acquired.map_err(|error| {
            let hopeless = plan == Plan::LogIn && token_ends && method.can_repeat().is_err();
            Irreplaceable {
                words: error.to_string(),
                again: !hopeless,
            }
        })
    }

    /// Gives back what an acquisition that failed has left, for as long as cleaning up may take:
    /// everything but the token and the lease that are in use.
    pub(super) async fn give_back_all_but(
        &self,
        holding: &Rc<Holding>,
        lease: Option<&lease::Lease>,
    ) {
        let until = Moment::now() + self.config.revoke_timeout;
        let report = self.config.report;
        for held in self.holdings.revocable() {
            if !Rc::ptr_eq(&held, holding) {
                lease::revoke(&self.client, &held, until, report).await;
                continue;
            }
            let leases: Vec<_> = held.leases.borrow().iter().map(Rc::clone).collect();
            for unused in leases.iter().filter(|unused| !unused.is_settled()) {
                if !lease.is_some_and(|lease| std::ptr::eq(lease, &raw const **unused)) {
                    lease::revoke_lease(&self.client, &held, unused, until, report).await;
                }
            }
        }
        self.holdings.forget_settled();
    }

    /// Gives back what the child no longer uses; tries until it would have ended by itself.
    pub(super) async fn retire(
        &self,
        holding: &Rc<Holding>,
        lease: Option<&lease::Lease>,
        new: &Rc<Holding>,
    ) {
        let report = self.config.report;
        let Some(lease) = lease else { return };
        let same_token = Rc::ptr_eq(holding, new);
        for tries in 0.. {
            let until = Moment::now() + self.config.revoke_timeout;
            if same_token {
                lease::revoke_lease(&self.client, holding, lease, until, report).await;
            } else {
                lease::revoke(&self.client, holding, until, report).await;
            }
            self.holdings.forget_settled();
            let now = Moment::now();
            let (settled, hopeless) = if same_token {
                let refused = lease.was_refused(lease::Reason::Policy);
                (lease.is_settled(), refused)
            } else {
                (holding.is_settled(), holding.is_hopeless())
            };
            if settled {
                return;
            }
            let expiry = lease.expiry_with(&holding.session, None);
            if hopeless || expiry <= now {
                let words = lease.refusal().map(|refusal| refusal.words);
                let message = format!(
                    "the lease {} of the command's last run could not be revoked: {}; {}",
                    lease.id,
                    words.unwrap_or_default(),
                    wording::end(Some(expiry), now)
                );
                if lease.was_refused(lease::Reason::Policy) {
                    // As the policy has it: what is still there at the end of the run is told then.
                    report.info(message);
                } else {
                    report.warn(message);
                }
                return;
            }
            report.debug(format_args!(
                "the lease {} is not revoked yet; trying again",
                lease.id
            ));
            tokio::time::sleep(lease::growing(tries, fastrand::f64())).await;
        }
    }
}
