//! The variables a client needs, in both forms: a URL and libpq's `PG…`, so that either alone is
//! enough.

use std::net::Ipv6Addr;

use super::base::Base;
use super::credentials::Credentials;
use super::place::Place;
use crate::environment::Environment;
use crate::render::encode;
use crate::sensitive::Sensitive;

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
    set_role: Option<&str>,
    environment: &dyn Environment,
) -> Variables {
    let mut place = Place::find(base, environment);
    let mut base = base.cloned();
    if let Some(role) = set_role {
        place.set_role(role);
        base = base.map(|base| base.without("options"));
    }
    let base = base.as_ref();
    let mut notes = Vec::new();
    if place.by_default {
        let port = place.ports.as_deref().unwrap_or_default();
        notes.push(format!("nothing says where the database is: localhost:{port} is taken (set PGHOST or DATABASE_URL)"));
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
    ];
    let inherited = environment.variable("DATABASE_URL");
    if base.is_none()
        && inherited.is_some_and(|url| !url.as_encoded_bytes().trim_ascii().is_empty())
    {
        notes.push(
            "the inherited DATABASE_URL is no PostgreSQL's, so it is left as it is (--database-url says where the \
             database is)"
                .to_owned(),
        );
    } else {
        let url = Sensitive::new(url_at(credentials, base, &place));
        set.push(("DATABASE_URL", url));
    }
    let places = [
        ("PGHOST", &place.hosts),
        ("PGPORT", &place.ports),
        ("PGDATABASE", &place.database),
    ];
    set.extend(
        places
            .into_iter()
            .filter_map(|(name, value)| Some((name, Sensitive::from(value.as_deref()?)))),
    );
    set.extend(
        place
            .parameters
            .iter()
            .map(|(parameter, value)| (parameter.variable, Sensitive::from(value.as_str()))),
    );
    let mut drop = MISLEADING.to_vec();
    let names_address = place
        .parameters
        .iter()
        .any(|(parameter, _)| parameter.variable == "PGHOSTADDR");
    if !names_address && environment.variable("PGHOSTADDR").is_some() {
        drop.push("PGHOSTADDR");
        notes.push("PGHOSTADDR is dropped, because the base URL names the host".to_owned());
    }
    Variables { set, drop, notes }
}

/// The URL, whatever the caller's `DATABASE_URL` is.
#[must_use]
pub fn url(
    credentials: &Credentials,
    base: Option<&Base>,
    set_role: Option<&str>,
    environment: &dyn Environment,
) -> Sensitive<String> {
    let mut place = Place::find(base, environment);
    let mut base = base.cloned();
    if let Some(role) = set_role {
        place.set_role(role);
        base = base.map(|base| base.without("options"));
    }
    Sensitive::new(url_at(credentials, base.as_ref(), &place))
}

/// What a connection service file has to say, by libpq's names of parameters.
#[must_use]
pub fn parameters(
    credentials: &Credentials,
    base: Option<&Base>,
    set_role: Option<&str>,
    environment: &dyn Environment,
) -> Vec<(&'static str, Sensitive<String>)> {
    let mut place = Place::find(base, environment);
    if let Some(role) = set_role {
        place.set_role(role);
    }
    let places = [
        ("host", &place.hosts),
        ("port", &place.ports),
        ("dbname", &place.database),
    ];
    let places = places.into_iter();
    let places =
        places.filter_map(|(name, value)| Some((name, Sensitive::from(value.as_deref()?))));
    let others = place.parameters.iter();
    let others = others.map(|(known, value)| (known.name, Sensitive::from(value.as_str())));
    let login = [
        ("user", Sensitive::from(credentials.username.as_str())),
        ("password", credentials.password.clone()),
    ];
    places.chain(others).chain(login).collect()
}

