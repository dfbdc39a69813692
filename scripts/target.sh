#!/bin/sh
# Prints what a release is built for: this machine's processor, and musl as the C library. glibc is not made to be linked
# statically: it loads parts of the machine's own for the look-up of names, and is a quarter of the binary. Where there can
# be no musl, it is the C library of this machine, which is said: on processors on which src/sys/mask.rs does not know its
# signals, and where rustc has no standard library for it and rustup can fetch none.
#
# TARGET=aarch64-unknown-linux-musl is another one.
#
# Plain POSIX sh: Alpine's images have no other.
set -eu
cd "$(dirname "$0")/.."

host=$(rustc -vV | sed -n 's/^host: //p')
musl=${host%-linux-*}-linux-musl
is_there() { [ -d "$(rustc --print sysroot)/lib/rustlib/$musl/lib" ]; }
has_known_signals() { case $host in x86_64-*|aarch64-*) ;; *) return 1 ;; esac; }

if [ -n "${TARGET-}" ]; then
    echo "$TARGET"
elif has_known_signals && { is_there || { rustup target add "$musl" >/dev/null 2>&1 && is_there; }; }; then
    echo "$musl"
else
    echo "target.sh: $musl is not for vaultexec, or rustc and rustup have no standard library for it: built for $host" >&2
    echo "$host"
fi
