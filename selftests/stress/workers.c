// SPDX-License-Identifier: GPL-2.0-only
/*
 * The workers: each does one thing, or any of some, over and over. Whether an ioctl
 * is refused does not matter: the kernel's own checks, KASAN and lockdep, judge.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include "stress.h"

/* ---- the vCPUs ---- */

void stress_reset_vcpu(struct stress *s, int fd, u64 id, u64 seed)
{
	struct kvm_sregs sregs = s->sregs;
	struct kvm_regs regs = s->regs;
	struct kvm_vcpu_events events = { .flags = KVM_VCPUEVENT_VALID_NMI_PENDING };
	struct kvm_mp_state mp = { KVM_MP_STATE_RUNNABLE };

	id %= MAX_VCPUS;
	regs.rsp = GPA_STACKS + (id + 1) * STACK_SIZE - 8;
	regs.rdi = id;
	regs.rsi = seed;
	sregs.tr.base = GPA_TSS + id * 128;
	ioctl(fd, KVM_SET_MP_STATE, &mp);
	ioctl(fd, KVM_SET_SREGS, &sregs);
	ioctl(fd, KVM_SET_REGS, &regs);
	ioctl(fd, KVM_SET_VCPU_EVENTS, &events);
}

static void report_guest(struct stress *s, struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	struct kvm_regs regs = vcpu_regs(vcpu);

	if (is_ucall(vcpu) && regs.rdi == UCALL_ASSERT)
		FAIL("guest: %s (line %llu): %#llx, %#llx", (char *)gpa_ptr(s->vm, regs.rsi),
		     regs.rdx, regs.rcx, regs.r8);
	if (is_ucall(vcpu))
		FAIL("guest: exception %llu error %#llx rip %#llx cr2 %#llx", regs.rsi, regs.rdx,
		     regs.rcx, regs.r8);
	FAIL("vCPU %d: exit %u (%s) at %#llx, %#x %#x %#llx", vcpu->id, run->exit_reason,
	     exit_name(run->exit_reason), regs.rip, run->internal.suberror, run->internal.ndata,
	     run->internal.data[0]);
}

/* Ends what guests that are not wild must not come to. */
static bool exit_is_expected(struct vcpu *vcpu)
{
	switch (vcpu->run->exit_reason) {
	case KVM_EXIT_IO:
		return !is_ucall(vcpu);
	case KVM_EXIT_MMIO:
	case KVM_EXIT_HLT:
	case KVM_EXIT_INTR:
	case KVM_EXIT_IRQ_WINDOW_OPEN:
	case KVM_EXIT_HYPERCALL:
	case KVM_EXIT_SET_TPR:
	case KVM_EXIT_IOAPIC_EOI:
	case KVM_EXIT_DIRTY_RING_FULL:
		return true;
	default:
		return false;
	}
}

void stress_run_vcpu(struct worker *w)
{
	struct stress *s = w->s;
	struct kvm_run *run = w->vcpu->run;
	u32 bad = 0;

	while (!READ_ONCE(stress_stop)) {
		if (ioctl(w->vcpu->fd, KVM_RUN, 0)) {
			if (errno == EINTR || errno == EAGAIN || errno == EFAULT || errno == ENOMEM)
				continue;
			if (!s->race->wild)
				FAIL("KVM_RUN: %s", strerror(errno));
			/* Its descriptor is closed, or its state one that is refused. */
			stress_reset_vcpu(s, w->vcpu->fd, w->vcpu->id, rnd(&w->rnd));
			usleep(100);
		} else if (!exit_is_expected(w->vcpu)) {
			if (!s->race->wild)
				report_guest(s, w->vcpu);
			stress_reset_vcpu(s, w->vcpu->fd, w->vcpu->id, rnd(&w->rnd));
		} else if (run->exit_reason == KVM_EXIT_MMIO && !run->mmio.is_write) {
			*(u64 *)run->mmio.data = rnd(&w->rnd);
		}
		if (s->race->wild && ++bad % 256 == 0)
			stress_reset_vcpu(s, w->vcpu->fd, w->vcpu->id, rnd(&w->rnd));
	}
}

static struct vcpu *any_vcpu(struct worker *w)
{
	return &w->s->vm->vcpus[rnd_below(&w->rnd, w->s->vm->nr_vcpus)];
}

