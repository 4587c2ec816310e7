#!/usr/bin/env bash
# Installs the servers that the tests of the stores run against, where they are missing: redis-server, redis-cli and
# memcached by apt, a DynamoDB server by scripts/dynamodb.sh. Starts nothing: each test binary starts its own on a free
# port. Does nothing, quickly, when everything is there.
#
# What cannot be installed is named. With CI=true that is a failure; elsewhere the tests that need it are skipped.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
	echo "test-servers: $*" >&2
	if [[ ${CI:-} == true ]]; then
		exit 1
	fi
	echo "test-servers: tests that need it are skipped" >&2
}

. scripts/debian.sh

missing=()
have redis-server || missing+=(redis-server)
have redis-cli || missing+=(redis-tools)
have memcached || missing+=(memcached)

if ((${#missing[@]})); then
	install_packages "${missing[@]}"
fi

if [[ -x scripts/dynamodb.sh ]]; then
	scripts/dynamodb.sh </dev/null || fail "scripts/dynamodb.sh could not install a DynamoDB server"
fi
