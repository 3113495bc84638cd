# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# The machine's kernels. Each becomes a directory in the cache with
#	vmlinux		ELF, stripped: what the emulators boot
#	bzImage		the same, compressed
#	build		what modules are built against (KDIR)
#	release		the text of `uname -r`
#	modules/	its modules that the machine gets, uncompressed

KERNEL_BUILD_PACKAGES=(bc flex bison libelf-dev libssl-dev dwarves lz4 perl python3
	linux-source-6.1)

# kernel_source: unpack Debian's kernel source into the cache; prints where.
kernel_source()
{
	need linux-source-6.1 xz-utils
	local version dir
	version=$(dpkg-query -W -f '${Version}' linux-source-6.1)
	dir=$CACHE/source/linux-source-6.1_$version
	[ -d "$dir" ] || with_lock source kernel_source_unpack "$dir"
	echo "$dir"
}

kernel_source_unpack()
{
	local dir=$1
	[ ! -d "$dir" ] || return 0
	rm -rf "$dir.new"
	mkdir -p "$dir.new"
	with_progress "$CACHE/source.log" "unpacking the kernel source" \
		tar -C "$dir.new" --strip-components=1 -xf /usr/src/linux-source-6.1.tar.xz
	mv "$dir.new" "$dir"
}

# kernel_dir NAME FRAGMENT...: where that kernel is or will be
kernel_dir()
{
	local name=$1 key
	shift
	key=$({
		echo 1 # the recipe below: raise it when it changes what comes out
		dpkg-query -W -f '${Version}\n' linux-source-6.1 gcc-12 || :
		cat "$@"
	} 2>/dev/null | sha256sum | cut -c1-12)
	echo "$CACHE/kernel/$name-$key"
}

# kernel_present small: whether it is built already
kernel_present()
{
	[ -e "$(kernel_dir "$1" "$TESTBED/kernel.config")/release" ]
}

# kernel_build NAME FRAGMENT...: a kernel of our own; prints its directory.
kernel_build()
{
	local name=$1 dir
	shift
	need linux-source-6.1 gcc-12
	dir=$(kernel_dir "$name" "$@")
	if [ ! -e "$dir/release" ]; then
		need "${KERNEL_BUILD_PACKAGES[@]}"
		with_lock kernel kernel_build_locked "$name" "$dir" "$(kernel_source)" "$@"
	fi
	echo "$dir"
}