/* ---- memory slots ---- */

static u64 any_pages(struct worker *w, u64 end)
{
	return rnd_below(&w->rnd, end / PAGE) * PAGE;
}

static int slot_change(struct worker *w)
{
	u64 *r = &w->rnd;
	u64 sizes[] = { 0, 0, PAGE, 16 * PAGE, 0x200000, 0x400000, any_pages(w, WINDOW_SIZE) };
	u64 size = sizes[rnd_below(r, 7)];
	u64 at = rnd_below(r, 2) ? any_pages(w, WINDOW_SIZE) : rnd_below(r, 8) * 0x200000;
	u64 from = rnd_below(r, 2) ? any_pages(w, POOL_SIZE) : at;
	u32 flags = rnd(r) & (KVM_MEM_LOG_DIRTY_PAGES | KVM_MEM_READONLY);
	u32 slot = 1 + rnd_below(r, 8);

	if (from + size > POOL_SIZE)
		size = POOL_SIZE - from;
	/* Anything, but no part of this program, and no slot whose log is as large as anything. */
	if (rnd_below(r, 64) == 0)
		return set_memory_region(w->s->vm->fd, rnd_value(r) | 16, rnd_value(r),
					 rnd_value(r), rnd_below(r, 2) ? w->s->pool :
					 (u8 *)(rnd_value(r) | 1ull << 47), rnd(r));
	/* The same place with other flags, and a place further on, are what changes a slot. */
	if (rnd_below(r, 2))
		at = (slot - 1) * 0x200000, from = at, size = 0x200000;
	return set_memory_region(w->s->vm->fd, slot, WINDOW + at, size, w->s->pool + from, flags);
}

static void slots(struct worker *w)
{
	while (!READ_ONCE(stress_stop))
		slot_change(w);
}

static void dirty_logs(struct worker *w)
{
	u64 bits[POOL_SIZE / PAGE / 64];
	int vm = w->s->vm->fd;

	while (!READ_ONCE(stress_stop)) {
		u32 slot = 1 + rnd_below(&w->rnd, 8);
		struct kvm_dirty_log log = { .slot = slot, .dirty_bitmap = bits };
		struct kvm_clear_dirty_log clear = {
			.slot = slot, .dirty_bitmap = bits,
			.first_page = rnd_below(&w->rnd, 16) * 64,
			.num_pages = rnd_below(&w->rnd, 16) * 64,
		};

		switch (rnd_below(&w->rnd, 16)) {
		case 0:
			ioctl(vm, KVM_ENABLE_CAP, &(struct kvm_enable_cap) {
				.cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
				.args = { rnd_below(&w->rnd, 4) } });
			break;
		case 1:
			ioctl(vm, KVM_SET_NR_MMU_PAGES, 64 + rnd_below(&w->rnd, 1000));
			break;
		case 2 ... 7:
			memset(bits, 0xff, sizeof(bits));
			ioctl(vm, KVM_CLEAR_DIRTY_LOG, &clear);
			break;
		default:
			ioctl(vm, KVM_GET_DIRTY_LOG, &log);
		}
	}
}

/* Gives entries of the rings back, those that are not to be given back, too. */
static void rings(struct worker *w)
{
	const u32 entries = RING_SIZE / sizeof(struct kvm_dirty_gfn);
	struct kvm_dirty_gfn *ring[NR_RUNNERS];
	u32 next[NR_RUNNERS] = { 0 };

	for (int i = 0; i < NR_RUNNERS; i++)
		ring[i] = mmap(NULL, RING_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
			       w->s->vm->vcpus[i].fd, KVM_DIRTY_LOG_PAGE_OFFSET * PAGE);
	while (!READ_ONCE(stress_stop)) {
		int i = rnd_below(&w->rnd, NR_RUNNERS);
		struct kvm_dirty_gfn *e;

		if (ring[i] == MAP_FAILED)
			break;
		e = &ring[i][next[i] % entries];
		if (rnd_below(&w->rnd, 64) == 0) {
			ioctl(w->s->vm->fd, KVM_RESET_DIRTY_RINGS, 0);
		} else if (w->s->race->wild && rnd_below(&w->rnd, 16) == 0) {
			rnd_mutate(&w->rnd, ring[i], RING_SIZE);
		} else if (READ_ONCE(e->flags) & KVM_DIRTY_GFN_F_DIRTY) {
			__atomic_store_n(&e->flags, KVM_DIRTY_GFN_F_RESET, __ATOMIC_RELEASE);
			next[i]++;
		}
	}
}

