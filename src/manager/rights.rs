//! What the policy allows, asked once: whether the end of the run takes one call or three.

use std::time::Duration;

use crate::ledger::Rights;
use crate::vault::{Client, Token, asked};

/// Asks which revocations of leases a token's policy allows; nothing where the server does not say.
pub async fn ask(
    client: &Client,
    token: &Token,
    credentials: &[String],
    limit: Duration,
) -> Option<Rights> {
    // A lease's id is the path it was read at and something of its own.
    let of_one = |asked: &String| format!("sys/leases/revoke/{}/x", asked::path(asked));
    let mut paths = vec!["sys/leases/revoke".to_owned()];
    paths.extend(credentials.iter().map(of_one));
    let allowed = client.may_update(&paths, token, limit).await.ok()?;
    let (any, each) = allowed.split_first()?;
    let below = credentials
        .iter()
        .zip(each)
        .filter(|(_, allowed)| **allowed);
    Some(Rights {
        any: *any,
        below: below
            .map(|(asked, _)| asked::path(asked).to_owned())
            .collect(),
    })
}
