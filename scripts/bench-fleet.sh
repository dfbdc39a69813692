#!/usr/bin/env bash
# Measures many wrapped commands at once: `make bench-fleet`.
# RUNS=1000 is how many. VAULTEXEC=/path/to/vaultexec skips the build.
set -eu -o pipefail
. "$(dirname "$0")/lib.sh"
. "$root/scripts/servers.sh"
. "$root/scripts/bench-servers.sh"

# The tutorial's policy and times.
start_bench app-policy
# Three descriptors a command.
ulimit -n "$(ulimit -Hn)"
ADMIN_TOKEN=$vault_token python3 "$root/scripts/bench_fleet.py" "$binary" "${RUNS:-1000}"
