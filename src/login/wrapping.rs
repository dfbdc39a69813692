//! Opening a wrapping token, as Vault's guidance has it: look it up first, refuse one that was not
//! made where it must have been, open it at most once, and take one that is spent for a possible theft.

use super::creation_path::CreationPath;
use crate::error::Error;
use crate::sensitive::Kept;
use crate::vault::{Client, Document, Failure, Retry, WrappingInfo};

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
    retry: &Retry,
    token: &Kept,
    path: &CreationPath,
) -> Result<Document, Error> {
    let doing = "open the wrapping token";
    // The server has said that it did not open it, or never got the request: the next turn looks
    // again whether the token is still whole before it is shown a second time.
    let mut refusal = None;
    let opened = retry
        .run(client, doing, Failure::is_transient, async || {
            refusal = None;
            if let Err(error) = look_up(client, retry, token, path).await {
                refusal = Some(error);
                return Ok(None);
            }
            // What is opened now would be thrown away, and missed by whoever tries next.
            if let Some(signal) = retry.just_interrupted().await {
                return Err(Failure::Interrupted(signal));
            }
            let document = client.unwrap_response(token, retry.for_once()).await?;
            Ok(Some(document))
        })
        .await;
    match (opened, refusal) {
        (Ok(Some(document)), _) => Ok(document),
        (_, Some(error)) => Err(error),
        (Ok(None), None) => Err(Error::system("open the wrapping token", &"no answer")),
        (Err(failure), None) => Err(refused(failure, Call::Unwrap, path)),
    }
}

/// Looks the token up without opening it, and refuses one that was not made where it must have been.
///
/// # Errors
/// As `open`.
pub async fn look_up(
    client: &Client,
    retry: &Retry,
    token: &Kept,
    path: &CreationPath,
) -> Result<WrappingInfo, Error> {
    let doing = "open the wrapping token";
    // A look-up spends nothing: it may be asked again, also when its answer was lost.
    let repeat = |failure: &Failure| failure.is_transient() || matches!(failure, Failure::Lost(_));
    let info = retry
        .run(client, doing, repeat, async || {
            client.wrapping_lookup(token, retry.left()).await
        })
        .await
        .map_err(|failure| refused(failure, Call::Lookup, path))?;
    if path.allows(&info.creation_path) {
        return Ok(info);
    }
    Err(Error::Wrapping {
        message: format!(
            "the wrapping token was made at {}, not at {path}; it has not been opened",
            capped(&info.creation_path)
        ),
        hint: "somebody may have opened the right token and wrapped something again: treat it as stolen unless you know \
               better. If the path is right, say so with --wrapping-path (VAULTEXEC_WRAPPING_PATH)"
            .to_owned(),
    })
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
