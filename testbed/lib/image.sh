# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# The machine's initramfs.

# image_base: busybox, our init and its helper; the same for all. Prints the archive.
image_base()
{
	local key out
	key=$(cat "$TESTBED/init" "$TESTBED/report.c" "$TESTBED/lib/image.sh" \
		/var/lib/dpkg/info/busybox-static.md5sums | sha256sum | cut -c1-12)
	out=$CACHE/image/base-$key.cpio
	[ -e "$out" ] || with_lock image image_base_locked "$out"
	echo "$out"
}

image_base_locked()
{
	local out=$1 root applet
	[ ! -e "$out" ] || return 0
	root=$out.root
	rm -rf "$root"
	mkdir -p "$root"/{bin,sbin,dev,proc,sys,tmp,out,root,etc,run,lib,testbed,usr/bin,usr/sbin,usr/lib}
	cp /bin/busybox "$root/bin/busybox"
	for applet in $(busybox --list); do
		[ -e "$root/bin/$applet" ] || ln -s busybox "$root/bin/$applet"
	done
	echo 'root:x:0:0:root:/root:/bin/sh' >"$root/etc/passwd"
	echo 'root:x:0:' >"$root/etc/group"
	cp "$TESTBED/init" "$root/init"
	gcc -static -O2 -Wall -o "$root/sbin/report" "$TESTBED/report.c"
	strip "$root/sbin/report"
	image_pack "$root" "$out.new"
	mv "$out.new" "$out"
	rm -rf "$root"
}

# image_pack DIR FILE
image_pack()
{
	(cd "$1" && find . -mindepth 1 | cpio -o -H newc -R 0:0 --quiet) >"$2"
}

# image_add ROOT HOSTPATH PATH: a file or directory, with the libraries that a program needs.
image_add()
{
	local root=$1 from=$2 to=$3 library
	[ -e "$from" ] || die "--add: $from: no such file"
	case $to in
	*/) to=$to$(basename "$from") ;;
	esac
	mkdir -p "$(dirname "$root/$to")"
	cp -aL --no-preserve=ownership -T "$from" "$root/$to"
	[ -f "$from" ] || return 0
	# ldd prints "name => path (address)", or "path (address)" for the loader.
	{ ldd "$from" 2>/dev/null || :; } | sed -n 's/^.*[[:space:]]\(\/[^ ]*\) (0x.*$/\1/p' |
		while read -r library; do
			mkdir -p "$root/$(dirname "$library")"
			cp -L "$library" "$root/$library"
		done
}

# image_modules ROOT KERNELDIR: the kernel's modules and minivirt.ko, where modprobe looks.
image_modules()
{
	local root=$1 kernel=$2 release dir ko
	release=$(cat "$kernel/release")
	dir=$root/lib/modules/$release
	mkdir -p "$dir/kernel" "$dir/extra"
	cp "$kernel"/modules/*.ko "$dir/kernel/"
	if [ -z "$without_module" ]; then
		ko=$(tree_module "$kernel")
		strip --strip-debug -o "$dir/extra/minivirt.ko" "$ko"
	fi
	touch "$dir"/modules.{order,builtin,builtin.modinfo}
	/sbin/depmod -b "$root" "$release"
	rm -f "$dir"/modules.*.bin
}
