#!/usr/bin/env bash
# Measures many wrapped commands at once: `make bench-fleet`.
# RUNS=1000 is how many. VAULTEXEC=/path/to/vaultexec skips the build.
set -eu -o pipefail
. "$(dirname "$0")/lib.sh"
. "$root/scripts/servers.sh"
trap stop_servers EXIT
trap 'exit 130' INT TERM HUP

bash "$root/scripts/tools.sh" servers
binary=${VAULTEXEC-}
if [ -z "$binary" ]; then
    sh "$root/scripts/build.sh"
    binary=${CARGO_TARGET_DIR:-$root/target}/dist/vaultexec
fi
forget_callers_settings
start_servers
mkdir -m 0700 "$work/handover"
run_setup "$work/handover" >/dev/null
admin() { VAULT_ADDR=$vault_addr VAULT_TOKEN=$vault_token "$vault_cli" "$@"; }
# The tutorial's policy and times; one secret id for all.
admin write auth/approle/role/myapp token_policies=app-policy secret_id_num_uses=0 >/dev/null
VAULT_ROLE_ID=$(cat "$work/handover/role-id")
VAULT_SECRET_ID=$(admin write -field=secret_id -f auth/approle/role/myapp/secret-id)
export VAULT_ROLE_ID VAULT_SECRET_ID
export VAULT_ADDR=$vault_addr VAULTEXEC_CREDS=database/creds/app-role PGHOST=127.0.0.1 PGPORT=$pg_port PGDATABASE=appdb
# Three descriptors a command.
ulimit -n "$(ulimit -Hn)"
ADMIN_TOKEN=$vault_token python3 "$root/scripts/bench_fleet.py" "$binary" "${RUNS:-1000}"
