//! Where a secret is. The source is checked early and read late: the process that guards against a
//! crash is started in between, and must not inherit a secret.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use serde::de::IgnoredAny;
use zeroize::Zeroizing;

use super::file;
use crate::environment::{Environment as _, Inherited};
use crate::error::{Problem, cannot_read, quotes};
use crate::redaction;
use crate::sensitive::Sensitive;

/// A secret text, trimmed of the white space around it.
pub type Secret = Sensitive<String>;

/// No role id, secret id or wrapping token is longer.
const LONGEST: u64 = 64 * 1024;

/// Where a secret is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// In the flag's value, for what is not secret.
    Flag {
        /// The flag's name.
        setting: String,
        /// What was given.
        value: String,
    },
    /// In this variable.
    Variable(String),
    /// In this file.
    File {
        /// The names of the setting.
        setting: String,
        /// The file.
        path: PathBuf,
    },
    /// On standard input, up to its end.
    StandardInput {
        /// The names of the setting.
        setting: String,
    },
}

impl Source {
    /// The names of the setting that this came from.
    #[must_use]
    pub fn setting(&self) -> &str {
        match self {
            Self::Variable(setting)
            | Self::Flag { setting, .. }
            | Self::File { setting, .. }
            | Self::StandardInput { setting } => setting,
        }
    }

    /// The file, if it is one.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::File { path, .. } => Some(path),
            _ => None,
        }
    }

    /// Whether reading it may take as long as somebody else likes: a pipe, a terminal.
    #[must_use]
    pub fn may_block(&self) -> bool {
        match self {
            Self::Flag { .. } | Self::Variable(_) => false,
            Self::File { path, .. } => path.metadata().is_ok_and(|metadata| !metadata.is_file()),
            Self::StandardInput { .. } => true,
        }
    }

    /// Whether it is a file that can be read again: a pipe gives its content once.
    #[must_use]
    pub fn can_be_read_again(&self) -> bool {
        self.file().is_some_and(Path::is_file)
    }

    /// Whether it is a file that may be there again later, though it may be gone now.
    #[must_use]
    pub fn is_a_place(&self) -> bool {
        self.file()
            .is_some_and(|path| path.is_file() || !path.exists())
    }

    /// Whether it is there to be read, as far as that can be said without reading it. What gives
    /// its content only once, as a pipe does, is not opened.
    ///
    /// # Errors
    /// When a file is not there or may not be read.
    pub fn check(&self) -> Result<(), Problem> {
        let Self::File { setting, path } = self else {
            return Ok(());
        };
        let looked_at = path.metadata().and_then(|metadata| {
            if metadata.is_dir() {
                return Err(Errno::EISDIR.into());
            }
            if metadata.is_file() {
                File::open(path)?;
            }
            Ok(())
        });
        looked_at.map_err(|error| Problem::new(setting, cannot_read(path, &error)))
    }

    /// Reads the secret.
    ///
    /// # Errors
    /// When it is not there, is empty, or cannot be a secret of the API.
    pub fn read(&self) -> Result<Secret, Problem> {
        let secret = self.word(&self.bytes(file::open_secret)?)?;
        redaction::enter(secret.expose());
        Ok(secret)
    }

    /// Reads what is no secret: who else may read it is nobody's business.
    ///
    /// # Errors
    /// As `read`.
    pub fn read_public(&self) -> Result<Secret, Problem> {
        self.word(&self.bytes(|path| File::open(path).map(Ok))?)
    }

    pub(super) fn word(&self, bytes: &[u8]) -> Result<Secret, Problem> {
        let wrong = |words: &str| Problem::new(self.setting(), words);
        let text = self.text(bytes)?.trim();
        if text.is_empty() {
            return Err(wrong("it is empty"));
        }
        if let Some(words) = quotes(text) {
            return Err(wrong(words));
        }
        // JSON may be laid out in lines.
        let json = text.starts_with('{') && serde_json::from_str::<IgnoredAny>(text).is_ok();
        if !json && text.contains(char::is_control) {
            return Err(wrong(
                "it holds a control character; one line is needed (the server's client prints the bare value with \
                 -field=secret_id, or -field=wrapping_token)",
            ));
        }
        Ok(Secret::from(text))
    }

    /// Reads a password, in which blanks and quotes are characters like others: all of one line.
    ///
    /// # Errors
    /// When it is not there, is empty, or has more than one line.
    pub fn read_exactly(&self) -> Result<Secret, Problem> {
        let bytes = self.bytes(file::open_secret)?;
        let text = self.text(&bytes)?;
        let text = text.strip_suffix('\n').unwrap_or(text);
        let text = text.strip_suffix('\r').unwrap_or(text);
        let words = if text.is_empty() {
            "it is empty"
        } else if text.contains(char::is_control) {
            "it holds a control character; one line is needed"
        } else {
            redaction::enter(text);
            return Ok(Secret::from(text));
        };
        Err(Problem::new(self.setting(), words))
    }

    fn text<'a>(&self, bytes: &'a [u8]) -> Result<&'a str, Problem> {
        let text = std::str::from_utf8(bytes)
            .map_err(|_| Problem::new(self.setting(), "it is not text in UTF-8"))?;
        Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
    }

    fn bytes(
        &self,
        open: impl Fn(&Path) -> std::io::Result<Result<File, String>>,
    ) -> Result<Zeroizing<Vec<u8>>, Problem> {
        let wrong = |words: String| Problem::new(self.setting(), words);
        let bytes = match self {
            Self::Flag { value, .. } => Zeroizing::new(value.clone().into_bytes()),
            Self::Variable(name) => {
                let value = Inherited.variable(name).unwrap_or_default();
                Zeroizing::new(std::os::unix::ffi::OsStringExt::into_vec(value))
            }
            Self::File { path, .. } => {
                let cannot = |error| wrong(cannot_read(path, &error));
                let file = open(path).map_err(cannot)?.map_err(wrong)?;
                bounded(file).map_err(cannot)?
            }
            // Not by way of the standard library's buffer, which is never given back.
            Self::StandardInput { .. } => std::io::stdin()
                .as_fd()
                .try_clone_to_owned()
                .and_then(|input| bounded(File::from(input)))
                .map_err(|error| wrong(format!("cannot read standard input: {error}")))?,
        };
        if u64::try_from(bytes.len()).is_ok_and(|length| length > LONGEST) {
            return Err(wrong("it is longer than 64 KiB".to_owned()));
        }
        Ok(bytes)
    }
}

