//! What must be so of a run, whatever the server has said.

use super::plan::{Plan, Way};
use crate::support::http::Answer;
use crate::support::{Finished, RequestInfo};
use serde_json::Value;
use std::time::Duration;

/// The start, the command, the end and its own bounds take no more than ten seconds; the rest is for a machine that does much else.
pub const LATEST: Duration = Duration::from_secs(60);

/// What the altered answers said, as far as it can be believed.
#[derive(Clone, Debug, Default)]
pub struct Believed {
    /// Secrets that stand in an altered answer elsewhere than where they are secrets.
    misplaced: Vec<String>,
    lies: bool,
}

impl Believed {
    /// The client is told `altered` in place of `answer`.
    pub fn hears(&mut self, request: &RequestInfo, answer: &Answer, altered: &[u8]) {
        let (was, is) = (json(&answer.body), body(altered));
        let own = ["/auth/client_token", "/data/password", "/data/secret_id"];
        for place in own {
            let secret = was.pointer(place).and_then(Value::as_str);
            if let Some(secret) = secret
                && is.pointer(place) != was.pointer(place)
            {
                // Nobody who reads this can know that it is one.
                self.misplaced.push(secret.to_owned());
            }
        }
        // How long the token lives, how often it can be used, and what kind it is.
        let of_token = request.is_login()
            || request.is_token_renew()
            || request.path == "/v1/auth/token/lookup-self";
        self.lies |= of_token && is.is_object() && is != was;
    }

    /// Whether the client may take its token for one that has ended or cannot be revoked.
    pub fn is_a_lie(&self) -> bool {
        self.lies
    }
}

fn json(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap_or_default()
}

/// The JSON in an altered answer, if it is one whose head ends somewhere.
fn body(bytes: &[u8]) -> Value {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
    end.map_or(Value::Null, |end| json(&bytes[end + 4..]))
}

/// What should not have been, in words.
pub fn judge(plan: &Plan, run: &Finished, secrets: &[String], believed: &Believed) -> Vec<String> {
    let mut wrong = Vec::new();
    let allowed: &[i32] = match plan.way {
        Way::Check | Way::CheckToken => &[0, 125],
        // A password that is longer than a variable may be keeps the command from being run.
        _ => &[0, 125, 126],
    };
    if !run.code().is_some_and(|code| allowed.contains(&code)) {
        wrong.push(format!("ended with {}, not one of {allowed:?}", run.status));
    }
    for (name, output) in [("stdout", &run.stdout), ("stderr", &run.stderr)] {
        match std::str::from_utf8(output) {
            Err(_) => wrong.push(format!("{name} is not UTF-8")),
            Ok(text) if text.contains(drives_a_terminal) => {
                wrong.push(format!("{name} holds a control or format character"));
            }
            Ok(_) => {}
        }
        let told = secrets.iter().any(|secret| {
            let is_known = !believed.misplaced.contains(secret) && secret.len() >= 6;
            let holds = |window: &[u8]| window == secret.as_bytes();
            is_known && output.windows(secret.len()).any(holds)
        });
        if told {
            wrong.push(format!("{name} holds a secret of the server's"));
        }
    }
    wrong
}

/// Written here anew: the product's own list is what is tested.
fn drives_a_terminal(character: char) -> bool {
    let format = [
        "\u{ad}",
        "\u{61c}",
        "\u{180e}",
        "\u{200b}\u{200f}",
        "\u{2028}\u{202e}",
        "\u{2060}\u{206f}",
        "\u{feff}",
        "\u{fff9}\u{fffb}",
        "\u{e0001}\u{e007f}",
    ];
    let within = format.iter().any(|range| {
        let (first, last) = (range.chars().next(), range.chars().last());
        first <= Some(character) && Some(character) <= last
    });
    within && character != '\u{2065}' || character.is_control() && character != '\n'
}
