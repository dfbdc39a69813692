//! The table of settings. A new one is one row here, and its use in `gather.rs`.

use std::time::Duration;

use super::help;
use super::row::Form::{
    ApiPath, Choice, Count, Duration as AtLeast, File, List, Number, Pem, Print, Secret, Several,
    Switch, Text, Url,
};
use super::row::{Group, Setting};

/// No time-out may be shorter: nothing can be done in less.
const SHORTEST_TIMEOUT: Duration = Duration::from_millis(100);
/// No lease may be shorter: it could not be renewed in time, and the server counts in seconds.
const SHORTEST_LEASE: Duration = Duration::from_secs(5);

/// Makes a constant of every row, and a list of all.
macro_rules! table {
    ($($group:ident { $($name:ident = $row:expr;)* })*) => {
        $($(
            pub static $name: Setting = Setting { group: Group::$group, ..$row };
        )*)*
        /// All rows, in the order of the help.
        pub static ALL: &[&Setting] = &[$($(&$name),*),*];
    };
}

const fn flag(flag: &'static str, form: super::row::Form) -> Setting {
    Setting::flag(flag, form)
}

const fn variable(variable: &'static str, form: super::row::Form) -> Setting {
    Setting::variable_only(variable, form)
}

table! {
    Server {
        ADDRESS = flag("address", List("URL")).variable("VAULT_ADDR").default("https://127.0.0.1:8200")
            .brief("where the server is")
            .help("Where the server is: https://, http:// or unix:///path; several, separated by commas, are tried in turn");
        NAMESPACE = flag("namespace", Text("PATH")).variable("VAULT_NAMESPACE")
            .help("The namespace to work in");
        CA_CERT = flag("ca-cert", File("FILE")).variable("VAULT_CACERT")
            .help("PEM file of the certificate authorities to trust in place of the system's; the server's own certificate will do");
        CA_CERT_BYTES = variable("VAULT_CACERT_BYTES", Pem)
            .help("The PEM text itself; it counts before VAULT_CACERT");
        CA_PATH = flag("ca-path", File("FOLDER")).variable("VAULT_CAPATH")
            .help("Folder of such files");
        CLIENT_CERT = flag("client-cert", File("FILE")).variable("VAULT_CLIENT_CERT")
            .help("PEM file of the client's certificate");
        CLIENT_KEY = flag("client-key", File("FILE")).variable("VAULT_CLIENT_KEY")
            .help("PEM file of the client's private key");
        TLS_SERVER_NAME = flag("tls-server-name", Text("NAME")).variable("VAULT_TLS_SERVER_NAME")
            .help("The name that the server's certificate must have");
        TLS_SKIP_VERIFY = flag("tls-skip-verify", Switch).variable("VAULT_SKIP_VERIFY")
            .help("Trust whoever answers; for experiments only");
        CLIENT_TIMEOUT = variable("VAULT_CLIENT_TIMEOUT", AtLeast(SHORTEST_TIMEOUT)).default("60s")
            .help("The bound on one request");
        MAX_RETRIES = variable("VAULT_MAX_RETRIES", Number)
            .help("A bound on tries before the start, beside --start-timeout");
        DISABLE_REDIRECTS = variable("VAULT_DISABLE_REDIRECTS", Switch)
            .help("Do not follow a standby's redirect; one is followed, never from https to http");
        PROXY_ADDR = variable("VAULT_PROXY_ADDR", Url("URL"))
            .help("The proxy for every request; VAULT_HTTP_PROXY is the same");
        VAULT_HTTP_PROXY = variable("VAULT_HTTP_PROXY", Url("URL"))
            .help("As VAULT_PROXY_ADDR, which wins");
        HTTPS_PROXY = variable("HTTPS_PROXY", Url("URL"))
            .help("The proxy for https:// addresses");
        HTTP_PROXY = variable("HTTP_PROXY", Url("URL"))
            .help("The proxy for http:// addresses");
        NO_PROXY = variable("NO_PROXY", Text("HOSTS"))
            .help("Hosts, domains and networks that are reached without those two, separated by commas");
    }
    Login {
        AUTH = flag("auth", Choice("METHOD", &["approle", "token", "kubernetes", "jwt", "cert", "userpass", "ldap"])).variable("VAULTEXEC_AUTH")
            .depends("approle where a role id or a secret id is given, else token where there is one")
            .help("How to log in; docs/logins.md has a section for each method");
        AUTH_MOUNT = flag("auth-mount", ApiPath).variable("VAULTEXEC_AUTH_MOUNT").depends("the method's name")
            .help("Where the auth method is mounted");
        AUTH_ROLE = flag("auth-role", Text("ROLE")).variable("VAULTEXEC_AUTH_ROLE")
            .help("The role to log in as, for kubernetes, jwt and cert");
        ROLE_ID = flag("role-id", Text("ID")).variable("VAULT_ROLE_ID")
            .brief("the AppRole role")
            .help("The role id");
        ROLE_ID_FILE = flag("role-id-file", File("FILE")).variable("VAULT_ROLE_ID_FILE")
            .help("File with the role id; - is standard input");
        SECRET_ID = variable("VAULT_SECRET_ID", Secret)
            .help("The secret id; there may be none (bind_secret_id=false)");
        SECRET_ID_FILE = flag("secret-id-file", File("FILE")).variable("VAULT_SECRET_ID_FILE")
            .brief("- is standard input")
            .help("File with the secret id; - is standard input");
        WRAPPED_SECRET_ID = variable("VAULT_WRAPPED_SECRET_ID", Secret)
            .help("A wrapping token that holds the secret id");
        WRAPPED_SECRET_ID_FILE = flag("wrapped-secret-id-file", File("FILE")).variable("VAULT_WRAPPED_SECRET_ID_FILE")
            .brief("or it is wrapped")
            .help("File with a wrapping token that holds the secret id, bare or as the CLI's JSON; - is standard input");
        WRAPPING_PATH = flag("wrapping-path", ApiPath).variable("VAULTEXEC_WRAPPING_PATH").depends("auth/MOUNT/role/ANY/secret-id")
            .help("The one creation path that a wrapping token may have");
        REMOVE_SECRET_ID_FILE = flag("remove-secret-id-file", Switch).variable("VAULTEXEC_REMOVE_SECRET_ID_FILE")
            .help("Delete the secret id's file once the login succeeded");
        TOKEN = variable("VAULT_TOKEN", Secret)
            .help("A token to use in place of a login; it is renewed and never revoked, and what is read with it is");
        TOKEN_FILE = flag("token-file", File("FILE")).variable("VAULTEXEC_TOKEN_FILE").depends("~/.vault-token, if it is there")
            .help("File with such a token; - is standard input");
        JWT = variable("VAULTEXEC_JWT", Secret)
            .help("The JWT to log in with, for jwt");
        JWT_FILE = flag("jwt-file", File("FILE")).variable("VAULTEXEC_JWT_FILE")
            .depends("for kubernetes, the pod's own: /var/run/secrets/kubernetes.io/serviceaccount/token")
            .help("File with the JWT, for kubernetes and jwt, read again at each login; - is standard input");
        JWT_AUDIENCE = flag("jwt-audience", Text("AUDIENCE")).variable("VAULTEXEC_JWT_AUDIENCE")
            .help("Whom the JWT is for that a job of GitHub's Actions asks for where none is given, for jwt");
        USERNAME = flag("username", Text("NAME")).variable("VAULTEXEC_USERNAME")
            .help("Who logs in, for userpass and ldap");
        PASSWORD_FILE = flag("password-file", File("FILE")).variable("VAULTEXEC_PASSWORD_FILE")
            .depends("asked for at the terminal")
            .help("File with the password, for userpass and ldap; - is standard input");
    }
    Credentials {
        CREDS = flag("creds", Several("[NAME=]PATH", ',')).variable("VAULTEXEC_CREDS")
            .brief("what is read")
            .help("The path that is read for credentials, as in database/creds/app-role or database/static-creds/app, or for any other secret; behind it stands what is sent to it, if anything, as in 'pki/issue/web common_name=app'; it may be there again, with a NAME (the variable separates them by commas): the first are the default ones, and those called ro have RO_PGUSER, RO_DATABASE_URL and so on");
        ENV = flag("env", Several("NAME=TEMPLATE", '\n')).variable("VAULTEXEC_ENV")
            .brief("one more variable")
            .help("A variable made of fields, which counts before any other of its name: {{password}}, {{ro.username}}, {{url}}, {{jdbc_url}}, with the filters url, json and base64, as in {{password | url}}; it may be there again (the variable separates them by line breaks)");
        RESOLVE_ENV = flag("resolve-env", Switch).variable("VAULTEXEC_RESOLVE_ENV")
            .help("Inherited variables whose whole value is vault:PATH#FIELD get that field's value");
        DATABASE_URL = flag("database-url", Several("[NAME=]URL", '\n')).variable("VAULTEXEC_DATABASE_URL")
            .depends("the inherited DATABASE_URL, else PGHOST, PGPORT, PGDATABASE, PGSSLMODE, else localhost:5432")
            .brief("where it is good")
            .help("Base for DATABASE_URL, of PostgreSQL, MySQL, MariaDB, MongoDB, AMQP or Redis; its user and password are replaced. NAME=URL is for the credentials of that name, which else have that of the default ones. A flag or a file may not hold a password");
        INHERITED_DATABASE_URL = variable("DATABASE_URL", Url("URL"))
            .help("The base, where the option does not say one");
        SET_ROLE = flag("set-role", Text("ROLE")).variable("VAULTEXEC_SET_ROLE")
            .help("SET ROLE for every session with the default credentials, through PGOPTIONS and the URL's options, so that what is created belongs to a role that stays; the credentials' role has to be a member of it");
        WAIT_LOGIN = flag("wait-login", Switch).variable("VAULTEXEC_WAIT_LOGIN")
            .help("Try to log in to the database, for up to --start-timeout, before the command gets new credentials: a replica may not have the role yet. psql has to be there, which tries it");
        HANDOVER = flag("handover", Choice("WAY", &["env", "passfile", "service"])).variable("VAULTEXEC_HANDOVER").default("env")
            .help("Where passwords go: into the environment, into a password file of libpq (PGPASSFILE), or with all else into a connection service file (PGSERVICEFILE, PGSERVICE), which is replaced without a restart. Such a file is in memory, for the command's user alone, and gone at the end");
        GITHUB_MASK = flag("github-mask", Switch).variable("VAULTEXEC_GITHUB_MASK")
            .help("In a job of GitHub Actions, announce passwords to the runner on standard error (::add-mask::), so that it hides them in the job's log; where standard error goes to a file or a terminal they are not announced");
        LEASE_TTL = flag("lease-ttl", AtLeast(SHORTEST_LEASE)).variable("VAULTEXEC_LEASE_TTL")
            .help("Ask for a lease of this length and keep renewing it, so that less is left after a crash");
        ON_EXPIRY = flag("on-expiry", Choice("ACTION", &["restart", "refresh", "signal:NAME", "stop", "warn"])).variable("VAULTEXEC_ON_EXPIRY")
            .depends("restart, or refresh with --handover service; warn where standard input is a terminal")
            .brief("restart, stop, warn")
            .help("What happens when credentials cannot be extended any further");
    }
    Command {
        KEEP_ENV = flag("keep-env", List("NAMES")).variable("VAULTEXEC_KEEP_ENV")
            .help("Inherited variables that the command sees although they would be dropped: NAME or PREFIX*, separated by commas");
        CLEAR_ENV = flag("clear-env", Switch).variable("VAULTEXEC_CLEAR_ENV")
            .help("Start the command with nothing but the variables made for it and those of --keep-env");
        STOP_SIGNAL = flag("stop-signal", Text("SIGNAL")).variable("VAULTEXEC_STOP_SIGNAL").default("TERM")
            .help("How a restart or a stop asks the command to end");
        STOP_TIMEOUT = flag("stop-timeout", AtLeast(Duration::ZERO)).variable("VAULTEXEC_STOP_TIMEOUT").default("10s")
            .help("How long it has until KILL; 0 is KILL at once");
        KILL_AFTER = flag("kill-after", AtLeast(SHORTEST_TIMEOUT)).variable("VAULTEXEC_KILL_AFTER").depends("never")
            .help("So long after a TERM, INT, HUP or QUIT was passed on, a command that is still there is killed, as by timeout -k: give it less than the supervisor's own KILL leaves (--kill-after 4s under docker stop), so that the role goes too");
    }
    StartAndEnd {
        START_TIMEOUT = flag("start-timeout", AtLeast(SHORTEST_TIMEOUT)).variable("VAULTEXEC_START_TIMEOUT").default("30s")
            .help("How long a server that is not up yet, or sealed, is waited for; a login or a read under way at its end may take as long again, at most ten seconds");
        REVOKE_TIMEOUT = flag("revoke-timeout", AtLeast(SHORTEST_TIMEOUT)).variable("VAULTEXEC_REVOKE_TIMEOUT").default("5s")
            .help("The bound on cleaning up");
        NO_REVOKE = flag("no-revoke", Switch).variable("VAULTEXEC_NO_REVOKE")
            .help("Leave the lease and the token that the command has at its end");
        STRICT_PERMISSIONS = flag("strict-permissions", Switch).variable("VAULTEXEC_STRICT_PERMISSIONS")
            .help("Refuse a file with a secret of the login that others may read or write, or that belongs to another user; without it that is warned of");
        STRICT_REVOKE = flag("strict-revoke", Switch).variable("VAULTEXEC_STRICT_REVOKE")
            .help("Exit 125 when the command succeeded and its lease could not be revoked");
    }
    Check {
        NO_LOGIN = flag("no-login", Switch)
            .help("Leave the login out, which takes a use of a counted secret id, and what needs a token");
        FORMAT = flag("format", Choice("FORMAT", &["text", "json"])).default("text")
            .help("What it prints; json is one object a line");
    }
    Messages {
        LOG_LEVEL = flag("log-level", Choice("LEVEL", &["error", "warn", "info", "debug", "trace"])).variable("VAULTEXEC_LOG_LEVEL").default("warn")
            .help("What is logged, on standard error");
        VERBOSE = flag("verbose", Count).short('v')
            .brief("log more: -vv")
            .help("Log more: -v is info, -vv debug, -vvv trace");
        QUIET = flag("quiet", Switch).short('q')
            .help("Log errors only");
        LOG_FORMAT = flag("log-format", Choice("FORMAT", &["text", "json"])).variable("VAULTEXEC_LOG_FORMAT").default("text")
            .help("The form of the messages; json is one object a line");
        CONFIG = flag("config", File("FILE")).variable("VAULTEXEC_CONFIG")
            .help("A TOML file of settings: the names are those of the options, without the dashes; no secret is taken from it");
        PRINT_CONFIG = flag("print-config", Switch)
            .brief("all values in force")
            .help("Print every value in force and where it came from, without secrets, and do nothing else");
        HELP_BRIEF = variable("", Print(help::brief)).short('h')
            .help("The options that are used most");
        HELP = flag("help", Print(help::full))
            .brief("every option")
            .help("This text");
        VERSION = flag("version", Print(help::version)).short('V')
            .help("Version, commit and features");
    }
}
