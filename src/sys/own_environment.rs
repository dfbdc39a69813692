//! The variables this process was started with. What the kernel laid out for it stays readable in
//! `/proc/PID/environ` for as long as it runs, so secrets are taken out of there.

use std::ffi::{CStr, OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::secret_memory::SecretBytes;

/// A variable whose value was taken out; without the value once that is forgotten.
struct Taken {
    name: OsString,
    value: Option<SecretBytes>,
}

/// In the order of the environment.
static TAKEN: Mutex<Vec<Taken>> = Mutex::new(Vec::new());

fn taken() -> MutexGuard<'static, Vec<Taken>> {
    TAKEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes the values of the variables whose names are `secret` out of the environment, and overwrites
/// them there. Must be called at the start, while there is only one thread.
pub fn take(secret: impl Fn(&[u8]) -> bool) {
    unsafe extern "C" {
        static environ: *const *mut libc::c_char;
    }
    let mut taken = taken();
    // SAFETY: a null-terminated array of strings that nobody else uses: there is one thread, and no
    // reference to a string of it outlives a turn of the loop.
    unsafe {
        let mut entry = environ;
        while !entry.is_null() && !(*entry).is_null() {
            let text = CStr::from_ptr(*entry).to_bytes();
            if let Some((name, value)) = parts(text)
                && secret(name)
            {
                taken.push(Taken {
                    name: OsStr::from_bytes(name).to_owned(),
                    value: Some(SecretBytes::new(value)),
                });
                let (start, length) = (name.len() + 1, value.len());
                libc::explicit_bzero((*entry).add(start).cast(), length);
            }
            entry = entry.add(1);
        }
    }
}

/// Name and value; a leading `=` is part of the name, as the standard library has it.
fn parts(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let equals = text.iter().skip(1).position(|&byte| byte == b'=')? + 1;
    Some((text.get(..equals)?, text.get(equals + 1..)?))
}

/// Forgets the values that were taken out, but for those whose names are to be kept.
pub fn forget(keep: impl Fn(&OsStr) -> bool) {
    for variable in taken().iter_mut() {
        if !keep(&variable.name) {
            variable.value = None;
        }
    }
}

/// A variable's value, unless it was forgotten.
#[must_use]
pub fn variable(name: &str) -> Option<OsString> {
    let taken = taken();
    match taken.iter().find(|variable| variable.name == name) {
        Some(variable) => variable.value.as_ref().map(text),
        None => variable_left(name),
    }
}

/// All variables, in the caller's order, but for those that were forgotten.
#[must_use]
pub fn all() -> Vec<(OsString, OsString)> {
    let taken = taken();
    let mut next = taken.iter().peekable();
    let all = all_left().filter_map(|(name, value)| {
        match next.next_if(|variable| variable.name == name) {
            Some(variable) => Some((name, variable.value.as_ref().map(text)?)),
            None => Some((name, value)),
        }
    });
    all.collect()
}

fn text(bytes: &SecretBytes) -> OsString {
    OsString::from_vec(bytes.expose().to_vec())
}

#[expect(clippy::disallowed_methods, reason = "what was not taken out")]
fn variable_left(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

#[expect(clippy::disallowed_methods, reason = "what was not taken out")]
fn all_left() -> std::env::VarsOs {
    std::env::vars_os()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_ends_at_the_first_equals_sign_that_it_does_not_begin_with() {
        for (text, expected) in [
            ("A=b=c", Some(("A", "b=c"))),
            ("A=", Some(("A", ""))),
            ("=A=b", Some(("=A", "b"))),
            ("A", None),
            ("", None),
            ("=", None),
        ] {
            let expected =
                expected.map(|(name, value): (&str, &str)| (name.as_bytes(), value.as_bytes()));
            assert_eq!(parts(text.as_bytes()), expected, "{text}");
        }
    }
}
