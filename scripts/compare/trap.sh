#!/usr/bin/env bash
# The careful script: the same calls as vaultexec's, by curl, and a trap that revokes. It does not renew.
set -eu -o pipefail
call() {
    local method=$1 path=$2
    shift 2
    printf 'X-Vault-Token: %s\n' "${token-}" | curl --silent --show-error --fail --request "$method" --header @- "$@" "$VAULT_ADDR/v1/$path"
}
# `field NAME`: the JSON of these answers has each of the names once.
field() { sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"; }
# By a here-document, since arguments can be read in the process list.
login() {
    call POST auth/approle/login --data @/dev/fd/3 3<<JSON
{"role_id": "$VAULT_ROLE_ID", "secret_id": "$VAULT_SECRET_ID"}
JSON
}
token=
token=$(login | field client_token)
credentials=$(call GET "$VAULTEXEC_CREDS")
lease=$(printf '%s' "$credentials" | field lease_id)
revoke() {
    call POST sys/leases/revoke --data "{\"lease_id\": \"$lease\", \"sync\": true}"
    call POST auth/token/revoke-self
}
trap revoke EXIT
PGUSER=$(printf '%s' "$credentials" | field username)
PGPASSWORD=$(printf '%s' "$credentials" | field password)
export PGUSER PGPASSWORD
"$@"
