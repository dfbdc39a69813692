//! Opening a wrapping token, as Vault's guidance has it: look it up first, refuse one that was not
//! made where it must have been, open it at most once, and take one that is spent for a possible theft.

use super::creation_path::CreationPath;
use crate::error::Error;
use crate::sensitive::Sensitive;
use crate::vault::{Client, Document, Failure, Patience};

/// What is to be done when nobody can say who opened a token that should have been made at `path`.
fn alarm(path: &CreationPath) -> String {
    format!(
        "two readings are possible. Harmless: it has expired, or an earlier run of this command opened it (a wrapping \
         token works once). Not harmless: somebody else opened it and now holds the secret id. If you cannot account for \
         it, destroy the secret ids of the role ({path}-accessor/destroy) and find out who could read the token; then \
         hand over a new one"
    )
}

/// Opens the token, if it is what it should be.
///
/// # Errors
/// [`Error::Wrapping`] when it is refused or may be stolen; [`Error::Server`] when the server
/// cannot be asked.
pub async fn open(
    client: &Client,
    patience: &Patience<'_>,
    token: &Sensitive<String>,
    path: &CreationPath,
) -> Result<Document, Error> {
    let doing = "open the wrapping token";
    let mut tries = 0;
    loop {
        let lookup = || client.wrapping_lookup(token, patience.left());
        // A lookup spends nothing: it may be asked again, also when its answer was lost.
        let retry =
            |failure: &Failure| failure.is_transient() || matches!(failure, Failure::Lost(_));
        let info = patience
            .insist(client, doing, retry, lookup)
            .await
            .map_err(|failure| refused(failure, Call::Lookup, path))?;
        if !path.allows(&info.creation_path) {
            return Err(Error::Wrapping {
                message: format!(
                    "the wrapping token was made at {}, not at {path}; it has not been opened",
                    capped(&info.creation_path)
                ),
                hint: "somebody may have opened the right token and wrapped something again: treat it as stolen \
                       unless you know better. If the path is right, say so with --wrapping-path \
                       (VAULTEXEC_WRAPPING_PATH)"
                    .to_owned(),
            });
        }
        // What is opened now would be thrown away, and missed by whoever tries next.
        if let Some(signal) = patience.interrupt.signal() {
            return Err(refused(Failure::Interrupted(signal), Call::Lookup, path));
        }
        match client.unwrap_response(token, patience.for_once()).await {
            Ok(document) => return Ok(document),
            // The server has said that it did not open it, or never got the request: the next turn
            // looks again whether the token is still whole before it is shown a second time.
            Err(failure)
                if failure.is_transient()
                    && patience.pause(client, doing, tries, &failure).await =>
            {
                tries += 1;
            }
            Err(failure) => return Err(refused(failure, Call::Unwrap, path)),
        }
    }
}

/// As much of the server's text as a person wants to read.
fn capped(text: &str) -> String {
    text.chars().take(200).collect()
}

/// The two calls: a look spends nothing, so that only the other one can lose what is in the token.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Call {
    Lookup,
    Unwrap,
}

fn refused(failure: Failure, call: Call, path: &CreationPath) -> Error {
    let message = match &failure {
        // Whoever does not speak the API cannot know the token.
        Failure::Refused {
            status: 400 | 403 | 404,
            ..
        } if failure.is_from_api() => {
            format!("the wrapping token is spent, expired or unknown: {failure}")
        }
        Failure::Lost(_) | Failure::Malformed { .. } if call == Call::Unwrap => {
            format!(
                "the wrapping token may have been opened, but what was in it is lost: {failure}"
            )
        }
        _ => {
            let hint = crate::error::hints::for_failure(&failure);
            let path = match call {
                Call::Lookup => "sys/wrapping/lookup",
                Call::Unwrap => "sys/wrapping/unwrap",
            };
            return Error::server("open the wrapping token", path.to_owned(), failure, hint);
        }
    };
    Error::Wrapping {
        message,
        hint: alarm(path),
    }
}
