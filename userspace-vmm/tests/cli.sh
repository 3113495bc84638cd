#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# What of the runner needs no device: usage and errors.  TAP on the standard
# output.
#
# usage: cli.sh RUNNER

runner=$1
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
unset MINIVIRT_DEV
count=0
failed=0

# expect STATUS TEXT NAME ARGUMENTS...: exits with STATUS, and says TEXT
expect()
{
	want=$1 text=$2 name=$3
	shift 3
	count=$((count + 1))
	out=$(timeout 20 "$runner" "$@" 2>&1 </dev/null)
	got=$?
	if [ "$got" = "$want" ] && printf '%s\n' "$out" | grep -qF -- "$text"; then
		echo "ok $count - $name"
	else
		failed=$((failed + 1))
		echo "not ok $count - $name"
		echo "# minivirt $*"
		echo "# status $got, expected $want with '$text'"
		printf '%s\n' "$out" | sed 's/^/# /'
	fi
}

# le BYTES VALUE: little-endian
le()
{
	n=$1 v=$(($2))
	while [ "$n" -gt 0 ]; do
		# shellcheck disable=SC2059
		printf "\\$(printf %03o $((v & 255)))"
		v=$((v >> 8)) n=$((n - 1))
	done
}

# poke FILE OFFSET BYTES VALUE
poke()
{
	le "$3" "$4" | dd of="$1" bs=1 seek=$(($2)) conv=notrunc 2>/dev/null
}

# A bzImage in name only: the setup header, and HLT at the 64-bit entry.
make_bzimage()
{
	head -c 8192 /dev/zero >"$1"
	poke "$1" 0x1f1 1 1		# setup_sects
	poke "$1" 0x1f4 4 448		# syssize: 7,168 bytes
	poke "$1" 0x1fe 2 0xaa55	# boot_flag
	poke "$1" 0x200 2 0x6aeb	# jump
	poke "$1" 0x202 4 0x53726448	# "HdrS"
	poke "$1" 0x206 2 0x020f	# version
	poke "$1" 0x211 1 1		# loadflags
	poke "$1" 0x22c 4 0x7fffffff	# initrd_addr_max
	poke "$1" 0x236 2 1		# xloadflags
	poke "$1" 0x238 4 255		# cmdline_size
	poke "$1" 0x258 8 0x1000000	# pref_address
	poke "$1" 0x260 4 0x1000000	# init_size
	poke "$1" $((1024 + 0x200)) 1 0xf4
}

# make_elf FILE ENTRY PADDR FILESZ MEMSZ
make_elf()
{
	printf '\177ELF\002\001\001' >"$1"
	truncate -s 4096 "$1"
	poke "$1" 16 2 2		# ET_EXEC
	poke "$1" 18 2 62		# EM_X86_64
	poke "$1" 24 8 "$2"		# e_entry
	poke "$1" 32 8 64		# e_phoff
	poke "$1" 54 2 56		# e_phentsize
	poke "$1" 56 2 1		# e_phnum
	poke "$1" 64 4 1		# PT_LOAD
	poke "$1" 88 8 "$3"		# p_paddr
	poke "$1" 96 8 "$4"		# p_filesz
	poke "$1" 104 8 "$5"		# p_memsz
}

nodev=$dir/no-such-device
# shellcheck disable=SC2086 # the last argument is several
run() { expect "$1" "$2" "$3" run --dev "$nodev" $4; }

expect 0 "usage: minivirt COMMAND" "--help" --help
expect 0 "usage: minivirt run" "run --help" run --help
expect 0 "usage: minivirt info" "info --help" info --help
expect 0 "usage: minivirt run" "help run" help run
expect 0 "minivirt " "version" version
expect 0 "minivirt " "--version" --version
expect 244 "usage: minivirt COMMAND" "no command"
expect 244 "no command 'fly'" "unknown command" fly
expect 244 "no command 'fly'" "help of an unknown command" help fly
expect 244 "try minivirt run --help" "run, unknown option" run --fly
expect 244 "try minivirt info --help" "info, unknown option" info --fly
expect 244 "one argument too many" "info, an argument" info fly
expect 244 "no kernel given" "run, no kernel" run
expect 244 "one argument too many" "run, two kernels" run a b

for cpus in 0 256 -1 x '' 1x; do
	expect 244 "is not a number from 1 to 255" "--cpus '$cpus'" run --cpus "$cpus" k
done
for mem in 0 -1 x '' 1Q 1MB 99999999999T; do
	expect 244 "is no size" "--mem '$mem'" run --mem "$mem" k
done
expect 244 "not a multiple of 4K" "--mem 1K" run --mem 1K k

head -c 100000 /dev/urandom >"$dir/random"
: >"$dir/empty"
printf 'MZ' >"$dir/tiny"
run 243 "No such file" "a missing kernel" "$dir/missing"
run 243 "is not a regular file" "a kernel that is a directory" "$dir"
run 243 "is not a regular file" "a kernel that is a device" /dev/null
run 243 "is empty" "an empty kernel" "$dir/empty"
run 243 "is not a kernel" "a kernel of two bytes" "$dir/tiny"
run 243 "is not a kernel" "a kernel of random bytes" "$dir/random"
run 243 "is not a kernel" "a kernel that is a text" "$0"

