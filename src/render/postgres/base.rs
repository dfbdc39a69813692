//! A connection URL as libpq reads it: several hosts, sockets, a driver in the scheme. Everything
//! that is not replaced stays byte for byte, which a general URL parser would not leave so.

use percent_encoding::percent_decode_str;

/// Parameters that would overrule the credentials.
const OVERRULING: [&str; 5] = ["user", "password", "passfile", "service", "servicefile"];

/// Parameters that say where the database is. An empty one says nothing, and would still overrule
/// what stands before it.
const PLACE: [&str; 5] = ["host", "hostaddr", "port", "dbname", "sslmode"];

/// Schemes that name a PostgreSQL and whose readers hand all parameters on to libpq, or know its
/// names themselves: libpq, node-postgres, pgx, Django by dj-database-url and django-environ.
const LIBPQ: [&str; 10] = [
    "postgresql",
    "postgres",
    "postgis",
    "psql",
    "pgsql",
    "cockroach",
    "cockroachdb",
    "timescale",
    "timescaledb",
    "timescalegis",
];

/// Schemes that name a PostgreSQL, read by clients with parameters of their own.
const OTHER: [&str; 1] = ["ecto"];

/// SQLAlchemy's drivers that hand parameters on to libpq; asyncpg, pg8000 and the others refuse what
/// they do not know.
const LIBPQ_DRIVERS: [&str; 4] = ["psycopg", "psycopg_async", "psycopg2", "psycopg2cffi"];

const EXAMPLE: &str = "it is not a URL of PostgreSQL, as in postgresql://db.example.com:5432/app";

/// A connection URL, taken apart. Its user and password are not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    /// As in `postgresql` or `postgresql+psycopg`.
    pub scheme: String,
    /// Whether there was a user or a password, in whatever place.
    pub had_credentials: bool,
    /// Hosts and ports as they stand, perhaps empty.
    pub authority: String,
    /// From the first slash on, perhaps empty.
    pub path: String,
    /// The parameters as they stand, without those that would overrule the credentials, and those
    /// of the place that are empty.
    pub parameters: Vec<String>,
}

impl Base {
    /// Takes a URL apart.
    ///
    /// # Errors
    /// What is wrong with it; never its content, since a password may be in it.
    pub fn parse(url: &str) -> Result<Self, &'static str> {
        let (scheme, rest) = url.trim().split_once("://").ok_or(EXAMPLE)?;
        if !names_postgres(scheme) {
            return Err(EXAMPLE);
        }
        let (user, rest) = split_user(rest)?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest
            .find('/')
            .map_or((rest, ""), |slash| rest.split_at(slash));
        if path.contains('@') {
            return Err(
                "there is a / before an @ in it: in a password it is written %2F, and in a \
                 database's name an @ is written %40",
            );
        }
        let mut had_credentials = user.is_some_and(|user| !user.is_empty());
        let mut parameters = Vec::new();
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            let (name, value) = decoded(parameter);
            if name.contains('@') {
                return Err("there is a ? before an @ in it: in a password it is written %3F");
            }
            if OVERRULING.contains(&name.as_str()) {
                had_credentials = true;
            } else if !value.is_empty() || !PLACE.contains(&name.as_str()) {
                parameters.push(parameter.to_owned());
            }
        }
        let base = Self {
            scheme: scheme.to_owned(),
            had_credentials,
            authority: with_encoded_zones(authority),
            path: path.to_owned(),
            parameters,
        };
        base.check()?;
        Ok(base)
    }

    /// Whether a URL names another kind of database, or is none.
    #[must_use]
    pub fn is_of_another_kind(url: &str) -> bool {
        let scheme = url.trim().split_once("://").map(|(scheme, _)| scheme);
        !scheme.is_some_and(names_postgres)
    }

    /// The driver that the scheme names, as in `postgresql+asyncpg`.
    #[must_use]
    pub fn driver(&self) -> Option<&str> {
        self.scheme.split_once('+').map(|(_, driver)| driver)
    }

    /// Whether whoever reads the URL takes libpq's parameters.
    #[must_use]
    pub fn takes_libpqs_parameters(&self) -> bool {
        match self.scheme.split_once('+') {
            Some((_, driver)) => LIBPQ_DRIVERS.contains(&driver),
            None => LIBPQ.contains(&self.scheme.as_str()),
        }
    }

    /// The same without a parameter.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.parameters
            .retain(|parameter| decoded(parameter).0 != name);
        self
    }

    /// Looks at what is kept: a user and a password may hold what they like.
    fn check(&self) -> Result<(), &'static str> {
        for part in [&self.authority, &self.path]
            .into_iter()
            .chain(&self.parameters)
        {
            if part.contains(|character: char| character.is_control() || character == ' ') {
                return Err("it holds a space or a control character");
            }
            if !is_percent_encoded(part) {
                return Err(
                    "a % in it is not followed by two hexadecimal digits: a % itself is written %25",
                );
            }
            let Ok(text) = percent_decode_str(part).decode_utf8() else {
                return Err("what is percent-encoded in it is not UTF-8");
            };
            if text.contains(char::is_control) {
                return Err("it holds a control character, percent-encoded");
            }
        }
        let ports = self.parameter("port").unwrap_or_default();
        if !self.hosts().iter().all(|(_, port)| is_port(port)) || !ports.split(',').all(is_port) {
            return Err("a port in it is not a number from 1 to 65535");
        }
        Ok(())
    }

    /// Every host with its port, decoded; either may be empty.
    #[must_use]
    pub fn hosts(&self) -> Vec<(String, String)> {
        if self.authority.is_empty() {
            return Vec::new();
        }
        let split = |host: &str| {
            let (name, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
                Some((address, rest)) => (address, rest.strip_prefix(':').unwrap_or(rest)),
                None => host.split_once(':').unwrap_or((host, "")),
            };
            (decode(name), decode(port))
        };
        self.authority.split(',').map(split).collect()
    }

    /// The database's name, decoded, if there is one.
    #[must_use]
    pub fn database(&self) -> Option<String> {
        let name = decode(self.path.strip_prefix('/')?);
        (!name.is_empty()).then_some(name)
    }

    /// A parameter's value, decoded, if it is there and not empty. The last one counts.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<String> {
        let mut all = self.parameters.iter().rev();
        let value = all.find_map(|parameter| {
            let (known, value) = decoded(parameter);
            (known == name).then_some(value)
        })?;
        (!value.is_empty()).then_some(value)
    }
}

