#!/bin/sh
# Builds the release binary, for `make build`, the Dockerfile and packages alike: static, and the same bytes from any
# folder and any CARGO_HOME. Puts it into target/dist and says what it made.
#
# TARGET=aarch64-unknown-linux-musl builds for another system than this one, where rustc and a linker for it are there.
# COMMIT=…  what it is made of, where the folder is no clone.
#
# Plain POSIX sh: Alpine's images have no other.
set -eu
cd "$(dirname "$0")/.."
source=$(pwd -P)

fail() { printf '%s\n' "build.sh: $*" >&2; exit 1; }
command -v cargo >/dev/null || fail "there is no cargo; install Rust (https://rustup.rs)"

about_rustc() { rustc -vV | sed -n "s/^$1: //p"; }
host=$(about_rustc host)
target=$(sh scripts/target.sh)
sysroot=$(cd "$(rustc --print sysroot)" && pwd -P)
cargo_home=${CARGO_HOME:-$HOME/.cargo}
mkdir -p "$cargo_home"
cargo_home=$(cd "$cargo_home" && pwd -P)
target_dir=${CARGO_TARGET_DIR:-target}

check_static_libc() {
    [ "$target" = "$host" ] || return 0
    scratch=$(mktemp -d)
    echo 'int main(void) { return 0; }' >"$scratch/main.c"
    problem=$(cc -static -o "$scratch/main" "$scratch/main.c" 2>&1) || problem=${problem:-failed}
    rm -rf "$scratch"
    [ -z "$problem" ] || fail "cannot link statically: install a C compiler and the C library's static archive (Debian: gcc libc6-dev, Fedora: gcc glibc-static, Alpine: gcc musl-dev). cc says: $problem"
}

# `ring` compiles C that needs nothing of a C library: where there is no compiler for musl's, this machine's will do.
choose_compiler() {
    case $target in "$host") return ;; *-linux-musl) ;; *) return ;; esac
    name=$(echo "$target" | tr - _)
    if [ "${target%%-*}" = "${host%%-*}" ] && ! command -v musl-gcc >/dev/null; then
        eval "export CC_$name=\${CC_$name:-cc} CFLAGS_$name=\"-U_FORTIFY_SOURCE \${CFLAGS_$name-}\""
    fi
}

# A panic ends the program at once, and a release has no names to show: of the tables by which a stack is unwound, a tenth of
# the binary, only what the C library's own start refers to is kept.
write_linker_script() {
    mkdir -p "$target_dir"
    linker_script=$(cd "$target_dir" && pwd -P)/no-unwinding.ld
    cat >"$linker_script" <<'SCRIPT'
SECTIONS {
    /DISCARD/ : { *(EXCLUDE_FILE (*crtbegin*.o *crtend*.o) .eh_frame) *(.gcc_except_table .gcc_except_table.*) }
}
INSERT AFTER .text;
SCRIPT
}

# Paths would tell where it was built, and make every folder's build another one. The standard library's are the ones
# that it has where its source is not installed.
build() {
    smaller=
    case $target in *-linux-musl)
        write_linker_script
        smaller="-C link-arg=-Wl,-T,$linker_script"
        # Relative relocations are packed: Rust has a musl that reads them since 1.93.
        [ "$(about_rustc release | cut -d. -f2)" -lt 93 ] || smaller="$smaller -C link-arg=-Wl,-z,pack-relative-relocs"
    esac
    VAULTEXEC_COMMIT=$(commit) RUSTFLAGS="-C target-feature=+crt-static $smaller
        --remap-path-prefix=$source=/vaultexec
        --remap-path-prefix=$cargo_home=/cargo
        --remap-path-prefix=$sysroot/lib/rustlib/src/rust=/rustc/$(about_rustc commit-hash)" \
        CARGO_INCREMENTAL=0 cargo build --release --locked --target "$target" --bin vaultexec
}

# 0711: a process of the user that runs it cannot read what it cannot open, its environment while it starts included.
keep() {
    made=$target_dir/dist/vaultexec
    mkdir -p "$target_dir/dist"
    cp "$target_dir/$target/release/vaultexec" "$made.part"
    chmod 0711 "$made.part"
    mv -f "$made.part" "$made"
}

commit() {
    if [ -n "${COMMIT-}" ]; then echo "$COMMIT"; return; fi
    hash=$(git rev-parse HEAD 2>/dev/null) || { echo unknown; return; }
    [ -z "$(git status --porcelain 2>/dev/null)" ] || hash="$hash, with changes"
    echo "$hash"
}

check_static_libc
choose_compiler
build
keep
if [ "${target%%-*}" = "${host%%-*}" ]; then
    "$made" --version >/dev/null || fail "$made does not start here"
fi
if readelf -lW "$made" | grep -q INTERP; then fail "$made is not static"; fi
printf '%-8s %s\n' made "$made" target "$target" linked static size "$(stat -c %s "$made") bytes" commit "$(commit)" \
    sha256 "$(sha256sum "$made" | cut -d' ' -f1)"