make_bzimage "$dir/bz"
run 243 "the module is not loaded" "a good bzImage, no device" "$dir/bz"
run 243 "the module is not loaded" "the kernel by --kernel" "--kernel $dir/bz"
run 243 "the module is not loaded" "memory above 4 GiB" "--mem 6G $dir/bz"
run 244 "too little for this kernel and initrd: it takes 32" "bzImage, too little memory" \
	"--mem 31 $dir/bz"
run 243 "the module is not loaded" "bzImage, just enough memory" "--mem 32 $dir/bz"
run 243 "cannot open the initrd" "a missing initrd" "--initrd $dir/missing $dir/bz"
run 243 "is empty" "an empty initrd" "--initrd $dir/empty $dir/bz"
run 243 "the module is not loaded" "an initrd" "--mem 33 --initrd $dir/random $dir/bz"
run 244 "too little for this kernel and initrd: it takes 33" "initrd, too little memory" \
	"--mem 32 --initrd $dir/random $dir/bz"
run 243 "the module is not loaded" "longest command line" "--append $(printf %0255d 0) $dir/bz"
run 244 "takes at most 255" "too long a command line" "--append $(printf %0256d 0) $dir/bz"

for size in 495 512 600 2000 8000; do
	head -c $size "$dir/bz" >"$dir/cut"
	text="is cut short"
	[ $size -lt 620 ] && text="is not a kernel"
	run 243 "$text" "a bzImage cut to $size bytes" "$dir/cut"
done
cp "$dir/bz" "$dir/bad"
poke "$dir/bad" 0x1f4 4 0
run 243 "the module is not loaded" "a bzImage that does not tell its size" "$dir/bad"
head -c 1023 "$dir/bad" >"$dir/cut"
run 243 "is cut short" "the same, cut in its setup code" "$dir/cut"
cp "$dir/bz" "$dir/bad"
poke "$dir/bad" 0x206 2 0x020a
run 243 "has no 64-bit entry (boot protocol 2.10)" "bzImage of an old protocol" "$dir/bad"
cp "$dir/bz" "$dir/bad"
poke "$dir/bad" 0x236 2 0
run 243 "has no 64-bit entry" "32-bit bzImage" "$dir/bad"
cp "$dir/bz" "$dir/bad"
poke "$dir/bad" 0x258 8 0
run 243 "no place for it" "bzImage for address 0" "$dir/bad"
poke "$dir/bad" 0x258 8 -4096
run 243 "no place for it" "bzImage for an address that wraps" "$dir/bad"
cp "$dir/bz" "$dir/bad"
poke "$dir/bad" 0x22c 4 0x1000
run 243 "is too large for this kernel" "initrd above initrd_addr_max" \
	"--initrd $dir/random $dir/bad"

make_elf "$dir/elf" 0x1000000 0x1000000 4096 8192
run 243 "the module is not loaded" "a good ELF kernel, no device" "$dir/elf"
run 244 "too little for this kernel" "ELF, too little memory" "--mem 16 $dir/elf"
make_elf "$dir/elf" 0x1000000 0x1000000 4097 8192
run 243 "an ELF segment is cut short" "ELF, segment behind the end" "$dir/elf"
make_elf "$dir/elf" 0x1000000 0x1000000 4096 1024
run 243 "impossible size" "ELF, more in the file than in memory" "$dir/elf"
make_elf "$dir/elf" 0x1000000 0x1000000 4096 0
run 243 "impossible size" "ELF, more in the file than in no memory" "$dir/elf"
make_elf "$dir/elf" 0x1000000 -4096 4096 8192
run 243 "impossible size" "ELF, address that wraps" "$dir/elf"
make_elf "$dir/elf" 0x1000000 0x1000000 4096 -1
run 243 "impossible size" "ELF, size that wraps" "$dir/elf"
make_elf "$dir/elf" 0x1000000 0x8000 4096 4096
run 243 "no place for it" "ELF in conventional memory" "$dir/elf"
make_elf "$dir/elf" 0x2000000 0x1000000 4096 4096
run 243 "no place for it" "ELF, entry outside" "$dir/elf"
make_elf "$dir/elf" 0x1000000 0x1000000 4096 8192
poke "$dir/elf" 56 2 1000
run 243 "program headers are cut short" "ELF, headers behind the end" "$dir/elf"
poke "$dir/elf" 56 2 0
run 243 "nothing to load" "ELF without segments" "$dir/elf"
poke "$dir/elf" 18 2 3
run 243 "not for x86-64" "ELF for i386" "$dir/elf"
head -c 32 "$dir/elf" >"$dir/cut"
run 243 "not for x86-64" "ELF cut in its header" "$dir/cut"

expect 243 "the module is not loaded" "info, no device" info --dev "$nodev"
expect 243 "not a device that speaks the KVM ABI" "info, another device" info --dev /dev/null
expect 243 "not a device that speaks the KVM ABI" "run, another device" run --dev /dev/null "$dir/bz"
export MINIVIRT_DEV="$dir/from-environment"
expect 243 "from-environment does not exist" "MINIVIRT_DEV" info
expect 243 "no-such-device does not exist" "--dev before MINIVIRT_DEV" info --dev "$nodev"
unset MINIVIRT_DEV

echo "1..$count"
[ "$failed" = 0 ]
