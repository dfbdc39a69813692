//! The parameters of a connection for which libpq has a variable, besides user, password, host, port
//! and database.

/// A parameter by its two names.
#[derive(Debug, PartialEq, Eq)]
pub struct Parameter {
    /// In a URL.
    pub name: &'static str,
    /// Of the variable.
    pub variable: &'static str,
    /// Whether a variable's value is added to the URL too: what decides on which server is believed
    /// and what a session may do, as far as every supported libpq knows it. An older one refuses a
    /// URL with a parameter that it does not know, and ignores such a variable.
    pub added_to_url: bool,
}

const fn both(name: &'static str, variable: &'static str) -> Parameter {
    Parameter {
        name,
        variable,
        added_to_url: true,
    }
}

const fn from_url(name: &'static str, variable: &'static str) -> Parameter {
    Parameter {
        name,
        variable,
        added_to_url: false,
    }
}

/// All of them.
pub const PARAMETERS: [Parameter; 29] = [
    both("sslmode", "PGSSLMODE"),
    both("sslrootcert", "PGSSLROOTCERT"),
    both("sslcert", "PGSSLCERT"),
    both("sslkey", "PGSSLKEY"),
    both("sslcrl", "PGSSLCRL"),
    both("ssl_min_protocol_version", "PGSSLMINPROTOCOLVERSION"),
    both("ssl_max_protocol_version", "PGSSLMAXPROTOCOLVERSION"),
    both("channel_binding", "PGCHANNELBINDING"),
    both("gssencmode", "PGGSSENCMODE"),
    both("requirepeer", "PGREQUIREPEER"),
    both("target_session_attrs", "PGTARGETSESSIONATTRS"),
    both("options", "PGOPTIONS"),
    from_url("hostaddr", "PGHOSTADDR"),
    from_url("application_name", "PGAPPNAME"),
    from_url("client_encoding", "PGCLIENTENCODING"),
    from_url("connect_timeout", "PGCONNECT_TIMEOUT"),
    from_url("gssdelegation", "PGGSSDELEGATION"),
    from_url("gsslib", "PGGSSLIB"),
    from_url("krbsrvname", "PGKRBSRVNAME"),
    from_url("load_balance_hosts", "PGLOADBALANCEHOSTS"),
    from_url("max_protocol_version", "PGMAXPROTOCOLVERSION"),
    from_url("min_protocol_version", "PGMINPROTOCOLVERSION"),
    from_url("require_auth", "PGREQUIREAUTH"),
    from_url("requiressl", "PGREQUIRESSL"),
    from_url("sslcertmode", "PGSSLCERTMODE"),
    from_url("sslcompression", "PGSSLCOMPRESSION"),
    from_url("sslcrldir", "PGSSLCRLDIR"),
    from_url("sslnegotiation", "PGSSLNEGOTIATION"),
    from_url("sslsni", "PGSSLSNI"),
];