fn bounded(source: impl std::io::Read) -> std::io::Result<Zeroizing<Vec<u8>>> {
    // All at once, so that no half of it stays behind where a growing buffer was.
    let mut bytes = Zeroizing::new(Vec::with_capacity(
        1 + usize::try_from(LONGEST).unwrap_or_default(),
    ));
    source.take(LONGEST + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(value: &str) -> Result<Secret, Problem> {
        Source::Flag {
            setting: "--role-id".to_owned(),
            value: value.to_owned(),
        }
        .read()
    }

    #[test]
    fn white_space_and_a_mark_of_the_byte_order_around_a_secret_are_not_part_of_it() {
        for (value, secret) in [
            (" abc\r\n", "abc"),
            ("\u{feff}abc\n", "abc"),
            ("p\u{e4}ssw\u{f6}rd", "p\u{e4}ssw\u{f6}rd"),
            ("{abc", "{abc"),
            ("a\"b\"", "a\"b\""),
        ] {
            let read = given(value).map(|secret| secret.expose().clone());
            assert_eq!(read, Ok(secret.to_owned()));
        }
    }

    #[test]
    fn of_a_password_only_the_end_of_the_line_is_taken_away() {
        let exactly = |value: &str| {
            let source = Source::Flag {
                setting: "--password-file".to_owned(),
                value: value.to_owned(),
            };
            source.read_exactly().map(|secret| secret.expose().clone())
        };
        for (value, password) in [
            (" a b \n", " a b "),
            ("\"quoted\"\r\n", "\"quoted\""),
            ("{", "{"),
            (" ", " "),
        ] {
            assert_eq!(exactly(value), Ok(password.to_owned()));
        }
        for value in [
            "",
            "\n",
            "hunter2\nhunter2\n",
            "hunter2\n\n",
            "hunter2\u{1b}",
        ] {
            let shown = exactly(value).expect_err("wrong on purpose").to_string();
            assert!(
                shown.starts_with("--password-file: it ") && !shown.contains("hunter2"),
                "{shown}"
            );
        }
    }

    #[test]
    fn what_cannot_be_a_secret_is_named_and_not_shown() {
        for value in [
            "",
            "  \n",
            "hunter2\nhunter3",
            "hunter2\0",
            "\"hunter2\"",
            "'hunter2'",
            "{hunter2\nhunter3",
            &"hunter2".repeat(20_000),
        ] {
            let shown = given(value).expect_err("wrong on purpose").to_string();
            assert!(
                shown.starts_with("--role-id: ") && !shown.contains("hunter2"),
                "{shown}"
            );
        }
    }

    #[test]
    fn a_missing_file_is_named_with_its_setting() {
        let source = Source::File {
            setting: "VAULT_SECRET_ID_FILE".to_owned(),
            path: "/nowhere/secret".into(),
        };
        for problem in [source.check(), source.read().map(drop)] {
            let shown = problem.expect_err("not there").to_string();
            assert!(
                shown.contains("VAULT_SECRET_ID_FILE: cannot read /nowhere/secret: No such file"),
                "{shown}"
            );
        }
    }
}
