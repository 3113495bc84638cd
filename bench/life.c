// SPDX-License-Identifier: GPL-2.0-only
/* What it takes to have a VM, in instructions and in memory. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"

#define REPEAT 15
#define NR_VMS 48

static u64 vm_life(int nr_vcpus, unsigned int flags)
{
	u64 samples[REPEAT], start;

	for (int i = 0; i < REPEAT; i++) {
		start = ticks();
		vm_free(vm_new(flags, nr_vcpus));
		samples[i] = ticks() - start;
	}
	return median(samples, REPEAT);
}

static double vm(const struct row *row)
{
	return vm_life(1, 0);
}

static double vm_irqchip(const struct row *row)
{
	return vm_life(1, VM_IRQCHIP);
}

/* Destroyed it is with its VM, not when its descriptor is closed. */
static double vcpu(const struct row *row)
{
	int vm = IOCTL(dev, KVM_CREATE_VM, 0), fds[REPEAT];
	u64 samples[REPEAT], start;

	for (int i = 0; i < REPEAT; i++) {
		start = ticks();
		fds[i] = IOCTL(vm, KVM_CREATE_VCPU, i);
		samples[i] = ticks() - start;
	}
	for (int i = 0; i < REPEAT; i++)
		close(fds[i]);
	close(vm);
	return median(samples, REPEAT);
}

/* Free pages; also those that the processors have on lists of their own. */
static long free_pages(void)
{
	long pages = 0, n;
	char line[128];
	FILE *f;

	/* What the kernel can give back is not what a VM costs. */
	f = fopen("/proc/sys/vm/drop_caches", "w");
	if (f) {
		fputs("3", f);
		fclose(f);
	}
	f = fopen("/proc/zoneinfo", "r");
	if (!f)
		die("/proc/zoneinfo: %s", strerror(errno));
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, " pages free %ld", &n) == 1 ||
		    sscanf(line, " count: %ld", &n) == 1)
			pages += n;
	fclose(f);
	return pages;
}

static void create_vms(int nr)
{
	for (int i = 0; i < nr; i++) {
		int vm = IOCTL(dev, KVM_CREATE_VM, 0);
		int vcpu = IOCTL(vm, KVM_CREATE_VCPU, 0);

		IOCTL(vcpu, KVM_SET_CPUID2, supported_cpuid());
	}
}

/*
 * The kernel's memory alone: VMs with one vCPU and no slot, that has not run.
 * Of struct kvm_run no page is touched.
 */
static double memory(const struct row *row)
{
	long before;

	/* The first ones use up what other VMs have left in the allocators' caches. */
	create_vms(NR_VMS);
	before = free_pages();
	create_vms(NR_VMS);
	return (double)(before - free_pages()) * sysconf(_SC_PAGESIZE) / 1024 / NR_VMS;
}

#define LIFE(n, t, f, ...) \
	{ .name = n, .title = t, .group = "life", .measure = f, __VA_ARGS__ }

const struct row life_rows[] = {
	LIFE("vm", "VM + memory + vCPU + CPUID, create and destroy", vm),
	LIFE("vm-irqchip", "the same with the interrupt controllers and PIT", vm_irqchip,
	     .flags = VM_IRQCHIP),
	LIFE("vcpu", "vCPU, create alone", vcpu),
	LIFE("memory", "host memory of a VM with one vCPU", memory, .unit = "KiB"),
	{}
};