/* ---- interrupts and eventfds ---- */

static struct kvm_irq_routing_entry any_route(u64 *r)
{
	u32 gsi = rnd_below(r, 32);

	switch (rnd_below(r, 4)) {
	case 0:
		return pin_route(gsi, KVM_IRQCHIP_IOAPIC, rnd_below(r, 24));
	case 1:
		return pin_route(gsi, rnd_below(r, 3), rnd_below(r, 8));
	default:
		return msi_route(gsi, 0xfee00000 | rnd_below(r, 5) << 12 | rnd_below(r, 2) << 3,
				 0x30 + rnd_below(r, 0xc0) + (rnd_below(r, 8) ? 0 : ICR_LOWEST));
	}
}

static void routes(struct worker *w)
{
	struct kvm_irq_routing_entry e[32];
	u64 *r = &w->rnd;

	while (!READ_ONCE(stress_stop)) {
		u32 nr = rnd_below(r, 32);

		for (u32 i = 0; i < nr; i++)
			e[i] = any_route(r);
		if (w->s->race->wild && nr && rnd_below(r, 4) == 0)
			rnd_mutate(r, e, nr * sizeof(e[0]));
		set_routing(w->s->vm, e, nr);
	}
}

static int *any_eventfd(struct worker *w)
{
	return &w->s->eventfds[rnd_below(&w->rnd, NR_EVENTFDS)];
}

static void irqfds(struct worker *w)
{
	u64 *r = &w->rnd;

	while (!READ_ONCE(stress_stop)) {
		struct kvm_irqfd irqfd = {
			.fd = READ_ONCE(*any_eventfd(w)),
			.gsi = rnd_below(r, 32),
			.flags = rnd_below(r, 2) ? KVM_IRQFD_FLAG_DEASSIGN :
				 rnd_below(r, 2) ? KVM_IRQFD_FLAG_RESAMPLE : 0,
			.resamplefd = READ_ONCE(*any_eventfd(w)),
		};

		if (rnd_below(r, 64) == 0)
			rnd_mutate(r, &irqfd, sizeof(irqfd));
		ioctl(w->s->vm->fd, KVM_IRQFD, &irqfd);
	}
}

/* Signals eventfds, takes what is in them, closes them and makes others. */
static void eventfds(struct worker *w)
{
	u64 val = 1;

	while (!READ_ONCE(stress_stop)) {
		int *at = any_eventfd(w), fd = READ_ONCE(*at);

		switch (rnd_below(&w->rnd, 16)) {
		case 0:
			WRITE_ONCE(*at, eventfd(0, EFD_NONBLOCK));
			close(fd);
			break;
		case 1 ... 4:
			if (read(fd, &val, sizeof(val)) < 0)
				val = 1;
			break;
		default:
			if (write(fd, &val, sizeof(val)) < 0)
				val = 1;
		}
	}
}

static void ioeventfds(struct worker *w)
{
	static const u8 lengths[] = { 0, 1, 2, 4, 8 };
	u64 *r = &w->rnd;

	while (!READ_ONCE(stress_stop)) {
		bool pio = rnd_below(r, 2);
		struct kvm_ioeventfd ev = {
			.datamatch = rnd_below(r, 4),
			.addr = pio ? PORTS + rnd_below(r, 16) : GPA_MMIO + rnd_below(r, 16) * 8,
			.len = lengths[rnd_below(r, 5)],
			.fd = READ_ONCE(*any_eventfd(w)),
			.flags = (pio ? KVM_IOEVENTFD_FLAG_PIO : 0) |
				 (rnd_below(r, 4) ? 0 : KVM_IOEVENTFD_FLAG_DATAMATCH) |
				 (rnd_below(r, 2) ? KVM_IOEVENTFD_FLAG_DEASSIGN : 0),
		};
		struct kvm_coalesced_mmio_zone zone = {
			.addr = pio ? PORTS + rnd_below(r, 64) : GPA_MMIO + rnd_below(r, 64) * 8,
			.size = 1 + rnd_below(r, 64),
			.pio = pio,
		};

		if (rnd_below(r, 64) == 0)
			rnd_mutate(r, &ev, sizeof(ev));
		if (rnd_below(r, 4))
			ioctl(w->s->vm->fd, KVM_IOEVENTFD, &ev);
		else
			ioctl(w->s->vm->fd, rnd_below(r, 2) ? KVM_REGISTER_COALESCED_MMIO :
				KVM_UNREGISTER_COALESCED_MMIO, &zone);
	}
}

