# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Messages, the cache, packages, and long steps with progress.

CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/minivirt
# Kernels are shared by all trees; what is built from this tree is kept apart from other clones.
TREE_CACHE=$CACHE/tree/$(printf '%s' "$TREE" | sha256sum | cut -c1-12)
mkdir -p "$TREE_CACHE" "$CACHE/kernel"

say()
{
	echo "testbed: $*" >&2
}

die()
{
	say "$*"
	exit 1
}

trap 'say "failed: $BASH_COMMAND (${BASH_SOURCE[0]##*/}:$LINENO)"' ERR

# with_lock NAME COMMAND...: one process at a time, in any clone.
with_lock()
{
	local lock=$CACHE/$1.lock fd
	shift
	mkdir -p "$(dirname "$lock")"
	exec {fd}>"$lock"
	flock -n "$fd" || { say "waiting for another run ($(basename "$lock" .lock))"; flock "$fd"; }
	# Closed for the command, so that no child of it keeps the lock when this process is killed.
	"$@" {fd}>&-
	exec {fd}>&-
}

# with_progress LOG LABEL COMMAND...: the last line of the log, each 10 s (each second on a terminal).
with_progress()
{
	local log=$1 label=$2 start=$SECONDS pid step=10 status=0
	shift 2
	[ -t 2 ] && step=1
	"$@" >"$log" 2>&1 </dev/null &
	pid=$!
	say "$label"
	while sleep 1; do
		kill -0 $pid 2>/dev/null || break
		[ $(((SECONDS - start) % step)) -eq 0 ] || continue
		local line
		line=$(printf '%4ds %6d lines | %.60s' $((SECONDS - start)) \
			"$(wc -l <"$log")" "$(tail -n 1 "$log")")
		if [ -t 2 ]; then printf '\r\033[K%s' "$line" >&2; else echo "$line" >&2; fi
	done
	[ -t 2 ] && printf '\r\033[K' >&2
	wait $pid || status=$?
	if [ $status -ne 0 ]; then
		tail -n 25 "$log" >&2
		die "failed: $label (whole log: $log)"
	fi
	say "$label: done in $((SECONDS - start)) s"
}

as_root()
{
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	else
		command -v sudo >/dev/null || die "need root to run: $*"
		sudo "$@"
	fi
}

apt_update_if_old()
{
	if [ -z "$(find /var/lib/apt/lists -name '*_Packages*' -mtime -7 -print -quit 2>/dev/null)" ]; then
		with_progress "$CACHE/apt.log" "updating the package lists" as_root apt-get update
	fi
}

apt_install()
{
	apt_update_if_old
	with_progress "$CACHE/apt.log" "installing $*" as_root env DEBIAN_FRONTEND=noninteractive \
		apt-get install -y --no-install-recommends "$@"
}

# need PACKAGE...: install those that are missing.
need()
{
	local p missing=()
	for p; do
		[ -e "/var/lib/dpkg/info/$p.list" ] || [ -e "/var/lib/dpkg/info/$p:amd64.list" ] ||
			missing+=("$p")
	done
	[ ${#missing[@]} -eq 0 ] || with_lock apt apt_install "${missing[@]}"
}

# What boots and fills a machine; together, because one apt run is faster than many.
need_machine()
{
	local cpu=$1
	shift
	local packages=(gcc-12 gcc make libc6-dev binutils libelf-dev kmod cpio rsync busybox-static
		xz-utils zstd "$@")
	case $cpu in
	vmx) packages+=(bochs bochsbios vgabios) ;;
	svm) packages+=(qemu-system-x86) ;;
	esac
	need "${packages[@]}"
}
