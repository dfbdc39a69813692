#!/bin/sh
# What a release is made of, in target/dist/release: an archive, a Debian package where dpkg-deb is there, the list of what
# the binary is made of, and their checksums. `make dist`.
set -eu
cd "$(dirname "$0")/.."
dist=${CARGO_TARGET_DIR:-target}/dist
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
name=vaultexec-$version-linux-$(uname -m)
release=$dist/release
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
export SOURCE_DATE_EPOCH

rm -rf "$release"
mkdir -p "$release/$name"
DESTDIR=$release/$name PREFIX=/ sh scripts/install.sh
cp -r README.md CHANGELOG.md SECURITY.md docs "$release/$name/"
tar --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" -C "$release" -c "$name" |
    gzip -9n >"$release/$name.tar.gz"
rm -rf "${release:?}/$name"
if command -v dpkg-deb >/dev/null; then
    sh scripts/deb.sh
    cp "$dist/vaultexec_${version}_$(dpkg --print-architecture).deb" "$release/"
fi
bash scripts/sbom.sh >/dev/null
cp "$dist"/*.cdx.json "$release/"
# With the architecture, so that those of several machines can stand side by side.
(cd "$release" && sha256sum -- *.tar.gz *.cdx.json $(ls -- *.deb 2>/dev/null) >"SHA256SUMS-$(uname -m)" && cat "SHA256SUMS-$(uname -m)")
