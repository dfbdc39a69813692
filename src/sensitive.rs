//! Values that must not be printed.
//!
//! [`Sensitive`] has no `Display`, its `Debug` says `REDACTED`, and it wipes itself when dropped.
//! There is one way out, [`Sensitive::expose`], which is easy to search for.

use std::fmt;

use zeroize::Zeroize;

use crate::sys::secret_memory::SecretBytes;

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

/// A secret text that is kept for long, in memory that nobody else can read where the kernel has
/// such: a token, a secret id for another login.
pub struct Kept(SecretBytes);

impl Kept {
    /// The only way to read the secret.
    pub fn expose(&self) -> &str {
        // It was a text when it was put there.
        std::str::from_utf8(self.0.expose()).unwrap_or_default()
    }
}

impl From<Sensitive<String>> for Kept {
    fn from(secret: Sensitive<String>) -> Self {
        Self::from(secret.expose().as_str())
    }
}

impl From<&str> for Kept {
    fn from(text: &str) -> Self {
        Self(SecretBytes::new(text.as_bytes()))
    }
}

impl PartialEq for Kept {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl Eq for Kept {}

impl fmt::Debug for Kept {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("REDACTED")
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
        let kept = Kept::from("hunter2");
        let shown = format!("{secret:?} {:?} {kept:?}", Some(&secret));
        assert!(!shown.contains("hunter2"));
        assert!(shown.contains("REDACTED"));
    }

    #[test]
    fn expose_is_the_value() {
        assert_eq!(Sensitive::from("hunter2").expose(), "hunter2");
        assert_eq!(Kept::from(Sensitive::from("hunter2")).expose(), "hunter2");
    }
}
