//! AppRole: a role id, and a secret id that may be absent or response-wrapped.

use std::path::PathBuf;

use serde_json::json;

use super::Preview;
use super::ask::{self, Ask};
use super::creation_path::CreationPath;
use super::file::{self, Removal};
use super::outlook::{CannotRepeat, Outlook};
use super::settings::{AppRoleSettings, SecretIdSettings};
use super::source::{Secret, Source};
use super::supply::Supply;
use super::wrapping;
use crate::error::{Error, Problem};
use crate::ledger::NewSession;
use crate::sensitive::{Kept, Sensitive};
use crate::sys::clock::Moment;
use crate::vault::{Client, Failure, LoginAnswer, Retry, WrappingInfo};

/// What may run out.
const WHAT: &str = "the secret id";

/// AppRole, ready to log in.
#[derive(Debug)]
pub struct AppRole {
    mount: String,
    role_id: Supply,
    /// What was given: a secret id, or a wrapping token with one in it.
    given: Option<Supply>,
    /// The path that a wrapping token must have, if one was given.
    creation_path: Option<CreationPath>,
    /// What was in the wrapping token.
    unwrapped: Option<Kept>,
    /// The file to delete once the login succeeded.
    remove: Option<PathBuf>,
    /// How many logins the secret id still allows, if that is known and bounded.
    uses: Option<u64>,
    /// When the secret id ends at the latest, if that is known: its time is counted from when it was
    /// made, before it was opened here.
    expiry: Option<Moment>,
    /// Whether the server's last word on the secret id was no.
    refused: bool,
    /// Whether there may be another login.
    again: bool,
}

impl AppRole {
    /// Reads the role id and the secret id from where they are.
    ///
    /// # Errors
    /// Everything that is wrong with them, together.
    pub fn read(settings: &AppRoleSettings, again: bool) -> Result<Self, Vec<Problem>> {
        let role_id = Supply::read(&settings.role_id, public);
        let given = match &settings.secret_id {
            SecretIdSettings::None => Ok(None),
            SecretIdSettings::Plain(source) => Supply::read(source, bare).map(Some),
            SecretIdSettings::Wrapped { source, .. } => {
                Supply::read(source, wrapping_token).map(Some)
            }
        };
        let creation_path = match &settings.secret_id {
            SecretIdSettings::Wrapped { creation_path, .. } => Some(creation_path.clone()),
            _ => None,
        };
        let file = settings.secret_id.source().and_then(Source::file);
        match (role_id, given) {
            (Ok(role_id), Ok(given)) => Ok(Self {
                mount: settings.mount.clone(),
                role_id,
                given,
                creation_path,
                unwrapped: None,
                remove: file.filter(|_| settings.remove_file).map(PathBuf::from),
                uses: None,
                expiry: None,
                refused: false,
                again,
            }),
            (role_id, given) => Err(role_id.err().into_iter().chain(given.err()).collect()),
        }
    }

