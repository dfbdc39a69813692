//! The command line. Values are taken as they are; `config` checks them, so that a wrong flag and a
//! wrong variable are told in the same words, and all at once.

use std::ffi::OsString;

use clap::{ArgAction, Parser};

/// The text below the options in `--help`.
const AFTER_HELP: &str = "\
Settings are looked for in this order: flag, environment, default. Every VAULT_X can be given as BAO_X, which wins.
No secret is ever taken as a flag's value, because everybody on the host can read it there.

Exit codes: the command's own; death by the same signal; 125 vaultexec failed; 126 the command cannot be run;
127 the command is not there.

Example:
  VAULT_ADDR=https://vault:8200 VAULT_ROLE_ID=… VAULT_SECRET_ID_FILE=/run/secret-id \\
  vaultexec --creds database/creds/app-role -- psql -d appdb";

/// Run a command with short-lived database credentials, and revoke them when it ends.
///
/// Logs in to HashiCorp Vault or OpenBao, reads credentials, and starts COMMAND with PGUSER,
/// PGPASSWORD and DATABASE_URL in its environment. Renews them while it runs.
#[derive(Debug, Default, Parser)]
#[command(name = "vaultexec", version, after_help = AFTER_HELP, override_usage = "vaultexec [OPTIONS] -- COMMAND [ARG]...")]
pub struct Cli {
    /// Where the server is: https://, http:// or unix://; several, separated by commas, are tried in turn [env: VAULT_ADDR] [default: https://127.0.0.1:8200]
    #[arg(long, value_name = "URL", help_heading = "Server")]
    pub address: Option<OsString>,
    /// The namespace to work in [env: VAULT_NAMESPACE]
    #[arg(long, value_name = "PATH", help_heading = "Server")]
    pub namespace: Option<OsString>,
    /// PEM file of the certificate authorities to trust [env: VAULT_CACERT, or the PEM itself in VAULT_CACERT_BYTES]
    #[arg(long, value_name = "FILE", help_heading = "Server")]
    pub ca_cert: Option<OsString>,
    /// Folder of such files [env: VAULT_CAPATH]
    #[arg(long, value_name = "FOLDER", help_heading = "Server")]
    pub ca_path: Option<OsString>,
    /// PEM file of the client's certificate [env: VAULT_CLIENT_CERT]
    #[arg(long, value_name = "FILE", help_heading = "Server")]
    pub client_cert: Option<OsString>,
    /// PEM file of the client's private key [env: VAULT_CLIENT_KEY]
    #[arg(long, value_name = "FILE", help_heading = "Server")]
    pub client_key: Option<OsString>,
    /// The name that the server's certificate must have [env: VAULT_TLS_SERVER_NAME]
    #[arg(long, value_name = "NAME", help_heading = "Server")]
    pub tls_server_name: Option<OsString>,
    /// Trust whoever answers; for experiments only [env: VAULT_SKIP_VERIFY]
    #[arg(long, help_heading = "Server")]
    pub tls_skip_verify: bool,