static void interrupts(struct worker *w)
{
	u64 *r = &w->rnd;
	int vm = w->s->vm->fd;

	while (!READ_ONCE(stress_stop)) {
		struct kvm_irq_routing_entry e = msi_route(0, 0xfee00000 | rnd_below(r, 5) << 12,
							   0x30 + rnd_below(r, 0xc0));
		struct kvm_msi msi = { .address_lo = e.u.msi.address_lo, .data = e.u.msi.data };
		struct kvm_irq_level line = { .irq = rnd_below(r, 32), .level = rnd_below(r, 2) };
		struct kvm_irqchip chip = { .chip_id = rnd_below(r, 3) };

		switch (rnd_below(r, 16)) {
		case 0:
			ioctl(vm, KVM_CREATE_PIT2, &(struct kvm_pit_config) {
				.flags = rnd_below(r, 2) });
			break;
		case 1:
			ioctl(vm, KVM_GET_IRQCHIP, &chip);
			break;
		case 2:
			if (!ioctl(vm, KVM_GET_IRQCHIP, &chip) && w->s->race->wild) {
				rnd_mutate(r, &chip.chip, sizeof(chip.chip));
				ioctl(vm, KVM_SET_IRQCHIP, &chip);
			}
			break;
		case 3:
			if (!w->s->race->wild || rnd_below(r, 2))
				ioctl(any_vcpu(w)->fd, KVM_NMI, 0);
			break;
		case 4 ... 9:
			ioctl(vm, KVM_SIGNAL_MSI, &msi);
			break;
		default:
			ioctl(vm, KVM_IRQ_LINE, &line);
		}
	}
}

/* ---- the host ---- */

/* What a thread that has nothing to do with the VM sees of a guest's MSRs: nothing. */
static void bystanders(struct worker *w)
{
	u32 aux, a, b, c, d;

	cpuid(0x80000001, 0, &a, &b, &c, &d);
	while (!READ_ONCE(stress_stop)) {
		if (!(d & 1 << 27)) /* no RDTSCP */
			break;
		asm volatile("rdtscp" : "=c"(aux) : : "eax", "edx");
		if ((aux & 0xffff0000) == HOST_NEVER)
			FAIL("the host's TSC_AUX is a guest's: %#x", aux);
		usleep(rnd_below(&w->rnd, 200));
	}
}

/* ---- creating and closing ---- */

