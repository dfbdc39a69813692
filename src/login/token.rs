//! A token that was handed in: it is looked at and used, renewed where it can be, and never revoked.

use super::outlook::{CannotRepeat, Outlook};
use super::source::Source;
use super::supply::Supply;
use crate::error::{Error, Problem, hints};
use crate::ledger::NewSession;
use crate::sensitive::{Kept, Sensitive};
use crate::sys::clock::Moment;
use crate::vault::{Client, Failure, Retry, Token, TokenInfo};

const DOING: &str = "use the token";
const PATH: &str = "auth/token/lookup-self";

/// A token that somebody else is responsible for.
#[derive(Debug)]
pub struct HandedIn {
    token: Supply,
    /// Whether the token that is known was used already: using it again would bring nothing new.
    used: bool,
}

impl HandedIn {
    /// Reads the token.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(source: &Source) -> Result<Self, Problem> {
        Ok(Self {
            token: Supply::read(source, bare)?,
            used: false,
        })
    }

    /// Looks the token up.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn log_in(&mut self, client: &Client, retry: &Retry) -> Result<NewSession, Error> {
        if self.token.look_again() {
            self.used = false;
        }
        let Some(token) = self.token.value().filter(|_| !self.used) else {
            let reason = CannotRepeat::HandedIn;
            return Err(Error::Irreplaceable(format!(
                "another token is needed, and {reason}"
            )));
        };
        let info = look_up(client, retry, token).await?;
        let session = session(token.expose(), info.as_ref(), Moment::now());
        self.used = true;
        self.token.forget();
        Ok(session)
    }

    /// There is no other token, unless one is written into the file.
    pub fn outlook(&self) -> Outlook {
        Outlook {
            what: "the token",
            cannot: self.used.then_some(CannotRepeat::HandedIn),
            until: None,
            source: self.token.delivered_at(),
        }
    }
}

/// What the server says of the token; nothing where the token's policy forbids the question.
async fn look_up(client: &Client, retry: &Retry, token: &Kept) -> Result<Option<TokenInfo>, Error> {
    let repeat = |failure: &Failure| failure.is_transient() || matches!(failure, Failure::Lost(_));
    let info = retry
        .until_known(client, Failure::is_token_gone, async || {
            retry
                .run(client, DOING, repeat, async || {
                    client.lookup_self(token, retry.left()).await
                })
                .await
        })
        .await;
    match info {
        Ok(info) if info.num_uses == Some(0) => Err(Error::Irreplaceable(
            "the token that was handed in has no use left: looking it up took the last one"
                .to_owned(),
        )),
        Ok(info) => Ok(Some(info)),
        Err(failure) if failure.is_policy() => {
            log::warn!(
                event = "token_unknown", hint = hints::needed_line(PATH, "read").as_str();
                "the token that was handed in may not be looked up, so that its end is not known and it is not renewed"
            );
            Ok(None)
        }
        Err(failure) => {
            let hint = if failure.is_token_gone() {
                Some(
                    "the token is wrong, has expired or was revoked, or belongs to another server or namespace (--address, \
                     VAULT_ADDR, --namespace, VAULT_NAMESPACE)"
                        .to_owned(),
                )
            } else {
                hints::for_failure(&failure)
            };
            Err(Error::server(DOING, PATH, failure, hint))
        }
    }
}

/// The token as it is held. It is renewed by as much as it was issued for, and not by what happens to
/// be left of it.
fn session(token: &str, info: Option<&TokenInfo>, now: Moment) -> NewSession {
    let ttl = info.map(|info| info.ttl).unwrap_or_default();
    let whole = info.map(|info| info.creation_ttl.max(ttl));
    let end = now + ttl;
    // A moment before the host's boot cannot be told.
    let whole = whole.filter(|whole| !ttl.is_zero() && end - *whole + *whole == end);
    let duration = whole.unwrap_or(ttl);
    if !ttl.is_zero() {
        let left = humantime::format_duration(ttl);
        log::info!("the token that was handed in lives for {left} unless it is renewed");
    }
    NewSession {
        token: Token::new(Kept::from(token)),
        batch: info.is_some_and(|info| info.batch),
        foreign: true,
        uses: info.and_then(|info| info.num_uses),
        renewable: info.is_some_and(|info| info.renewable),
        duration,
        granted_at: end - duration,
        identity: info.map(|info| info.identity.clone()).unwrap_or_default(),
    }
}

fn bare(source: &Source) -> Result<Sensitive<String>, Problem> {
    let token = source.read()?;
    let words = if token.expose().starts_with('{') {
        "it holds JSON; a bare token is needed, as from `vault print token`"
    } else if !token.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
        "it holds a character that no token has"
    } else {
        return Ok(token);
    };
    Err(Problem::new(source.setting(), words))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_token_is_renewed_by_what_it_was_issued_for_and_ends_when_the_server_says() {
        let seconds = Duration::from_secs;
        let now = Moment::since_boot(seconds(1000));
        for (ttl, creation_ttl, duration) in [
            (60, 600, 600),
            (600, 60, 600),
            // Issued before the host's boot.
            (60, 5000, 60),
            (0, 0, 0),
        ] {
            let info = TokenInfo {
                ttl: seconds(ttl),
                creation_ttl: seconds(creation_ttl),
                renewable: true,
                batch: false,
                num_uses: Some(7),
                identity: String::new(),
            };
            let held = session("hvs.x", Some(&info), now);
            assert_eq!(held.duration, seconds(duration), "{ttl} {creation_ttl}");
            assert_eq!(held.granted_at + held.duration, now + seconds(ttl));
            assert!(held.foreign && held.renewable && !held.batch);
            assert_eq!(held.uses, Some(7));
        }
        let unknown = session("hvs.x", None, now);
        assert!(unknown.foreign && !unknown.renewable && unknown.duration.is_zero());
    }

    #[test]
    fn what_cannot_be_a_token_is_named_and_not_shown() {
        for value in ["{\"auth\":1}", "hunter2 hunter3", "hünter2"] {
            let source = Source::Flag {
                setting: "VAULT_TOKEN".to_owned(),
                value: value.to_owned(),
            };
            let shown = bare(&source).expect_err(value).to_string();
            assert!(
                shown.starts_with("VAULT_TOKEN: it holds") && !shown.contains("nter"),
                "{shown}"
            );
        }
    }
}
