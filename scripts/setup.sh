#!/bin/sh
# Configures Vault (or OpenBao) for an application that wants short-lived PostgreSQL credentials, and hands over what
# that application needs to log in. `make demo`, the tests of this script and docker-compose.yml all run this very file.
#
#   setup.sh             configure, then hand over
#   setup.sh handover    hand over only: a fresh wrapped secret id
#
# It may be run as often as you like. The hand-over is two files in HANDOVER_DIR:
#   role-id              which role the application has; an identifier, not a secret
#   wrapped-secret-id    a wrapping token: opens once, within WRAP_TTL, and gives the secret id
#
# Plain POSIX sh: it also has to run in busybox, which is all that the hashicorp/vault image has.
set -eu
umask 077

# Where Vault is: VAULT_ADDR and VAULT_TOKEN (and the rest of VAULT_*), read by the client itself.
: "${VAULT_CLI:=vault}"             # or `bao`
: "${HANDOVER_DIR:?set it to the directory that receives role-id and wrapped-secret-id}"
: "${HANDOVER_OWNER:=}"             # as chown takes it, e.g. 65532:65532; empty: whoever runs this
: "${HANDOVER_MODE:=0600}"
: "${WRAP_TTL:=60s}"                # how long the wrapped secret id can be opened
: "${WAIT_SECONDS:=60}"             # how long to wait for Vault and for PostgreSQL

# PostgreSQL as *Vault* reaches it, by the names that the postgres image uses.
: "${POSTGRES_HOST:=postgres}"
: "${POSTGRES_PORT:=5432}"
: "${POSTGRES_DB:=appdb}"
: "${POSTGRES_USER:=vaultadmin}"
: "${POSTGRES_PASSWORD:=}"
: "${POSTGRES_SSLMODE:=disable}"

say() { printf 'setup: %s\n' "$*"; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }

vault_cli() { "$VAULT_CLI" "$@"; }

# Runs a command until it succeeds; its last words are shown only if it never does.
# A refusal that waiting cannot cure ends it at once.
wait_for() {
    what=$1; shift
    left=$WAIT_SECONDS
    told=
    until answer=$("$@" 2>&1); do
        case $answer in
        *'password authentication failed'* | *'permission denied'*) left=0 ;;
        esac
        [ "$left" -gt 0 ] || fail "$what: gave up. The last answer was:
$answer"
        [ -n "$told" ] || { say "waiting for $what"; told=yes; }
        left=$((left - 1))
        sleep 1
    done
}

# `enabled secrets database`: is something mounted at that path?
enabled() {
    listing=$(vault_cli "$1" list)
    printf '%s\n' "$listing" | grep -q "^$2/"
}

enable_once() {
    if enabled "$1" "$2"; then
        say "$2 is enabled already"
    else
        vault_cli "$1" enable "$2" >/dev/null
        say "enabled $2"
    fi
}

# Vault connects before it stores this, so its success also means that PostgreSQL answers.
# The password goes in through standard input: an argument could be read in the process list.
write_database_config() {
    printf '%s' "$POSTGRES_PASSWORD" | vault_cli write database/config/appdb \
        plugin_name=postgresql-database-plugin \
        allowed_roles="app-role" \
        connection_url="postgresql://{{username}}:{{password}}@$POSTGRES_HOST:$POSTGRES_PORT/$POSTGRES_DB?sslmode=$POSTGRES_SSLMODE" \
        username="$POSTGRES_USER" \
        password=-
}

configure_database() {
    enable_once secrets database
    wait_for "PostgreSQL at $POSTGRES_HOST:$POSTGRES_PORT" write_database_config
    vault_cli write database/roles/app-role \
        db_name=appdb \
        creation_statements="CREATE ROLE \"{{name}}\" WITH LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'; GRANT SELECT ON ALL TABLES IN SCHEMA public TO \"{{name}}\";" \
        default_ttl="1h" \
        max_ttl="24h" >/dev/null
    say "database/creds/app-role makes a PostgreSQL role for 1 h, 24 h at most"
}

configure_approle() {
    enable_once auth approle
    vault_cli policy write app-policy - >/dev/null <<'POLICY'
path "database/creds/app-role" {
  capabilities = ["read"]
}
POLICY
    vault_cli write auth/approle/role/myapp \
        token_policies="app-policy" \
        token_ttl=1h \
        token_max_ttl=4h \
        secret_id_ttl=24h \
        secret_id_num_uses=10 >/dev/null
    say "the role myapp may read database/creds/app-role and nothing else"
}

# A reader sees the whole file or none: written beside it, then renamed.
hand_over() {
    part=$HANDOVER_DIR/.$1.part
    rm -f "$part"
    printf '%s\n' "$2" >"$part"
    [ -z "$HANDOVER_OWNER" ] || chown "$HANDOVER_OWNER" "$part"
    chmod "$HANDOVER_MODE" "$part"
    mv -f "$part" "$HANDOVER_DIR/$1"
}

hand_over_login() {
    mkdir -p "$HANDOVER_DIR"
    role_id=$(vault_cli read -field=role_id auth/approle/role/myapp/role-id)
    hand_over role-id "$role_id"
    # With -wrap-ttl Vault keeps the secret id to itself and answers with a wrapping token. This script never sees the
    # secret id, and whoever opens the token first is the only one who ever can.
    wrapping_token=$(vault_cli write -wrap-ttl="$WRAP_TTL" -field=wrapping_token -f auth/approle/role/myapp/secret-id)
    [ -n "$wrapping_token" ] || fail "Vault answered without a wrapping token"
    hand_over wrapped-secret-id "$wrapping_token"
    say "wrote role-id and wrapped-secret-id (opens once, within $WRAP_TTL)"
}

main() {
    command -v "$VAULT_CLI" >/dev/null 2>&1 || fail "cannot find the client $VAULT_CLI; set VAULT_CLI to vault or bao"
    trap 'rm -f "$HANDOVER_DIR/.role-id.part" "$HANDOVER_DIR/.wrapped-secret-id.part"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM

    case ${1-} in
    '')
        wait_for "Vault" vault_cli status
        configure_database
        configure_approle
        hand_over_login
        ;;
    handover) hand_over_login ;;
    *) fail "usage: setup.sh [handover]" ;;
    esac
}

main "$@"
