//! `{{username}}`, `{{ro.password | url}}`: a variable's value, made of fields. Parsed before anything
//! is asked for.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::encode;
use crate::secret::Fields;
use crate::sensitive::Sensitive;

/// What is done to a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Filter {
    /// Percent-encoded, valid in every part of a URL.
    Url,
    /// A JSON string, quotes included.
    Json,
    /// Base64 with padding.
    Base64,
}

const FILTERS: [(&str, Filter); 3] = [
    ("url", Filter::Url),
    ("json", Filter::Json),
    ("base64", Filter::Base64),
];

/// Each makes a text longer, by a third or to twice its length: many in a row would take all the memory.
const MOST_FILTERS: usize = 4;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Field {
        /// The secret's place among those that are known; the first is the default.
        secret: usize,
        field: String,
        filters: Vec<Filter>,
    },
}

/// A template, parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Part>);

/// A secret with what was made of it: `url`, `jdbc_url`. A field of the same name wins.
#[derive(Debug)]
pub struct Source {
    /// What the server gave out.
    pub fields: Fields,
    /// Names, and values or the reason why there is none.
    pub derived: Vec<(&'static str, Result<Sensitive<String>, &'static str>)>,
}

impl Template {
    /// Parses a template; `names` are those of the credentials, the default one first.
    ///
    /// # Errors
    /// What is wrong, and what would be right.
    pub fn parse(text: &str, names: &[&str]) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let (inside, after) = after
                .split_once("}}")
                .ok_or("a {{ in it has no }} after it")?;
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            parts.push(field(inside, names)?);
            rest = after;
        }
        if rest.contains("}}") {
            return Err("a }} in it has no {{ before it".to_owned());
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self(parts))
    }

    /// The places of the credentials that it takes something of.
    pub fn secrets(&self) -> impl Iterator<Item = usize> {
        self.0.iter().filter_map(|part| match part {
            Part::Field { secret, .. } => Some(*secret),
            Part::Text(_) => None,
        })
    }

    /// The value. `sources` are in the order of the names that it was parsed with.
    ///
    /// # Errors
    /// A field that the answer does not have, with those that it has.
    pub fn render(&self, sources: &[Source]) -> Result<Sensitive<String>, String> {
        let mut parts = Vec::new();
        for part in &self.0 {
            parts.push(match part {
                Part::Text(text) => Sensitive::from(text.as_str()),
                Part::Field {
                    secret,
                    field,
                    filters,
                } => {
                    let source = sources.get(*secret).ok_or("its credentials are missing")?;
                    let value = source.value(field)?;
                    filters
                        .iter()
                        .fold(value, |value, filter| filter.apply(&value))
                }
            });
        }
        // Made in one piece: a text that grows leaves copies of itself behind.
        let length = parts.iter().map(|part| part.expose().len()).sum();
        let mut text = String::with_capacity(length);
        for part in &parts {
            text.push_str(part.expose());
        }
        Ok(Sensitive::new(text))
    }
}

/// What stands between the braces.
fn field(inside: &str, names: &[&str]) -> Result<Part, String> {
    let mut words = inside.split('|').map(str::trim);
    let path = words.next().unwrap_or_default();
    let (secret, field) = match path.split_once('.') {
        None => (0, path),
        Some((name, field)) => {
            let known = names
                .iter()
                .position(|known| *known == name && !name.is_empty());
            let secret = known.ok_or_else(|| {
                let others: Vec<&str> = names.iter().filter(|name| !name.is_empty()).copied().collect();
                if others.is_empty() {
                    format!("no credentials are called {name:?}: --creds {name}=PATH gives them that name")
                } else {
                    format!("no credentials are called {name:?}: there are {}", others.join(", "))
                }
            })?;
            (secret, field)
        }
    };
    let is_name = |character: char| character.is_alphanumeric() || matches!(character, '_' | '-');
    if field.is_empty() || !field.chars().all(is_name) {
        return Err(format!(
            "{:?} names no field: {{{{username}}}} or {{{{NAME.username | url}}}} would",
            format!("{{{{{inside}}}}}")
        ));
    }
    let filters = words.map(|word| {
        let known = FILTERS.iter().find(|(name, _)| *name == word);
        known
            .map(|(_, filter)| *filter)
            .ok_or_else(|| format!("there is no filter {word:?}: there are url, json and base64"))
    });
    let filters: Vec<_> = filters.collect::<Result<_, _>>()?;
    if filters.len() > MOST_FILTERS {
        return Err(format!("more than {MOST_FILTERS} filters in a row"));
    }
    Ok(Part::Field {
        secret,
        field: field.to_owned(),
        filters,
    })
}

