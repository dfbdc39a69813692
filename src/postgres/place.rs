//! Where the database is, merged from a base URL and libpq's own variables.

use super::base::Base;
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
    /// `PGSSLMODE`.
    pub sslmode: Option<String>,
    /// Whether the base names the host, so that an inherited `PGHOSTADDR` would mislead.
    pub host_from_base: bool,
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
        let ports = parameter("port")
            .or(ports)
            .or_else(|| variable("PGPORT"))
            .or_else(|| by_default.then(|| DEFAULT_PORT.to_owned()));
        Self {
            hosts: Some(hosts.unwrap_or_else(|| "localhost".to_owned())),
            ports,
            database: parameter("dbname")
                .or_else(|| base.and_then(Base::database))
                .or_else(|| variable("PGDATABASE")),
            sslmode: parameter("sslmode").or_else(|| variable("PGSSLMODE")),
            host_from_base,
            by_default,
        }
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
