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

/// How much of a text is shown, in bytes: nobody reads more, and it bounds what a server can have done for
/// a message.
const LONGEST: usize = 8 * 1024;
/// How far beyond that a form is looked for that begins before.
const BEYOND: usize = 8 * 1024;
/// The prime that polynomial hashes are taken modulo.
const PRIME: u64 = (1 << 61) - 1;

/// The forms by their length in bytes, as hashes.
///
/// The hash of any part of a text follows from those of its beginnings (a polynomial at a random point), so
/// that a search takes as long for a thousand lengths of a megabyte as for those of some words; what is kept
/// is a keyed hash of that.
struct Known {
    keys: RandomState,
    point: u64,
    forms: BTreeMap<usize, HashSet<u64>>,
}

impl Default for Known {
    fn default() -> Self {
        let keys = RandomState::new();
        Self {
            point: keys.hash_one("the point") % (PRIME - 256) + 256,
            keys,
            forms: BTreeMap::new(),
        }
    }
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
        let (mut hash, point) = (0, self.point);
        for byte in form.bytes() {
            hash = next(hash, point, byte);
        }
        let hash = self.keys.hash_one(hash);
        self.forms.entry(form.len()).or_default().insert(hash);
    }

    fn redact(&self, text: &str) -> String {
        let text = beginning(text, LONGEST + BEYOND);
        let hashes = Beginnings::of(text, self.point);
        let mut redacted = String::with_capacity(text.len().min(LONGEST));
        let mut at = 0;
        while let Some(character) = text.get(at..).and_then(|rest| rest.chars().next()) {
            if at >= LONGEST {
                redacted.push('…');
                break;
            }
            if let Some(length) = self.starts(text, at, &hashes) {
                redacted.push_str(REDACTED);
                at += length;
            } else {
                redacted.push(character);
                at += character.len_utf8();
            }
        }
        redacted
    }

    /// The length of the longest form that begins there.
    fn starts(&self, text: &str, at: usize, hashes: &Beginnings) -> Option<usize> {
        let mut forms = self.forms.range(..=text.len() - at).rev();
        let (length, _) = forms.find(|(length, known)| {
            let part = hashes.part(at, **length);
            part.is_some_and(|part| known.contains(&self.keys.hash_one(part)))
        })?;
        text.is_char_boundary(at + length).then_some(*length)
    }
}

/// The hashes of a text's beginnings, and the powers of the point.
struct Beginnings {
    hashes: Vec<u64>,
    powers: Vec<u64>,
}

impl Beginnings {
    fn of(text: &str, point: u64) -> Self {
        let (mut hashes, mut powers) = (vec![0], vec![1]);
        let (mut hash, mut power) = (0, 1);
        for byte in text.bytes() {
            hash = next(hash, point, byte);
            power = times(power, point);
            hashes.push(hash);
            powers.push(power);
        }
        Self { hashes, powers }
    }

    /// The hash of a part.
    fn part(&self, at: usize, length: usize) -> Option<u64> {
        let before = times(*self.hashes.get(at)?, *self.powers.get(length)?);
        Some((self.hashes.get(at + length)? + PRIME - before) % PRIME)
    }
}

fn next(hash: u64, point: u64, byte: u8) -> u64 {
    (times(hash, point) + u64::from(byte) + 1) % PRIME
}

fn times(one: u64, other: u64) -> u64 {
    let product = u128::from(one) * u128::from(other) % u128::from(PRIME);
    u64::try_from(product).unwrap_or_default()
}

/// So many bytes of a text at most, and whole characters.
fn beginning(text: &str, bytes: usize) -> &str {
    let end = (0..=bytes.min(text.len())).rev();
    let end = end.into_iter().find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or_default()).unwrap_or_default()
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
    fn no_more_of_a_text_is_searched_than_is_shown() {
        let mut known = Known::default();
        for length in 6..50 {
            known.enter(&format!("{}b", "a".repeat(length)));
        }
        let text = known.redact(&"a".repeat(10_000_000));
        assert_eq!(text.len(), LONGEST + '…'.len_utf8());
    }

    #[test]
    fn a_secret_that_is_cut_by_the_end_of_what_is_shown_is_none_the_less_redacted() {
        let mut known = Known::default();
        known.enter("hunter2-hunter3");
        let text = format!(
            "{}hunter2-hunter3{}",
            "x".repeat(LONGEST - 4),
            "y".repeat(LONGEST)
        );
        let text = known.redact(&text);
        assert!(text.ends_with("xREDACTED…"), "{}", text.len());
    }

    #[test]
    fn as_many_secrets_as_an_answer_can_hold_are_entered_once_each() {
        let mut known = Known::default();
        for number in 0..20_000 {
            known.enter(&format!("secret{number:06}"));
        }
        assert_eq!(
            known.forms.values().map(HashSet::len).sum::<usize>(),
            20_000
        );
        assert_eq!(known.redact("secret004711 secret99"), "REDACTED secret99");
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
