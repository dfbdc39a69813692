#!/bin/sh
# Installs what `make build` has made, with the manual page and completions: `make install`, and the packages.
#
# PREFIX=/usr/local DESTDIR= as everywhere.
set -eu
cd "$(dirname "$0")/.."
prefix=${PREFIX:-/usr/local}
to=${DESTDIR-}$prefix
binary=${CARGO_TARGET_DIR:-target}/dist/vaultexec
[ -x "$binary" ] || { echo "install.sh: there is no $binary: make build" >&2; exit 1; }

# From standard input, so that nothing half-made stays where a folder cannot be written.
text() {
    install -d "$to/$(dirname "$1")"
    made=$(mktemp)
    cat >"$made"
    install -m 0644 "$made" "$to/$1"
    rm -f "$made"
}

install -d "$to/bin"
# 0711: a process of the user that runs it cannot read what it cannot open, its environment while it starts included.
install -m 0711 "$binary" "$to/bin/vaultexec"
"$binary" man | text share/man/man1/vaultexec.1
"$binary" completions bash | text share/bash-completion/completions/vaultexec
"$binary" completions zsh | text share/zsh/site-functions/_vaultexec
"$binary" completions fish | text share/fish/vendor_completions.d/vaultexec.fish
