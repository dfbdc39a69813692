#!/usr/bin/env bash
# Checks the list of what the binary is made of: cargo's own tree has the same crates, each with its licence and checksum;
# two makings are equal; and it holds no path of this machine.
set -eu -o pipefail
. "$(dirname "$0")/lib.sh"
cd "$root"
first=$(bash scripts/sbom.sh)
kept=$(sha256sum <"$first")
second=$(bash scripts/sbom.sh)
[ "$first $kept" = "$second $(sha256sum <"$second")" ] || fail "two lists of one source differ: $first, $second"
cargo_home=${CARGO_HOME:-$HOME/.cargo}
for path in "$root" "$(cd "$cargo_home" && pwd -P)" "$(rustc --print sysroot)"; do
    if grep -qF "$path" "$first"; then fail "$first holds the path $path"; fi
done

target=$(sh scripts/target.sh)
cargo tree --locked --edges normal --prefix none --format '{p}' --target "$target" >"$first.tree"
python3 - "$first" "$first.tree" <<'PYTHON' || { rm -f "$first.tree"; fail "$first is not what it should be"; }
import json, sys

with open(sys.argv[1]) as file:
    sbom = json.load(file)
with open(sys.argv[2]) as file:
    tree = {" v".join(line.split(" v")[:2]).split(" (")[0].strip() for line in file if line.strip()}
own = sbom["metadata"]["component"]
listed = {f"{crate['name']} v{crate['version']}" for crate in [own, *sbom["components"]]}
problems = [f"compiled, and not listed: {crate}" for crate in sorted(tree - listed)]
problems += [f"listed, and not compiled: {crate}" for crate in sorted(listed - tree)]
problems += [f"no {field} of {crate['name']}" for crate in sbom["components"] for field in ("licenses", "hashes", "purl") if not crate.get(field)]
if "serialNumber" in sbom:
    problems.append("a serial number, which is another one each time")
print("\n".join(problems), end="\n" if problems else "", file=sys.stderr)
sys.exit(bool(problems))
PYTHON
rm -f "$first.tree"
say "ok: the list of what it is made of: cargo's own crates, the same bytes twice, no path of this machine"
