//! Mutations of bytes.

use fastrand::Rng;

use super::json::{self, odd_text};

/// No input is longer, in bytes.
const LONGEST: usize = 1 << 16;

/// One of the corpus, changed in some places.
pub fn mutate(rng: &mut Rng, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut input = pick(rng, corpus);
    let count = 1 + rng.usize(..5);
    for _ in 0..count {
        input.truncate(LONGEST);
        if rng.u8(..3) == 0
            && let Some(changed) = json::mutate(rng, &input)
        {
            input = changed;
            continue;
        }
        change(rng, &mut input, corpus);
    }
    input.truncate(LONGEST);
    input
}

fn pick(rng: &mut Rng, corpus: &[Vec<u8>]) -> Vec<u8> {
    corpus[rng.usize(..corpus.len())].clone()
}

/// A range of the input, perhaps empty.
fn range(rng: &mut Rng, length: usize, longest: usize) -> std::ops::Range<usize> {
    let start = rng.usize(..=length);
    start..length.min(start + rng.usize(..=longest))
}

fn change(rng: &mut Rng, input: &mut Vec<u8>, corpus: &[Vec<u8>]) {
    let length = input.len();
    match rng.u8(..12) {
        0 | 1 if length > 0 => {
            let at = rng.usize(..length);
            input[at] ^= 1 << rng.u8(..8);
        }
        2 if length > 0 => {
            let at = rng.usize(..length);
            input[at] = rng.u8(..);
        }
        3 => {
            let taken = range(rng, length, 12);
            input.drain(taken);
        }
        4 => input.truncate(rng.usize(..=length)),
        5 => {
            // Something twice, or many times.
            let taken = range(rng, length, 24);
            let (at, piece) = (taken.end, input[taken].to_vec());
            let times = if rng.u8(..6) == 0 { 400 } else { 1 };
            let room = LONGEST.saturating_sub(length);
            let times = times.min(room / piece.len().max(1));
            input.splice(at..at, piece.repeat(times));
        }
        6 => {
            // A piece of another one.
            let other = pick(rng, corpus);
            let piece = other[range(rng, other.len(), 64)].to_vec();
            let taken = range(rng, length, 16);
            input.splice(taken, piece);
        }
        7 => {
            // The beginning of this one, the end of another.
            let other = pick(rng, corpus);
            input.truncate(rng.usize(..=length));
            input.extend_from_slice(&other[rng.usize(..=other.len())..]);
        }
        8 => {
            // A number in place of a number.
            let digits = |byte: &u8| byte.is_ascii_digit();
            if let Some(start) = input.iter().position(digits) {
                let rest = &input[start..];
                let end = rest.iter().position(|byte| !digits(byte));
                let end = end.map_or(length, |end| start + end);
                let numbers = [
                    "0",
                    "-1",
                    "65536",
                    "4294967296",
                    "18446744073709551615",
                    "9999999999999999999999",
                ];
                let number = numbers[rng.usize(..numbers.len())];
                input.splice(start..end, number.bytes());
            }
        }
        _ => {
            let taken = range(rng, length, 2);
            input.splice(taken, odd_text(rng).bytes());
        }
    }
}
