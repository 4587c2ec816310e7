#!/usr/bin/env bash
# Installs what `make bench-http` measures and measures with, where it is missing: wrk, nginx and Varnish by apt; the Python
# peers from their registry, in the versions of bench/python/requirements.txt, into the user's cache directory. Starts nothing:
# the benchmark starts its own servers on free ports. Does nothing, quickly, when everything is there.
#
# What cannot be installed is named, and the benchmark leaves it out.
set -uo pipefail
cd "$(dirname "$0")/.."

fail() { echo "bench-http: $*" >&2; }

. scripts/debian.sh

missing=()
have wrk || missing+=(wrk)
have nginx || missing+=(nginx)
have varnishd || missing+=(varnish)
if ((${#missing[@]})); then
	install_packages "${missing[@]}"
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
		fail "the Python peers could not be installed; they need Python 3.10 or newer with venv, and its registry"
	fi
fi
exit 0
