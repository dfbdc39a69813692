#!/usr/bin/env bash
# Makes every image that the container tests run, without a registry: Debian by debootstrap, PostgreSQL and OpenBao under
# the names that docker-compose.yml uses, the toolchain of this machine, and then the product by its own Dockerfile.
#
#   make.sh          make what is missing, and the product anew
#   make.sh remove   remove all of it
set -eu -o pipefail
. "$(dirname "$0")/../../../scripts/lib.sh"
here=$root/tests/containers/images
work=$root/target/containers
prefix=vaultexec-test

# By their label, which images inherit: also those that a later build has taken the name from. Children go before parents.
remove() {
    local tries=20
    while [ "$tries" -gt 0 ] && [ -n "$(docker images --all --quiet --filter "label=$prefix")" ]; do
        docker images --all --quiet --filter "label=$prefix" | sort -u | xargs -r docker rmi --force >/dev/null 2>&1 || true
        tries=$((tries - 1))
    done
    [ "$tries" -gt 0 ] || fail "images with the label $prefix cannot be removed"
}

has() { docker image inspect "$prefix/$1" >/dev/null 2>&1; }

# `image NAME FOLDER [docker's options]`. The legacy builder tells of its own end at every build.
image() {
    local name=$1 folder=$2
    shift 2
    docker build --tag "$prefix/$name" --label "$prefix=" "$@" "$folder" >"$work/$name.log" 2>&1 || { tail -n 30 "$work/$name.log" >&2; fail "cannot build $prefix/$name"; }
}

base() {
    # With a C compiler, because it is the base of the build image, too.
    local packages=ca-certificates,postgresql,postgresql-client,gosu,python3-minimal,iproute2,procps,busybox-static,gcc,libc6-dev
    if [ ! -e "$work/base.tar" ]; then
        say "making a Debian of its own (once, some two minutes)"
        as_root rm -rf "$work/base"
        as_root debootstrap --variant=minbase "--include=$packages" bookworm "$work/base" >"$work/base.log" 2>&1 || { tail -n 5 "$work/base.log" >&2; fail "debootstrap failed"; }
        as_root tar -C "$work/base" --exclude=./var/cache/apt/archives/*.deb --exclude=./var/lib/apt/lists/* -cf - . >"$work/base.part"
        mv "$work/base.part" "$work/base.tar"
        as_root rm -rf "$work/base"
    fi
    docker import --change "LABEL $prefix=" "$work/base.tar" "$prefix/base" >/dev/null
}

# `context NAME FILE…`: a build context of the image's own files, and others, hard links where that can be.
context() {
    local folder=$work/context-$1
    rm -rf "$folder"
    mkdir -p "$folder"
    cp -r "$here/$1/." "$folder"
    shift
    [ $# -eq 0 ] || cp -rl "$@" "$folder" 2>/dev/null || cp -r "$@" "$folder"
    printf '%s\n' "$folder"
}

vault() { image vault "$(context vault "$tools_dir/bao")"; }

rust() {
    local sysroot folder
    sysroot=$(rustc --print sysroot)
    folder=$(context rust)
    mkdir -p "$folder/rust/bin" "$folder/rust/lib"
    cp "$(rustup which cargo 2>/dev/null || command -v cargo)" "$sysroot/bin/rustc" "$folder/rust/bin"
    cp -r "$sysroot"/lib/rustlib "$sysroot"/lib/librustc_driver* "$folder/rust/lib"
    cp -r "$sysroot"/lib/libLLVM* "$folder/rust/lib" 2>/dev/null || true
    # This machine may trust more than Debian does, e.g. an authority of a house's mirror. Not for an image that is shipped.
    cp -L /etc/ssl/certs/ca-certificates.crt "$folder"
    image rust "$folder"
    rm -rf "$folder"
}

# Its stages by name, so that they can be removed.
product() {
    local started=$SECONDS stage
    for stage in build certificates vaultexec example; do
        image "$stage" "$root" --target "$stage" --build-arg "RUST_IMAGE=$prefix/rust" --build-arg "RUN_IMAGE=$prefix/base" \
            --build-arg "REVISION=$(git -C "$root" rev-parse HEAD)"
    done
    say "the product's images: $((SECONDS - started)) s"
}

make() {
    mkdir -p "$work"
    has base || base
    has postgres || image postgres "$here/postgres"
    has vault || vault
    has rust || rust
    product
    image app "$here/app"
    image bare "$here/bare"
}

case ${1-make} in
make | remove) "${1-make}" ;;
*) fail "usage: make.sh [remove]" ;;
esac
