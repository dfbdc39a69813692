#!/usr/bin/env bash
# Checks that the release binary is the same, byte for byte, when it is built in another folder, with another CARGO_HOME,
# by somebody with another umask and locale; and that it holds no path of the machine that it was built on.
set -eu -o pipefail
. "$(dirname "$0")/lib.sh"
cd "$root"
elsewhere=
tidy_up() { [ -z "$elsewhere" ] || rm -rf "$elsewhere"; }
trap tidy_up EXIT
trap 'exit 130' INT TERM HUP

here=${CARGO_TARGET_DIR:-target}/dist/vaultexec
commit=$(sh scripts/build.sh | tee /dev/stderr | sed -n 's/^commit *//p')
[ "$(stat -c %a "$here")" = 711 ] || fail "the mode of $here is not 0711"

# In the project's own folder: the system's temporary one may be small, or may not run programs.
elsewhere=$(mktemp -d "$root/target/elsewhere.XXXXXX")
mkdir -p "$elsewhere/source/scripts" "$elsewhere/home"
cp -r Cargo.toml Cargo.lock src "$elsewhere/source"
cp scripts/build.sh scripts/target.sh "$elsewhere/source/scripts"
# What has been fetched already need not be fetched again.
cargo_home=${CARGO_HOME:-$HOME/.cargo}
if [ -d "$cargo_home/registry/cache" ]; then
    mkdir "$elsewhere/home/registry"
    cp -r "$cargo_home/registry/cache" "$cargo_home/registry/index" "$elsewhere/home/registry"
fi
say "building it again in $elsewhere"
(umask 027 && cd "$elsewhere/source" && LC_ALL=C CARGO_HOME=$elsewhere/home CARGO_TARGET_DIR=$elsewhere/target COMMIT=$commit sh scripts/build.sh >"$elsewhere/log" 2>&1) ||
    { tail -n 20 "$elsewhere/log" >&2; fail "it cannot be built there"; }
cmp "$here" "$elsewhere/target/dist/vaultexec" || fail "two builds of one source differ"

for path in "$root" "$(cd "$cargo_home" && pwd -P)" "$(rustc --print sysroot)"; do
    if grep -qaF "$path" "$here"; then fail "$here holds the path $path"; fi
done
say "ok: the same bytes from another folder and another CARGO_HOME, and no path of this machine"