    /// How to log in: approle [env: VAULTEXEC_AUTH]
    #[arg(long, value_name = "METHOD", help_heading = "Login")]
    pub auth: Option<OsString>,
    /// Where the auth method is mounted [env: VAULTEXEC_AUTH_MOUNT] [default: the method's name]
    #[arg(long, value_name = "PATH", help_heading = "Login")]
    pub auth_mount: Option<OsString>,
    /// The role id [env: VAULT_ROLE_ID]
    #[arg(long, value_name = "ID", help_heading = "Login")]
    pub role_id: Option<OsString>,
    /// File with the role id; - is standard input [env: VAULT_ROLE_ID_FILE]
    #[arg(long, value_name = "FILE", help_heading = "Login")]
    pub role_id_file: Option<OsString>,
    /// File with the secret id; - is standard input [env: VAULT_SECRET_ID_FILE, or the value in VAULT_SECRET_ID]
    #[arg(long, value_name = "FILE", help_heading = "Login")]
    pub secret_id_file: Option<OsString>,
    /// File with a wrapping token that holds the secret id, bare or as the CLI's JSON; - is standard input [env: VAULT_WRAPPED_SECRET_ID_FILE, or the value in VAULT_WRAPPED_SECRET_ID]
    #[arg(long, value_name = "FILE", help_heading = "Login")]
    pub wrapped_secret_id_file: Option<OsString>,
    /// Where a wrapping token must have been made [env: VAULTEXEC_WRAPPING_PATH] [default: auth/MOUNT/role/ANY/secret-id]
    #[arg(long, value_name = "PATH", help_heading = "Login")]
    pub wrapping_path: Option<OsString>,
    /// Delete the secret id's file once the login succeeded [env: VAULTEXEC_REMOVE_SECRET_ID_FILE]
    #[arg(long, help_heading = "Login")]
    pub remove_secret_id_file: bool,

    /// The path that is read for credentials, as in database/creds/app-role [env: VAULTEXEC_CREDS]
    #[arg(long, value_name = "PATH", help_heading = "Credentials")]
    pub creds: Option<OsString>,
    /// Base for DATABASE_URL [env: VAULTEXEC_DATABASE_URL] [default: the inherited DATABASE_URL, else PGHOST, PGPORT…]
    #[arg(long, value_name = "URL", help_heading = "Credentials")]
    pub database_url: Option<OsString>,
    /// Ask for a lease of this length and keep renewing it, so that less is left after a crash [env: VAULTEXEC_LEASE_TTL]
    #[arg(long, value_name = "DURATION", help_heading = "Credentials")]
    pub lease_ttl: Option<OsString>,
    /// When credentials cannot be extended any further: restart, signal:NAME, stop or warn [env: VAULTEXEC_ON_EXPIRY] [default: restart; warn at a terminal]
    #[arg(long, value_name = "ACTION", help_heading = "Credentials")]
    pub on_expiry: Option<OsString>,

    /// Inherited variables that the child keeps although they would be dropped; NAME or PREFIX*, separated by commas [env: VAULTEXEC_KEEP_ENV]
    #[arg(long, value_name = "NAMES", help_heading = "Child")]
    pub keep_env: Option<OsString>,
    /// Start the child with nothing but the variables made for it and those of --keep-env [env: VAULTEXEC_CLEAR_ENV]
    #[arg(long, help_heading = "Child")]
    pub clear_env: bool,
    /// How a restart or a stop asks the child to end [env: VAULTEXEC_STOP_SIGNAL] [default: TERM]
    #[arg(long, value_name = "SIGNAL", help_heading = "Child")]
    pub stop_signal: Option<OsString>,
    /// How long it has until KILL [env: VAULTEXEC_STOP_TIMEOUT] [default: 10s]
    #[arg(long, value_name = "DURATION", help_heading = "Child")]
    pub stop_timeout: Option<OsString>,
    /// So long after a TERM, INT, HUP or QUIT was passed on to the child, it is killed if it is still there [env: VAULTEXEC_KILL_AFTER] [default: never]
    #[arg(long, value_name = "DURATION", help_heading = "Child")]
    pub kill_after: Option<OsString>,

    /// How long transient faults are retried before the child starts [env: VAULTEXEC_START_TIMEOUT] [default: 30s]
    #[arg(long, value_name = "DURATION", help_heading = "Start and end")]
    pub start_timeout: Option<OsString>,
    /// The bound on cleaning up [env: VAULTEXEC_REVOKE_TIMEOUT] [default: 5s]
    #[arg(long, value_name = "DURATION", help_heading = "Start and end")]
    pub revoke_timeout: Option<OsString>,
    /// Leave the lease and the token alone once the child has run [env: VAULTEXEC_NO_REVOKE]
    #[arg(long, help_heading = "Start and end")]
    pub no_revoke: bool,
    /// Exit 125 when the child succeeded and the lease could not be revoked [env: VAULTEXEC_STRICT_REVOKE]
    #[arg(long, help_heading = "Start and end")]
    pub strict_revoke: bool,

