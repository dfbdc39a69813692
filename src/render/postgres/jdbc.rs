//! The URL of PostgreSQL's JDBC driver: user and password are parameters there, and some parameters have
//! names of their own.

use super::base::Base;
use super::credentials::Credentials;
use super::place::{Place, is_no_host};
use crate::environment::Environment;
use crate::render::encode;
use crate::sensitive::Sensitive;

/// libpq's names of parameters, and that driver's.
const PARAMETERS: [(&str, &str); 11] = [
    ("sslmode", "sslmode"),
    ("sslrootcert", "sslrootcert"),
    ("sslcert", "sslcert"),
    ("sslkey", "sslkey"),
    ("channel_binding", "channelBinding"),
    ("gssencmode", "gssEncMode"),
    ("options", "options"),
    ("target_session_attrs", "targetServerType"),
    ("application_name", "ApplicationName"),
    ("connect_timeout", "connectTimeout"),
    ("krbsrvname", "kerberosServerName"),
];

/// The URL.
///
/// # Errors
/// Why there is none.
pub fn jdbc_url(
    credentials: &Credentials,
    base: Option<&Base>,
    environment: &dyn Environment,
) -> Result<Sensitive<String>, &'static str> {
    let place = Place::find(base, environment);
    let hosts = place.hosts.as_deref().unwrap_or("localhost");
    if hosts.split(',').any(|host| host.starts_with(['/', '@'])) {
        return Err("the JDBC driver takes no Unix socket");
    }
    if hosts.split(',').any(is_no_host) {
        return Err("a host of it holds a character that no host has");
    }
    let ports: Vec<&str> = place
        .ports
        .as_deref()
        .unwrap_or_default()
        .split(',')
        .collect();
    let hosts = hosts.split(',').enumerate().map(|(index, host)| {
        let host = if host.contains(':') {
            format!("[{host}]")
        } else {
            host.to_owned()
        };
        let port = if ports.len() > 1 {
            ports.get(index)
        } else {
            ports.first()
        };
        match port {
            Some(port) if !port.is_empty() => format!("{host}:{port}"),
            _ => host,
        }
    });
    let hosts = hosts.collect::<Vec<_>>().join(",");
    let database = place.database.as_deref().map(encode).unwrap_or_default();
    let mut parameters = String::new();
    for (known, value) in &place.parameters {
        let name = PARAMETERS.iter().find(|(name, _)| *name == known.name);
        let Some((_, name)) = name else { continue };
        let value = match (known.name, value.as_str()) {
            ("target_session_attrs", "read-write") => "primary",
            ("target_session_attrs", "read-only" | "standby") => "secondary",
            ("target_session_attrs", "prefer-standby") => "preferSecondary",
            (_, value) => value,
        };
        parameters = format!("{parameters}&{name}={}", encode(value));
    }
    let user = encode(&credentials.username);
    let password = Sensitive::new(encode(credentials.password.expose()));
    Ok(Sensitive::new(format!(
        "jdbc:postgresql://{hosts}/{database}?user={user}&password={}{parameters}",
        password.expose()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::Given;

    fn made(base: &str, environment: &[(&str, &str)]) -> Result<String, &'static str> {
        let credentials = Credentials {
            username: "v-x".to_owned(),
            password: Sensitive::from("p&@ %"),
        };
        let base = Base::parse(base).expect(base);
        let url = jdbc_url(&credentials, Some(&base), &Given(environment.to_vec()))?;
        Ok(url.expose().clone())
    }

    #[test]
    fn user_and_password_are_parameters() {
        let credentials = "user=v-x&password=p%26%40%20%25";
        for (base, environment, place, parameters) in [
            ("postgresql://h:1/a%20b", &[][..], "h:1/a%20b", ""),
            ("postgresql://h1:1,h2:2/d", &[], "h1:1,h2:2/d", ""),
            (
                "postgresql://h1,h2/d",
                &[("PGPORT", "5")],
                "h1:5,h2:5/d",
                "",
            ),
            (
                "postgresql://[fe80::1%25eth0]/d",
                &[],
                "[fe80::1%eth0]/d",
                "",
            ),
            (
                "postgresql://h/d?sslmode=verify-full&target_session_attrs=read-write&sslsni=0",
                &[("PGSSLROOTCERT", "/ca.pem")],
                "h/d",
                "&sslmode=verify-full&sslrootcert=%2Fca.pem&targetServerType=primary",
            ),
        ] {
            let expected = format!("jdbc:postgresql://{place}?{credentials}{parameters}");
            assert_eq!(made(base, environment), Ok(expected));
        }
    }

    #[test]
    fn a_socket_is_refused_with_the_reason() {
        let message = made("postgresql:///d?host=/tmp", &[]).expect_err("a socket");
        assert!(message.contains("socket"));
    }

    #[test]
    fn a_host_that_would_be_more_than_a_host_is_refused_with_the_reason() {
        let message = made("postgresql://h%3Fuser=x/d", &[]).expect_err("parameters");
        assert!(message.contains("no host has"));
    }
}
