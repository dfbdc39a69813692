# Starts a real OpenBao (or Vault) and a real PostgreSQL on free ports of 127.0.0.1, in a temporary folder that nobody
# else can read, and takes all of it away again. Sourced by bash after lib.sh; see demo.sh for how it is used.
# shellcheck shell=bash disable=SC2034,SC2154

# start_servers sets:
work=            # the temporary folder
vault_cli=       # the client, which is the server's own binary
vault_addr=
vault_token=     # root
pg_bin=
pg_port=
pg_password=     # of vaultadmin, PostgreSQL's superuser here
# and stop_servers ends the process of:
vault_pid=

random_hex() { od -An -N"$1" -tx1 /dev/urandom | tr -d ' \n'; }

# Below the range that the kernel hands out for outgoing connections. Nothing keeps another process from taking the port
# before our server does: whoever uses this tries again with another.
random_port() {
    local port
    while :; do
        port=$((20000 + 0x$(random_hex 2) % 12000))
        (: </dev/tcp/127.0.0.1/"$port") 2>/dev/null || { printf '%s\n' "$port"; return; }
    done
}

# PostgreSQL refuses to run as root.
as_postgres() {
    # From inside the data's own folder: the caller's may be one that the user postgres cannot enter.
    if [ "$(id -u)" -eq 0 ]; then
        (cd "$work/postgres" && runuser -u postgres -- "$@")
    else
        (cd "$work/postgres" && "$@")
    fi
}

# A folder that the user postgres can pass through, but not list; everything in it is closed to others by itself.
make_work_folder() {
    work=$(mktemp -d "${TMPDIR:-/tmp}/vaultexec.XXXXXX")
    [ "$(id -u)" -eq 0 ] || return 0
    chmod 0711 "$work"
    runuser -u postgres -- test -x "$work/." && return
    rmdir "$work"
    work=$(mktemp -d /tmp/vaultexec.XXXXXX)
    chmod 0711 "$work"
}

start_postgres() {
    pg_password=$(random_hex 16)
    install -d -m 0700 "$work/postgres"
    (umask 077 && printf '%s\n' "$pg_password" >"$work/postgres/password")
    [ "$(id -u)" -ne 0 ] || chown -R postgres "$work/postgres"
    as_postgres "$pg_bin/initdb" --pgdata="$work/postgres/data" --username=vaultadmin --pwfile="$work/postgres/password" \
        --auth=scram-sha-256 --encoding=UTF8 --locale=C --no-sync >"$work/initdb.log" 2>&1 ||
        { cat "$work/initdb.log" >&2; fail "initdb failed"; }
    rm "$work/postgres/password"

    local attempt
    for attempt in 1 2 3 4 5; do
        pg_port=$(random_port)
        # pg_ctl puts the server in a session of its own: Ctrl-C at the terminal must reach the demo, not its servers,
        # which are still needed to revoke.
        if as_postgres "$pg_bin/pg_ctl" start --silent --wait --pgdata="$work/postgres/data" --log="$work/postgres/log" \
            --options="-c listen_addresses=127.0.0.1 -p $pg_port -c unix_socket_directories='' -c fsync=off" >/dev/null; then
            create_database
            return
        fi
    done
    cat "$work/postgres/log" >&2
    fail "PostgreSQL does not start"
}

create_database() {
    (umask 077 && printf '127.0.0.1:%s:*:vaultadmin:%s\n' "$pg_port" "$pg_password" >"$work/pgpass")
    as_admin postgres -qc 'CREATE DATABASE appdb'
}

# `as_admin DATABASE [psql's options]`: the superuser's view of the database.
as_admin() {
    local database=$1
    shift
    PGPASSFILE=$work/pgpass psql --no-psqlrc -h 127.0.0.1 -p "$pg_port" -U vaultadmin -d "$database" -w "$@"
}

start_vault() {
    vault_token=$(random_hex 16)
    local attempt port own_session
    # Its own session, for the same reason as PostgreSQL's.
    own_session=$(command -v setsid) || own_session=
    for attempt in 1 2 3 4 5; do
        port=$(random_port)
        vault_addr=http://127.0.0.1:$port
        # The token goes in by the environment: arguments can be read in the process list.
        # HOME: where a dev server would leave its token.
        (umask 077 && HOME=$work BAO_DEV_ROOT_TOKEN_ID=$vault_token VAULT_DEV_ROOT_TOKEN_ID=$vault_token \
            exec ${own_session:+"$own_session"} "$vault_cli" server -dev -dev-listen-address="127.0.0.1:$port" -dev-no-store-token \
            </dev/null >"$work/vault.log" 2>&1) &
        vault_pid=$!
        vault_answers && return
        kill "$vault_pid" 2>/dev/null || true
        wait "$vault_pid" 2>/dev/null || true
        vault_pid=
    done
    tail -n 20 "$work/vault.log" >&2
    fail "the server $vault_cli does not start"
}

# The answer must come from our server: one that knows our token.
vault_answers() {
    local tries=100
    while [ "$tries" -gt 0 ]; do
        kill -0 "$vault_pid" 2>/dev/null || return 1
        VAULT_ADDR=$vault_addr VAULT_TOKEN=$vault_token "$vault_cli" token lookup >/dev/null 2>&1 && return
        tries=$((tries - 1))
        sleep 0.1
    done
    return 1
}

start_servers() {
    vault_cli=$(find_vault) || fail "there is no OpenBao or Vault server; run scripts/tools.sh"
    pg_bin=$(find_postgres) || fail "there is no PostgreSQL server; run scripts/tools.sh"
    have psql || PATH=$PATH:$pg_bin
    make_work_folder
    start_postgres
    start_vault
}

# Safe to call at any point of the start, and twice.
stop_servers() {
    [ -n "$work" ] || return 0
    if [ -n "$vault_pid" ]; then
        kill "$vault_pid" 2>/dev/null || true
        wait "$vault_pid" 2>/dev/null || true
        vault_pid=
    fi
    if [ -e "$work/postgres/data/postmaster.pid" ]; then
        as_postgres "$pg_bin/pg_ctl" stop --silent --mode=immediate --pgdata="$work/postgres/data" >/dev/null 2>&1 || true
    fi
    rm -rf "$work"
    work=
}

# `run_setup DIR [setup.sh's arguments]`: runs the one set-up script against these servers.
run_setup() {
    local dir=$1
    shift
    VAULT_CLI=$vault_cli VAULT_ADDR=$vault_addr VAULT_TOKEN=$vault_token HANDOVER_DIR=$dir \
        POSTGRES_HOST=127.0.0.1 POSTGRES_PORT=$pg_port POSTGRES_PASSWORD=$pg_password \
        ${SETUP_SHELL:-sh} "$root/scripts/setup.sh" "$@"
}
