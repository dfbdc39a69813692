//! Values that must not be printed.
//!
//! [`Sensitive`] has no `Display`, its `Debug` says `REDACTED`, and it wipes itself when dropped.
//! There is one way out, [`Sensitive::expose`], which is easy to search for.

use std::fmt;

use zeroize::Zeroize;

/// A secret value: a token, a secret id, a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Sensitive<T: Zeroize>(T);

impl<T: Zeroize> Sensitive<T> {
    /// Takes a secret into custody.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The only way to read the secret.
    pub const fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize> fmt::Debug for Sensitive<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("REDACTED")
    }
}

impl<T: Zeroize> Drop for Sensitive<T> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl From<&str> for Sensitive<String> {
    fn from(value: &str) -> Self {
        Self::new(value.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_never_shows_the_value() {
        let secret = Sensitive::from("hunter2");
        let shown = format!("{secret:?} {:?}", Some(&secret));
        assert!(!shown.contains("hunter2"));
        assert!(shown.contains("REDACTED"));
    }

    #[test]
    fn expose_is_the_value() {
        assert_eq!(Sensitive::from("hunter2").expose(), "hunter2");
    }
}
