#!/usr/bin/env bash
# Installs what is shipped, and uses it: `make install`, the Debian package, the archive, and the binary alone in an empty
# root, where it resolves a name and verifies a certificate. Needs root for that root, python3 for its name server.
set -eu -o pipefail
. "$(dirname "$0")/lib.sh"
forget_callers_settings
cd "$root"
scratch=$(mktemp -d)
pids=()
tidy_up() {
    local code=$? pid
    trap - EXIT
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    rm -rf "$scratch"
    exit "$code"
}
trap tidy_up EXIT
dist=${CARGO_TARGET_DIR:-target}/dist
ok() { say "ok: $*"; }
must() { "$@" || fail "not so: $*"; }

# --- make install -------------------------------------------------------------------------------------------------------

DESTDIR=$scratch/staged PREFIX=/opt/x make -s install
found=$(cd "$scratch/staged" && find . -type f -printf '%m %p\n' | LC_ALL=C sort -k 2)
wanted='711 ./opt/x/bin/vaultexec
644 ./opt/x/share/bash-completion/completions/vaultexec
644 ./opt/x/share/fish/vendor_completions.d/vaultexec.fish
644 ./opt/x/share/man/man1/vaultexec.1
644 ./opt/x/share/zsh/site-functions/_vaultexec'
[ "$found" = "$wanted" ] || fail "make install has installed: $found"
ok "make install: the program, its manual page and completions, with their modes"

# --- the package --------------------------------------------------------------------------------------------------------

if have dpkg-deb; then
    sh scripts/deb.sh >/dev/null
    deb=$(ls "$dist"/vaultexec_*.deb)
    first=$(sha256sum <"$deb")
    sh scripts/deb.sh >/dev/null
    [ "$first" = "$(sha256sum <"$deb")" ] || fail "two packages of the same sources differ"
    # A system of its own, so that nothing of this one changes.
    system=$scratch/system
    mkdir -p "$system"/var/lib/dpkg/{info,updates,triggers} "$system/var/log"
    touch "$system/var/lib/dpkg/status"
    as_dpkg() { as_root dpkg --root="$system" --log=/dev/null "$@" >"$scratch/dpkg.log" 2>&1 || { cat "$scratch/dpkg.log" >&2; fail "dpkg $*"; }; }
    as_dpkg --install "$deb"
    must test -u "$system/usr/bin/vaultexec" -o -x "$system/usr/bin/vaultexec"
    [ "$(stat -c %a:%U "$system/usr/bin/vaultexec")" = 711:root ] || fail "the package's program has the mode $(stat -c %a:%U "$system/usr/bin/vaultexec")"
    "$system/usr/bin/vaultexec" --version | grep -q '^vaultexec ' || fail "the package's program does not run"
    gzip -dc "$system/usr/share/man/man1/vaultexec.1.gz" | grep -q '^.TH VAULTEXEC' || fail "the package has no manual page"
    (cd "$system" && as_root md5sum --quiet -c var/lib/dpkg/info/vaultexec.md5sums) || fail "the package's checksums"
    as_dpkg --remove vaultexec
    left=$(find "$system/usr" -name '*vaultexec*' 2>/dev/null || true)
    [ -z "$left" ] || fail "after the removal there is still: $left"
    ok "the Debian package: the same bytes twice, installed, used, removed, nothing left"
fi

# --- the archive --------------------------------------------------------------------------------------------------------