fn url_at(credentials: &Credentials, base: Option<&Base>, place: &Place) -> String {
    let scheme = base.map_or("postgresql", |base| base.scheme.as_str());
    let user = encode(&credentials.username);
    let password = match credentials.password.expose().as_str() {
        // It is in a file.
        "" => String::new(),
        password => format!(":{}", encode(password)),
    };
    let mut parameters = base.map(|base| base.parameters.clone()).unwrap_or_default();
    let authority = authority_of(base, place, &mut parameters);
    let path = path_of(base, place);
    if base.is_none_or(Base::takes_libpqs_parameters) {
        let added = place.parameters.iter().filter(|(known, _)| {
            known.added_to_url
                && !has(base, known.name)
                && !(known.name == "sslmode" && has(base, "ssl"))
        });
        parameters.extend(added.filter_map(|(known, value)| parameter(known.name, Some(value))));
    }
    let query = if parameters.is_empty() {
        String::new()
    } else {
        format!("?{}", parameters.join("&"))
    };
    format!("{scheme}://{user}{password}@{authority}{path}{query}")
}

/// Hosts and ports: a base's own stay as they are, and what it leaves open is filled in. What has
/// no place before the path becomes a parameter.
fn authority_of(base: Option<&Base>, place: &Place, parameters: &mut Vec<String>) -> String {
    let hosts_before = base.map(Base::hosts).unwrap_or_default();
    let before = base.map_or("", |base| base.authority.as_str());
    let has_port = has(base, "port") || hosts_before.iter().any(|(_, port)| !port.is_empty());
    let ports = place.ports.as_deref().filter(|_| !has_port);
    if has(base, "host") {
        parameters.extend(parameter("port", ports));
        return before.to_owned();
    }
    if hosts_before.iter().any(|(host, _)| !host.is_empty()) {
        // A colon without a port may end a host.
        let hosts = before.split(',').map(|host| host.trim_end_matches(':'));
        return match ports {
            Some(ports) => with_ports(hosts.map(str::to_owned), ports),
            None => before.to_owned(),
        };
    }
    let hosts = place.hosts.as_deref().unwrap_or("localhost");
    let ports = place.ports.as_deref().unwrap_or_default();
    if hosts.split(',').any(|host| host.starts_with(['/', '@'])) {
        // A socket: as a parameter every client understands it.
        parameters.extend(parameter("host", Some(hosts)));
        let open = !has(base, "port") && !ports.is_empty();
        parameters.extend(parameter("port", open.then_some(ports)));
        return String::new();
    }
    let is_several_or_zoned = hosts.contains([',', '%']);
    if is_several_or_zoned && base.is_some_and(|base| base.driver().is_some()) {
        // SQLAlchemy takes one host before the path, and does not decode it.
        parameters.extend(parameter("host", Some(hosts)));
        if !has(base, "port") {
            parameters.extend(parameter("port", one_each(hosts, ports).as_deref()));
        }
        return String::new();
    }
    let hosts = hosts.split(',').map(|host| {
        if is_address(host) {
            format!("[{}]", host.replace('%', "%25"))
        } else {
            encode(host)
        }
    });
    with_ports(hosts, ports)
}

/// Whether this is an address with colons, perhaps with a zone, which stands in brackets before a port.
fn is_address(host: &str) -> bool {
    let (address, zone) = host.split_once('%').unwrap_or((host, ""));
    address.parse::<Ipv6Addr>().is_ok() && !zone.contains(['%', ':'])
}

/// As many ports as hosts, if there is one: asyncpg under SQLAlchemy does not take one for all.
fn one_each(hosts: &str, ports: &str) -> Option<String> {
    if ports.is_empty() {
        return None;
    }
    let several = ports.contains(',');
    let all = hosts.split(',').map(|_| ports);
    Some(if several {
        ports.to_owned()
    } else {
        all.collect::<Vec<_>>().join(",")
    })
}

/// The hosts, each with its port, or all with the one.
fn with_ports(hosts: impl Iterator<Item = String>, ports: &str) -> String {
    let ports: Vec<&str> = ports.split(',').collect();
    let one = |(index, host): (usize, String)| {
        let port = ports.get(index).or_else(|| ports.first());
        match port.filter(|port| !port.is_empty()) {
            Some(port) => format!("{host}:{port}"),
            None => host,
        }
    };
    hosts.enumerate().map(one).collect::<Vec<_>>().join(",")
}

