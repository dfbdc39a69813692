//! Where the database is, merged from a base URL and libpq's own variables.

use super::base::{Base, is_port};
use super::parameters::{PARAMETERS, Parameter};
use crate::environment::Environment;

/// The default port of PostgreSQL.
const DEFAULT_PORT: &str = "5432";

/// Where the database is. What neither the base nor a variable says is absent, and the client's
/// default holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// `PGHOST`: hosts or socket folders, separated by commas.
    pub hosts: Option<String>,
    /// `PGPORT`: as many, or one for all.
    pub ports: Option<String>,
    /// `PGDATABASE`.
    pub database: Option<String>,
    /// The other parameters for which libpq has a variable.
    pub parameters: Vec<(&'static Parameter, String)>,
    /// Whether the base names the host, so that an inherited `PGHOSTADDR` would mislead.
    pub host_from_base: bool,
    /// Whether the base names a port.
    pub ports_from_base: bool,
    /// Whether nothing names the host.
    pub by_default: bool,
}

impl Place {
    pub fn find(base: Option<&Base>, environment: &dyn Environment) -> Self {
        let variable = |name: &str| {
            let value = environment
                .variable(name)
                .and_then(|value| value.into_string().ok());
            value.filter(|value| !value.is_empty())
        };
        let parameter = |name: &str| base.and_then(|base| base.parameter(name));
        // As libpq has it: a parameter overrules what stands before the path.
        let (hosts, ports) = base.map_or((None, None), hosts_of);
        let base_hosts = parameter("host")
            .or(hosts)
            .or_else(|| parameter("hostaddr"));
        let host_from_base = base_hosts.is_some();
        let hosts = base_hosts
            .or_else(|| variable("PGHOST"))
            .or_else(|| variable("PGHOSTADDR"));
        let by_default = hosts.is_none();
        let ports = parameter("port").or(ports);
        let ports_from_base = ports.is_some();
        let ports = ports
            .or_else(|| variable("PGPORT"))
            .or_else(|| by_default.then(|| DEFAULT_PORT.to_owned()));
        Self {
            hosts: Some(hosts.unwrap_or_else(|| "localhost".to_owned())),
            ports,
            database: parameter("dbname")
                .or_else(|| base.and_then(Base::database))
                .or_else(|| variable("PGDATABASE")),
            parameters: PARAMETERS
                .iter()
                .filter(|known| {
                    !(host_from_base && known.name == "hostaddr" && parameter("hostaddr").is_none())
                })
                .filter_map(|known| {
                    let said = parameter(known.name).or_else(|| match known.name {
                        "sslmode" => base.and_then(sslmode_of_ssl),
                        _ => None,
                    });
                    Some((known, said.or_else(|| variable(known.variable))?))
                })
                .collect(),
            host_from_base,
            ports_from_base,
            by_default,
        }
    }
}

impl Place {
    /// Every host with its port, as a client connects to it: an address given beside a name is what
    /// counts.
    pub fn each(&self) -> Vec<(String, String)> {
        let address = self
            .parameters
            .iter()
            .find(|(known, _)| known.name == "hostaddr");
        let hosts = address.map(|(_, value)| value).or(self.hosts.as_ref());
        let hosts: Vec<&str> = hosts
            .map_or("localhost", String::as_str)
            .split(',')
            .collect();
        let ports: Vec<&str> = self
            .ports
            .as_deref()
            .unwrap_or_default()
            .split(',')
            .collect();
        let port = |index: usize| {
            let own = if ports.len() == 1 {
                ports.first()
            } else {
                ports.get(index)
            };
            match own.copied().unwrap_or_default() {
                "" => DEFAULT_PORT.to_owned(),
                port => port.to_owned(),
            }
        };
        let host = |host: &str| if host.is_empty() { "localhost" } else { host }.to_owned();
        hosts
            .into_iter()
            .enumerate()
            .map(|(index, name)| (host(name), port(index)))
            .collect()
    }

    /// Adds a role that every session changes to, to the options that are there.
    pub fn set_role(&mut self, role: &str) {
        let mut option = "-c role=".to_owned();
        for character in role.chars() {
            // As the server splits options.
            if character.is_ascii_whitespace() || character == '\\' {
                option.push('\\');
            }
            option.push(character);
        }
        let options = |known: &Parameter| known.name == "options";
        if let Some((_, value)) = self.parameters.iter_mut().find(|(known, _)| options(known)) {
            // The last one counts.
            *value = format!("{value} {option}");
        } else if let Some(known) = PARAMETERS.iter().find(|known| options(known)) {
            self.parameters.push((known, option));
        }
    }
}

/// Whether this is neither a name, an address nor a socket's place: in a URL it would stand for something
/// else.
pub(super) fn is_no_host(host: &str) -> bool {
    let odd = |character: char| {
        character.is_whitespace() || character.is_control() || "/\\?#@[]".contains(character)
    };
    !host.starts_with(['/', '@']) && host.contains(odd)
}

/// What `ssl` says, the parameter of JDBC's, node's and Ecto's users, and of asyncpg under
/// SQLAlchemy: true, or a mode.
fn sslmode_of_ssl(base: &Base) -> Option<String> {
    let value = base.parameter("ssl")?;
    match value.as_str() {
        "true" | "True" | "1" => Some("require".to_owned()),
        "disable" | "allow" | "prefer" | "require" | "verify-ca" | "verify-full" => Some(value),
        _ => None,
    }
}

/// The hosts and ports before the path, in the form of libpq's variables.
fn hosts_of(base: &Base) -> (Option<String>, Option<String>) {
    let pairs = base.hosts();
    let join = |texts: Vec<&str>| {
        let some = texts.iter().any(|text| !text.is_empty());
        some.then(|| texts.join(","))
    };
    (
        join(pairs.iter().map(|(host, _)| host.as_str()).collect()),
        join(pairs.iter().map(|(_, port)| port.as_str()).collect()),
    )
}

/// A variable that is needed to find the database and cannot be meant as it is, with what is wrong.
#[must_use]
pub fn misleading_variable(
    base: Option<&Base>,
    environment: &dyn Environment,
) -> Option<(&'static str, &'static str)> {
    let place = Place::find(base, environment);
    let says = |host: &str| host.contains("://");
    if !place.host_from_base && place.hosts.as_deref().is_some_and(says) {
        return Some((
            "PGHOST",
            "it is a URL: a host's name, an address or a socket's folder belongs there",
        ));
    }
    let mut named = place.hosts.as_deref().unwrap_or_default().split(',');
    if !place.host_from_base && named.any(is_no_host) {
        return Some((
            "PGHOST",
            "it holds a character that no host's name or address has",
        ));
    }
    let hosts = place
        .hosts
        .as_deref()
        .unwrap_or_default()
        .split(',')
        .count();
    let ports: Vec<&str> = place
        .ports
        .as_deref()
        .unwrap_or_default()
        .split(',')
        .collect();
    if place.ports_from_base {
        return None;
    }
    if ports.iter().any(|port| says(port)) {
        return Some((
            "PGPORT",
            "it is a URL, as Kubernetes and Docker set for a linked service: set it to the port, or say host and port in a base URL",
        ));
    }
    if !ports.iter().all(|port| is_port(port)) {
        return Some((
            "PGPORT",
            "it is not a number from 1 to 65535, or several, separated by commas",
        ));
    }
    (ports.len() > 1 && ports.len() != hosts).then_some((
        "PGPORT",
        "it has not as many ports as there are hosts: one for all, or one for each",
    ))
}
