//! What must not be logged: everything that was ever held as a secret, in the forms in which a library,
//! a server or a URL may write it.
//!
//! No copy is kept: of each form only its length and a keyed hash, which a message is searched for.

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;

use std::collections::{BTreeMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{LazyLock, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use crate::sensitive::Sensitive;

/// What is shorter is not told from ordinary words.
const SHORTEST: usize = 6;
const REDACTED: &str = "REDACTED";

/// The forms by their length in bytes, as hashes.
#[derive(Default)]
struct Known {
    keys: RandomState,
    forms: BTreeMap<usize, HashSet<u64>>,
}

static KNOWN: LazyLock<Mutex<Known>> = LazyLock::new(Mutex::default);

/// Enters a secret: from now on it is redacted in all that is logged.
pub fn enter(secret: &str) {
    if secret.len() < SHORTEST {
        return;
    }
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    for form in forms(secret) {
        known.enter(form.expose());
    }
}

/// Nothing was entered: for a fuzzer, which would enter more and more.
#[cfg(any(test, fuzzing))]
pub(crate) fn forget() {
    *KNOWN.lock().unwrap_or_else(PoisonError::into_inner) = Known::default();
}

/// The text with every secret that was entered replaced.
pub fn redact(text: &str) -> String {
    let known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    known.redact(text)
}

impl Known {
    fn enter(&mut self, form: &str) {
        let hash = self.keys.hash_one(form.as_bytes());
        self.forms.entry(form.len()).or_default().insert(hash);
    }

    fn redact(&self, text: &str) -> String {
        let mut redacted = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(character) = rest.chars().next() {
            if let Some(length) = self.starts(rest) {
                redacted.push_str(REDACTED);
                rest = rest.get(length..).unwrap_or_default();
            } else {
                redacted.push(character);
                rest = rest.get(character.len_utf8()..).unwrap_or_default();
            }
        }
        redacted
    }

    /// The length of the longest form that the text begins with.
    fn starts(&self, text: &str) -> Option<usize> {
        let mut forms = self.forms.iter().rev();
        let found = forms.find(|(length, hashes)| {
            let start = text.as_bytes().get(..**length);
            start.is_some_and(|start| hashes.contains(&self.keys.hash_one(start)))
        });
        let (length, _) = found?;
        text.is_char_boundary(*length).then_some(*length)
    }
}

/// A secret as it is, percent-encoded, in JSON, in hexadecimal and in base64.
fn forms(secret: &str) -> Vec<Sensitive<String>> {
    let percent = |upper: bool, plain: &[u8]| -> String {
        let mut text = String::with_capacity(3 * secret.len());
        for byte in secret.bytes() {
            match byte {
                byte if byte.is_ascii_alphanumeric() || plain.contains(&byte) => {
                    text.push(byte.into());
                }
                byte if upper => text.push_str(&format!("%{byte:02X}")),
                byte => text.push_str(&format!("%{byte:02x}")),
            }
        }
        text
    };
    let hex = |upper: bool| -> String {
        let digits = secret.bytes().map(|byte| {
            if upper {
                format!("{byte:02X}")
            } else {
                format!("{byte:02x}")
            }
        });
        digits.collect()
    };
    let json = serde_json::Value::from(secret).to_string();
    let json = json
        .trim_start_matches('"')
        .strip_suffix('"')
        .unwrap_or_default();
    let mut all = vec![
        secret.to_owned(),
        percent(true, b"-._~"),
        percent(false, b"-._~"),
        percent(true, b""),
        json.to_owned(),
        secret.escape_debug().to_string(),
        secret.escape_default().to_string(),
        hex(false),
        hex(true),
    ];
    // In the middle of something longer, base64 has three beginnings; the characters at both ends hang
    // together with what is next to them.
    for shift in 0..3 {
        let mut bytes = vec![0; shift];
        bytes.extend_from_slice(secret.as_bytes());
        let first = if shift == 0 { 0 } else { shift + 1 };
        let last = usize::from(!bytes.len().is_multiple_of(3));
        for encoded in [
            STANDARD_NO_PAD.encode(&bytes),
            URL_SAFE_NO_PAD.encode(&bytes),
        ] {
            let end = encoded.len().saturating_sub(last);
            all.push(encoded.get(first..end).unwrap_or_default().to_owned());
        }
    }
    let mut all: Vec<_> = all
        .into_iter()
        .filter(|form| form.len() >= SHORTEST)
        .map(Sensitive::new)
        .collect();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "p:ä\"s\\w@rd/%";

    fn known() -> Known {
        let mut known = Known::default();
        for form in forms(SECRET) {
            known.enter(form.expose());
        }
        known
    }

    #[test]
    fn a_secret_is_found_in_each_of_its_forms_wherever_it_stands() {
        let known = known();
        let url = percent_encoding::utf8_percent_encode(SECRET, percent_encoding::NON_ALPHANUMERIC);
        for form in [
            SECRET.to_owned(),
            url.to_string(),
            format!("{SECRET:?}").trim_matches('"').to_owned(),
            serde_json::json!({ "x": SECRET }).to_string(),
            SECRET.bytes().map(|byte| format!("{byte:02x}")).collect(),
        ] {
            let text = known.redact(&format!("é {form} and {form}."));
            assert_eq!(text.matches(REDACTED).count(), 2, "{text}");
            assert!(
                !text.contains("w@rd") && !text.to_lowercase().contains("w%40rd"),
                "{text}"
            );
        }
        for before in ["", "a", "ab", "abc", "user:"] {
            for after in ["", "x", "yz"] {
                let inner = format!("{before}{SECRET}{after}");
                for encoded in [
                    STANDARD_NO_PAD.encode(&inner),
                    URL_SAFE_NO_PAD.encode(&inner),
                ] {
                    let text = known.redact(&encoded);
                    assert!(text.contains(REDACTED), "{before} {after}: {text}");
                }
            }
        }
    }

    #[test]
    fn as_many_secrets_as_an_answer_can_hold_take_no_time() {
        let started = std::time::Instant::now();
        let mut known = Known::default();
        for number in 0..20_000 {
            for form in forms(&format!("secret{number:06}")) {
                known.enter(form.expose());
            }
        }
        let text = known.redact(&"nothing of it ".repeat(100));
        assert!(!text.contains(REDACTED));
        let took = started.elapsed();
        assert!(took < std::time::Duration::from_secs(20), "{took:?}");
    }

    #[test]
    fn everything_else_stays_as_it_is() {
        let known = known();
        for text in ["", "p:ä", "nothing of it, ä\u{1f980}", "p:ä\"s\\w@rd/"] {
            assert_eq!(known.redact(text), text);
        }
        assert_eq!(Known::default().redact(SECRET), SECRET);
    }

    #[test]
    fn too_short_a_secret_is_not_looked_for() {
        enter("ab");
        assert_eq!(redact("about"), "about");
        enter("entered-in-a-test");
        assert_eq!(redact("x entered-in-a-test y"), "x REDACTED y");
    }
}
