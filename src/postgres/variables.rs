//! The variables a client needs, in both forms: a URL and libpq's `PG…`, so that either alone is
//! enough.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::base::Base;
use super::credentials::Credentials;
use super::place::Place;
use crate::config::Environment;
use crate::sensitive::Sensitive;

/// All but the characters that RFC 3986 calls unreserved: valid in every part of a URL.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Inherited variables that would overrule the credentials or lead libpq elsewhere.
const MISLEADING: [&str; 4] = ["PGPASSWORD", "PGPASSFILE", "PGSERVICE", "PGSERVICEFILE"];

/// What is to be set in the child's environment and what is to be dropped from it.
#[derive(Debug)]
pub struct Variables {
    /// Names and values.
    pub set: Vec<(&'static str, Sensitive<String>)>,
    /// Names.
    pub drop: Vec<&'static str>,
    /// What the user may want to know, for the `info` level.
    pub notes: Vec<String>,
}

/// The variables for these credentials.
#[must_use]
pub fn variables(
    credentials: &Credentials,
    base: Option<&Base>,
    environment: &dyn Environment,
) -> Variables {
    let place = Place::find(base, environment);
    let mut notes = Vec::new();
    if place.by_default {
        notes.push("nothing says where the database is: localhost:5432 is taken (set PGHOST or DATABASE_URL)".to_owned());
    }
    if base.is_some_and(|base| base.had_credentials) {
        notes.push(
            "the user and password in the base URL are replaced by those of the lease".to_owned(),
        );
    }
    if environment
        .variable("PGSERVICE")
        .is_some_and(|name| !name.is_empty())
    {
        notes.push(
            "PGSERVICE is dropped, since a service could name another user and host".to_owned(),
        );
    }
    let mut set = vec![
        ("PGUSER", Sensitive::from(credentials.username.as_str())),
        ("PGPASSWORD", credentials.password.clone()),
        (
            "DATABASE_URL",
            Sensitive::new(url(credentials, base, &place)),
        ),
    ];
    let places = [
        ("PGHOST", &place.hosts),
        ("PGPORT", &place.ports),
        ("PGDATABASE", &place.database),
        ("PGSSLMODE", &place.sslmode),
    ];
    set.extend(
        places
            .into_iter()
            .filter_map(|(name, value)| Some((name, Sensitive::from(value.as_deref()?)))),
    );
    let mut drop = MISLEADING.to_vec();
    if place.host_from_base && environment.variable("PGHOSTADDR").is_some() {
        drop.push("PGHOSTADDR");
        notes.push("PGHOSTADDR is dropped, because the base URL names the host".to_owned());
    }
    Variables { set, drop, notes }
}

fn url(credentials: &Credentials, base: Option<&Base>, place: &Place) -> String {
    let scheme = base.map_or("postgresql", |base| base.scheme.as_str());
    let user = encode(&credentials.username);
    let password = encode(credentials.password.expose());
    let mut parameters = base.map(|base| base.parameters.clone()).unwrap_or_default();
    let in_parameters = |parameters: &[String], name: &str| {
        parameters
            .iter()
            .any(|parameter| parameter.split('=').next() == Some(name))
    };
    let authority = match base {
        // A base's own hosts stay as they are; a port that only a variable names is added.
        Some(base) if !base.authority.is_empty() => match &place.ports {
            Some(port)
                if base.hosts().iter().all(|(_, port)| port.is_empty()) && !port.contains(',') =>
            {
                base.authority
                    .split(',')
                    .map(|host| format!("{host}:{port}"))
                    .collect::<Vec<_>>()
                    .join(",")
            }
            _ => base.authority.clone(),
        },
        Some(_) if in_parameters(&parameters, "host") => String::new(),
        _ => {
            let hosts = place.hosts.as_deref().unwrap_or("localhost");
            if hosts.split(',').any(|host| host.starts_with(['/', '@'])) {
                // A socket: as a parameter every client understands it.
                parameters.push(format!("host={}", encode(hosts)));
                parameters.extend(
                    place
                        .ports
                        .as_ref()
                        .map(|port| format!("port={}", encode(port))),
                );
                String::new()
            } else {
                authority(hosts, place.ports.as_deref())
            }
        }
    };
    let path = match base {
        Some(base) if base.database().is_some() || in_parameters(&parameters, "dbname") => {
            base.path.clone()
        }
        _ => place
            .database
            .as_deref()
            .map(|name| format!("/{}", encode(name)))
            .unwrap_or_default(),
    };
    if let Some(sslmode) = place
        .sslmode
        .as_deref()
        .filter(|_| !in_parameters(&parameters, "sslmode"))
    {
        parameters.push(format!("sslmode={}", encode(sslmode)));
    }
    let path = if path.is_empty() { "/" } else { &path };
    let query = if parameters.is_empty() {
        String::new()
    } else {
        format!("?{}", parameters.join("&"))
    };
    format!("{scheme}://{user}:{password}@{authority}{path}{query}")
}

fn authority(hosts: &str, ports: Option<&str>) -> String {
    let ports: Vec<&str> = ports
        .map(|ports| ports.split(',').collect())
        .unwrap_or_default();
    let one = |(index, host): (usize, &str)| {
        let host = if host.contains(':') {
            format!("[{host}]")
        } else {
            encode(host)
        };
        let port = ports
            .get(index)
            .or_else(|| ports.first())
            .filter(|port| !port.is_empty());
        port.map_or_else(|| host.clone(), |port| format!("{host}:{port}"))
    };
    hosts
        .split(',')
        .enumerate()
        .map(one)
        .collect::<Vec<_>>()
        .join(",")
}

fn encode(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::environment::Given;
    use percent_encoding::percent_decode_str;

    fn rendered(
        base: Option<&str>,
        environment: &[(&str, &str)],
    ) -> (String, Vec<(String, String)>) {
        let credentials = Credentials {
            username: "v-x".to_owned(),
            password: Sensitive::from("p"),
        };
        let base = base.map(|url| Base::parse(url).expect("a base"));
        let variables = variables(&credentials, base.as_ref(), &Given(environment.to_vec()));
        let all: Vec<_> = variables
            .set
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.expose().clone()))
            .collect();
        let url = all
            .iter()
            .find(|(name, _)| name == "DATABASE_URL")
            .map(|(_, url)| url.clone());
        (
            url.unwrap_or_default(),
            all.into_iter()
                .filter(|(name, _)| name != "DATABASE_URL")
                .collect(),
        )
    }

    fn pg(all: &[(String, String)]) -> String {
        all.iter()
            .skip(2)
            .map(|(name, value)| format!("{name}={value} "))
            .collect()
    }

    #[test]
    fn either_form_alone_is_enough() {
        /// A base, the environment, the URL and the variables expected.
        type Case<'a> = (Option<&'a str>, &'a [(&'a str, &'a str)], &'a str, &'a str);
        let cases: [Case<'_>; 10] = [
            (
                None,
                &[],
                "postgresql://v-x:p@localhost:5432/",
                "PGHOST=localhost PGPORT=5432 ",
            ),
            (
                None,
                &[
                    ("PGHOST", "db"),
                    ("PGPORT", "6000"),
                    ("PGDATABASE", "a b"),
                    ("PGSSLMODE", "require"),
                ],
                "postgresql://v-x:p@db:6000/a%20b?sslmode=require",
                "PGHOST=db PGPORT=6000 PGDATABASE=a b PGSSLMODE=require ",
            ),
            (
                Some("postgres://old:pw@db:6000/app?sslmode=disable&application_name=x%20y"),
                &[("PGHOST", "other")],
                "postgres://v-x:p@db:6000/app?sslmode=disable&application_name=x%20y",
                "PGHOST=db PGPORT=6000 PGDATABASE=app PGSSLMODE=disable ",
            ),
            (
                Some("postgresql+asyncpg://db"),
                &[("PGPORT", "7000"), ("PGDATABASE", "app")],
                "postgresql+asyncpg://v-x:p@db:7000/app",
                "PGHOST=db PGPORT=7000 PGDATABASE=app ",
            ),
            (
                None,
                &[("PGHOST", "/var/run/postgresql"), ("PGDATABASE", "app")],
                "postgresql://v-x:p@/app?host=%2Fvar%2Frun%2Fpostgresql",
                "PGHOST=/var/run/postgresql PGDATABASE=app ",
            ),
            (
                Some("postgresql:///app?host=/tmp"),
                &[],
                "postgresql://v-x:p@/app?host=/tmp",
                "PGHOST=/tmp PGDATABASE=app ",
            ),
            (
                Some("postgresql://h1:1,h2:2/app?target_session_attrs=primary"),
                &[],
                "postgresql://v-x:p@h1:1,h2:2/app?target_session_attrs=primary",
                "PGHOST=h1,h2 PGPORT=1,2 PGDATABASE=app ",
            ),
            (
                None,
                &[("PGHOST", "h1,h2"), ("PGPORT", "1,2")],
                "postgresql://v-x:p@h1:1,h2:2/",
                "PGHOST=h1,h2 PGPORT=1,2 ",
            ),
            (
                None,
                &[("PGHOST", "::1")],
                "postgresql://v-x:p@[::1]/",
                "PGHOST=::1 ",
            ),
            (
                Some("postgresql://%2Ftmp/app"),
                &[],
                "postgresql://v-x:p@%2Ftmp/app",
                "PGHOST=/tmp PGDATABASE=app ",
            ),
        ];
        for (base, environment, url, variables) in cases {
            let (rendered_url, all) = rendered(base, environment);
            assert_eq!(rendered_url, url, "{base:?} {environment:?}");
            assert_eq!(pg(&all), variables, "{base:?} {environment:?}");
        }
    }

    #[test]
    fn any_printable_password_survives_the_url() {
        for case in 0..10_000u64 {
            let mut random = fastrand::Rng::with_seed(case);
            let length = random.usize(1..40);
            let password: String = (0..length).map(|_| random.char(' '..='\u{2fff}')).collect();
            let credentials = Credentials {
                username: password.clone(),
                password: Sensitive::new(password.clone()),
            };
            let base = Base::parse("postgresql://db:1/app?a=b").expect("a base");
            let variables = variables(&credentials, Some(&base), &Given(vec![]));
            let url = &variables.set.get(2).expect("the URL").1;
            let rest = url
                .expose()
                .strip_prefix("postgresql://")
                .expect("the scheme");
            let (user, rest) = rest.split_once('@').expect("a user");
            assert_eq!(rest, "db:1/app?a=b");
            let (user, pass) = user.split_once(':').expect("a password");
            assert_eq!(
                percent_decode_str(user).decode_utf8().as_deref(),
                Ok(password.as_str())
            );
            assert_eq!(
                percent_decode_str(pass).decode_utf8().as_deref(),
                Ok(password.as_str())
            );
        }
    }

    #[test]
    fn what_misleads_libpq_is_dropped() {
        let credentials = Credentials {
            username: "u".to_owned(),
            password: Sensitive::from("p"),
        };
        let base = Base::parse("postgresql://db").expect("a base");
        let environment = Given(vec![("PGHOSTADDR", "10.0.0.1")]);
        let with_base = variables(&credentials, Some(&base), &environment);
        assert!(with_base.drop.contains(&"PGHOSTADDR") && with_base.drop.contains(&"PGPASSFILE"));
        let without = variables(&credentials, None, &environment);
        assert!(!without.drop.contains(&"PGHOSTADDR"));
    }
}
