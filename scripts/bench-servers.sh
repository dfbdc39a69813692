# What the measuring scripts share: vaultexec built, a real OpenBao and a real PostgreSQL with the demo's set-up, and the
# settings of a run against them in the environment. Sourced by bash after lib.sh and servers.sh.
# shellcheck shell=bash disable=SC2034,SC2154

admin() { VAULT_ADDR=$vault_addr VAULT_TOKEN=$vault_token "$vault_cli" "$@"; }

# `start_bench POLICIES` sets `binary`; the policies are those of the AppRole role, whose one secret id serves every run.
start_bench() {
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
    # For those who name it: the fewest calls need a policy that allows the revocation of a lease.
    printf 'path "sys/leases/revoke" { capabilities = ["update"] }\n' | admin policy write may-revoke - >/dev/null
    admin write auth/approle/role/myapp token_policies="$1" secret_id_num_uses=0 >/dev/null
    VAULT_ROLE_ID=$(cat "$work/handover/role-id")
    VAULT_SECRET_ID=$(admin write -field=secret_id -f auth/approle/role/myapp/secret-id)
    export VAULT_ROLE_ID VAULT_SECRET_ID
    export VAULT_ADDR=$vault_addr VAULTEXEC_CREDS=database/creds/app-role PGHOST=127.0.0.1 PGPORT=$pg_port PGDATABASE=appdb
}
