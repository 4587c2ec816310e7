#!/usr/bin/env bash
# Compares the benchmarks of the root package with those of another commit: BASE, or the last tag, or main. The two run in
# turn, COUNT times, so that whatever else the machine does meets both.
set -euo pipefail
cd "$(dirname "$0")/.."

# A clone of another branch has only origin's main.
base=${BASE:-$(git describe --tags --abbrev=0 2>/dev/null || git rev-parse --symbolic --verify --quiet main || echo origin/main)}
count=${COUNT:-6}
pattern=${BENCH:-'Hit|Miss/10k|Memo|Func'}

dir=$(mktemp -d)
trap 'git worktree remove --force "$dir/base" 2>/dev/null || true; rm -rf "$dir"' EXIT
git worktree add --quiet --detach "$dir/base" "$base"
(cd "$dir/base" && go test -c -o "$dir/old.test" .)
go test -c -o "$dir/new.test" .

echo "this tree beside $base ($(git rev-parse --short "$base")), $count rounds of $pattern" >&2
for ((i = 0; i < count; i++)); do
	for which in old new; do
		"$dir/$which.test" -test.run '^$' -test.bench "$pattern" -test.benchtime "${BENCHTIME:-0.3s}" >>"$dir/$which.txt"
	done
done
GOWORK=off go tool -modfile=tools/go.mod benchstat "old=$dir/old.txt" "new=$dir/new.txt"