/// Whether a scheme names a PostgreSQL, with a driver or without.
fn names_postgres(scheme: &str) -> bool {
    let (dialect, driver) = scheme.split_once('+').unwrap_or((scheme, "none"));
    let driver_is_sound = driver
        .chars()
        .all(|character| character.is_ascii_alphanumeric() || character == '_');
    (LIBPQ.contains(&dialect) || OTHER.contains(&dialect)) && !driver.is_empty() && driver_is_sound
}

/// User and password, if there are any, and what follows their `@`. libpq looks for it before the
/// first slash, and so do others, though some of them take a `?` for the parameters' beginning.
pub fn split_user(rest: &str) -> Result<(Option<&str>, &str), &'static str> {
    let head = rest.split_once('/').map_or(rest, |(head, _)| head);
    let Some(at) = head.rfind('@') else {
        return Ok((None, rest));
    };
    let (user, rest) = rest.split_at(at);
    if user.contains('?') {
        return Err(
            "there is a ? before an @ in it: in a password it is written %3F, and in a parameter \
             an @ is written %40",
        );
    }
    Ok((Some(user), rest.strip_prefix('@').unwrap_or(rest)))
}

/// An address's zone as people write it, `[fe80::1%eth0]`, in the form that libpq reads.
fn with_encoded_zones(authority: &str) -> String {
    let host = |host: &str| match host.split_once('%') {
        Some((address, zone)) if host.starts_with('[') && !is_percent_encoded(host) => {
            format!("{address}%25{zone}")
        }
        _ => host.to_owned(),
    };
    authority.split(',').map(host).collect::<Vec<_>>().join(",")
}

/// Whether two hexadecimal digits follow every `%`.
fn is_percent_encoded(text: &str) -> bool {
    let mut after = text.split('%').skip(1);
    after.all(|rest| {
        let digits = rest.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })
}

/// Whether a port is one, or left open.
pub fn is_port(text: &str) -> bool {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    text.is_empty() || (is_number && text.parse::<u16>().is_ok_and(|port| port > 0))
}

/// A parameter's name and value.
fn decoded(parameter: &str) -> (String, String) {
    let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
    (decode(name), decode(value))
}

fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_are_found() {
        let base = Base::parse(
            "postgresql+psycopg://u:p%40@h1:1,[::1]:2,h3/my%20db?sslmode=require&x=a%26b",
        )
        .expect("valid");
        assert_eq!(base.scheme, "postgresql+psycopg");
        assert!(base.had_credentials);
        let hosts = base.hosts();
        let hosts: Vec<_> = hosts
            .iter()
            .map(|(host, port)| (host.as_str(), port.as_str()))
            .collect();
        assert_eq!(hosts, [("h1", "1"), ("::1", "2"), ("h3", "")]);
        assert_eq!(base.database().as_deref(), Some("my db"));
        assert_eq!(base.parameter("sslmode").as_deref(), Some("require"));
        assert_eq!(base.parameter("x").as_deref(), Some("a&b"));
    }

    #[test]
    fn sockets_and_nothing_at_all_are_valid() {
        let base = Base::parse("postgresql://%2Fvar%2Frun/db").expect("valid");
        assert_eq!(base.hosts(), [("/var/run".to_owned(), String::new())]);
        let base = Base::parse("postgres://").expect("valid");
        assert!(base.hosts().is_empty() && base.database().is_none() && !base.had_credentials);
    }

    #[test]
    fn parameters_that_overrule_the_credentials_are_left_out() {
        let base = Base::parse("postgresql://h/d?user=x&p%61ssword=hunter2&a=b&passfile=/f")
            .expect("valid");
        assert!(base.had_credentials);
        assert_eq!(base.parameters, ["a=b"]);
        assert!(!format!("{base:?}").contains("hunter2"));
    }

    #[test]
    fn an_empty_parameter_says_nothing_of_the_place() {
        let base = Base::parse("postgresql://h/d?host=&port&x=&sslmode=&dbname=").expect("valid");
        assert_eq!(base.parameters, ["x="]);
    }

    #[test]
    fn control_characters_are_found_however_they_are_written() {
        for url in [
            "postgresql://h/a%00b",
            "postgresql://h%0a/d",
            "postgresql://h/d?host=%2Ftmp%7f",
            "postgresql://h/d?x%1b=1",
            "postgresql://h/d?application_name=a%0Db",
            "postgresql://h/d?application_name=a\u{9b}b",
        ] {
            let words = Base::parse(url).expect_err(url);
            assert!(words.contains("control character"), "{url}: {words}");
        }
        // What is replaced may hold what it likes.
        assert!(Base::parse("postgresql://u:%00@h/d?password=%0a").is_ok());
    }

    #[test]
    fn anything_else_is_refused_without_being_shown() {
        for url in [
            "",
            "h/d",
            "mysql://u:hunter2@h",
            "jdbc:postgresql://h",
            "postgresql+://h",
            "postgresql://h:70000",
            "postgresql://h:hunter2/x",
            "postgresql://h/x?port=hunter2",
            "postgresql://h/a b",
            "postgresql://u:hunter2/34@h/d",
            "postgresql://u:12/hunter2@h/d",
            "postgresql://u:12/3?hunter2@h/d",
            "postgresql://u:12?hunter2@h/d",
            "postgresql://u:12#hunter2/3@h/d",
            "postgresql://u:hunter2 4/5@h/d",
            "postgresql://u:p@hunter2/x@h/d",
            "postgresql://h/hunter2%",
            "postgresql://h/hunter2%e",
            "postgresql://h/hunter2%ff",
            "postgresql://h%eth0/hunter2",
            "postgresql://h:+5/d",
        ] {
            let words = Base::parse(url).expect_err(url);
            assert!(!words.contains("hunter2"));
        }
    }

    #[test]
    fn a_password_with_a_slash_or_a_question_mark_is_refused_with_how_it_is_written() {
        for (url, written) in [
            ("postgresql://u:12/34@h/d", "%2F"),
            ("postgresql://h/a@b", "%40"),
            ("postgresql://u:12?34@h/d", "%3F"),
            ("postgresql://u:12/3?4@h/d", "%3F"),
            ("postgresql://u:a b/c@h/d", "%2F"),
        ] {
            let message = Base::parse(url).expect_err(url);
            assert!(message.contains(written), "{url}: {message}");
        }
    }

    #[test]
    fn a_user_and_a_password_may_hold_anything_else() {
        for user in [
            "u:a b",
            "u:a%",
            "u:a#b",
            "u:a@b",
            "u:a%zz\u{9b}",
            "u:a:b",
            ":p",
        ] {
            let base = Base::parse(&format!("postgresql://{user}@h:1/d")).expect(user);
            assert_eq!(base.authority, "h:1", "{user}");
            assert!(base.had_credentials, "{user}");
        }
    }

    #[test]
    fn every_scheme_that_names_a_postgresql_is_kept() {
        let libpq = [
            "postgres",
            "postgis",
            "pgsql",
            "cockroachdb",
            "timescaledb",
            "postgresql+psycopg",
            "cockroachdb+psycopg2",
        ];
        let others = [
            "ecto",
            "postgresql+asyncpg",
            "postgresql+pg8000",
            "postgis+other",
        ];
        for (schemes, libpqs) in [(&libpq[..], true), (&others[..], false)] {
            for scheme in schemes {
                let url = format!("{scheme}://h/d");
                let base = Base::parse(&url).expect(scheme);
                assert_eq!(base.scheme, *scheme);
                assert_eq!(base.takes_libpqs_parameters(), libpqs, "{scheme}");
                assert!(!Base::is_of_another_kind(&url), "{scheme}");
            }
        }
        for url in [
            "sqlite:///x",
            "mysql://h/d",
            "jdbc:postgresql://h/d",
            "x",
            "postgresql+://h",
        ] {
            assert!(Base::is_of_another_kind(url), "{url}");
        }
    }

    #[test]
    fn a_zone_is_read_in_both_forms() {
        for url in [
            "postgresql://[fe80::1%25eth0]:1,h/d",
            "postgresql://[fe80::1%eth0]:1,h/d",
        ] {
            let base = Base::parse(url).expect(url);
            assert_eq!(base.authority, "[fe80::1%25eth0]:1,h");
            assert_eq!(base.hosts()[0], ("fe80::1%eth0".to_owned(), "1".to_owned()));
        }
    }
}