/* More vCPUs, which run for a while, or not at all, and whose descriptors go. */
static void creators(struct worker *w)
{
	struct stress *s = w->s;
	u64 *r = &w->rnd;

	while (!READ_ONCE(stress_stop)) {
		u64 id = rnd_below(r, 4) ? NR_RUNNERS + rnd_below(r, 200) : rnd_value(r);
		int fd = ioctl(s->vm->fd, KVM_CREATE_VCPU, id), stats;
		struct kvm_run *run;
		char buf[256];

		if (fd < 0) {
			/* All that there may be are there; go on with the descriptors. */
			fd = fcntl(s->vm->vcpus[rnd_below(r, NR_RUNNERS)].fd, F_DUPFD, 0);
			usleep(1000);
		}
		run = mmap(NULL, s->vm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (rnd_below(r, 2))
			ioctl(fd, KVM_SET_CPUID2, s->vm->cpuid);
		if (rnd_below(r, 2))
			stress_reset_vcpu(s, fd, id, rnd(r));
		if (run != MAP_FAILED)
			run->immediate_exit = rnd_below(r, 2);
		stats = ioctl(rnd_below(r, 2) ? fd : s->vm->fd, KVM_GET_STATS_FD, 0);
		for (u64 n = rnd_below(r, 4); n && !READ_ONCE(stress_stop); n--)
			ioctl(fd, KVM_RUN, 0);
		if (rnd_below(r, 2))
			close(fd);
		if (pread(stats, buf, sizeof(buf), rnd_below(r, 1024)) < 0)
			usleep(10);
		close(stats);
		if (run != MAP_FAILED)
			munmap(run, s->vm->run_size);
		close(fd);
	}
}

/* Uses descriptors by their numbers as soon as they are there, and closes some. */
static void guessers(struct worker *w)
{
	u64 *r = &w->rnd;
	u8 buf[0x1000];
	int first = w->s->vm->dev;

	while (!READ_ONCE(stress_stop)) {
		int fd = first + rnd_below(r, 48);

		switch (rnd_below(r, 64)) {
		case 0:
			close(fd);
			break;
		case 1:
			close(dup(fd));
			break;
		case 2 ... 10:
			ioctl(fd, KVM_GET_REGS, buf);
			break;
		case 11 ... 20:
			ioctl(fd, KVM_SET_CPUID2, w->s->vm->cpuid);
			break;
		default:
			ioctl(fd, KVM_RUN, 0);
		}
	}
}

/* Children have the descriptors, but not the VM's memory: they may do nothing. */
static void forkers(struct worker *w)
{
	while (!READ_ONCE(stress_stop)) {
		struct kvm_regs regs;
		struct vcpu *vcpu = any_vcpu(w);
		pid_t pid = fork();

		if (!pid) {
			bool refused = ioctl(vcpu->fd, KVM_GET_REGS, &regs) && errno == EIO &&
				       ioctl(vcpu->fd, KVM_RUN, 0) && errno == EIO &&
				       ioctl(w->s->vm->fd, KVM_CREATE_VCPU, 300) && errno == EIO;

			_exit(!refused);
		}
		if (pid > 0) {
			int status;

			if (waitpid(pid, &status, 0) == pid && status && !w->s->race->wild)
				FAIL("a child may use its parent's VM: %#x", status);
		}
		usleep(rnd_below(&w->rnd, 2000));
	}
}

/* ---- what vCPUs share with userspace ---- */

static void scribblers(struct worker *w)
{
	u64 *r = &w->rnd;

	while (!READ_ONCE(stress_stop)) {
		struct vcpu *vcpu = any_vcpu(w);
		u8 *run = (u8 *)vcpu->run;

		switch (rnd_below(r, 8)) {
		case 0: /* the fields at the start, which KVM_RUN reads */
			rnd_mutate(r, run, 32);
			break;
		case 1: /* the exit's */
			rnd_mutate(r, run, 256);
			break;
		case 2: /* the registers' */
			vcpu->run->kvm_valid_regs = rnd(r) & 7;
			vcpu->run->kvm_dirty_regs = rnd(r) & 7;
			rnd_mutate(r, &vcpu->run->s, sizeof(struct kvm_sync_regs));
			break;
		case 3: /* with the data of port I/O, and of coalesced writes */
			rnd_mutate(r, run, w->s->vm->run_size);
			break;
		case 4:
			vcpu->run->immediate_exit = 0;
			vcpu->run->request_interrupt_window = 0;
			break;
		case 5:
			rnd_mutate(r, run + 2 * PAGE, 8); /* the ring's indices */
			break;
		default: /* what the exit at hand has, other than it was */
			vcpu->run->io.count = rnd_value(r);
			vcpu->run->io.data_offset = rnd_value(r);
			vcpu->run->io.size = rnd(r);
			vcpu->run->mmio.len = rnd_value(r);
		}
	}
}

static void signallers(struct worker *w)
{
	u64 *r = &w->rnd;

	while (!READ_ONCE(stress_stop)) {
		struct worker *to = &w->s->workers[rnd_below(r, w->s->nr_workers)];
		struct {
			struct kvm_signal_mask mask;
			u64 set;
		} __attribute__((packed)) mask = {
			{ .len = 8 }, rnd_below(r, 2) ? 0 : 1 << (SIGUSR2 - 1),
		};

		switch (rnd_below(r, 8)) {
		case 0:
			ioctl(any_vcpu(w)->fd, KVM_SET_SIGNAL_MASK, rnd_below(r, 2) ? &mask : NULL);
			break;
		case 1:
			any_vcpu(w)->run->immediate_exit = rnd_below(r, 2);
			break;
		case 2:
			any_vcpu(w)->run->immediate_exit = 0;
			break;
		default:
			if (to->vcpu)
				pthread_kill(to->thread, rnd_below(r, 2) ? SIGUSR1 : SIGUSR2);
			usleep(rnd_below(r, 200));
		}
	}
	for (int i = 0; i < NR_RUNNERS; i++)
		ioctl(w->s->vm->vcpus[i].fd, KVM_SET_SIGNAL_MASK, NULL);
}

/* ---- the memory below the slots ---- */

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

static void memories(struct worker *w)
{
	static const int advices[] = {
		MADV_DONTNEED, MADV_FREE, MADV_PAGEOUT, MADV_MERGEABLE, MADV_UNMERGEABLE,
		MADV_HUGEPAGE, MADV_NOHUGEPAGE, MADV_WILLNEED, MADV_COLLAPSE,
		MADV_DONTFORK, MADV_DOFORK,
	};
	static const int prots[] = {
		PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE,
	};
	u64 *r = &w->rnd;
	int memfd = syscall(SYS_memfd_create, "stress", 0);
	u8 *pool = w->s->pool;

	if (memfd < 0 || ftruncate(memfd, POOL_SIZE))
		FAIL("memfd: %s", strerror(errno));
	while (!READ_ONCE(stress_stop)) {
		u64 at = rnd_below(r, 4) ? any_pages(w, POOL_SIZE) : rnd_below(r, 8) * 0x200000;
		u64 size = rnd_below(r, 4) ? rnd_below(r, 64) * PAGE + PAGE : 0x200000;

		if (at + size > POOL_SIZE)
			size = POOL_SIZE - at;
		switch (rnd_below(r, 12)) {
		case 0:
			munmap(pool + at, size);
			break;
		case 1:
		case 2:
			mmap(pool + at, size, PROT_READ | PROT_WRITE,
			     MAP_FIXED | MAP_ANONYMOUS |
			     (rnd_below(r, 4) ? MAP_PRIVATE : MAP_SHARED), -1, 0);
			break;
		case 3:
			mmap(pool + at, size, PROT_READ | PROT_WRITE,
			     MAP_FIXED | (rnd_below(r, 2) ? MAP_PRIVATE : MAP_SHARED), memfd, at);
			break;
		case 4:
			if (fallocate(memfd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, size))
				usleep(10);
			break;
		case 5:
			mremap(pool + at, size, size, MREMAP_MAYMOVE | MREMAP_FIXED,
			       pool + any_pages(w, POOL_SIZE - size + PAGE));
			break;
		case 6:
		case 7:
			mprotect(pool + at, size, prots[rnd_below(r, 4)]);
			break;
		default:
			madvise(pool + at, size, advices[rnd_below(r, sizeof(advices) / 4)]);
		}
	}
	close(memfd);
}

/* ---- the races ---- */

const struct race stress_races[] = {
	{ .name = "slots", .workers = { slots, slots, dirty_logs, bystanders } },
	{ .name = "rings", .workers = { rings, slots, signallers }, .ring = true },
	{ .name = "rings-wild", .workers = { rings, rings, slots, dirty_logs }, .ring = true,
	  .wild = true },
	{ .name = "interrupts", .workers = { irqfds, eventfds, routes, interrupts } },
	{ .name = "eventfds",
	  .workers = { irqfds, irqfds, eventfds, ioeventfds, ioeventfds, routes } },
	{ .name = "vcpus", .workers = { creators, creators, guessers, interrupts },
	  .wild = true },
	{ .name = "state", .workers = { stress_state, stress_state, interrupts }, .wild = true },
	{ .name = "run-page", .workers = { scribblers, scribblers, signallers }, .wild = true },
	{ .name = "signals",
	  .workers = { signallers, signallers, interrupts, forkers, bystanders } },
	{ .name = "memory", .workers = { memories, memories, forkers, slots } },
	{ .name = "exit", .workers = { slots, irqfds, memories, interrupts, creators },
	  .wild = true, .killed = true },
	{ .name = "all",
	  .workers = { slots, dirty_logs, irqfds, eventfds, routes, ioeventfds, stress_state,
		       scribblers, memories, creators },
	  .wild = true },
};

const int stress_nr_races = sizeof(stress_races) / sizeof(stress_races[0]);