impl Filter {
    fn apply(self, value: &Sensitive<String>) -> Sensitive<String> {
        let text = value.expose();
        Sensitive::new(match self {
            Self::Url => encode(text),
            // A text has a form in JSON: this cannot fail.
            Self::Json => serde_json::to_string(text).unwrap_or_default(),
            Self::Base64 => STANDARD.encode(text),
        })
    }
}

impl Source {
    fn value(&self, field: &str) -> Result<Sensitive<String>, String> {
        if let Some(value) = self.fields.get(field) {
            return Ok(value.clone());
        }
        let derived = self.derived.iter().find(|(name, _)| *name == field);
        match derived {
            Some((_, Ok(value))) => Ok(value.clone()),
            Some((_, Err(reason))) => Err(format!("there is no {field:?}: {reason}")),
            None => {
                let fields: Vec<&str> = self.fields.names().collect();
                let derived = self.derived.iter().map(|(name, _)| *name);
                let all: Vec<&str> = fields.into_iter().chain(derived).collect();
                Err(format!(
                    "the answer has no field {field:?}: it has {}",
                    all.join(", ")
                ))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(text: &str) -> Result<String, String> {
        let source = |user: &str| Source {
            fields: [("username", user), ("password", "p\"@ü")].into(),
            derived: vec![
                ("url", Ok(Sensitive::from("postgresql://x"))),
                ("jdbc_url", Err("the driver takes no socket")),
            ],
        };
        let template = Template::parse(text, &["rw", "ro"])?;
        let value = template.render(&[source("one"), source("two")])?;
        Ok(value.expose().clone())
    }

    #[test]
    fn fields_are_put_in_and_filtered() {
        for (text, value) in [
            ("", ""),
            ("plain { } text", "plain { } text"),
            ("{{username}}", "one"),
            ("{{ rw.username }}:{{ro.username}}!", "one:two!"),
            ("{{password|url}}", "p%22%40%C3%BC"),
            ("{\"p\":{{password | json}}}", "{\"p\":\"p\\\"@ü\"}"),
            ("{{username|base64}}", "b25l"),
            ("{{username|base64|url}}{{ro.url}}", "b25lpostgresql://x"),
        ] {
            assert_eq!(rendered(text).as_deref(), Ok(value), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_found_before_anything_is_asked_for() {
        for (text, message) in [
            ("{{username", "no }} after"),
            ("username}}", "no {{ before"),
            ("{{}}", "names no field"),
            ("{{ro.}}", "names no field"),
            ("{{user name}}", "names no field"),
            ("{{{username}}}", "names no field"),
            ("{{username|uri}}", "no filter \"uri\": there are url, json"),
            ("{{username|}}", "no filter \"\""),
            ("{{username|url|url|url|url|url}}", "more than 4 filters"),
            ("{{rx.username}}", "called \"rx\": there are rw, ro"),
        ] {
            let found = Template::parse(text, &["rw", "ro"]).expect_err(text);
            assert!(found.contains(message), "{text}: {found}");
        }
        let found = Template::parse("{{ro.x}}", &[""]).expect_err("no names");
        assert!(found.contains("--creds ro=PATH"), "{found}");
    }

    #[test]
    fn a_field_that_is_not_there_is_named_with_those_that_are() {
        let message = rendered("{{ro.passwort}}").expect_err("misspelt");
        assert_eq!(
            message,
            "the answer has no field \"passwort\": it has username, password, url, jdbc_url"
        );
        let message = rendered("{{jdbc_url}}").expect_err("a socket");
        assert_eq!(
            message,
            "there is no \"jdbc_url\": the driver takes no socket"
        );
    }
}
