#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# The runner with small guests, on a device that speaks the KVM ABI.  TAP on
# the standard output.
#
# usage: guest.sh RUNNER DIRECTORY-OF-THE-GUESTS DEVICE

runner=$1 guest=$2/guest pvh=$2/pvh dev=$3
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
count=0
failed=0

result()
{
	count=$((count + 1))
	if [ "$1" = 0 ]; then
		echo "ok $count - $2"
	else
		failed=$((failed + 1))
		echo "not ok $count - $2"
		sed 's/^/# /' "$dir/out"
	fi
}

# expect STATUS TEXT NAME TEST OPTIONS...: the guest's test ends with STATUS, after TEXT
expect()
{
	want=$1 text=$2 name=$3 test=$4
	shift 4
	timeout 30 "$runner" run --dev "$dev" --mem 64 --append "$test" "$@" "$guest" \
		</dev/null >"$dir/out" 2>&1
	got=$?
	[ "$got" = "$want" ] || echo "status $got, expected $want" >>"$dir/out"
	[ "$got" = "$want" ] && { [ -z "$text" ] || grep -qF -- "$text" "$dir/out"; }
	result $? "$name"
}

expect 77 "" "power-off with the status written to the debug-exit port" status
expect 240 "" "reset by the reset register" reset-register
expect 240 "" "reset by the keyboard controller" reset-i8042
expect 241 "triple fault" "a triple fault, with registers" triple-fault
expect 242 "rip" "execution where there is no memory, with registers" execute-nowhere
expect 0 "" "absent ports and addresses read as ones" absent
expect 0 "0xcfc: 0xffffffff, no device" "--debug reports absent ports" absent --debug
expect 0 "" "the real-time clock" rtc
expect 0 "" "ACPI registers and timer" pm
expect 0 "" "ACPI tables" acpi
expect 0 "" "ACPI tables of 255 vCPUs" acpi --cpus 255
expect 0 "" "memory map" memory
expect 0 "" "memory map with memory above 4 GiB" memory --mem 4G
expect 0 "one instruction" "string output" string-io
expect 0 "" "serial interrupts" serial-interrupts
expect 244 "physical addresses" "more memory than the guest can address" absent --mem 100T

timeout 30 "$runner" run --dev "$dev" --mem 64 --append pvh "$pvh" </dev/null >"$dir/out" 2>&1
got=$?
echo "status $got" >>"$dir/out"
[ $got = 0 ]
result $? "the PVH entry"

printf 'some input\001x.' | timeout 30 "$runner" run --dev "$dev" --mem 64 --append echo "$guest" \
	>"$dir/out" 2>&1 && grep -q "^some input.x[.]$" "$dir/out"
result $? "input from a pipe, Ctrl-A included"

yes "fill it up" | head -n 100 | tr '\n' ' ' >"$dir/in"
printf . >>"$dir/in"
timeout 30 "$runner" run --dev "$dev" --mem 64 --append status --no-tty "$guest" \
	<"$dir/in" >"$dir/out" 2>&1
[ $? = 77 ]
result $? "--no-tty leaves the standard input alone"

# A signal ends it: in the guest, and while nobody reads the output.  (A shell without job
# control starts what is in the background with SIGINT and SIGQUIT ignored.)
for sig in TERM HUP; do
	"$runner" run --dev "$dev" --mem 64 --append hang "$guest" </dev/null >"$dir/out" 2>&1 &
	pid=$!
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		grep -q hanging "$dir/out" && break
		sleep 1
	done
	kill -$sig $pid
	wait $pid
	got=$?
	[ "$got" -gt 128 ] && [ "$(kill -l $((got - 128)))" = $sig ]
	result $? "SIG$sig ends it"
done

mkfifo "$dir/pipe"
exec 3<>"$dir/pipe"
"$runner" run --dev "$dev" --mem 64 --append flood "$guest" </dev/null >"$dir/pipe" 2>"$dir/out" &
pid=$!
sleep 2
kill -TERM $pid
wait $pid
[ $? = 143 ]
result $? "SIGTERM ends it while the output is stuck"
exec 3>&-

echo "1..$count"
[ "$failed" = 0 ]