/// The database's name, from the slash on.
fn path_of(base: Option<&Base>, place: &Place) -> String {
    let path = match base {
        Some(base) if base.database().is_some() || has(Some(base), "dbname") => base.path.clone(),
        _ => place
            .database
            .as_deref()
            .map(|name| format!("/{}", encode(name)))
            .unwrap_or_default(),
    };
    if path.is_empty() {
        "/".to_owned()
    } else {
        path
    }
}

/// Whether the base has a parameter that says something.
fn has(base: Option<&Base>, name: &str) -> bool {
    base.is_some_and(|base| base.parameter(name).is_some())
}

fn parameter(name: &str, value: Option<&str>) -> Option<String> {
    Some(format!("{name}={}", encode(value?)))
}

#[cfg(test)]
mod tests {
    use super::super::parameters::PARAMETERS;
    use super::*;
    use crate::environment::Given;
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
        let variables = variables(
            &credentials,
            base.as_ref(),
            None,
            &Given(environment.to_vec()),
        );
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

    /// A base, the environment, the URL and the variables expected.
    type Case<'a> = (Option<&'a str>, &'a [(&'a str, &'a str)], &'a str, &'a str);

    fn assert_rendered(cases: &[Case<'_>]) {
        for (base, environment, url, variables) in cases {
            let (rendered_url, all) = rendered(*base, environment);
            assert_eq!(rendered_url, *url, "{base:?} {environment:?}");
            assert_eq!(pg(&all), *variables, "{base:?} {environment:?}");
        }
    }

    #[test]
    fn either_form_alone_is_enough() {
        assert_rendered(&[
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
                "PGHOST=db PGPORT=6000 PGDATABASE=app PGSSLMODE=disable PGAPPNAME=x y ",
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
                "PGHOST=h1,h2 PGPORT=1,2 PGDATABASE=app PGTARGETSESSIONATTRS=primary ",
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
        ]);
    }

    #[test]
    fn what_a_base_leaves_open_is_filled_in_and_its_parameters_overrule() {
        assert_rendered(&[
            (
                Some("postgresql://h1/app?host=/tmp"),
                &[],
                "postgresql://v-x:p@h1/app?host=/tmp",
                "PGHOST=/tmp PGDATABASE=app ",
            ),
            (
                Some("postgresql://h1:1/app?port=2&dbname=other"),
                &[("PGPORT", "3")],
                "postgresql://v-x:p@h1:1/app?port=2&dbname=other",
                "PGHOST=h1 PGPORT=2 PGDATABASE=other ",
            ),
            (
                Some("postgresql:///app?hostaddr=10.0.0.1"),
                &[("PGHOST", "db")],
                "postgresql://v-x:p@10.0.0.1/app?hostaddr=10.0.0.1",
                "PGHOST=10.0.0.1 PGDATABASE=app PGHOSTADDR=10.0.0.1 ",
            ),
            (
                Some("postgresql:///app?host=&sslmode="),
                &[("PGHOST", "db"), ("PGSSLMODE", "require")],
                "postgresql://v-x:p@db/app?sslmode=require",
                "PGHOST=db PGDATABASE=app PGSSLMODE=require ",
            ),
            // A port without a host.
            (
                Some("postgresql://:6000/app"),
                &[("PGHOST", "db")],
                "postgresql://v-x:p@db:6000/app",
                "PGHOST=db PGPORT=6000 PGDATABASE=app ",
            ),
            (
                Some("postgresql://:6000/app"),
                &[("PGHOST", "/tmp")],
                "postgresql://v-x:p@/app?host=%2Ftmp&port=6000",
                "PGHOST=/tmp PGPORT=6000 PGDATABASE=app ",
            ),
            (
                Some("postgresql://:6000/app"),
                &[],
                "postgresql://v-x:p@localhost:6000/app",
                "PGHOST=localhost PGPORT=6000 PGDATABASE=app ",
            ),
            (
                Some("postgresql:///app?port=6000"),
                &[("PGHOST", "/tmp")],
                "postgresql://v-x:p@/app?port=6000&host=%2Ftmp",
                "PGHOST=/tmp PGPORT=6000 PGDATABASE=app ",
            ),
            // A host without a port.
            (
                Some("postgresql:///app?host=/tmp"),
                &[("PGPORT", "6000")],
                "postgresql://v-x:p@/app?host=/tmp&port=6000",
                "PGHOST=/tmp PGPORT=6000 PGDATABASE=app ",
            ),
            (
                Some("postgresql://h1/app?host=h2"),
                &[("PGPORT", "6000")],
                "postgresql://v-x:p@h1/app?host=h2&port=6000",
                "PGHOST=h2 PGPORT=6000 PGDATABASE=app ",
            ),
            (
                Some("postgresql://h1,[::1]:/app"),
                &[("PGPORT", "1,2")],
                "postgresql://v-x:p@h1:1,[::1]:2/app",
                "PGHOST=h1,::1 PGPORT=1,2 PGDATABASE=app ",
            ),
            (
                Some("postgresql:///app"),
                &[("PGHOST", "a,b"), ("PGPORT", "1,2")],
                "postgresql://v-x:p@a:1,b:2/app",
                "PGHOST=a,b PGPORT=1,2 PGDATABASE=app ",
            ),
        ]);
    }

    #[test]
    fn every_parameter_of_libpq_reaches_both_forms() {
        for known in &PARAMETERS {
            let base = format!("postgresql://h/d?{}=a%20b", known.name);
            let (url, all) = rendered(Some(&base), &[]);
            assert_eq!(url, format!("postgresql://v-x:p@h/d?{}=a%20b", known.name));
            let expected = (known.variable.to_owned(), "a b".to_owned());
            assert!(all.contains(&expected), "{}", known.name);
            // A variable of the caller's gives way to the base.
            let (_, all) = rendered(Some(&base), &[(known.variable, "other")]);
            assert!(all.contains(&expected), "{}", known.name);
            let (url, _) = rendered(Some("postgresql://h/d"), &[(known.variable, "a b")]);
            let added = url.ends_with(&format!("?{}=a%20b", known.name));
            assert_eq!(added, known.added_to_url, "{}", known.name);
        }
    }

    #[test]
    fn what_a_driver_would_refuse_is_not_added() {
        let environment = [("PGSSLMODE", "prefer"), ("PGSSLROOTCERT", "/ca.pem")];
        let added = "?sslmode=prefer&sslrootcert=%2Fca.pem";
        for (scheme, added) in [
            ("postgis", added),
            ("postgresql+psycopg", added),
            ("postgresql+asyncpg", ""),
            ("postgresql+pg8000", ""),
            ("ecto", ""),
        ] {
            let (url, all) = rendered(Some(&format!("{scheme}://h/d")), &environment);
            assert_eq!(url, format!("{scheme}://v-x:p@h/d{added}"));
            assert!(pg(&all).contains("PGSSLMODE=prefer PGSSLROOTCERT=/ca.pem"));
        }
        // What the base has is the caller's own affair, and as safe in the other form.
        for (ssl, mode) in [("true", "require"), ("verify-full", "verify-full")] {
            let base = format!("postgresql+asyncpg://h/d?ssl={ssl}");
            let (url, all) = rendered(Some(&base), &[("PGSSLMODE", "disable")]);
            assert_eq!(url, format!("postgresql+asyncpg://v-x:p@h/d?ssl={ssl}"));
            assert!(pg(&all).contains(&format!("PGSSLMODE={mode} ")), "{ssl}");
        }
        let (url, _) = rendered(Some("postgresql://h/d?ssl=true"), &[]);
        assert_eq!(url, "postgresql://v-x:p@h/d?ssl=true");
    }

    #[test]
    fn several_hosts_and_zones_are_where_sqlalchemy_reads_them() {
        assert_rendered(&[
            (
                Some("postgresql+asyncpg:///app"),
                &[("PGHOST", "h1,h2"), ("PGPORT", "1")],
                "postgresql+asyncpg://v-x:p@/app?host=h1%2Ch2&port=1%2C1",
                "PGHOST=h1,h2 PGPORT=1 PGDATABASE=app ",
            ),
            (
                Some("postgresql+psycopg:///app"),
                &[("PGHOST", "fe80::1%eth0")],
                "postgresql+psycopg://v-x:p@/app?host=fe80%3A%3A1%25eth0",
                "PGHOST=fe80::1%eth0 PGDATABASE=app ",
            ),
            (
                None,
                &[("PGHOST", "fe80::1%eth0"), ("PGPORT", "1")],
                "postgresql://v-x:p@[fe80::1%25eth0]:1/",
                "PGHOST=fe80::1%eth0 PGPORT=1 ",
            ),
            (
                Some("postgresql://[fe80::1%eth0]/app"),
                &[],
                "postgresql://v-x:p@[fe80::1%25eth0]/app",
                "PGHOST=fe80::1%eth0 PGDATABASE=app ",
            ),
        ]);
    }

    #[test]
    fn a_role_is_set_in_both_forms_beside_the_options_that_are_there() {
        let credentials = Credentials {
            username: "u".to_owned(),
            password: Sensitive::from("p"),
        };
        for (base, environment, role, options) in [
            ("postgresql://h/d", &[][..], "owner", "-c role=owner"),
            (
                "postgresql://h/d?options=-c%20a%3Db&sslmode=disable",
                &[],
                "owner",
                "-c a=b -c role=owner",
            ),
            (
                "postgresql://h/d",
                &[("PGOPTIONS", "-c a=b")],
                r"an \ owner",
                r"-c a=b -c role=an\ \\\ owner",
            ),
        ] {
            let base = Base::parse(base).expect(base);
            let environment = Given(environment.to_vec());
            let variables = variables(&credentials, Some(&base), Some(role), &environment);
            let value = |wanted: &str| {
                let found = variables.set.iter().find(|(name, _)| *name == wanted);
                found.map(|(_, value)| value.expose().clone())
            };
            assert_eq!(value("PGOPTIONS").as_deref(), Some(options));
            let url = value("DATABASE_URL").unwrap_or_default();
            assert_eq!(url.matches("options=").count(), 1, "{url}");
            assert!(
                url.contains(&format!("options={}", encode(options))),
                "{url}"
            );
        }
    }

    #[test]
    fn a_url_of_another_database_is_left_alone() {
        let credentials = Credentials {
            username: "u".to_owned(),
            password: Sensitive::from("p"),
        };
        for (url, is_set) in [("sqlite:///x", false), ("", true), (" ", true)] {
            let variables = variables(
                &credentials,
                None,
                None,
                &Given(vec![("DATABASE_URL", url)]),
            );
            let set = variables
                .set
                .iter()
                .any(|(name, _)| *name == "DATABASE_URL");
            assert_eq!(set, is_set, "{url:?}");
            let told = variables
                .notes
                .iter()
                .any(|note| note.contains("left as it is"));
            assert_eq!(told, !is_set, "{url:?}");
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
            let variables = variables(&credentials, Some(&base), None, &Given(vec![]));
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
    fn only_an_address_stands_in_brackets() {
        for (host, authority) in [
            ("fe80::1%eth0", "[fe80::1%25eth0]"),
            ("::ffff:10.0.0.1", "[::ffff:10.0.0.1]"),
            ("db:5432", "db%3A5432"),
        ] {
            let (url, _) = rendered(None, &[("PGHOST", host)]);
            assert_eq!(url, format!("postgresql://v-x:p@{authority}/"));
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
        let with_base = variables(&credentials, Some(&base), None, &environment);
        assert!(with_base.drop.contains(&"PGHOSTADDR") && with_base.drop.contains(&"PGPASSFILE"));
        let without = variables(&credentials, None, None, &environment);
        assert!(!without.drop.contains(&"PGHOSTADDR"));
    }
}
