//! One thing that was looked at, and how it is printed.

use std::io::{IsTerminal as _, Write as _};

use serde_json::Map;

use crate::colour::{self, Colour};
use crate::environment::Inherited;
use crate::error::Error;
use crate::logging::{Format, escape, json_line};
use crate::redaction::redact;

/// What was looked at; the field `step` in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    Settings,
    Command,
    Server,
    Certificate,
    Seal,
    Wrapping,
    Login,
    Policy,
    Token,
    Database,
    Credentials,
    End,
}

impl Subject {
    const fn name(self) -> &'static str {
        match self {
            Self::Settings => "settings",
            Self::Command => "command",
            Self::Server => "server",
            Self::Certificate => "certificate",
            Self::Seal => "seal",
            Self::Wrapping => "wrapping_token",
            Self::Login => "login",
            Self::Policy => "policy",
            Self::Token => "token",
            Self::Database => "database",
            Self::Credentials => "credentials",
            Self::End => "end",
        }
    }
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// It is as a run needs it.
    Good,
    /// A run works, with a drawback.
    Drawback,
    /// A run does not work.
    Bad,
    /// It cannot be found out.
    Unknown,
}

impl Finding {
    const fn mark(self) -> (&'static str, Colour, &'static str) {
        match self {
            Self::Good => ("✓", Colour::Green, "ok"),
            Self::Drawback => ("!", Colour::Yellow, "warning"),
            Self::Bad => ("✗", Colour::Red, "failed"),
            Self::Unknown => ("?", Colour::Cyan, "unknown"),
        }
    }
}

/// One step of the check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What was looked at.
    pub subject: Subject,
    /// What was found.
    pub finding: Finding,
    /// In words: what, and why.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Lines that a policy needs.
    pub policy: Vec<String>,
}

impl Step {
    /// A step without a remedy.
    pub fn new(subject: Subject, finding: Finding, message: impl Into<String>) -> Self {
        Self {
            subject,
            finding,
            message: message.into(),
            hint: None,
            policy: Vec::new(),
        }
    }

    /// What would end a run.
    pub fn failed(subject: Subject, error: &Error) -> Self {
        Self::new(subject, Finding::Bad, error.to_string()).hint(error.hint().map(str::to_owned))
    }

    /// With what to do about it.
    pub fn hint(self, hint: Option<String>) -> Self {
        Self { hint, ..self }
    }

    /// Without what a server may have repeated of the secrets of another call.
    fn redacted(&self) -> Self {
        Self {
            message: redact(&self.message),
            hint: self.hint.as_deref().map(redact),
            policy: self.policy.iter().map(|line| redact(line)).collect(),
            ..*self
        }
    }

    /// A mark and the message, with what to do below.
    fn text(&self, colour: bool) -> String {
        let (mark, paint, _) = self.finding.mark();
        let mark = if colour {
            paint.paint(mark)
        } else {
            mark.to_owned()
        };
        let mut text = format!("{mark} {}\n", escape(&self.message));
        if let Some(hint) = &self.hint {
            text += &format!("  {}\n", escape(hint));
        }
        for line in &self.policy {
            text += &format!("      {}\n", escape(line));
        }
        text
    }

    /// One object.
    fn json(&self) -> String {
        let mut object = Map::new();
        let (_, _, result) = self.finding.mark();
        object.insert("step".to_owned(), self.subject.name().into());
        object.insert("result".to_owned(), result.into());
        object.insert("message".to_owned(), self.message.as_str().into());
        if let Some(hint) = &self.hint {
            object.insert("hint".to_owned(), hint.as_str().into());
        }
        if !self.policy.is_empty() {
            object.insert("policy".to_owned(), self.policy.clone().into());
        }
        json_line(object)
    }
}

/// Prints the steps as they come, and keeps count.
pub struct Report {
    format: Format,
    colour: bool,
    bad: usize,
    /// Whether the login may have taken the last use of something.
    spends: bool,
}

impl Report {
    /// Nothing is printed yet.
    pub fn new(format: Format) -> Self {
        Self {
            format,
            colour: colour::wanted(std::io::stdout().is_terminal(), &Inherited),
            bad: 0,
            spends: false,
        }
    }

    /// Whether a run would not work, as far as has been seen.
    pub const fn is_bad(&self) -> bool {
        self.bad > 0
    }

    /// Prints a step.
    pub fn say(&mut self, step: &Step) {
        self.bad += usize::from(step.finding == Finding::Bad);
        self.spends |= step.subject == Subject::Login && step.finding == Finding::Drawback;
        let step = step.redacted();
        let text = match self.format {
            Format::Text => step.text(self.colour),
            Format::Json => step.json(),
        };
        let mut output = std::io::stdout();
        // Nobody reads it, perhaps: the exit code says the same.
        let _printed = output
            .write_all(text.as_bytes())
            .and_then(|()| output.flush());
    }

    /// Prints what it comes to.
    pub fn conclude(&mut self) {
        let step = match self.bad {
            0 => Step::new(
                Subject::End,
                Finding::Good,
                format!(
                    "nothing that was looked at stands in the way of a run{}",
                    if self.spends {
                        ", if the secret id has a use left"
                    } else {
                        ""
                    }
                ),
            ),
            1 => Step::new(
                Subject::End,
                Finding::Bad,
                "a run would fail: 1 thing is to be mended",
            ),
            many => Step::new(
                Subject::End,
                Finding::Bad,
                format!("a run would fail: {many} things are to be mended"),
            ),
        };
        self.say(&step);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_names_every_step() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reference.md");
        let document = std::fs::read_to_string(path).expect("docs/reference.md");
        let (_, after) = document.split_once("The steps are ").expect("the steps");
        let (list, _) = after.split_once("\n\n").expect("an end");
        let listed: Vec<&str> = list.split('`').skip(1).step_by(2).collect();
        let all = [
            Subject::Settings,
            Subject::Command,
            Subject::Server,
            Subject::Certificate,
            Subject::Seal,
            Subject::Wrapping,
            Subject::Login,
            Subject::Policy,
            Subject::Token,
            Subject::Database,
            Subject::Credentials,
            Subject::End,
        ];
        assert_eq!(listed, all.map(Subject::name));
    }

    fn step() -> Step {
        Step {
            hint: Some("add this".to_owned()),
            policy: vec!["path \"a\" {}".to_owned()],
            ..Step::new(Subject::Policy, Finding::Bad, "no right\u{1b}[2J")
        }
    }

    #[test]
    fn text_has_a_mark_and_what_to_do_below_and_nothing_that_a_terminal_obeys() {
        assert_eq!(
            step().text(false),
            "✗ no right\\u{1b}[2J\n  add this\n      path \"a\" {}\n"
        );
        assert!(
            step()
                .text(true)
                .starts_with("\u{1b}[31m✗\u{1b}[0m no right\\u")
        );
    }

    #[test]
    fn json_is_one_object_a_line() {
        let line = step().json();
        assert_eq!(line.matches('\n').count(), 1);
        let object: serde_json::Value = serde_json::from_str(&line).expect("an object");
        assert_eq!(object["step"], "policy");
        assert_eq!(object["result"], "failed");
        assert_eq!(object["policy"][0], "path \"a\" {}");
    }
}