kernel_build_locked()
{
	local name=$1 dir=$2 source=$3 make
	shift 3
	[ ! -e "$dir/release" ] || return 0
	make=(make -C "$source" O="$dir/build" KBUILD_BUILD_HOST=testbed KBUILD_BUILD_USER=minivirt)
	# KCSAN for modules alone: the kernel has races of its own, which are not to be judged here.
	[ "$name" != race ] || make+=(KCSAN_SANITIZE=n)
	mkdir -p "$dir/build"
	"${make[@]}" tinyconfig >"$dir/build.log"
	(cd "$dir/build" && "$source/scripts/kconfig/merge_config.sh" -m -r .config "$@") \
		>>"$dir/build.log"
	"${make[@]}" olddefconfig >>"$dir/build.log"
	with_progress "$dir/build.log" "building the $name kernel (once; about 7 minutes on 2 cores)" \
		"${make[@]}" -j"$(nproc)" bzImage modules
	strip -s -R .comment -o "$dir/vmlinux" "$dir/build/vmlinux"
	cp "$dir/build/arch/x86/boot/bzImage" "$dir/bzImage"
	mkdir -p "$dir/modules"
	find "$dir/build" -name '*.ko' -exec cp -t "$dir/modules" {} +
	strip --strip-debug "$dir/modules"/*.ko
	# Modules are built against headers, scripts and vmlinux's BTF alone.
	find "$dir/build" \( -path "$dir/build/scripts" -o -path "$dir/build/tools" \) -prune -o \
		\( -name '*.o' -o -name '*.a' -o -name '*.ko' -o -name '.tmp_*' -o -name '.*.cmd' \) \
		-type f -exec rm -f {} +
	cp "$dir/build/include/config/kernel.release" "$dir/release"
}

# What the machine gets of a Debian kernel's thousands of modules, with those that they depend on.
DEBIAN_MODULES=(kvm-intel kvm-amd zram msr cpuid tun)

# kernel_debian VERSION: Debian's stock kernel, unpacked, not installed; prints its directory.
kernel_debian()
{
	local version=$1 dir
	# The one that is there is good enough; to get a newer one, delete it.
	dir=$(find "$CACHE/kernel" -maxdepth 1 -name "debian-${version}_*" ! -name '*.new' 2>/dev/null |
		sort -V | tail -n 1)
	if [ -z "$dir" ]; then
		dir=$(kernel_debian_fetch "$version")
	fi
	echo "$dir"
}

kernel_debian_fetch()
{
	local version=$1 meta image headers release dir
	apt_update_if_old
	# Debian 12's own version is in no package's name.
	meta=linux-image-${version#6.1-}-amd64
	[ "$version" != 6.1 ] || meta=linux-image-amd64
	image=$(apt_dependency "$meta" 'linux-image-')
	[ -n "$image" ] || die "apt knows no $meta: are Debian 12's archives, security too, configured?"
	release=${image#linux-image-}
	headers=linux-headers-$release
	dir=$CACHE/kernel/debian-${version}_$release
	with_lock kernel-debian kernel_debian_locked "$dir" "$release" "$image" "$headers" \
		"$(apt_dependency "$headers" linux-headers-)" "$(apt_dependency "$headers" linux-kbuild-)"
	echo "$dir"
}

# apt_dependency PACKAGE PREFIX: the first dependency whose name begins so
apt_dependency()
{
	apt-cache depends "$1" 2>/dev/null | sed -n "s/^ *|\?Depends: \($2[^ ]*\)$/\1/p" | head -n 1
}

kernel_debian_locked()
{
	local dir=$1 release=$2 new=$1.new
	shift 2
	[ ! -e "$dir/release" ] || return 0
	rm -rf "$new"
	mkdir -p "$new/debs" "$new/modules"
	cd "$new/debs"
	with_progress "$CACHE/apt.log" "downloading Debian's kernel $release" \
		apt-get -o APT::Sandbox::User=root download "$@"
	with_progress "$CACHE/unpack.log" "unpacking Debian's kernel" kernel_debian_unpack "$new" "$release"
	cd "$new"
	rm -rf "$new/debs" "$new/image"
	# The one absolute path in the headers is where they would be installed.
	sed -i "s|/usr/src|$dir/headers/usr/src|" "$new/headers/usr/src/linux-headers-$release/Makefile"
	ln -s "headers/usr/src/linux-headers-$release" "$new/build"
	echo "$release" >"$new/release"
	cd "$CACHE"
	mv "$new" "$dir"
}

kernel_debian_unpack()
{
	local new=$1 release=$2 deb
	mkdir -p "$new/image"
	dpkg --fsys-tarfile "$new"/debs/linux-image-*.deb | tar -C "$new/image" -x --wildcards \
		./boot './lib/modules/*/kernel/arch' './lib/modules/*/kernel/crypto' \
		'./lib/modules/*/kernel/lib' './lib/modules/*/kernel/mm' './lib/modules/*/kernel/virt' \
		'./lib/modules/*/kernel/drivers/block' './lib/modules/*/kernel/drivers/crypto' \
		'./lib/modules/*/kernel/drivers/net/tun.ko*'
	for deb in "$new"/debs/linux-headers-*.deb "$new"/debs/linux-kbuild-*.deb; do
		dpkg -x "$deb" "$new/headers"
	done
	cp "$new/image/boot/vmlinuz-$release" "$new/bzImage"
	kernel_extract "$new/bzImage" "$new/vmlinux"
	kernel_debian_modules "$new/image" "$new/modules" "${DEBIAN_MODULES[@]}"
}

# What Debian's kernel needs to be a guest with virtio devices, booted from a CD image
GUEST_MODULES=(virtio_pci virtio_mmio virtio_blk virtio_net isofs)

# kernel_guest_modules KERNELDIR: prints where the kernel's guest drivers are; nothing if they are built in.
kernel_guest_modules()
{
	case $(basename "$1") in
	debian-*) ;;
	*) return 0 ;;
	esac
	[ -d "$1/guest-modules" ] || with_lock kernel-debian kernel_guest_modules_locked "$1"
	echo "$1/guest-modules"
}

kernel_guest_modules_locked()
{
	local dir=$1 new=$1/guest-modules.new
	[ ! -d "$dir/guest-modules" ] || return 0
	rm -rf "$new" "$new.image"
	mkdir -p "$new" "$new.image"
	(cd "$new.image" && with_progress "$CACHE/apt.log" "downloading Debian's kernel for its virtio drivers" \
		apt-get -o APT::Sandbox::User=root download "linux-image-$(cat "$dir/release")")
	dpkg --fsys-tarfile "$new.image"/*.deb | tar -C "$new.image" -x --wildcards \
		'./lib/modules/*/kernel/drivers/virtio' './lib/modules/*/kernel/drivers/block/virtio_blk.ko*' \
		'./lib/modules/*/kernel/drivers/net/virtio_net.ko*' './lib/modules/*/kernel/drivers/net/net_failover.ko*' \
		'./lib/modules/*/kernel/net/core' './lib/modules/*/kernel/fs/isofs' './lib/modules/*/kernel/drivers/cdrom'
	kernel_debian_modules "$new.image" "$new" "${GUEST_MODULES[@]}"
	rm -rf "$new.image"
	mv "$new" "$dir/guest-modules"
}

