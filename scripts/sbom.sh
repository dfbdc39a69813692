#!/usr/bin/env bash
# Writes what the release binary is made of, as CycloneDX JSON: the crates that are compiled into it or write code for it,
# with versions, licences and checksums. The same bytes from any folder. `make sbom`.
#
# TARGET=aarch64-unknown-linux-musl lists what is built for another system than this one, as in build.sh.
set -eu -o pipefail
. "$(dirname "$0")/lib.sh"
cd "$root"
scratch=
tidy_up() { [ -z "$scratch" ] || rm -rf "$scratch"; }
trap tidy_up EXIT
trap 'exit 130' INT TERM HUP

dist=$(mkdir -p "${CARGO_TARGET_DIR:-target}/dist" && cd "${CARGO_TARGET_DIR:-target}/dist" && pwd)
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
target=$(sh scripts/target.sh)
list=vaultexec_${version}_$target.cdx.json
# With a time of its own the tool gives each list a random serial number.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
export SOURCE_DATE_EPOCH

cargo_tool cargo-cyclonedx 0.5.9
# The tool writes beside Cargo.toml: in a copy it leaves the checkout, whose state the binary tells of, as it is.
scratch=$(mktemp -d "$root/target/sbom.XXXXXX")
mkdir "$scratch/src"
cp Cargo.toml Cargo.lock "$scratch"
touch "$scratch/src/lib.rs" "$scratch/src/main.rs"
cargo fetch --quiet --locked --manifest-path "$scratch/Cargo.toml"
cargo cyclonedx --quiet --manifest-path "$scratch/Cargo.toml" --format json --spec-version 1.5 --describe binaries --target "$target" --no-build-deps
# The program is named by the folder that it was described in.
sed "s|path+file://$scratch|path+file:///vaultexec|" "$scratch/vaultexec_bin.cdx.json" >"$scratch/list"
# Of another version or system there may be an old one, which `make dist` must not ship.
rm -f "$dist"/*.cdx.json
mv "$scratch/list" "$dist/$list"
say "$dist/$list"
