#!/usr/bin/env bash
# Runs the public HTTP cache test suite against reprise proxy and writes docs/conformance.md. SUITE is a checkout of
# https://github.com/http-tests/cache-tests with its npm packages; without it one is made in bin/, which git ignores.
set -euo pipefail
cd "$(dirname "$0")/.."

suite=${SUITE:-}
if [ -z "$suite" ]; then
	suite=bin/cache-tests
	if [ ! -d "$suite/.git" ]; then
		git clone --quiet --depth 1 https://github.com/http-tests/cache-tests.git "$suite"
	fi
	if [ ! -d "$suite/node_modules" ]; then
		(cd "$suite" && npm ci --silent --omit=dev --ignore-scripts)
	fi
fi
suite=$(cd "$suite" && pwd)
command -v node >/dev/null || { echo "conformance: node is needed, 18 or newer" >&2; exit 1; }
./scripts/test-servers.sh
go test -count=1 -timeout 60m -v -run '^TestConformance$' ./cmd/reprise -suite "$suite" -conformance-out "$PWD/docs/conformance.md"
