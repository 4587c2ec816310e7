# Functions for the scripts that install Debian packages. Sourced by them.

have() {
	PATH="$PATH:/usr/sbin:/usr/local/sbin" command -v "$1" >/dev/null 2>&1
}

as_root=()
if ((EUID != 0)); then
	as_root=(sudo -n)
fi

# install_packages installs packages. Where it cannot, it calls fail with the reason and the remedy.
install_packages() {
	if ! have apt-get; then
		fail "no apt-get here; please install $*"
		return
	elif ((EUID != 0)) && ! sudo -n true 2>/dev/null; then
		fail "no root and no password-less sudo; please run: sudo apt-get install $*"
		return
	fi
	echo "installing $*"
	local apt=("${as_root[@]}" env RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=120)
	(
		# The packages of servers start them, on ports that a developer may be using. policy-rc.d is how Debian is told not
		# to; where the machine has one already, it is the machine's own decision and stays.
		policy=/usr/sbin/policy-rc.d
		if [[ ! -e $policy ]]; then
			trap '"${as_root[@]}" rm -f "$policy"' EXIT
			printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null &&
				"${as_root[@]}" chmod +x "$policy" || exit 1
		fi
		"${apt[@]}" update && "${apt[@]}" install --no-install-recommends -y "$@" >/dev/null
	) </dev/null || fail "apt-get could not install $*"
}