    /// What is told on stderr: error, warn, info, debug or trace [env: VAULTEXEC_LOG_LEVEL] [default: warn]
    #[arg(long, value_name = "LEVEL", help_heading = "Messages")]
    pub log_level: Option<OsString>,
    /// Tell more: info, -vv debug, -vvv trace
    #[arg(short, long, action = ArgAction::Count, help_heading = "Messages")]
    pub verbose: u8,
    /// Tell errors only
    #[arg(short, long, help_heading = "Messages", conflicts_with = "verbose")]
    pub quiet: bool,
    /// The form of the messages: text or json [env: VAULTEXEC_LOG_FORMAT] [default: text]
    #[arg(long, value_name = "FORMAT", help_heading = "Messages")]
    pub log_format: Option<OsString>,

    /// The command to run, and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;
    use std::collections::BTreeSet;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn everything_after_the_dashes_is_the_commands() {
        let cli =
            Cli::try_parse_from(["vaultexec", "-v", "--", "psql", "-q", "--creds", "--", "x"])
                .expect("valid");
        assert_eq!(cli.command, ["psql", "-q", "--creds", "--", "x"]);
        assert_eq!((cli.verbose, cli.quiet), (1, false));
    }

    #[test]
    fn dashes_and_a_command_are_required() {
        for arguments in [
            &["vaultexec"][..],
            &["vaultexec", "psql"],
            &["vaultexec", "--"],
            &["vaultexec", "--nope", "--", "x"],
        ] {
            assert!(Cli::try_parse_from(arguments).is_err(), "{arguments:?}");
        }
    }

    /// What stands in backquotes, up to its first space.
    fn quoted(cell: &str) -> BTreeSet<String> {
        let quoted = cell.split('`').skip(1).step_by(2);
        quoted
            .filter_map(|text| text.split(' ').next())
            .map(str::to_owned)
            .collect()
    }

    /// The variables in the brackets of a help text.
    fn variables(argument: &clap::Arg) -> BTreeSet<String> {
        let help = argument.get_help().map(ToString::to_string);
        let help = help.unwrap_or_default();
        let named = help.split("[env: ").nth(1).unwrap_or_default();
        named
            .split(']')
            .next()
            .unwrap_or_default()
            .split(|character: char| !character.is_ascii_uppercase() && character != '_')
            .filter(|word| word.starts_with("VAULT"))
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn the_manual_and_the_help_have_the_same_options_with_the_same_variables() {
        let command = Cli::command();
        let names = |argument: &clap::Arg| -> BTreeSet<String> {
            let short = argument.get_short().map(|short| format!("-{short}"));
            let long = argument.get_long().map(|long| format!("--{long}"));
            short.into_iter().chain(long).collect()
        };
        let mut left: Vec<_> = command.get_arguments().collect();
        left.retain(|argument| !names(argument).is_empty());
        let table = include_str!("../README.md")
            .split("| option | variable | meaning |\n|---|---|---|\n")
            .nth(1)
            .expect("the table");
        for row in table.lines().take_while(|line| line.starts_with('|')) {
            let cells: Vec<_> = row.split('|').collect();
            let (options, documented) = (quoted(cells[1]), quoted(cells[2]));
            let mut helped = BTreeSet::new();
            for option in &options {
                let place = left
                    .iter()
                    .position(|argument| names(argument).contains(option));
                let argument = left.remove(place.unwrap_or_else(|| panic!("{option}: {row}")));
                helped.extend(variables(argument));
            }
            if !options.is_empty() {
                assert_eq!(documented, helped, "{row}");
            }
        }
        let left: Vec<_> = left.into_iter().map(names).collect();
        assert!(left.is_empty(), "not in the manual: {left:?}");
    }
}
