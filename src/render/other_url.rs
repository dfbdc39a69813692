//! URLs of databases and queues that are not PostgreSQL's: user and password are put in, all else stays
//! as it is.

use super::encode;
use super::postgres::split_user;
use crate::sensitive::Sensitive;

/// Schemes whose URLs have a user and a password before the hosts, percent-encoded.
const SCHEMES: [&str; 10] = [
    "mysql",
    "mysql2",
    "mariadb",
    "mongodb",
    "mongodb+srv",
    "amqp",
    "amqps",
    "redis",
    "rediss",
    "valkey",
];

/// A URL, taken apart. Its user and password are not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherUrl {
    scheme: String,
    /// Hosts, path and parameters as they stand.
    rest: String,
}

impl OtherUrl {
    /// Takes a URL apart, if it is of such a kind.
    ///
    /// # Errors
    /// What is wrong with it; never its content, since a password may be in it.
    pub fn parse(url: &str) -> Option<Result<Self, &'static str>> {
        let (scheme, rest) = url.trim().split_once("://")?;
        let dialect = match scheme.split_once('+') {
            // SQLAlchemy's drivers: mysql+pymysql.
            Some((dialect @ ("mysql" | "mariadb"), driver)) if is_word(driver) => dialect,
            _ => scheme,
        };
        SCHEMES.contains(&dialect).then(|| Self::read(scheme, rest))
    }

    fn read(scheme: &str, rest: &str) -> Result<Self, &'static str> {
        let (_, rest) = split_user(rest)?;
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        if place
            .split_once('/')
            .is_some_and(|(_, path)| path.contains('@'))
        {
            return Err("there is a / before an @ in it: in a password it is written %2F");
        }
        if rest.contains(|character: char| character.is_control() || character == ' ') {
            return Err("it holds a space or a control character");
        }
        let overrules = |parameter: &str| {
            let name = parameter.split('=').next().unwrap_or_default();
            matches!(name, "user" | "username" | "password")
        };
        if query.split('&').any(overrules) {
            return Err("a user or a password is among its parameters: leave them out");
        }
        Ok(Self {
            scheme: scheme.to_owned(),
            rest: rest.to_owned(),
        })
    }

    /// The URL with these credentials.
    #[must_use]
    pub fn with(&self, user: &str, password: &Sensitive<String>) -> Sensitive<String> {
        let password = Sensitive::new(encode(password.expose()));
        let (scheme, rest, user) = (&self.scheme, &self.rest, encode(user));
        Sensitive::new(format!("{scheme}://{user}:{}@{rest}", password.expose()))
    }

    /// As JDBC's drivers for MySQL and MariaDB read it.
    ///
    /// # Errors
    /// Why there is none.
    pub fn jdbc(
        &self,
        user: &str,
        password: &Sensitive<String>,
    ) -> Result<Sensitive<String>, &'static str> {
        let dialect = match self.scheme.split('+').next().unwrap_or_default() {
            "mysql" | "mysql2" => "mysql",
            "mariadb" => "mariadb",
            _ => return Err("JDBC has no driver for such a URL"),
        };
        let (place, query) = self.rest.split_once('?').unwrap_or((&self.rest, ""));
        let slash = if place.contains('/') { "" } else { "/" };
        let more = if query.is_empty() { "" } else { "&" };
        let password = Sensitive::new(encode(password.expose()));
        Ok(Sensitive::new(format!(
            "jdbc:{dialect}://{place}{slash}?{query}{more}user={}&password={}",
            encode(user),
            password.expose()
        )))
    }
}

fn is_word(text: &str) -> bool {
    let is_sound = |one: char| one.is_ascii_alphanumeric() || one == '_';
    !text.is_empty() && text.chars().all(is_sound)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> OtherUrl {
        OtherUrl::parse(url).expect(url).expect(url)
    }

    #[test]
    fn user_and_password_are_put_in_and_the_rest_is_kept() {
        for (url, expected) in [
            (
                "mysql://h:3306/d?charset=utf8",
                "mysql://u%40:p%2F@h:3306/d?charset=utf8",
            ),
            (
                "mysql+pymysql://old:x%2Fy@h/d",
                "mysql+pymysql://u%40:p%2F@h/d",
            ),
            (
                "mongodb://old@a:1,b:2/d?authSource=admin&replicaSet=r",
                "mongodb://u%40:p%2F@a:1,b:2/d?authSource=admin&replicaSet=r",
            ),
            (
                "mongodb+srv://cluster.example",
                "mongodb+srv://u%40:p%2F@cluster.example",
            ),
            ("amqps://h/%2Fvhost", "amqps://u%40:p%2F@h/%2Fvhost"),
            (
                "redis://:old@[::1]:6379/0",
                "redis://u%40:p%2F@[::1]:6379/0",
            ),
        ] {
            let made = read(url).with("u@", &Sensitive::from("p/"));
            assert_eq!(made.expose(), expected);
        }
    }

    #[test]
    fn jdbc_has_them_among_the_parameters() {
        for (url, expected) in [
            (
                "mysql://h:1,i:2/d?useSSL=true",
                "jdbc:mysql://h:1,i:2/d?useSSL=true&user=u&password=p%26",
            ),
            (
                "mariadb+mariadbconnector://x@h",
                "jdbc:mariadb://h/?user=u&password=p%26",
            ),
        ] {
            let made = read(url).jdbc("u", &Sensitive::from("p&")).expect(url);
            assert_eq!(made.expose(), expected);
        }
        assert!(read("redis://h").jdbc("u", &Sensitive::from("p")).is_err());
    }

    #[test]
    fn what_cannot_be_meant_is_refused_without_being_shown() {
        for url in [
            "mysql://u:12/hunter2@h/d",
            "mysql://u:12?hunter2@h/d",
            "mysql://h/d?password=hunter2",
            "redis://h/hunter2 x",
        ] {
            let message = OtherUrl::parse(url).expect(url).expect_err(url);
            assert!(!message.contains("hunter2"));
        }
        for url in [
            "postgresql://h/d",
            "sqlite:///x",
            "mysql",
            "redis+x://h",
            "mysql+://h",
        ] {
            assert_eq!(OtherUrl::parse(url), None, "{url}");
        }
    }
}