    /// Logs in, after opening the wrapping token if there is one.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn log_in(&mut self, client: &Client, retry: &Retry) -> Result<NewSession, Error> {
        self.look_for_delivery();
        if let Err(reason) = self.outlook().allows(Moment::now()) {
            return Err(Error::Irreplaceable(format!(
                "another login is needed, and {reason}"
            )));
        }
        self.open_wrapping(client, retry).await?;
        let answer = self.ask(client, retry).await;
        // Other errors have this status too, and may pass.
        self.refused = answer.as_ref().is_err_and(Failure::is_login_refused);
        let answer = answer.map_err(|failure| self.explain(failure))?;
        self.remove_file();
        self.forget();
        Ok(ask::session(answer))
    }

    /// What is known of a login before it is made.
    pub fn preview(&self) -> Preview {
        let wrapped = self.creation_path.is_some();
        let plain = self.given.is_some() && !wrapped;
        Preview {
            path: format!("auth/{}", self.mount),
            spends: plain.then_some("one use of the secret id, if its uses are counted"),
            wrapped,
        }
    }

    /// Looks the wrapping token up, if there is one that is still to be opened.
    ///
    /// # Errors
    /// Why it would not be opened.
    pub async fn look_up(
        &self,
        client: &Client,
        retry: &Retry,
    ) -> Result<Option<WrappingInfo>, Error> {
        let token = self.given.as_ref().and_then(Supply::value);
        match (&self.creation_path, token) {
            (Some(path), Some(token)) => wrapping::look_up(client, retry, token, path)
                .await
                .map(Some),
            _ => Ok(None),
        }
    }

    /// Whether there can be another login, as far as is known.
    pub fn outlook(&self) -> Outlook {
        let supply = self.given.as_ref();
        let nothing_left =
            supply.is_some_and(|given| !given.is_there()) && self.unwrapped.is_none();
        let cannot = if self.uses == Some(0) {
            Some(CannotRepeat::UsesSpent)
        } else if self.refused {
            Some(CannotRepeat::Refused(WHAT))
        } else if nothing_left {
            Some(CannotRepeat::Gone(WHAT))
        } else {
            None
        };
        Outlook {
            what: WHAT,
            cannot,
            until: self.expiry,
            source: supply.and_then(Supply::delivered_at),
        }
    }

    /// Takes a secret id or wrapping token that was delivered anew, about which nothing is known yet.
    fn look_for_delivery(&mut self) {
        // A role id that cannot be read now is the one that was there before.
        let _known = self.role_id.look_again();
        if self.given.as_mut().is_some_and(Supply::look_again) {
            self.unwrapped = None;
            self.uses = None;
            self.expiry = None;
            self.refused = false;
        }
    }

    async fn ask(&mut self, client: &Client, retry: &Retry) -> Result<LoginAnswer, Failure> {
        let mut body = json!({ "role_id": self.role_id.expose() });
        if let (Some(secret_id), Some(fields)) = (self.secret_id(), body.as_object_mut()) {
            fields.insert("secret_id".to_owned(), secret_id.into());
        }
        let path = format!("auth/{}/login", self.mount);
        let mut ask = Ask::new(&path, &body);
        let answer = ask.carry_out(client, retry).await;
        let spent = ask.spent;
        self.uses = self.uses.map(|uses| uses.saturating_sub(spent));
        answer
    }

    fn secret_id(&self) -> Option<&str> {
        if self.creation_path.is_some() {
            return self.unwrapped.as_ref().map(Kept::expose);
        }
        self.given.as_ref().and_then(Supply::expose)
    }

    async fn open_wrapping(&mut self, client: &Client, retry: &Retry) -> Result<(), Error> {
        let (Some(creation_path), Some(given)) = (&self.creation_path, &mut self.given) else {
            return Ok(());
        };
        // One that was opened before is not shown again.
        if self.unwrapped.is_some() {
            return Ok(());
        }
        let Some(token) = given.value() else {
            return Ok(());
        };
        let document = wrapping::open(client, retry, token, creation_path).await?;
        let secret_id = document.secret("data.secret_id").map_err(|failure| Error::Wrapping {
            message: format!("what was in the wrapping token is no secret id: {failure}"),
            hint: "wrap the answer to a write to auth/MOUNT/role/ROLE/secret-id; this token is spent now".to_owned(),
        })?;
        // Zero means that the uses are not counted.
        self.uses = document
            .number("data.secret_id_num_uses")
            .ok()
            .filter(|&uses| uses > 0);
        // Zero means that it does not expire.
        self.expiry = document
            .seconds("data.secret_id_ttl")
            .ok()
            .filter(|duration| !duration.is_zero())
            .map(|duration| Moment::now() + duration);
        self.unwrapped = Some(secret_id.into());
        given.forget();
        if retry.just_interrupted().await.is_some() {
            log::warn!(
                event = "interrupted";
                "interrupted when the wrapping token had just been opened: it is spent, so hand over a new one"
            );
        }
        Ok(())
    }

    /// Forgets what cannot be used again, or can be read again where it was.
    fn forget(&mut self) {
        let useless = !self.again || self.uses == Some(0);
        if useless {
            self.unwrapped = None;
        }
        if let Some(given) = &mut self.given {
            if useless {
                given.forget();
            } else if self.remove.is_none() {
                given.forget_if_readable();
            }
        }
    }

    fn explain(&self, failure: Failure) -> Error {
        let mount = &self.mount;
        let hint = match &failure {
            Failure::Refused { status: 400, .. } if self.given.is_none() => Some(
                "no secret id was given, and this role may need one: set VAULT_SECRET_ID_FILE, \
                 VAULT_WRAPPED_SECRET_ID_FILE or one of their forms"
                    .to_owned(),
            ),
            failure if failure.is_source_refused() => Some(
                "the secret id or its role is bound to other addresses (secret_id_bound_cidrs, token_bound_cidrs): ask \
                 for one that allows this host, or log in from one that is allowed"
                    .to_owned(),
            ),
            Failure::Refused { status: 400, .. } => Some(
                "the role id is wrong, or the secret id is wrong, expired or used up, or belongs to another role"
                    .to_owned(),
            ),
            Failure::Refused { status: 403, .. } => Some(format!(
                "is auth/{mount} an AppRole mount (--auth-mount, VAULTEXEC_AUTH_MOUNT), and is the namespace right \
                 (--namespace, VAULT_NAMESPACE)? After five failed logins the server also answers so for some minutes \
                 (user lockout)"
            )),
            failure if failure.may_have_acted() => Some(
                "if the secret id has a limited number of uses, some of them may be spent by now".to_owned(),
            ),
            _ => None,
        };
        ask::explain("approle", mount, failure, hint)
    }

    fn remove_file(&mut self) {
        let Some(path) = self.remove.take() else {
            return;
        };
        let shown = path.display();
        match file::remove(&path) {
            Removal::Removed { place, other_names } => {
                log::info!(event = "file_removed"; "removed {}", place.display());
                if place != path && path.is_symlink() {
                    log::info!(event = "file_removed"; "{shown} was a link to it, and is left");
                }
                if other_names {
                    log::warn!(
                        event = "file_not_removed";
                        "removed the secret id file {shown}, but it has another name (a hard link), by which \
                         it can still be read"
                    );
                }
            }
            Removal::Kept(words) => {
                log::warn!(event = "file_not_removed"; "cannot remove the secret id file {shown}: {words}");
            }
        }
    }
}

