# SPDX-License-Identifier: GPL-2.0
#
# minivirt. `make help` tells what there is.
# The module itself is built by Kbuild from the file of that name.

# In a recipe: the directory of the kernel to build for
find-kdir = kdir=$(or $(KDIR),$$(testbed/kdir))

PREFIX	?= /usr/local
WERROR	?=

all: modules programs selftests

help:
	@echo 'make               build the module, the runner and the selftests'
	@echo 'make modules       the module alone, for the kernel of KDIR= (V=1 W=1 C=1 as usual)'
	@echo 'make run           boot a Linux guest to a shell, here with VT-x or AMD-V, else in the testbed'
	@echo "make run CMD='...' run one command in the guest; also CPUS=, MEM= (MiB), KERNEL=, CPU=svm"
	@echo 'make test          build with -Werror, check, run the unit tests, the selftests, a guest'
	@echo 'make check         the static checks alone: sparse, checkpatch, W=1, shellcheck'
	@echo 'make unit          the unit tests alone'
	@echo 'make test-debug    the selftests on a kernel with KASAN, lockdep, kmemleak'
	@echo 'make test-kvm      the selftests on stock KVM, the check of the tests themselves'
	@echo '                   CPU=svm: on AMD-V; KERNEL=debian-6.1, debian-6.12; TESTS="lifecycle ..."'
	@echo "make test-kvm-selftests  the kernel's own KVM selftests; STOCK=1: on stock KVM, for the list"
	@echo 'make test-qemu     stock QEMU boots Linux guests; GUEST=debian-6.1; TESTS="pc:on:1:migrate ..."'
	@echo 'make test-all      all of it, on VT-x and AMD-V, on all kernels; hours; PARTS="qemu ..."'
	@echo 'make test-stress   races and a fuzzer of the ioctls for an hour each, on the debug kernel of both;'
	@echo '                   SECONDS=600 CPU=svm'
	@echo 'make bench         measure KVM and minivirt side by side in the testbed'
	@echo '                   BENCH_ARGS="--cpu svm --mitigations all cpuid pio-out", --help'
	@echo 'make bench-check   the same; fails if a figure got worse by more than 3 %'
	@echo 'make bench-real    measure on this machine, in cycles'
	@echo 'make install       the module, the runner, a udev rule for group kvm, below DESTDIR= and PREFIX='
	@echo 'make size          the lines of the module by folder'
	@echo 'make clean'
	@echo 'testbed/run --help one command in an emulated machine with VT-x or AMD-V'

modules modules_install:
	@$(find-kdir) && $(MAKE) -C "$$kdir" M=$(CURDIR) $(if $(WERROR),KCFLAGS=-Werror) $@

programs:
	$(MAKE) -C userspace-vmm WERROR=$(WERROR)

selftests:
	$(MAKE) -C selftests

install: modules programs
	$(find-kdir) && $(MAKE) -C "$$kdir" M=$(CURDIR) INSTALL_MOD_PATH=$(DESTDIR) modules_install
	$(MAKE) -C userspace-vmm DESTDIR=$(DESTDIR) PREFIX=$(PREFIX) install
	install -D -m 644 udev/60-minivirt.rules $(DESTDIR)$(PREFIX)/lib/udev/rules.d/60-minivirt.rules
	$(if $(DESTDIR),,getent group kvm >/dev/null || groupadd --system kvm)

# What is built for one kernel is of no use to another, so there is no kernel to ask here.
clean:
	$(MAKE) -C userspace-vmm clean
	$(MAKE) -C selftests clean
	$(MAKE) -C bench clean
	rm -rf .tmp_versions Module.symvers modules.order minivirt.ko minivirt.mod minivirt.mod.c
	find . -maxdepth 1 \( -name '*.o' -o -name '.*.cmd' \) -delete
	find kmod \( -name '*.o' -o -name '.*.cmd' \) -delete

size:
	@for dir in kmod/*/; do echo "$$(cat $$dir*.[chS] | wc -l) $$dir"; done | \
		awk '{ sum += $$1; printf "%6d %s\n", $$1, $$2 } END { printf "%6d in sum\n", sum }'

# The guest and the selftests
CPU	?= vmx
KERNEL	?=
CPUS	?=
MEM	?=
CMD	?=
TESTS	?=
testbed-options = --cpu $(CPU) $(if $(KERNEL),--kernel $(KERNEL))

run: export GUEST_COMMAND = $(CMD)
run:
	@testbed/guest $(testbed-options) $(if $(CPUS),--cpus $(CPUS)) $(if $(MEM),--mem $(MEM)) \
		$(if $(CMD),"$$GUEST_COMMAND")

test:
	@testbed/test

test-all:
	@testbed/test-all $(PARTS)

# On both unless CPU is given
test-stress: SECONDS ?= 3600
test-stress:
	@testbed/test-stress $(SECONDS) $(if $(filter file,$(origin CPU)),,$(CPU))

check unit:
	@testbed/test $@

test-kvm test-debug:
	@testbed/test $(testbed-options) $@ $(TESTS)

STOCK	?=
GUEST	?=
test-kvm-selftests test-qemu:
	@testbed/test $(testbed-options) $(@:test-%=%) $(if $(STOCK),--stock) $(if $(GUEST),--guest $(GUEST)) $(TESTS)

.PHONY: all help modules modules_install programs selftests install clean size
bench:
	@bench/run $(BENCH_ARGS)

bench-check:
	@bench/run --check $(BENCH_ARGS)

bench-real:
	@bench/run --real $(BENCH_ARGS)

.PHONY: run bench bench-check bench-real test test-all test-stress check unit test-kvm test-debug \
	test-kvm-selftests test-qemu