sh scripts/dist.sh >/dev/null
(cd "$dist/release" && sha256sum --quiet -c "SHA256SUMS-$(uname -m)") || fail "the release's checksums"
tar -xzf "$dist"/release/*.tar.gz -C "$scratch"
"$scratch"/vaultexec-*/bin/vaultexec --version | grep -q '^vaultexec ' || fail "the archive's program does not run"
bash scripts/check-sbom.sh
must cmp "$dist"/*.cdx.json "$dist"/release/*.cdx.json
ok "make dist: an archive, a package, the list of crates, and their checksums"

# --- alone in an empty root ----------------------------------------------------------------------------------------------

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
plain_port=$(free_port)
port=$(free_port)
authority() {
    openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj "/CN=$1" -keyout "$scratch/$1.key" -out "$scratch/$1.pem" 2>/dev/null
}
authority ours
authority other
openssl req -newkey rsa:2048 -nodes -subj /CN=vault.test -keyout "$scratch/server.key" -out "$scratch/server.csr" 2>/dev/null
openssl x509 -req -in "$scratch/server.csr" -CA "$scratch/ours.pem" -CAkey "$scratch/ours.key" -set_serial 2 -days 2 \
    -extfile <(echo 'subjectAltName=DNS:vault.test') -out "$scratch/server.pem" 2>/dev/null
cat >"$scratch/vault.hcl" <<HCL
listener "tcp" {
  address       = "127.0.0.1:$port"
  tls_cert_file = "$scratch/server.pem"
  tls_key_file  = "$scratch/server.key"
}
HCL
vault=$(find_vault) || fail "there is no OpenBao or Vault: make tools"
HOME=$scratch "$vault" server -dev -dev-no-store-token -dev-root-token-id=root -config="$scratch/vault.hcl" \
    -dev-listen-address="127.0.0.1:$plain_port" >"$scratch/vault.log" 2>&1 &
pids+=($!)
# A name server that knows one name. No other address of this host has anybody at this port.
as_root python3 - >"$scratch/dns.log" 2>&1 <<'PYTHON' &
import socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.77", 53))
while True:
    query, sender = server.recvfrom(512)
    question = query[12:query.index(b"\0", 12) + 5]
    known = question[:-4] == b"\x05vault\x04test\0" and question[-4:] == b"\0\1\0\1"
    code = b"\x81\x80" if question[:-4] == b"\x05vault\x04test\0" else b"\x81\x83"
    answer = b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4\x7f\0\0\1" if known else b""
    server.sendto(query[:2] + code + b"\0\1" + (b"\0\1" if known else b"\0\0") + b"\0\0\0\0" + question + answer, sender)
PYTHON
pids+=($!)

alone=$scratch/alone
mkdir -p "$alone/etc"
cp "$dist/vaultexec" "$alone/vaultexec"
cp "$scratch/ours.pem" "$alone/ca.pem"
export VAULT_ADDR=http://127.0.0.1:$plain_port VAULT_TOKEN=root
for _ in $(seq 100); do
    "$vault" status >/dev/null 2>&1 && break
    sleep 0.1
done
"$vault" kv put -mount=secret app name=alone >/dev/null
in_it() {
    as_root env -i VAULT_ADDR="https://vault.test:$port" VAULT_CACERT=/ca.pem VAULT_TOKEN=root \
        VAULTEXEC_CREDS=secret/data/app VAULTEXEC_ENV='GREETING={{name}}' VAULTEXEC_START_TIMEOUT=5s "$(command -v chroot)" "$alone" /vaultexec "$@"
}
try() {
    output=$(in_it -- /vaultexec --version 2>&1) || fail "in an empty root, $1: $output"
    [[ $output == "vaultexec "* ]] || fail "in an empty root, $1: $output"
    ok "in an empty root: $1, TLS, and a command"
}
# The kernel's folders are not there either: no /proc, no /dev.
echo '127.0.0.1 vault.test' >"$alone/etc/hosts"
try "a name from /etc/hosts"
rm "$alone/etc/hosts"
echo 'nameserver 127.0.0.77' >"$alone/etc/resolv.conf"
try "a name from a name server"
cp "$scratch/other.pem" "$alone/ca.pem"
if output=$(in_it -- /vaultexec --version 2>&1); then fail "in an empty root, another authority's certificate is trusted"; fi
[[ $output == *"no trusted connection"* ]] || fail "in an empty root: $output"
ok "in an empty root: a certificate of another authority is refused"
