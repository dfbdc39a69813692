#!/bin/sh
# The shortest script: log in, read, and become the command. Nobody is left to renew or to revoke.
set -eu
BAO_TOKEN=$(printf '%s' "$VAULT_SECRET_ID" | "$BAO" write -field=token auth/approle/login role_id="$VAULT_ROLE_ID" secret_id=-)
export BAO_TOKEN
credentials=$("$BAO" read "$VAULTEXEC_CREDS")
PGUSER=$(printf '%s\n' "$credentials" | sed -n 's/^username *//p')
PGPASSWORD=$(printf '%s\n' "$credentials" | sed -n 's/^password *//p')
export PGUSER PGPASSWORD
exec "$@"
