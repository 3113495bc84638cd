# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# The emulators. Each machine has in its run directory
#	tty		a FIFO or pty: the first serial port, the command's
#	console		the second serial port: the kernel's
#	report		what the machine wrote to the debug port, for init's report
#	emulator.log	the emulator's own messages; Bochs writes them to the FIFO log

# bochs_memory KERNELDIR INITRD RUNDIR: lays out start.S's file of memory; sets the variables of its symbols.
bochs_memory()
{
	local kernel=$1 initrd=$2 run=$3 end
	local block=$((128 * 1024)) pad=32 base=$((16 << 20)) i
	kernel_flat=$kernel/vmlinux.flat
	# The last byte of the kernel, .bss included: "LOAD offset vaddr paddr filesz memsz"
	end=$(readelf -lW "$kernel/vmlinux" |
		awk '/LOAD/ { print $4, $6 }' | while read -r p m; do echo $((p + m)); done |
		sort -n | tail -n 1)
	initrd_at=$(((end + (2 << 20) - 1) & ~((2 << 20) - 1)))
	entry=$(readelf -hW "$kernel/vmlinux" | awk '/Entry point/ { print $NF }')
	if [ ! -e "$kernel_flat" ]; then
		objcopy -O binary "$kernel/vmlinux" "$kernel_flat.$$"
		mv "$kernel_flat.$$" "$kernel_flat"
	fi
	for ((i = 0; i < pad; i++)); do
		printf '%s' "pad$([ $i -eq $((pad - 1)) ] && echo L || echo X)"
		head -c $((block - 4)) /dev/zero
	done >"$run/memory"
	cat "$kernel_flat" >>"$run/memory"
	truncate -s $((pad * block + initrd_at - base)) "$run/memory"
	cat "$initrd" >>"$run/memory"
}

# bochs_rom RUNDIR MEM-MIB INITRD: assemble start.S and make its bytes sum up to zero.
bochs_rom()
{
	local run=$1 mem=$2 size sum
	size=$(stat -c %s "$3")
	[ $((initrd_at + size)) -lt $(((mem - 16) << 20)) ] || die "--mem $mem is too little"
	gcc -m32 -c -fno-dollars-in-identifiers -Wa,-I,"$run" -o "$run/rom.o" \
		-DKERNEL=0x1000000 -DENTRY="$entry" -DINITRD="$initrd_at" -DINITRD_SIZE="$size" \
		-DMEM="$((mem << 20))" "$TESTBED/start.S"
	objcopy -O binary -j .text "$run/rom.o" "$run/rom"
	sum=$(od -An -v -tu1 -w1 "$run/rom" | awk '{ s += $1 } END { print (256 - s % 256) % 256 }')
	truncate -s -1 "$run/rom"
	# shellcheck disable=SC2059
	printf "\\x$(printf %x "$sum")" >>"$run/rom"
}

# bochs_model_arguments: what the kernel has to be told of the CPU model
bochs_model_arguments()
{
	[ -n "$cpu_model" ] || return 0
	# Later models announce GHz in CPUID leaf 15h, whatever "ips" says. They have the compacted form of
	# XSAVE, with the upper halves of YMM registers in the wrong place, over the header.
	echo -n " tsc_early_khz=100000 clearcpuid=xsaves,xsavec"
	case $cpu_model in
	corei7_icelake_*)
		# No size in CPUID for the state of PKU, a wrong one with AVX-512; and Linux' memmove() needs
		# ERMS, which the model's IA32_MISC_ENABLE has off, where there is FSRM.
		echo -n ",pku,avx512f,fsrm"
		# The kernel keeps its thunks where kmemleak does not look.
		[ "$kmemleak" = off ] || echo -n " indirect_target_selection=off"
		;;
	esac
}

# machine_bochs RUNDIR KERNELDIR: the command that starts Bochs in $emulator
machine_bochs()
{
	local run=$1 kernel=$2 ttymode=file
	[ "$mem" -le 2048 ] || die "Bochs takes at most --mem 2048"
	[ -z "$interactive" ] || ttymode=term
	printf '%s' "$cmdline$(bochs_model_arguments)" >"$run/cmdline"
	bochs_memory "$kernel" "$run/initrd" "$run"
	bochs_rom "$run" "$mem" "$run/initrd"
	sed -e "s|@RUN@|$run|g; s|@MEM@|$mem|g; s|@SMP@|$smp|g; s|@TTYMODE@|$ttymode|g" \
		-e "s|@MODEL@|${cpu_model:-broadwell_ult}|g" "$TESTBED/bochsrc" >"$run/bochsrc"
	# Debian's Bochs stops at its debugger's prompt unless a file gives it "continue".
	echo c >"$run/debugger"
	if [ -n "$debugger" ]; then
		cp "$debugger" "$run/debugger"
		echo "magic_break: enabled=1" >>"$run/bochsrc"
	fi
	# It tells of every EPT violation: gigabytes in an hour.
	mkfifo "$run/log"
	grep -av --line-buffered 'VMEXIT: EPT violation' <"$run/log" >"$run/emulator.log" &
	log_pid=$!
	emulator=(bochs -q -f "$run/bochsrc" -rc "$run/debugger")
	emulator_stdout=$run/report
}

