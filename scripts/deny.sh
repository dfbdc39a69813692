#!/usr/bin/env bash
# Holds the crates to deny.toml with cargo-deny: licences, sources, duplicates, and known weaknesses where the database of
# them can be fetched. Where it cannot, that is said, and ADVISORIES=required makes it a failure. `make deny`.
set -eu -o pipefail
. "$(dirname "$0")/lib.sh"
cd "$root"
cargo_tool cargo-deny 0.20.2
cargo deny --locked check bans licenses sources
if why=$(cargo deny --locked fetch db 2>&1); then
    cargo deny --locked check advisories
    exit 0
fi
printf '%s\n' "$why" | tail -n 3 >&2
warn "deny.sh: NOT CHECKED: known weaknesses (advisories), since their database cannot be fetched from here"
[ "${ADVISORIES-}" != required ] || exit 1
