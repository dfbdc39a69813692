#!/usr/bin/env bash
# Measures vaultexec against the same calls made bare, in one session on the same servers: `make bench`.
# RUNS=50 is how many pairs. VAULTEXEC=/path/to/vaultexec skips the build.
set -eu -o pipefail
. "$(dirname "$0")/lib.sh"
. "$root/scripts/servers.sh"
. "$root/scripts/bench-servers.sh"

start_bench app-policy,may-revoke
printf 'size of the binary                 %s bytes\n' "$(stat -c %s "$binary")"
python3 "$root/scripts/bench.py" "$binary" "${RUNS:-50}"
