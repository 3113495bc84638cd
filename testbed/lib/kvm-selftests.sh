# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# The kernel's own KVM selftests, as a judge: what stock KVM passes in the machine, minivirt passes, and what does
# not pass there ends on minivirt in the same way.
#	kvm-selftests.stock		what stock KVM does there: "CPU TEST pass|skip|fail|timeout|hang [WHY]" lines
#	kvm-selftests.exceptions	"TEST: REASON" lines: what minivirt need not pass, and does not

STOCK=$TESTBED/kvm-selftests.stock
EXCEPTIONS=$TESTBED/kvm-selftests.exceptions

# kvm_selftests_build: builds them in the cache, statically; prints where.
kvm_selftests_build()
{
	need linux-source-6.1 gcc make libc6-dev linux-libc-dev
	local source dir
	source=$(kernel_source)
	dir=$CACHE/kvm-selftests/$({
		echo 2 # the recipe below
		basename "$source"
		dpkg-query -W -f '${Version}\n' gcc libc6-dev linux-libc-dev
	} | sha256sum | cut -c1-12)
	[ -d "$dir" ] || with_lock kvm-selftests kvm_selftests_build_locked "$source" "$dir"
	echo "$dir"
}

kvm_selftests_build_locked()
{
	local source=$1 dir=$2
	[ ! -d "$dir" ] || return 0
	rm -rf "$dir.new" "$dir.build"
	mkdir -p "$dir.new" "$dir.build"
	with_progress "$dir.log" "building the kernel's KVM selftests" kvm_selftests_make "$source" "$dir"
	rm -rf "$dir.build"
	mv "$dir.new" "$dir"
}

kvm_selftests_make()
{
	local f kvm=tools/testing/selftests/kvm
	(cd "$1" && cp -r --parents scripts/subarch.include tools/{arch/x86/include,build,include,lib/*.c} \
		tools/testing/selftests/{kvm,rseq,*.mk,*.h} "$2.build")
	# Made for machines that are not emulated, and without an option: counts, sizes, a limit of time
	sed -i 's/^\(#define NR_TASK_MIGRATIONS\) 100000$/\1 4000/' "$2.build/$kvm/rseq_test.c"
	sed -i 's/^\(#define FORK_NUM\) (1ULL << 9)$/\1 (1ULL << 3)/' "$2.build/$kvm/hardware_disable_test.c"
	sed -i 's/\<alarm(2)/alarm(120)/; s/(512U << 20)/(64U << 20)/; s/(128U << 20)/(8U << 20)/;
		s/(32U << 20)/(8U << 20)/' "$2.build/$kvm/memslot_perf_test.c"
	sed -i 's/^\(#define DIRTY_MEM_BITS\) 30 .*/\1 27/' "$2.build/$kvm/dirty_log_test.c"
	# Two use what this source version does not have; another may not compile in the next.
	make -k -j"$(nproc)" -C "$2.build/$kvm" OUTPUT="$2.build/out" LDFLAGS="-static -pthread" \
		EXTRA_CFLAGS="-DTEST_ASSERT_EQ=ASSERT_EQ -include /usr/include/linux/stddef.h" || :
	find "$2.build/out" -type f -perm -u+x ! -name '*.o' ! -name '*.so' | while read -r f; do
		strip -o "$2.new/$(basename "$f")" "$f"
	done
	# It takes arguments from a script, and its subject is a workaround of KVM's.
	rm -f "$2.new/nx_huge_pages_test"
	[ -e "$2.new/cpuid_test" ]
}

# kvm_selftests_run MODULE TEST...: "@result" lines, with what else was printed
kvm_selftests_run()
{
	local module=$1 dir=$2 t options=()
	shift 2
	[ "$cpu" = vmx ] || options+=(--smp 2)
	[[ $module == minivirt* ]] || options+=(--without-module)
	for t; do
		options+=(--add "$dir/$t:/usr/lib/kvm-selftests/$t")
	done
	# The firmware takes the last pages. The bitmap of idle pages, which access_tracking_perf_test reads, leaves
	# out those that do not fill a word of it.
	"$TESTBED/run" --cpu "$cpu" --kernel "$kernel" --without-selftests "${options[@]}" --mem 2048 --append mem=2040M \
		--timeout 10800 --add "$TESTBED/run-kvm-selftests:/bin/run-kvm-selftests" -- \
		"modprobe $module && run-kvm-selftests 300 $*"
}

# kvm_selftests_verdict TEST OUTCOME SECONDS WHY: for `judge`, on what minivirt did
kvm_selftests_verdict()
{
	local stock reason verdict text
	stock=$(awk -v c="$cpu" -v t="$1" '$1 == c && $2 == t { print $3 }' "$STOCK")
	reason=$(sed -n "s/^$1: //p" "$EXCEPTIONS")
	text="$2 in $3 s (stock KVM: ${stock:-unknown})${4:+: $4}"
	if [ -n "$reason" ]; then
		if [ "$2" = pass ]; then
			verdict=fail text+=": passes, so take it from the list of exceptions"
		else
			verdict=skip text+=": $reason"
		fi
	elif [ "$2" = pass ]; then
		verdict=pass
	elif [ "$2" = "$stock" ]; then
		verdict=skip
	else
		verdict=fail
	fi
	echo "$verdict $text"
}

# stage_kvm_selftests [--stock] TEST...
stage_kvm_selftests()
{
	local dir t status=0 refresh=''
	[ "${1:-}" != --stock ] || { refresh=1; shift; }
	dir=$(kvm_selftests_build)
	if [ $# -eq 0 ]; then
		for t in "$dir"/*; do
			t=${t##*/}
			# The machine does not come back from it.
			if grep "^$cpu $t hang" "$STOCK" >"$work/hang"; then
				result skip "kvm-selftests $(cat "$work/hang")"
			else
				set -- "$@" "$t"
			fi
		done
	fi
	for t; do
		[ -e "$dir/$t" ] || die "no such KVM selftest: $t"
	done
	if [ -n "$refresh" ]; then
		kvm_selftests_run "$kvm" "$dir" "$@" | tee "$work/stock" || :
		kvm_selftests_refresh
		return
	fi
	kvm_selftests_run "minivirt kvm_node=1" "$dir" "$@" |
		judge "kvm-selftests $cpu," kvm_selftests_verdict "$@" || status=${PIPESTATUS[0]}
	machine_ended "kvm-selftests $cpu," "$status"
}

# Puts the results of a run on stock KVM into the list.
kvm_selftests_refresh()
{
	local test outcome seconds why
	while read -r _ test outcome seconds why; do
		sed -i "/^$cpu $test /d" "$STOCK"
		echo "$cpu $test $outcome${why:+ $why}" >>"$STOCK"
		result "$([ "$outcome" = pass ] && echo pass || echo skip)" \
			"stock KVM $cpu, $test: $outcome in $seconds s${why:+: $why}"
	done < <(grep '^@result ' "$work/stock")
	LC_ALL=C sort -o "$STOCK" "$STOCK"
}
