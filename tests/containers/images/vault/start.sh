# `server …` gets the two variables as flags; anything else is the client.
set -eu
if [ "$1" = server ]; then
    set -- "$@" "-dev-root-token-id=$VAULT_DEV_ROOT_TOKEN_ID" "-dev-listen-address=$VAULT_DEV_LISTEN_ADDRESS"
    exec gosu vault vault "$@"
fi
exec vault "$@"
