#!/usr/bin/env bash
# Checks what cannot be run without a Docker engine as far as it goes without one: the compose file is valid and wires
# things as it promises, every script parses, and the set-up script does its work on a real Vault and a real PostgreSQL,
# in the shell that it will meet in the hashicorp/vault image.
set -eu -o pipefail
. "$(dirname "$0")/lib.sh"
. "$root/scripts/servers.sh"
cd "$root"

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

ok() { say "ok: $*"; }

# --- shells -----------------------------------------------------------------------------------------------------------

# busybox is what the hashicorp/vault image has; its ash knows less than most.
posix_shell() {
    if have busybox; then say "busybox ash"; else say "sh"; fi
}

scripts_parse() {
    local script
    for script in scripts/*.sh scripts/compare/*.sh .ci/run; do
        bash -n "$script"
    done
    $SETUP_SHELL -n scripts/setup.sh
    ok "every script parses ($SETUP_SHELL for setup.sh)"
}

# --- compose and Dockerfile -------------------------------------------------------------------------------------------

compose() {
    if have docker-compose; then
        docker-compose "$@"
    elif have docker && docker compose version >/dev/null 2>&1; then
        docker compose "$@"
    else
        fail "cannot check docker-compose.yml: install docker-compose (Debian: apt-get install docker-compose); no engine is needed"
    fi
}

# `block KIND NAME` of the resolved file, e.g. `block services app`.
block() {
    printf '%s\n' "$resolved" | awk -v kind="$1:" -v name="  $2:" '
        /^[^ ]/ { in_kind = ($0 == kind) }
        /^  [^ -]/ { in_block = (in_kind && $0 == name) }
        in_block'
}

# `promise WHAT BLOCK-KIND BLOCK-NAME PATTERN`: the block, on one line and without quotes, must match.
promise() {
    local text
    text=$(block "$2" "$3" | tr -d "\"'" | tr -s ' \n' ' ')
    printf '%s\n' "$text" | grep -Eq -e "$4" || fail "docker-compose.yml: $1; expected in $2/$3: $4
found: $text"
}

compose_is_valid() {
    resolved=$(compose -f docker-compose.yml config) || fail "docker-compose.yml is not valid (see above)"

    promise "Vault is the tutorial's" services vault 'image: hashicorp/vault:1\.15( |$)'
    promise "Vault may lock memory" services vault 'cap_add: - IPC_LOCK'
    promise "PostgreSQL is the tutorial's" services postgres 'image: postgres:16( |$)'
    promise "both say when they are ready" services vault 'healthcheck:'
    promise "both say when they are ready" services postgres 'healthcheck:'

    promise "setup runs scripts/setup.sh" services setup 'entrypoint: - sh - /setup\.sh( |$)'
    promise "setup's script is the repository's" services setup '/scripts/setup\.sh'
    promise "setup waits for Vault and PostgreSQL" services setup 'depends_on: postgres: condition: service_healthy (required: true )?vault: condition: service_healthy'
    promise "setup runs once" services setup 'restart: no'
    promise "setup hands over in the volume" services setup 'HANDOVER_DIR: /run/handover( |$)'

    promise "the app waits for the hand-over" services app 'setup: condition: service_completed_successfully'
    promise "the app's image is the example" services app 'target: example'
    promise "the app reads what setup wrote" services app 'VAULT_ROLE_ID_FILE: /run/handover/role-id( |$)'
    promise "the app reads what setup wrote" services app 'VAULT_WRAPPED_SECRET_ID_FILE: /run/handover/wrapped-secret-id( |$)'
    promise "the app asks for the tutorial's role" services app 'VAULTEXEC_CREDS: database/creds/app-role( |$)'

    local service
    for service in vault setup app; do
        promise "the hand-over is shared, and held while setup is over" services "$service" 'source: handover target: /run/handover|handover:/run/handover'
    done
    promise "the hand-over stays in memory" volumes handover 'type: tmpfs'
    promise "the hand-over belongs to the user that both run as" volumes handover 'uid=65532,gid=65532,mode=0700'
    promise "setup runs as that user" services setup 'user: 65532:65532'
    ok "docker-compose.yml is valid and wired as promised"
}

# Prints a stage of the Dockerfile: from its FROM to the next.
stage() { awk -v name="$1" '/^FROM / { on = ($NF == name) } on' Dockerfile; }

image_is_as_promised() {
    stage example | grep -qxF 'ENTRYPOINT ["vaultexec", "--"]' || fail "Dockerfile: the example's entry point is not vaultexec --"
    stage example | grep -qxF 'USER 65532:65532' || fail "Dockerfile: the example does not run as the user of the hand-over"
    stage vaultexec | grep -qx 'FROM scratch AS vaultexec' || fail "Dockerfile: the image of the tool is not made from scratch"
    stage build | grep -qF 'sh scripts/build.sh' || fail "Dockerfile: the binary is not the one that \`make build\` makes"
    local rust
    rust=$(sed -n 's/^channel = "\(.*\)"$/\1/p' rust-toolchain.toml)
    grep -qx "ARG RUST_IMAGE=rust:$rust-alpine" Dockerfile || fail "Dockerfile: RUST_IMAGE is not rust-toolchain.toml's version, $rust"
    grep -qF "RUST_IMAGE:-rust:$rust-alpine}" docker-compose.yml || fail "docker-compose.yml: RUST_IMAGE is not rust-toolchain.toml's version, $rust"
    ok "the Dockerfile has the promised stages and entry point"
}

# --- setup.sh on real servers -----------------------------------------------------------------------------------------

bao() { VAULT_ADDR=$vault_addr VAULT_TOKEN=${token:-$vault_token} "$vault_cli" "$@"; }

# `equal WHAT EXPECTED FOUND`
equal() { [ "$2" = "$3" ] || fail "setup.sh: $1: expected $2, found $3"; }

handover_is_private() {
    equal "files handed over" "role-id wrapped-secret-id" "$(cd "$work/handover" && find . -mindepth 1 -printf '%P\n' | sort | xargs)"
    equal "their modes" "600 600" "$(stat -c %a "$work/handover/role-id" "$work/handover/wrapped-secret-id" | xargs)"
}

wrapping_token_is_genuine() {
    local wrapping_token lookup
    wrapping_token=$(cat "$work/handover/wrapped-secret-id")
    lookup=$(printf '%s' "$wrapping_token" | bao write -field=creation_path sys/wrapping/lookup token=-)
    equal "creation path of the wrapping token" auth/approle/role/myapp/secret-id "$lookup"
    lookup=$(printf '%s' "$wrapping_token" | bao write -field=creation_ttl sys/wrapping/lookup token=-)
    equal "life of the wrapping token" 60 "${lookup%s}"
}

# The tutorial's own last step: what was handed over gives credentials, and nothing else.
login_is_scoped() {
    local secret_id answer
    secret_id=$(token=$(cat "$work/handover/wrapped-secret-id") bao unwrap -field=secret_id)
    token=$(printf '%s' "$secret_id" | bao write -field=token auth/approle/login role_id="$(cat "$work/handover/role-id")" secret_id=-)
    answer=$(bao read -field=username database/creds/app-role)
    [[ $answer == v-approle-app-role-* ]] || fail "setup.sh: unexpected user name $answer"
    if answer=$(bao secrets list 2>&1); then fail "setup.sh: the application can list secret engines"; fi
    [[ $answer == *'permission denied'* ]] || fail "setup.sh: listing secret engines failed for another reason: $answer"
    bao token revoke -self >/dev/null
    token=
}

settings_are_the_tutorials() {
    equal token_ttl 3600 "$(seconds auth/approle/role/myapp token_ttl)"
    equal token_max_ttl 14400 "$(seconds auth/approle/role/myapp token_max_ttl)"
    equal secret_id_ttl 86400 "$(seconds auth/approle/role/myapp secret_id_ttl)"
    equal secret_id_num_uses 10 "$(bao read -field=secret_id_num_uses auth/approle/role/myapp)"
    equal default_ttl 3600 "$(seconds database/roles/app-role default_ttl)"
    equal max_ttl 86400 "$(seconds database/roles/app-role max_ttl)"
    equal token_policies '[app-policy]' "$(bao read -field=token_policies auth/approle/role/myapp)"
}

# A field that is a duration, as a number of seconds; the clients print "1h", "3600" or "1h0m0s".
seconds() {
    bao read -format=json "$1" | tr -d ' \n' | grep -o "\"$2\":[0-9]*" | cut -d: -f2
}

setup_works() {
    token=
    start_servers
    (umask 077 && mkdir "$work/handover")
    local first second
    run_setup "$work/handover" >"$work/setup.log" 2>&1 || { cat "$work/setup.log" >&2; fail "setup.sh failed"; }
    handover_is_private
    wrapping_token_is_genuine
    settings_are_the_tutorials
    first=$(cat "$work/handover/wrapped-secret-id")
    login_is_scoped

    run_setup "$work/handover" >"$work/setup.log" 2>&1 || { cat "$work/setup.log" >&2; fail "setup.sh failed when run a second time"; }
    handover_is_private
    wrapping_token_is_genuine
    second=$(cat "$work/handover/wrapped-secret-id")
    [ "$first" != "$second" ] || fail "setup.sh: the second run handed over the first one's wrapping token"
    login_is_scoped

    run_setup "$work/handover" handover >/dev/null
    wrapping_token_is_genuine
    ok "setup.sh configures real servers as the tutorial does, twice, and hands over a wrapped secret id ($SETUP_SHELL)"

    if pg_password=wrong run_setup "$work/handover" >"$work/setup.log" 2>&1; then
        fail "setup.sh succeeds with a wrong database password"
    fi
    grep -q 'password authentication failed' "$work/setup.log" || fail "setup.sh hides why PostgreSQL refused: $(cat "$work/setup.log")"
    ok "setup.sh says so when PostgreSQL refuses"
}

forget_callers_settings
SETUP_SHELL=$(posix_shell)
scripts_parse
compose_is_valid
image_is_as_promised
setup_works
