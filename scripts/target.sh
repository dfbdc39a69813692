#!/bin/sh
# Prints what a release is built for: this machine's processor, and musl as the C library. glibc is not made to be linked
# statically: it loads parts of the machine's own for the look-up of names, and is a quarter of the binary. Where rustc
# has no standard library for musl and rustup can fetch none, it is the C library of this machine, which is said.
#
# TARGET=aarch64-unknown-linux-musl is another one.
#
# Plain POSIX sh: Alpine's images have no other.
set -eu
cd "$(dirname "$0")/.."

host=$(rustc -vV | sed -n 's/^host: //p')
# src/sys/mask.rs knows the signals of musl on these alone.
case $host in x86_64-*|aarch64-*) ;; *) echo "${TARGET:-$host}"; exit ;; esac
musl=${host%-linux-*}-linux-musl
is_there() { [ -d "$(rustc --print sysroot)/lib/rustlib/$musl/lib" ]; }

if [ -n "${TARGET-}" ]; then
    echo "$TARGET"
elif is_there || { rustup target add "$musl" >/dev/null 2>&1 && is_there; }; then
    echo "$musl"
else
    echo "target.sh: rustc has no standard library for $musl, and rustup can fetch none: built for $host" >&2
    echo "$host"
fi
