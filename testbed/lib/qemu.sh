# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Debian's QEMU on minivirt, as a judge: firmware, boot loader and a Linux guest in each of the cases.

# MACHINE:IRQCHIP:CPUS[:migrate|:ring]. A case takes three times as long on Bochs.
QEMU_CASES_SVM=(pc:on:1 pc:split:4 pc:off:1 q35:on:4 q35:split:1 q35:off:1 microvm:on:1 microvm:split:4
	microvm:off:1 pc:on:1:migrate q35:split:4:migrate
	pc:on:4:ring)
QEMU_CASES_VMX=(pc:on:1 q35:split:4 q35:off:1 microvm:on:1 q35:on:1:migrate pc:on:1:ring)

# qemu_disk KERNELDIR DIR: makes DIR/bzImage, DIR/initrd, and DIR/disk, which boots them by GRUB.
qemu_disk()
{
	local kernel=$1 dir=$2 iso=$2/iso modules to
	mkdir -p "$iso/boot/grub" "$dir/root"
	cp "$TESTBED/guest-init" "$dir/root/init"
	cp "$TESTBED/qemu-guest" "$dir/root/command"
	modules=$(kernel_guest_modules "$kernel")
	if [ -n "$modules" ]; then
		to=$dir/root/lib/modules/$(cat "$kernel/release")
		mkdir -p "$to"
		cp "$modules"/*.ko "$to/"
		touch "$to"/modules.{order,builtin,builtin.modinfo}
		/sbin/depmod -b "$dir/root" "$(cat "$kernel/release")"
		rm -f "$to"/modules.*.bin
	fi
	image_pack "$dir/root" "$dir/own"
	cat "$(image_base)" "$dir/own" >"$iso/initrd"
	cp "$kernel/bzImage" "$iso/bzImage"
	(cd "$iso" && md5sum bzImage initrd >sums)
	cat >"$iso/boot/grub/grub.cfg" <<'EOF'
serial --unit=0 --speed=115200
terminal_output serial
echo "GRUB is here"
linux /bzImage console=ttyS0,115200 loglevel=4 panic=-1 reboot=t
initrd /initrd
boot
EOF
	grub-mkrescue -o "$dir/disk" --themes= --fonts= --locales= \
		--install-modules="linux normal iso9660 biosdisk serial echo" "$iso" >"$dir/grub.log" 2>&1 ||
		{ cat "$dir/grub.log"; return 1; }
	cp "$iso/bzImage" "$iso/initrd" "$dir/"
	rm -rf "$dir/root" "$dir/own" "$iso"
}

# stage_qemu [--stock] [--guest KERNEL] CASE...
stage_qemu()
{
	local module="minivirt kvm_node=1" name=qemu guest=$kernel cases=() options=() limit=300 f status=0
	while [[ ${1:-} == --* ]]; do
		case $1 in
		--stock) module=$kvm name="qemu on stock KVM" options+=(--without-module) ;;
		--guest) guest=$2; shift ;;
		esac
		shift
	done
	need qemu-system-x86 seabios grub-pc-bin grub-common xorriso mtools busybox-static
	cases=("$@")
	if [ ${#cases[@]} -eq 0 ]; then
		if [ "$cpu" = vmx ]; then cases=("${QEMU_CASES_VMX[@]}"); else cases=("${QEMU_CASES_SVM[@]}"); fi
	fi
	qemu_disk "$(kernel_get "$guest")" "$work/guest-disk"
	for f in kvmvapic.bin linuxboot_dma.bin pvh.bin; do
		options+=(--add "/usr/share/qemu/$f:/usr/share/qemu/$f")
	done
	for f in bios-256k.bin bios-microvm.bin; do
		options+=(--add "/usr/share/seabios/$f:/usr/share/seabios/$f")
	done
	name="$name $cpu $kernel, guest $guest,"
	"$TESTBED/run" --cpu "$cpu" --kernel "$kernel" --without-selftests "${options[@]}" --mem 1536 \
		--timeout $((2 * limit * ${#cases[@]})) --add "$work/guest-disk:/usr/lib/qemu-guest" \
		--add "$TESTBED/qemu-cases:/bin/qemu-cases" \
		--add /usr/bin/qemu-system-x86_64:/bin/qemu-system-x86_64 -- \
		"modprobe $module && qemu-cases $limit ${cases[*]}" |
		judge "$name" qemu_verdict "${cases[@]}" || status=${PIPESTATUS[0]}
	machine_ended "$name" "$status"
}

# qemu_verdict CASE OUTCOME SECONDS: for `judge`
qemu_verdict()
{
	echo "$2 $3 s"
}
