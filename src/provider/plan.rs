//! Whether credentials are replaced with the token at hand or with another login. Pure.

use crate::auth::CannotRepeat;

/// What is known when credentials have to be replaced.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// Whether the token ends as early as the credentials: another lease under it would, too.
    pub token_ends: bool,
    /// Whether the old lease can be revoked and its token kept.
    pub lease_goes_alone: bool,
    /// Whether there can be another login.
    pub can_log_in: Result<(), CannotRepeat>,
}

/// How new credentials are got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// With the token at hand.
    KeepToken,
    /// With a new one, so that the old lease goes with its token.
    LogIn,
}

/// Decides.
///
/// # Errors
/// Why there can be no new credentials, ever.
pub const fn plan(facts: Facts) -> Result<Plan, CannotRepeat> {
    match facts {
        Facts {
            token_ends: false,
            lease_goes_alone: true,
            ..
        } => Ok(Plan::KeepToken),
        Facts {
            can_log_in: Ok(()), ..
        } => Ok(Plan::LogIn),
        // The old lease stays until its end: worse than to be without credentials it is not.
        Facts {
            token_ends: false, ..
        } => Ok(Plan::KeepToken),
        Facts {
            can_log_in: Err(reason),
            ..
        } => Err(reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_kept_where_it_outlives_the_lease_and_the_lease_can_go_alone() {
        let no = Err(CannotRepeat::UsesSpent);
        for (token_ends, lease_goes_alone, can_log_in, expected) in [
            (false, true, Ok(()), Ok(Plan::KeepToken)),
            (false, true, no, Ok(Plan::KeepToken)),
            (false, false, Ok(()), Ok(Plan::LogIn)),
            (false, false, no, Ok(Plan::KeepToken)),
            (true, true, Ok(()), Ok(Plan::LogIn)),
            (true, false, Ok(()), Ok(Plan::LogIn)),
            (true, true, no, Err(CannotRepeat::UsesSpent)),
            (true, false, no, Err(CannotRepeat::UsesSpent)),
        ] {
            let facts = Facts {
                token_ends,
                lease_goes_alone,
                can_log_in,
            };
            assert_eq!(plan(facts), expected, "{facts:?}");
        }
    }
}
