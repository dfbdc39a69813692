//! Settings, tokens, leases and answers for tests.

use std::rc::Rc;
use std::time::Duration;

use super::machine::Rules;
use crate::error::Error;
use crate::ledger::{NewLease, NewSession};
use crate::secret::Issued;
use crate::sensitive::Kept;
use crate::sys::clock::Moment;
use crate::vault::Failure;

/// The default settings.
pub fn rules() -> Rules {
    Rules {
        paths: vec!["database/creds/app-role".to_owned()],
        lease_ttl: None,
        replace: true,
        end_child: true,
        stop_timeout: Duration::from_secs(10),
        start_timeout: Duration::from_secs(30),
        revoke_timeout: Duration::from_secs(5),
        keep: false,
        strict: false,
    }
}

/// A service token that was granted now for so many minutes.
pub fn service_token(minutes: u64) -> NewSession {
    NewSession {
        token: Rc::new(Kept::from("hvs.token")),
        batch: false,
        foreign: false,
        uses: None,
        renewable: true,
        duration: Duration::from_secs(60 * minutes),
        granted_at: Moment::now(),
        identity: String::new(),
    }
}

/// A service token of an hour with which so many calls can be made.
pub fn counted_token(uses: u64) -> NewSession {
    NewSession {
        uses: Some(uses),
        ..service_token(60)
    }
}

/// What a read has brought: this lease, or a failure.
pub fn issued(lease: NewLease, failure: Option<Failure>) -> Issued {
    let lost = failure.as_ref().is_some_and(Failure::may_have_acted);
    let sent = failure.as_ref().is_none_or(Failure::was_sent);
    let secret = match failure {
        None => Ok([("username", "v-user"), ("password", "password")].into()),
        Some(failure) => Err(Error::server(
            "read credentials",
            "database/creds/x",
            failure,
            None,
        )),
    };
    Issued {
        lease: secret.is_ok().then_some(lease),
        lost,
        undelivered: lost,
        calls: u32::from(sent),
        secret,
        rotation: None,
    }
}

/// An answer that did not arrive.
pub fn lost() -> Failure {
    Failure::Lost("reset".to_owned())
}

/// The API has refused something in these words.
pub fn refused(status: u16, words: &str) -> Failure {
    Failure::Refused {
        status,
        errors: vec![words.to_owned()],
        from_api: true,
        retry_after: None,
    }
}
