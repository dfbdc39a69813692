#!/usr/bin/env bash
# Measures vaultexec beside what people use in its place, on the same servers, in turns: `make compare`. Prints the table of
# README.md. RUNS=20 is how many rounds. VAULTEXEC=/path/to/vaultexec skips the build.
set -eu -o pipefail
. "$(dirname "$0")/lib.sh"
. "$root/scripts/servers.sh"
. "$root/scripts/bench-servers.sh"

have curl || fail "there is no curl, which one of the scripts runs: make tools"
start_bench app-policy,may-revoke
# An agent takes its secret id from a file.
(umask 077 && printf '%s' "$VAULT_SECRET_ID" >"$work/handover/secret-id")
# The agent is OpenBao's own.
find_bao() {
    local candidate
    for candidate in "$vault_cli" "$tools_dir/bao"; do
        [[ $("$candidate" version 2>/dev/null) == OpenBao* ]] && { printf '%s\n' "$candidate"; return; }
    done
    return 1
}
BAO=$(find_bao) || fail "there is no OpenBao, whose agent is measured: make tools"
export BAO BAO_ADDR=$vault_addr
say "$(date -u +%Y-%m-%d), $(nproc) processors, Linux $(uname -r | cut -d- -f1), $("$BAO" version | cut -d' ' -f1,2),"
say "$("$pg_bin/postgres" --version | cut -d' ' -f2,3 | tr -d '()'), $("$binary" --version | head -n 1), ${RUNS:-20} rounds"
say
PGPASSWORD=$pg_password PGUSER=vaultadmin python3 -B "$root/scripts/compare" "$binary" "$work" "${RUNS:-20}"
