#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# The module as a whole: load, unload, and what is left behind.  Needs root and
# the right to load minivirt.ko; with --dev /dev/kvm there is nothing to test.
# CYCLES=1000 loads and VMs take some minutes in an emulated machine.  MINIVIRT_KO is the
# module's file, if modprobe does not find it.

cd "$(dirname "$0")" || exit 1
[ "$1" = --dev ] && MINIVIRT_DEV=$2
dev=${MINIVIRT_DEV:-/dev/minivirt}
cycles=${CYCLES:-1000}
n=0
failed=0

result() # STATUS TEXT
{
	n=$((n + 1))
	if [ "$1" = 0 ]; then
		echo "ok $n $2"
	else
		echo "not ok $n $2"
		failed=1
	fi
}

load() # PARAMETER...
{
	if [ -n "$MINIVIRT_KO" ]; then
		insmod "$MINIVIRT_KO" "$@"
	else
		modprobe minivirt "$@"
	fi
}

loaded()
{
	grep -q '^minivirt ' /proc/modules
}

# Unreclaimable kernel memory in KiB: slab, stacks, page tables, vmalloc, per-CPU.
kernel_memory()
{
	sync
	echo 3 >/proc/sys/vm/drop_caches
	sleep 1
	awk '/^(SUnreclaim|KernelStack|PageTables|VmallocUsed|Percpu):/ { sum += $2 } END { print sum }' \
		/proc/meminfo
}

# In KiB, with the pages that are free on the lists of the CPUs: those can hold some MiB.
free_memory()
{
	awk '/^(MemFree|Cached|Buffers|SReclaimable):/ { sum += $2 }
		$1 == "count:" { sum += 4 * $2 } END { print sum }' /proc/meminfo /proc/zoneinfo
}

# keeps_memory COMMAND: whether it works, and 1,000 runs of it leave no more behind than a few do.
# The limits are 128 bytes a run of what the kernel accounts for, and half a page a run of all
# memory: the one figure moves by some KiB of its own, the other has the pages that nobody
# accounts for.
keeps_memory()
{
	"$1" 20 || return 1
	slab=$(kernel_memory) free=$(free_memory)
	"$1" "$cycles" || return 1
	slab=$(($(kernel_memory) - slab)) free=$((free - $(free_memory)))
	echo "# after $cycles: kernel memory $slab KiB, used memory $free KiB more"
	[ "$slab" -le $((cycles / 8 + 64)) ] && [ "$free" -le $((cycles * 2 + 1024)) ]
}

load_cycle()
{
	i=0
	while [ "$i" -lt "$1" ]; do
		load && rmmod minivirt || return 1
		i=$((i + 1))
	done
}

vm_cycle()
{
	./vmcycle --dev "$dev" "$1"
}

# The stock KVM module that fits this processor
stock_kvm()
{
	modprobe kvm-intel 2>/dev/null || modprobe kvm-amd 2>/dev/null
}

if [ "$dev" != /dev/minivirt ]; then
	echo "1..0 # SKIP for /dev/minivirt"
	exit 4
fi
if [ "$(id -u)" != 0 ] || ! { loaded || load 2>/dev/null; }; then
	echo "1..0 # SKIP minivirt cannot be loaded here"
	exit 4
fi

echo "TAP version 13"
echo "1..10"

[ -c "$dev" ]
result $? "the device is there when the module is loaded"

exec 3<>"$dev"
! rmmod minivirt 2>/dev/null && loaded
result $? "rmmod is refused while the device is open"
exec 3>&-

./vmcycle --dev "$dev" --hold 60 >/dev/null &
holder=$!
while ! grep -q '^minivirt [0-9]* [1-9]' /proc/modules; do
	kill -0 $holder 2>/dev/null || break
done
! rmmod minivirt 2>/dev/null && loaded
result $? "rmmod is refused while there is a VM, its device closed"
kill $holder
wait $holder 2>/dev/null

rmmod minivirt && ! loaded && [ ! -e "$dev" ]
result $? "rmmod works when nothing is open, and takes the device away"

# loses_nothing COMMAND TEXT: a test of leaks.  KASAN keeps freed memory for a while, and the kernel
# that has it looks for leaks itself, by kmemleak: there the command's success is all.
loses_nothing()
{
	if [ -e /sys/kernel/debug/kmemleak ]; then
		"$1" "$cycles"
		result $? "$2: on a debug kernel, not measured"
	else
		keeps_memory "$1"
		result $? "$2: no memory lost"
	fi
}

loses_nothing load_cycle "$cycles times loaded and unloaded"

load
loses_nothing vm_cycle "$cycles VMs made and ended"

rmmod minivirt
load kvm_node=1 && [ -c /dev/kvm ] && [ -c "$dev" ] &&
	./vmcycle --dev /dev/kvm 1 && ./vmcycle --dev "$dev" 1
result $? "kvm_node=1: /dev/kvm is minivirt, beside the device"

rmmod minivirt && [ ! -e /dev/kvm ] && [ ! -e "$dev" ]
result $? "rmmod takes both away"

if stock_kvm; then
	! load kvm_node=1 2>/dev/null && ! loaded && [ ! -e "$dev" ] && [ -c /dev/kvm ] &&
		dmesg | tail -n 3 | grep -q '/dev/kvm is taken\|another hypervisor'
	result $? "kvm_node=1 while a KVM module has /dev/kvm: refused, the log says why"
	rmmod kvm-intel 2>/dev/null || rmmod kvm-amd
else
	n=$((n + 1))
	echo "ok $n # SKIP no KVM module"
fi
load

if command -v minivirt >/dev/null; then
	info=$(minivirt info) && echo "$info" | grep -qi 'vmx\|svm'
	result $? "minivirt info tells the backend"
else
	n=$((n + 1))
	echo "ok $n # SKIP no minivirt command"
fi

exit $failed
