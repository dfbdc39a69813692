# What the scripts beside this file share. Sourced by bash, never run.
# shellcheck shell=bash disable=SC2034

# What the tests are told is nothing to vaultexec, which refuses variables that it does not know.
unset VAULTEXEC_TEST_VAULT VAULTEXEC_TEST_BINARY

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
tools_dir=$root/target/tools
# Where administrators' programs are, for those who are none.
PATH=$PATH:/usr/sbin:/sbin

# Colour only for people: never in a pipe or a log.
if [ -t 1 ] && [ -z "${NO_COLOR-}" ] && [ "${TERM-dumb}" != dumb ]; then
    bold=$'\e[1m' dim=$'\e[2m' red=$'\e[31m' green=$'\e[32m' plain=$'\e[0m'
else
    bold='' dim='' red='' green='' plain=''
fi

say() { printf '%s\n' "$*"; }
warn() { printf '%s%s%s\n' "$red" "$*" "$plain" >&2; }
fail() { warn "${0##*/}: $*"; exit 1; }

have() { command -v "$1" >/dev/null 2>&1; }

# How to become root: not at all, by sudo without a password, or impossible.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo -n "$@"; fi
}

works() { "$1" version </dev/null >/dev/null 2>&1; }

# Prints the path of a server: one on the PATH before the one that tools.sh fetched.
find_vault() {
    local candidate
    for candidate in "$(command -v bao)" "$(command -v vault)" "$tools_dir/bao"; do
        if [ -n "$candidate" ] && [ -x "$candidate" ] && works "$candidate"; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    return 1
}

is_postgres_bin() { [ -x "$1/initdb" ] && [ -x "$1/postgres" ] && [ -x "$1/pg_ctl" ]; }

# Prints the folder of PostgreSQL's server programs. Debian keeps them off the PATH, one folder a version: the newest wins.
find_postgres() {
    local dir on_path
    on_path=$(command -v initdb) && is_postgres_bin "$(dirname "$on_path")" && { dirname "$on_path"; return; }
    for dir in $(printf '%s\n' /usr/lib/postgresql/*/bin /usr/pgsql-*/bin | sort -rV); do
        is_postgres_bin "$dir" && { printf '%s\n' "$dir"; return; }
    done
    return 1
}

# What the caller has set for a Vault or a database of their own must not lead our commands there.
forget_callers_settings() {
    local name
    for name in $(compgen -e); do
        case $name in
        VAULT_* | BAO_* | VAULTEXEC_* | PG* | DATABASE_URL) unset "$name" ;;
        esac
    done
    export NO_PROXY="127.0.0.1,localhost${NO_PROXY:+,$NO_PROXY}"
    export no_proxy=$NO_PROXY
}

# `cargo_tool NAME VERSION` puts a cargo subcommand into target/tools and first on the PATH. A debug build: it compiles in a
# fraction of the time, and runs for a second.
cargo_tool() {
    local home=$tools_dir/$1-$2
    if ! [ -x "$home/bin/$1" ]; then
        mkdir -p "$tools_dir"
        say "compiling $1 $2 into target/tools (once, some minutes)" >&2
        # Not with the flags of our own build, and in a folder that is renamed only when all of it is there.
        env -u RUSTFLAGS -u CARGO_BUILD_TARGET cargo install --quiet --debug --locked --version "=$2" --root "$home.part" \
            --target-dir "$tools_dir/$1-build" "$1" >&2 || fail "$1 $2 cannot be compiled; cargo's own words are above"
        rm -rf "$home" "$tools_dir/$1-build"
        mv "$home.part" "$home"
    fi
    PATH=$home/bin:$PATH
}
