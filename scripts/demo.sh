#!/usr/bin/env bash
# Shows what vaultexec does, on a real OpenBao and a real PostgreSQL that exist only as long as the demo.
# Whatever it says it also checks: if a claim does not hold, the demo fails.
#
# VAULTEXEC=/path/to/vaultexec skips the build.
# shellcheck disable=SC2016 # commands are shown as they are typed
set -eu -o pipefail
. "$(dirname "$0")/lib.sh"
. "$root/scripts/servers.sh"

tidy_up() {
    local code=$?
    trap '' INT TERM HUP
    trap - EXIT
    stop_servers
    exit "$code"
}
trap tidy_up EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# --- telling ----------------------------------------------------------------------------------------------------------

step() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
tell() { printf '   %s\n' "$*"; }
indent() { sed 's/^/   /'; }
true_so_far() { printf '   %s✓ %s%s\n' "$green" "$*" "$plain"; }
untrue() { fail "this is not as it should be: $*"; }

# Prints a command and runs that very text. What it writes is shown and kept in `output`, its exit code in `code`.
output=
code=
run() {
    printf '   %s$ %s%s\n' "$dim" "$1" "$plain"
    code=0
    output=$(eval "$1") || code=$?
    [ -z "$output" ] || printf '%s\n' "$output" | indent
}

# --- the demo ---------------------------------------------------------------------------------------------------------

prepare() {
    bash "$root/scripts/tools.sh" servers
    local binary=${VAULTEXEC-}
    if [ -z "$binary" ]; then
        step "Building vaultexec"
        sh "$root/scripts/build.sh"
        binary=${CARGO_TARGET_DIR:-$root/target}/dist/vaultexec
    fi
    [ -x "$binary" ] || fail "there is no vaultexec at $binary"
    vaultexec_binary=$(cd "$(dirname "$binary")" && pwd)/$(basename "$binary")
    forget_callers_settings
    # The checks below read what psql prints.
    export LC_ALL=C
}

# So that the commands shown can be the commands run.
vaultexec() { "$vaultexec_binary" "$@"; }

start() {
    step "1. A real Vault and a real database, for this demo only"
    start_servers
    tell "$("$vault_cli" version | cut -d' ' -f1,2) at $vault_addr"
    tell "$("$pg_bin/postgres" --version | cut -d' ' -f2,3 | tr -d '()') at 127.0.0.1:$pg_port"
}

configure() {
    step "2. Vault is set up once: who may have database credentials, and which (scripts/setup.sh)"
    (umask 077 && mkdir "$work/handover")
    run_setup "$work/handover" | indent
    tell "The application is told where things are. No password, no secret id:"
    export VAULT_ADDR=$vault_addr
    export VAULT_ROLE_ID_FILE=$work/handover/role-id
    export VAULT_WRAPPED_SECRET_ID_FILE=$work/handover/wrapped-secret-id
    export VAULTEXEC_CREDS=database/creds/app-role
    export PGHOST=127.0.0.1 PGPORT=$pg_port PGDATABASE=appdb
    local name
    for name in VAULT_ADDR VAULT_ROLE_ID_FILE VAULT_WRAPPED_SECRET_ID_FILE VAULTEXEC_CREDS PGHOST PGPORT PGDATABASE; do
        printf '   %s%s=%s%s\n' "$dim" "$name" "${!name}" "$plain"
    done
}

# A wrapped secret id opens once: each run gets its own, as a deployment would hand it over.
fresh_secret_id() { run_setup "$work/handover" handover >/dev/null; }

who_am_i() {
    step "3. Put vaultexec in front of a command: it has a database user of its own"
    run "vaultexec -- psql -c '\\conninfo'"
    [ "$code" -eq 0 ] || untrue "psql did not run (exit code $code)"
    [[ $output =~ v-approle-app-role-[A-Za-z0-9]+ ]] || untrue "psql is not connected as a user that Vault made"
    true_so_far "Vault made this user for the command a moment ago"
}

roles="SELECT rolname, rolvaliduntil FROM pg_roles WHERE rolname LIKE 'v-%'"
psql_as_admin() { as_admin appdb "$@"; }
count_roles() { as_admin appdb -Atc "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'v-%'"; }

# Vault answers a revocation before the database has carried it out, some 50 ms later.
until_no_role_is_left() {
    local tries=100
    while [ "$(count_roles)" -ne 0 ]; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || untrue "five seconds after vaultexec ended its user is still in the database"
        sleep 0.05
    done
}

before_during_after() {
    step "4. That user lives exactly as long as the command"
    printf '   %sroles="%s"%s\n' "$dim" "$roles" "$plain"

    tell "before: the administrator sees none"
    until_no_role_is_left
    run 'psql_as_admin -c "$roles"'
    [[ $code -eq 0 && $output == *'(0 rows)'* ]] || untrue "there is a user before vaultexec runs"

    tell "during: the command sees one, its own"
    fresh_secret_id
    run 'vaultexec -- psql -c "$roles"'
    [[ $code -eq 0 && $output == *'(1 row)'* ]] || untrue "not exactly one user while vaultexec runs (exit code $code)"
    local user
    [[ $output =~ v-approle-app-role-[A-Za-z0-9-]+ ]] || untrue "the user is not one that Vault made"
    user=${BASH_REMATCH[0]}

    tell "after: none again, because vaultexec had it revoked"
    until_no_role_is_left
    run 'psql_as_admin -c "$roles"'
    [[ $code -eq 0 && $output == *'(0 rows)'* ]] || untrue "a user is left after vaultexec ended"
    true_so_far "$user came and went with the command"
}

exit_code() {
    step "5. The rest is as if vaultexec were not there: the exit code is the command's"
    fresh_secret_id
    run "vaultexec -- sh -c 'exit 7'; echo \$?"
    [ "$output" = 7 ] || untrue "the exit code is not the command's"
    until_no_role_is_left
    true_so_far "7, and no user left behind this time either"
}

prepare
start
configure
who_am_i
before_during_after
exit_code
step "Done. Stopping both servers and removing everything."
