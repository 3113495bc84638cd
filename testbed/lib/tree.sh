# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# This tree's module and programs, built in the cache, so that what is built in the tree for this
# machine's own kernel stays as it is.

# tree_make LABEL DIR SUBTREES MAKE-COMMAND...: build a copy of the subtrees in DIR, if they changed.
tree_make()
{
	local label=$1 dir=$2 subtrees=$3 present=() s
	shift 3
	for s in $subtrees; do
		[ ! -e "$TREE/$s" ] || present+=("$TREE/$s")
	done
	mkdir -p "$dir"
	local changes
	changes=$(rsync -riO --times --delete --perms --exclude-from="$TESTBED/built-files" \
		"${present[@]}" "$dir/")
	[ -z "$changes" ] || rm -f "$dir/.built"
	[ ! -e "$dir/.built" ] || return 0
	with_progress "$dir/make.log" "building $label" "$@"
	touch "$dir/.built"
}

# tree_module KERNELDIR: build minivirt.ko for that kernel; prints its path.
tree_module()
{
	local kernel=$1 dir
	dir=$TREE_CACHE/module/$(basename "$kernel")
	with_lock "tree/$(basename "$TREE_CACHE")/module" tree_make "the module for $(cat "$kernel/release")" \
		"$dir" "Kbuild kmod uapi" \
		make -C "$kernel/build" M="$dir" -j"$(nproc)" ${WERROR:+KCFLAGS=-Werror} modules
	echo "$dir/minivirt.ko"
}

# tree_programs DIR: build the runner and the selftests, statically, and install them below DIR.
tree_programs()
{
	local root=$1 dir=$TREE_CACHE/programs subtrees="uapi kmod userspace-vmm selftests"
	if [ -n "$without_selftests" ]; then
		dir=$TREE_CACHE/runner subtrees="uapi userspace-vmm"
	fi
	with_lock "tree/$(basename "$TREE_CACHE")/programs" tree_make "the programs" \
		"$dir" "$subtrees" tree_programs_make "$dir"
	# Without symbols, because the emulated machine unpacks all this in emulated time
	mkdir -p "$root/usr/lib/minivirt/selftests"
	strip -o "$root/usr/bin/minivirt" "$dir/userspace-vmm/minivirt"
	if [ -z "$without_selftests" ]; then
		find "$dir/installed" -maxdepth 1 -type f -name '*.sh' \
			-exec cp -p {} "$root/usr/lib/minivirt/selftests/" \;
		find "$dir/installed" -maxdepth 1 -type f -perm -u+x ! -name '*.sh' \
			-execdir strip -o "$root/usr/lib/minivirt/selftests/{}" {} \;
	fi
}

tree_programs_make()
{
	local dir=$1 make=(make STATIC=1 ${WERROR:+WERROR=1} -j"$(nproc)")
	"${make[@]}" -C "$dir/userspace-vmm"
	[ -n "$without_selftests" ] ||
		"${make[@]}" -C "$dir/selftests" install INSTALL_PATH="$dir/installed"
}
