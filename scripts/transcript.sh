#!/usr/bin/env bash
# Puts what the demo has shown into README.md, between its two marks: `transcript.sh LOG`. With --check it says whether
# README.md shows that, names and times aside.
set -eu -o pipefail
. "$(dirname "$0")/lib.sh"
readme=$root/README.md
begin='<!-- from the demo: -->'
end='<!-- end of the demo -->'

# Steps 3 to 5: what a user would see.
shown() { sed -n '/^3\. /,/^Done\./p' "$1" | sed '/^Done\./d' | sed -e 's/[[:space:]]*$//' -e '${/^$/d}'; }
in_readme() { sed -n "/^$begin\$/,/^$end\$/p" "$readme" | sed -e '1,2d' -e '$d' | sed '$d'; }
# What differs each time, the blanks and dashes of a table that is as wide as it, and what each psql says in its own way.
plainly() {
    sed -E -e '/conninfo/,/✓/{/conninfo|✓/!d}' -e 's/v-approle-[A-Za-z0-9-]+/USER/g' -e 's/[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:]+\+[0-9]{2}/TIME/g' \
        -e 's/-{3,}/-/g' -e 's/ +/ /g'
}

if [ "$1" = --check ]; then
    difference=$(diff <(in_readme | plainly) <(shown "$2" | plainly)) ||
        fail "README.md does not show what the demo does now: make transcript
$difference"
    exit 0
fi
new=$(mktemp)
{
    sed "/^$begin\$/q" "$readme"
    printf '```console\n'
    shown "$1"
    printf '```\n'
    sed -n "/^$end\$/,\$p" "$readme"
} >"$new"
cat "$new" >"$readme"
rm -f "$new"
