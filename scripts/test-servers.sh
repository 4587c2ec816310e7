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

have() {
	PATH="$PATH:/usr/sbin:/usr/local/sbin" command -v "$1" >/dev/null 2>&1
}

as_root=()
if ((EUID != 0)); then
	as_root=(sudo -n)
fi

# The Debian packages start their service, on the port that a developer may be using. policy-rc.d is how Debian is told
# not to; where the machine has one already, it is the machine's own decision and stays.
policy=/usr/sbin/policy-rc.d
deny_services() {
	if [[ ! -e $policy ]]; then
		trap '"${as_root[@]}" rm -f "$policy"' EXIT
		printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
		"${as_root[@]}" chmod +x "$policy"
	fi
}

apt_install() {
	local apt=("${as_root[@]}" env RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=120)
	deny_services &&
		"${apt[@]}" update &&
		"${apt[@]}" install --no-install-recommends -y "$@" >/dev/null
}

missing=()
have redis-server || missing+=(redis-server)
have redis-cli || missing+=(redis-tools)
have memcached || missing+=(memcached)

if ((${#missing[@]})); then
	if ! have apt-get; then
		fail "no apt-get here; please install ${missing[*]}"
	elif ((EUID != 0)) && ! sudo -n true 2>/dev/null; then
		fail "no root and no password-less sudo; please run: sudo apt-get install ${missing[*]}"
	else
		echo "test-servers: installing ${missing[*]}"
		apt_install "${missing[@]}" </dev/null || fail "apt-get could not install ${missing[*]}"
	fi
fi

if [[ -x scripts/dynamodb.sh ]]; then
	scripts/dynamodb.sh </dev/null || fail "scripts/dynamodb.sh could not install a DynamoDB server"
fi
