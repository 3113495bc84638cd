# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# This machine itself, where it has the hardware.

# why_not_here: what this machine lacks to load the module itself; nothing if nothing.
why_not_here()
{
	if ! grep -qwE 'vmx|svm' /proc/cpuinfo; then
		echo "neither VT-x nor AMD-V"
	elif [ ! -d "/lib/modules/$(uname -r)/build" ]; then
		echo "no headers of the running kernel (linux-headers-$(uname -r))"
	elif [ ! -e /proc/modules ]; then
		echo "a kernel without modules"
	elif [ "$(id -u)" -ne 0 ] && ! command -v sudo >/dev/null; then
		echo "neither root nor sudo"
	fi
}

# here_load FILE: load this module, unless one is loaded.
here_load()
{
	[ -e /dev/minivirt ] || as_root insmod "$1"
}
