#!/bin/sh
# Makes target/dist/vaultexec_VERSION_ARCH.deb of what `make build` has made: `make deb`. Needs dpkg-deb alone.
set -eu
cd "$(dirname "$0")/.."
dist=${CARGO_TARGET_DIR:-target}/dist
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
description=$(sed -n 's/^description = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
arch=$(dpkg --print-architecture)
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
chmod 0755 "$stage"

DESTDIR=$stage PREFIX=/usr sh scripts/install.sh
# Where Debian has them.
install -d "$stage/usr/share/zsh/vendor-completions" "$stage/usr/share/doc/vaultexec" "$stage/DEBIAN"
mv "$stage/usr/share/zsh/site-functions/_vaultexec" "$stage/usr/share/zsh/vendor-completions/"
rmdir "$stage/usr/share/zsh/site-functions"
gzip -9n "$stage/usr/share/man/man1/vaultexec.1"
gzip -9nc CHANGELOG.md >"$stage/usr/share/doc/vaultexec/changelog.gz"
install -m 0644 README.md docs/*.md "$stage/usr/share/doc/vaultexec/"

size=$(du -sk --exclude=DEBIAN "$stage" | cut -f1)
cat >"$stage/DEBIAN/control" <<CONTROL
Package: vaultexec
Version: $version
Architecture: $arch
Maintainer: The vaultexec authors <vaultexec@example.com>
Installed-Size: $size
Section: admin
Priority: optional
Recommends: ca-certificates
Description: Run a command with short-lived database credentials
 $description.
CONTROL
(cd "$stage" && find usr -type f -exec md5sum {} + | LC_ALL=C sort -k 2 >DEBIAN/md5sums)

# The same sources make the same package.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
export SOURCE_DATE_EPOCH
find "$stage" -newermt "@$SOURCE_DATE_EPOCH" -exec touch -hd "@$SOURCE_DATE_EPOCH" {} +
made=$dist/vaultexec_${version}_$arch.deb
dpkg-deb --root-owner-group --build "$stage" "$made" >/dev/null
echo "made     $made"