# kernel_debian_modules FROM TO NAME...: copy modules and what they depend on, uncompressed.
kernel_debian_modules()
{
	local from=$1 to=$2 name file
	shift 2
	for name; do
		[ ! -e "$to/$name.ko" ] || continue
		# A module's file may have "-" where its name has "_".
		file=$(find "$from" -name "${name//[-_]/[-_]}.ko*" -print -quit)
		[ -n "$file" ] || continue
		case $file in
		*.xz) xz -dc "$file" >"$to/$name.ko" ;;
		*) cp "$file" "$to/$name.ko" ;;
		esac
		# shellcheck disable=SC2046
		kernel_debian_modules "$from" "$to" \
			$(/sbin/modinfo -F depends "$to/$name.ko" | tr ',' ' ')
	done
}

# kernel_extract BZIMAGE VMLINUX: the compressed ELF file in a bzImage (Documentation/x86/boot.rst
# gives the header's fields).
kernel_extract()
{
	local setup payload length unpack
	setup=$(od -An -tu1 -j $((0x1f1)) -N 1 "$1")
	payload=$(od -An -tu4 -j $((0x248)) -N 4 "$1")
	length=$(od -An -tu4 -j $((0x24c)) -N 4 "$1")
	payload=$(((setup + 1) * 512 + payload))
	case $(od -An -tx1 -j "$payload" -N 4 "$1") in
	' fd 37 7a 58') unpack=(xz -dc --single-stream) ;;
	' 28 b5 2f fd') unpack=(zstd -dcq) ;;
	*) die "$1: compressed in a way that is not known here" ;;
	esac
	# The last four bytes are the length, not the compressor's.
	head -c $((payload + length - 4)) "$1" | tail -c $((length - 4)) | "${unpack[@]}" >"$2"
}

# kernel_get NAME: make sure of the kernel; prints its directory.
kernel_get()
{
	case $1 in
	small) kernel_build small "$TESTBED/kernel.config" ;;
	debug) kernel_build debug "$TESTBED/kernel.config" "$TESTBED/debug.config" ;;
	race) kernel_build race "$TESTBED/kernel.config" "$TESTBED/debug.config" "$TESTBED/race.config" ;;
	debian-6.1 | debian-6.1-rt | debian-6.12) kernel_debian "${1#debian-}" ;;
	*) die "no such kernel: $1 (small, debug, race, debian-6.1, debian-6.1-rt, debian-6.12)" ;;
	esac
}
