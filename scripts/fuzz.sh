#!/usr/bin/env bash
# Runs every fuzz target of the packages given, each for FUZZTIME. Targets are found by listing, so that a new one
# cannot be forgotten.
set -euo pipefail
cd "$(dirname "$0")/.."

targets=$(go test -list '^Fuzz' "$@" | awk '
	/^Fuzz/  { names[++n] = $1 }
	/^ok/    { for (i = 1; i <= n; i++) print $2, names[i]; n = 0 }
')
if [[ -z $targets ]]; then
	echo "fuzz: no targets in $*" >&2
	exit 1
fi

while read -r package name; do
	echo "== $package $name"
	go test -run '^$' -fuzz "^$name\$" -fuzztime "${FUZZTIME:-60s}" "$package" </dev/null
done <<<"$targets"
