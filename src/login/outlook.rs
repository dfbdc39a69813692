//! Whether there can be another login, as far as is known.

use crate::sys::clock::Moment;

/// What is known of later logins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outlook {
    /// What a login is made of, as in "the secret id".
    pub what: &'static str,
    /// Why there can be none, if that is known.
    pub cannot: Option<CannotRepeat>,
    /// When what the login is made of ends.
    pub until: Option<Moment>,
    /// Where it may be delivered anew: a file that is read again for each login.
    pub source: Option<String>,
}

/// Why there can be no other login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CannotRepeat {
    /// The secret id had a number of uses, and none is left.
    UsesSpent,
    /// The time of this is over.
    Expired(&'static str),
    /// The server said no to a login with this.
    Refused(&'static str),
    /// This was given once, and is not there any more.
    Gone(&'static str),
    /// There was no login: the token came from somebody else.
    HandedIn,
}

impl Outlook {
    /// Whether there can be another login at a moment.
    ///
    /// # Errors
    /// Why not.
    pub fn allows(&self, at: Moment) -> Result<(), CannotRepeat> {
        match self.cannot {
            Some(reason) => Err(reason),
            None if self.until.is_some_and(|until| until <= at) => {
                Err(CannotRepeat::Expired(self.what))
            }
            None => Ok(()),
        }
    }

    /// Whether another try can bring what was not there before.
    #[must_use]
    pub const fn may_be_delivered_anew(&self) -> bool {
        self.source.is_some()
    }
}

impl std::fmt::Display for CannotRepeat {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::UsesSpent => formatter.write_str("the secret id has no use left"),
            Self::Expired(what) => write!(formatter, "{what} has expired"),
            Self::Refused(what) => write!(formatter, "the server has refused {what}"),
            Self::Gone(what) => write!(formatter, "{what} is not there any more"),
            Self::HandedIn => formatter.write_str("there is only the token that was handed in"),
        }
    }
}
