//! A connection URL as libpq reads it: several hosts, sockets, a driver in the scheme. Everything
//! that is not replaced stays byte for byte, which a general URL parser would not leave so.

use percent_encoding::percent_decode_str;

/// Parameters that would overrule the credentials.
const OVERRULING: [&str; 5] = ["user", "password", "passfile", "service", "servicefile"];

/// Parameters that say where the database is. An empty one says nothing, and would still overrule
/// what stands before it.
const PLACE: [&str; 5] = ["host", "hostaddr", "port", "dbname", "sslmode"];

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
        let example = "it is not a URL of PostgreSQL, as in postgresql://db.example.com:5432/app";
        let (scheme, rest) = url.trim().split_once("://").ok_or(example)?;
        let (dialect, driver) = scheme.split_once('+').unwrap_or((scheme, "driver"));
        let driver_is_sound = driver
            .chars()
            .all(|character| character.is_ascii_alphanumeric() || character == '_');
        if !matches!(dialect, "postgresql" | "postgres") || driver.is_empty() || !driver_is_sound {
            return Err(example);
        }
        if rest.contains(|character: char| character.is_control() || character == ' ') {
            return Err("it holds a space or a control character");
        }
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest
            .find('/')
            .map_or((rest, ""), |slash| rest.split_at(slash));
        let (user, authority) = authority
            .rsplit_once('@')
            .map_or((None, authority), |(user, rest)| (Some(user), rest));
        let mut had_credentials = user.is_some_and(|user| !user.is_empty());
        let mut parameters = Vec::new();
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            let (name, value) = decoded(parameter);
            if OVERRULING.contains(&name.as_str()) {
                had_credentials = true;
            } else if !value.is_empty() || !PLACE.contains(&name.as_str()) {
                parameters.push(parameter.to_owned());
            }
        }
        let base = Self {
            scheme: scheme.to_owned(),
            had_credentials,
            authority: authority.to_owned(),
            path: path.to_owned(),
            parameters,
        };
        if base.holds_control_characters() {
            return Err("it holds a control character, percent-encoded");
        }
        let sound = |port: &str| port.is_empty() || port.parse::<u16>().is_ok_and(|port| port > 0);
        let in_parameter = base.parameter("port").unwrap_or_default();
        if !base.hosts().iter().all(|(_, port)| sound(port)) || !in_parameter.split(',').all(sound)
        {
            return Err("a port in it is not a number from 1 to 65535");
        }
        Ok(base)
    }

    /// Whether something in it could not be a variable's value, or would drive a terminal.
    fn holds_control_characters(&self) -> bool {
        let mut parts = [&self.authority, &self.path]
            .into_iter()
            .chain(&self.parameters);
        parts.any(|part| decode(part).contains(char::is_control))
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
        ] {
            let words = Base::parse(url).expect_err(url);
            assert!(!words.contains("hunter2"));
        }
    }
}