/// A role id, which is no secret.
fn public(source: &Source) -> Result<Sensitive<String>, Problem> {
    word(source.read_public()?, source)
}

/// A secret id.
fn bare(source: &Source) -> Result<Sensitive<String>, Problem> {
    word(source.read()?, source)
}

/// A bare word, of any characters; an object in JSON was meant otherwise.
fn word(secret: Secret, source: &Source) -> Result<Sensitive<String>, Problem> {
    let text = secret.expose();
    if text.starts_with('{') && crate::vault::Document::parse(text.as_bytes()).is_ok() {
        let hint = "it holds JSON; a bare value is needed, as from `vault write -field=secret_id -f \
                    auth/approle/role/ROLE/secret-id` (a wrapped one belongs in VAULT_WRAPPED_SECRET_ID or \
                    VAULT_WRAPPED_SECRET_ID_FILE)";
        return Err(Problem::new(source.setting(), hint));
    }
    Ok(secret)
}

/// A wrapping token: bare, or in the JSON of `vault write -wrap-ttl=… -format=json`.
pub(super) fn wrapping_token(source: &Source) -> Result<Sensitive<String>, Problem> {
    let secret = source.read()?;
    if !secret.expose().is_ascii() {
        let words = "it holds a character that no token has";
        return Err(Problem::new(source.setting(), words));
    }
    if !secret.expose().starts_with('{') {
        return Ok(secret);
    }
    let document = crate::vault::Document::parse(secret.expose().as_bytes())
        .map_err(|_| Problem::new(source.setting(), "it starts like JSON and is none"))?;
    document.secret("wrap_info.token").map_err(|_| {
        let words = if document.has("data.secret_id") {
            "it holds a secret id that is not wrapped: give it with VAULT_SECRET_ID or VAULT_SECRET_ID_FILE, or wrap it \
             with -wrap-ttl"
        } else {
            "it holds JSON without a text at wrap_info.token"
        };
        Problem::new(source.setting(), words)
    })
}