# qemu_tsc_khz: what the machine's kernel is told of its time-stamp counter
qemu_tsc_khz()
{
	local tool=$CACHE/image/tsc-khz
	if [ -n "$icount" ]; then
		echo 1000000
		return
	fi
	if [ ! "$tool" -nt "$TESTBED/tsc-khz.c" ]; then
		gcc -O2 -o "$tool.$$" "$TESTBED/tsc-khz.c"
		mv "$tool.$$" "$tool"
	fi
	"$tool"
}

# one_cpu: prints one of the CPUs that this process may use, any.
one_cpu()
{
	local cpus
	mapfile -t cpus < <(sed -n 's/^Cpus_allowed_list:[[:space:]]*//p' /proc/self/status | tr ',' '\n' |
		while IFS=- read -r first last; do seq "$first" "${last:-$first}"; done)
	echo "${cpus[RANDOM % ${#cpus[@]}]}"
}

machine_qemu()
{
	local run=$1 image=$2/vmlinux
	# QEMU enters an ELF kernel by PVH, where one with KASAN or KCSAN crashes.
	case $kernel in
	debug | race) image=$2/bzImage ;;
	esac
	# VMRUN and #VMEXIT change the pending interrupts of QEMU's processor in memory while its main loop may do
	# so, too, and then an interrupt of the machine is lost. On one CPU they cannot.
	emulator=(taskset -c "$(one_cpu)" qemu-system-x86_64 -nodefaults -no-user-config -display none -no-reboot
		-machine pc -accel "tcg,thread=$([ -z "$icount" ] && echo multi || echo single)"
		-cpu "${cpu_model:-max},+svm,+npt" -smp "$smp" -m "$mem"
		-kernel "$image" -initrd "$run/initrd" -append "$cmdline tsc_early_khz=$(qemu_tsc_khz)"
		-chardev "$([ -z "$interactive" ] && echo file || echo serial),id=tty,path=$run/tty"
		-serial chardev:tty
		-serial "file:$run/console"
		-chardev "file,id=report,path=$run/report"
		-device isa-debugcon,iobase=0xe9,chardev=report)
	# With sleep=off the clock jumps to the next timer whenever gdb stops the processor.
	[ -z "$icount" ] || emulator+=(-icount "shift=0,sleep=$([ -z "$gdb" ] && echo off || echo on)")
	[ -z "$monitor" ] || emulator+=(-monitor "unix:$monitor,server=on,wait=off")
	case $gdb in
	'') ;;
	/*) emulator+=(-gdb "unix:$gdb,server=on,wait=off" -S) ;;
	*) emulator+=(-gdb "tcp::$gdb" -S) ;;
	esac
	emulator_stdout=$run/emulator.log
}

# What the kernel prints when something is wrong with it.
KERNEL_TROUBLE='^(\[[ 0-9.]*\] *)?(-+\[ cut here|BUG:|\[ BUG:|WARNING:|Oops:|general protection fault|kernel BUG at|invalid opcode:|divide error:|stack segment:|double fault:|Kernel panic|INFO: (task|rcu|possible|trying to register|suspicious)|rcu: INFO:|watchdog: BUG|unreferenced object|kmemleak:|UBSAN:|ODEBUG:|INFO: lockdep|=+ *WARNING|.*(invalid opcode|Oops|general protection fault).*(SMP|PREEMPT|KASAN|PTI|NOPTI)|.*sleeping function called|.*unchecked MSR access|.*refcount_t:|.*list_(add|del) corruption|.*DEADLOCK)'

# machine_verdict: from what the run left in $run to $status, telling why.
machine_verdict()
{
	local line at
	touch "$run/report" "$run/console" "$run/emulator.log"
	# The line's byte offset and the line: "123:TESTBED-STATUS 0"
	line=$(grep -abo -m 1 '^TESTBED-STATUS [0-9]*' "$run/report" || :)
	if [ -n "$line" ]; then
		status=${line##* }
		at=${line%%:*}
		line=${line#*:}
	elif [ "$emulator_status" -eq 124 ] || [ "$emulator_status" -eq 137 ]; then
		say "timeout after $timeout s"
		status=124
	else
		say "the machine ended before the command did"
		status=98
	fi
	# If the command was not reached, the kernel itself may be to blame.
	if grep -aq 'testbed: the command starts' "$run/console"; then
		sed '1,/testbed: the command starts/d' "$run/console"
	else
		cat "$run/console"
	fi | grep -aE -A 200 -m 1 "$KERNEL_TROUBLE" >"$run/trouble" || :
	if [ -s "$run/trouble" ]; then
		say "the kernel's console, from the first report on:"
		cat "$run/trouble" >&2
		status=99
	fi
	if [ "$status" -ne 0 ]; then
		grep -a 'VMENTER\|VMFAIL\|VMABORT\|VMX abort' "$run/emulator.log" | tail -n 20 >&2 || :
	fi
	if [ "$status" -eq 98 ]; then
		tail -n 15 "$run/console" "$run/emulator.log" "$run/emulator.stderr" >&2
	fi
	[ -n "$out" ] || return 0
	mkdir -p "$out"
	if [ -n "${at:-}" ]; then
		tail -c +$((at + ${#line} + 2)) "$run/report" |
			tar -C "$out" --no-same-owner --no-overwrite-dir -xf - 2>/dev/null || :
	fi
	cp "$run/console" "$out/console.txt"
	[ "$status" -eq 0 ] || cp "$run/emulator.log" "$out/emulator.log"
}
