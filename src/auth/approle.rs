//! AppRole: a role id, and a secret id that may be absent or response-wrapped.

use std::cell::Cell;
use std::path::PathBuf;

use serde_json::json;

use super::creation_path::CreationPath;
use super::session::{CannotRepeat, Session};
use super::settings::{AppRoleSettings, SecretIdSettings};
use super::source::{Secret, Source};
use super::wrapping;
use crate::error::{Error, Problem, hints};
use crate::report::Reporter;
use crate::sensitive::Sensitive;
use crate::sys::clock::Moment;
use crate::vault::{Client, Failure, Patience};

/// AppRole, ready to log in.
#[derive(Debug)]
pub struct AppRole {
    mount: String,
    role_id: Sensitive<String>,
    secret_id: SecretId,
    /// The file to delete once the login succeeded.
    remove: Option<PathBuf>,
    /// How many logins the secret id still allows, if that is known and bounded.
    uses: Option<u64>,
    /// When the secret id ends at the latest, if that is known: its time is counted from when it was
    /// made, before it was opened here.
    expiry: Option<Moment>,
    /// The server's last word on the secret id was no.
    refused: bool,
    report: Reporter,
}

#[derive(Debug)]
enum SecretId {
    None,
    Plain(Sensitive<String>),
    Wrapped {
        token: Sensitive<String>,
        creation_path: CreationPath,
    },
}

impl AppRole {
    /// Reads the role id and the secret id from where they are.
    ///
    /// # Errors
    /// Everything that is wrong with them, together.
    pub fn read(settings: &AppRoleSettings, report: Reporter) -> Result<Self, Vec<Problem>> {
        let role_id = settings
            .role_id
            .read()
            .and_then(|secret| bare(secret, &settings.role_id));
        let secret_id = match &settings.secret_id {
            SecretIdSettings::None => Ok(SecretId::None),
            SecretIdSettings::Plain(source) => source
                .read()
                .and_then(|secret| bare(secret, source))
                .map(SecretId::Plain),
            SecretIdSettings::Wrapped {
                source,
                creation_path,
            } => source
                .read()
                .and_then(|secret| wrapping_token(secret, source))
                .map(|token| SecretId::Wrapped {
                    token,
                    creation_path: creation_path.clone(),
                }),
        };
        let file = settings.secret_id.source().and_then(Source::file);
        match (role_id, secret_id) {
            (Ok(role_id), Ok(secret_id)) => Ok(Self {
                mount: settings.mount.clone(),
                role_id,
                secret_id,
                remove: file.filter(|_| settings.remove_file).map(PathBuf::from),
                uses: None,
                expiry: None,
                refused: false,
                report,
            }),
            (role_id, secret_id) => Err(role_id.err().into_iter().chain(secret_id.err()).collect()),
        }
    }

    /// Logs in, after opening the wrapping token if there is one.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn login(
        &mut self,
        client: &Client,
        patience: &Patience<'_>,
    ) -> Result<Session, Error> {
        self.open_wrapping(client, patience).await?;
        let mut body = json!({ "role_id": self.role_id.expose() });
        if let (SecretId::Plain(secret_id), Some(fields)) = (&self.secret_id, body.as_object_mut())
        {
            fields.insert("secret_id".to_owned(), secret_id.expose().as_str().into());
        }
        let (mount, spent) = (&self.mount, Cell::new(0u64));
        let body = &body;
        let login = || async {
            let answer = client.login(mount, body.clone(), patience.for_once()).await;
            // A use is gone as soon as the server has acted, whether or not its answer came.
            let acted = match &answer {
                Ok(_) => true,
                Err(failure) => failure.may_have_acted() || failure.status() == Some(500),
            };
            spent.set(spent.get() + u64::from(acted));
            answer
        };
        let answer = patience
            .insist(client, "log in", Failure::is_transient, login)
            .await;
        self.uses = self.uses.map(|uses| uses.saturating_sub(spent.get()));
        let answer = answer.map_err(|failure| self.explain(failure))?;
        self.remove_file();
        Ok(Session::new(answer, Moment::now()))
    }

    /// Whether there can be another login, as far as is known.
    ///
    /// # Errors
    /// Why not.
    pub fn can_repeat(&self) -> Result<(), CannotRepeat> {
        if self.uses == Some(0) {
            return Err(CannotRepeat::UsesSpent);
        }
        if self.expiry.is_some_and(|expiry| expiry <= Moment::now()) {
            return Err(CannotRepeat::Expired);
        }
        if self.refused {
            return Err(CannotRepeat::Refused);
        }
        Ok(())
    }

    /// When there can be no other login any more, as far as is known.
    #[must_use]
    pub const fn expiry(&self) -> Option<Moment> {
        self.expiry
    }

    async fn open_wrapping(
        &mut self,
        client: &Client,
        patience: &Patience<'_>,
    ) -> Result<(), Error> {
        let SecretId::Wrapped {
            token,
            creation_path,
        } = &self.secret_id
        else {
            return Ok(());
        };
        let document = wrapping::open(client, patience, token, creation_path).await?;
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
        self.secret_id = SecretId::Plain(secret_id);
        if patience.interrupt.signal().is_some() {
            self.report.warn("interrupted when the wrapping token had just been opened: it is spent, so hand over a new one");
        }
        Ok(())
    }

    fn explain(&mut self, failure: Failure) -> Error {
        // Other errors have this status too, and may pass.
        self.refused = failure.is_login_refused();
        let hint = match &failure {
            Failure::Refused { status: 400, .. } if matches!(self.secret_id, SecretId::None) => Some(
                "no secret id was given, and this role may need one: set VAULT_SECRET_ID_FILE, \
                 VAULT_WRAPPED_SECRET_ID_FILE or one of their forms"
                    .to_owned(),
            ),
            Failure::Refused { status: 400, .. } => Some(
                "the role id is wrong, or the secret id is wrong, expired or used up, or belongs to another role"
                    .to_owned(),
            ),
            Failure::Refused { status: 403, .. } => Some(format!(
                "is auth/{} an AppRole mount (--auth-mount, VAULTEXEC_AUTH_MOUNT), and is the namespace right \
                 (--namespace, VAULT_NAMESPACE)?",
                self.mount
            )),
            failure if failure.is_namespace_unknown() => {
                Some("is the namespace right (--namespace, VAULT_NAMESPACE)?".to_owned())
            }
            Failure::Refused { status: 404, .. } => {
                Some(format!("there is no auth method at auth/{}: --auth-mount, VAULTEXEC_AUTH_MOUNT", self.mount))
            }
            failure if failure.may_have_acted() => Some(
                "the login is not repeated by itself: if the secret id has a limited number of uses, one of them may \
                 be spent"
                    .to_owned(),
            ),
            failure => hints::for_failure(failure),
        };
        Error::server("log in", format!("auth/{}", self.mount), failure, hint)
    }

    fn remove_file(&mut self) {
        let Some(path) = self.remove.take() else {
            return;
        };
        match std::fs::remove_file(&path) {
            Ok(()) => self.report.info(format_args!("removed {}", path.display())),
            Err(error) => self.report.warn(format_args!(
                "cannot remove the secret id file {}: {error}",
                path.display()
            )),
        }
    }
}

/// A role id or secret id: a bare word, of any characters; an object in JSON was meant otherwise.
fn bare(secret: Secret, source: &Source) -> Result<Sensitive<String>, Problem> {
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
fn wrapping_token(secret: Secret, source: &Source) -> Result<Sensitive<String>, Problem> {
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
