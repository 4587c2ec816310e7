#!/usr/bin/env bash
# Installs what `make bench-http` measures and measures with, where it is missing: wrk, nginx and Varnish by apt; the Python
# peers from their registry, in the versions of bench/python/requirements.txt, into the user's cache directory. Starts nothing:
# the benchmark starts its own servers on free ports. Does nothing, quickly, when everything is there.
#
# What cannot be installed is named, and the benchmark leaves it out.
set -uo pipefail
cd "$(dirname "$0")/.."

warn() { echo "bench-http: $*" >&2; }

have() {
	PATH="$PATH:/usr/sbin:/usr/local/sbin" command -v "$1" >/dev/null 2>&1
}

as_root=()
if ((EUID != 0)); then
	as_root=(sudo -n)
fi

# The Debian packages start their service, on port 80 for nginx. policy-rc.d is how Debian is told not to; where the
# machine has one already, it is the machine's own decision and stays.
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
have wrk || missing+=(wrk)
have nginx || missing+=(nginx)
have varnishd || missing+=(varnish)
if ((${#missing[@]})); then
	if ! have apt-get; then
		warn "no apt-get here; please install ${missing[*]}"
	elif ((EUID != 0)) && ! sudo -n true 2>/dev/null; then
		warn "no root and no password-less sudo; please run: sudo apt-get install ${missing[*]}"
	else
		echo "bench-http: installing ${missing[*]}"
		apt_install "${missing[@]}" </dev/null || warn "apt-get could not install ${missing[*]}"
	fi
fi

wanted=bench/python/requirements.txt
venv=${XDG_CACHE_HOME:-$HOME/.cache}/reprise/bench-python
if ! cmp -s "$wanted" "$venv/requirements.txt"; then
	echo "bench-http: installing the Python peers to $venv"
	mkdir -p "$(dirname "$venv")"
	rm -rf "$venv"
	if python3 -m venv "$venv" && timeout 300 "$venv/bin/pip" --disable-pip-version-check install --quiet --requirement "$wanted"; then
		cp "$wanted" "$venv/requirements.txt" # last: half an installation is none
	else
		rm -rf "$venv"
		warn "the Python peers could not be installed; they need Python 3.10 or newer with venv, and its registry"
	fi
fi
exit 0
