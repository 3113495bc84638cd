// SPDX-License-Identifier: GPL-2.0-only
/*
 * A 32-bit process that runs a guest: for compat.c, which starts it with the name of one part.
 * Without a C library, as one of 32 bits is not everywhere. Exit status: 0, 1 with a line of
 * what was wrong, 4 to skip.
 */
#include <linux/kvm.h>
#include <linux/minivirt.h>

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;

#define NULL ((void *)0)
#define EINTR 4

enum {
	NR_EXIT = 1, NR_READ = 3, NR_WRITE = 4, NR_OPEN = 5, NR_GETPID = 20, NR_KILL = 37,
	NR_IOCTL = 54, NR_RT_SIGPROCMASK = 175, NR_MMAP2 = 192, NR_SET_THREAD_AREA = 243,
	NR_EVENTFD2 = 328,
};

static long syscall5(long nr, long a, long b, long c, long d, long e)
{
	long ret;

	asm volatile("int $0x80"
		     : "=a"(ret)
		     : "0"(nr), "b"(a), "c"(b), "d"(c), "S"(d), "D"(e)
		     : "memory");
	return ret;
}

/* mmap2() has six, one of them in EBP. */
static void *map(u32 size, long fd)
{
	long args[] = { 0, size, 3, fd < 0 ? 0x22 : 1, fd }; /* anonymous, or shared */
	long ret;

	asm volatile("push %%ebp\n\t"
		     "xor %%ebp, %%ebp\n\t"
		     "int $0x80\n\t"
		     "pop %%ebp"
		     : "=a"(ret)
		     : "0"(NR_MMAP2), "b"(args[0]), "c"(args[1]), "d"(args[2]), "S"(args[3]),
		       "D"(args[4])
		     : "memory");
	return (void *)ret;
}

static void put(const char *s)
{
	u32 len = 0;

	while (s[len])
		len++;
	syscall5(NR_WRITE, 1, (long)s, len, 0, 0);
}

static void put_number(u32 val)
{
	char buf[12], *p = buf + sizeof(buf) - 1;

	*p = 0;
	do {
		*--p = '0' + val % 10;
		val /= 10;
	} while (val);
	put(p);
}

static _Noreturn void finish(int status)
{
	for (;;)
		syscall5(NR_EXIT, status, 0, 0, 0, 0);
}

static _Noreturn void fail(u32 line, const char *what, long val)
{
	put("# compat32.c:");
	put_number(line);
	put(": ");
	put(what);
	put(val < 0 ? ": -" : ": ");
	put_number(val < 0 ? -val : val);
	put("\n");
	finish(1);
}

#define CHECK(cond, val)                                                                           \
	do {                                                                                       \
		if (!(cond))                                                                       \
			fail(__LINE__, #cond, (long)(val));                                        \
	} while (0)
#define IOCTL(fd, nr, arg)                                                                         \
	({                                                                                         \
		long __ret = ioctl(fd, nr, arg);                                                   \
		if (__ret < 0)                                                                     \
			fail(__LINE__, #nr, __ret);                                                \
		__ret;                                                                             \
	})
#define ioctl(fd, nr, arg) syscall5(NR_IOCTL, fd, nr, (long)(arg), 0, 0)

/* The compiler makes calls of these. */
void *memset(void *p, int c, u32 n)
{
	u8 *q = p;

	while (n--)
		*q++ = c;
	return p;
}

void *memcpy(void *p, const void *from, u32 n)
{
	u8 *q = p;
	const u8 *f = from;

	while (n--)
		*q++ = *f++;
	return p;
}

/* ---- the guest: real mode, at 0 ---- */

#define MEM_SIZE 0x10000u

static long dev, vm, vcpu;
static u8 *mem;
static struct kvm_run *run;

static void create_vm(void)
{
	vm = IOCTL(dev, KVM_CREATE_VM, 0);
}

static void create_vcpu(const u8 *code, u32 len, u32 slot_flags)
{
	struct kvm_userspace_memory_region region = {
		.flags = slot_flags, .memory_size = MEM_SIZE,
	};
	struct kvm_sregs sregs;
	struct kvm_regs regs = { .rflags = 2, .rsp = 0x800 };

	mem = map(MEM_SIZE, -1);
	region.userspace_addr = (u32)mem;
	memcpy(mem, code, len);
	IOCTL(vm, KVM_SET_USER_MEMORY_REGION, &region);
	vcpu = IOCTL(vm, KVM_CREATE_VCPU, 0);
	run = map(IOCTL(dev, KVM_GET_VCPU_MMAP_SIZE, 0), vcpu);
	IOCTL(vcpu, KVM_GET_SREGS, &sregs);
	sregs.cs.base = 0;
	sregs.cs.selector = 0;
	IOCTL(vcpu, KVM_SET_SREGS, &sregs);
	IOCTL(vcpu, KVM_SET_REGS, &regs);
}

static void run_to(u32 reason, u32 line)
{
	long r = ioctl(vcpu, KVM_RUN, 0);

	if (r || run->exit_reason != reason)
		fail(line, "exit", r ? r : (long)run->exit_reason);
}

#define RUN_TO(reason) run_to(reason, __LINE__)

static const u8 talk[] = {
	0xb0, 0x5a,			/* mov $0x5a, %al */
	0xe6, 0x10,			/* out %al, $0x10 */
	0xe4, 0x11,			/* in $0x11, %al */
	0xbb, 0x00, 0xf0,		/* mov $0xf000, %bx */
	0x8e, 0xdb,			/* mov %bx, %ds */
	0x88, 0x07,			/* mov %al, (%bx): to 0xff000 */
	0xe6, 0x20,			/* out %al, $0x20 */
	0xf4,				/* hlt */
};

static void test_run(void)
{
	struct kvm_ioeventfd io = { .addr = 0x20, .len = 1, .flags = KVM_IOEVENTFD_FLAG_PIO };
	u64 count = 0;

	create_vm();
	create_vcpu(talk, sizeof(talk), 0);
	io.fd = syscall5(NR_EVENTFD2, 0, 04000, 0, 0, 0);
	CHECK(io.fd >= 0, io.fd);
	IOCTL(vm, KVM_IOEVENTFD, &io);
	RUN_TO(KVM_EXIT_IO);
	CHECK(run->io.port == 0x10, run->io.port);
	CHECK(((u8 *)run)[run->io.data_offset] == 0x5a, 0);
	RUN_TO(KVM_EXIT_IO);
	CHECK(run->io.direction == KVM_EXIT_IO_IN, run->io.direction);
	((u8 *)run)[run->io.data_offset] = 0x77;
	RUN_TO(KVM_EXIT_MMIO);
	CHECK(run->mmio.phys_addr == 0xff000, run->mmio.phys_addr);
	CHECK(run->mmio.data[0] == 0x77, run->mmio.data[0]);
	CHECK(run->mmio.is_write && run->mmio.len == 1, run->mmio.len);
	RUN_TO(KVM_EXIT_HLT);
	CHECK(syscall5(NR_READ, io.fd, (long)&count, 8, 0, 0) == 8, count);
	CHECK(count == 1, count);
}

static const u8 store[] = {
	0xc6, 0x06, 0x00, 0x30, 0x01,	/* movb $1, 0x3000 */
	0xc6, 0x06, 0x00, 0x50, 0x01,	/* movb $1, 0x5000 */
	0xf4,				/* hlt */
	0xeb, 0xf3,			/* jmp to the start */
};

#define STORED (1 << 3 | 1 << 5)
#define GARBAGE 0xdeadbeef00000000ull /* in what a 32-bit process has no pointer in */

static void test_dirty_log(void)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, .args = { 1 } };
	struct kvm_dirty_log log = { 0 };
	struct kvm_clear_dirty_log clear = { .num_pages = MEM_SIZE >> 12 };
	u32 bitmap[2];

	create_vm();
	create_vcpu(store, sizeof(store), KVM_MEM_LOG_DIRTY_PAGES);
	RUN_TO(KVM_EXIT_HLT);
	log.padding2 = GARBAGE | (u32)bitmap;
	IOCTL(vm, KVM_GET_DIRTY_LOG, &log);
	CHECK((bitmap[0] & ~1u) == STORED, bitmap[0]); /* the code's page may be there too */
	IOCTL(vm, KVM_GET_DIRTY_LOG, &log);
	CHECK(!bitmap[0], bitmap[0]);
	RUN_TO(KVM_EXIT_HLT);
	IOCTL(vm, KVM_ENABLE_CAP, &cap);
	IOCTL(vm, KVM_GET_DIRTY_LOG, &log);
	CHECK(bitmap[0] == STORED, bitmap[0]);
	clear.padding2 = GARBAGE | (u32)bitmap;
	bitmap[0] = 1 << 3;
	IOCTL(vm, KVM_CLEAR_DIRTY_LOG, &clear);
	IOCTL(vm, KVM_GET_DIRTY_LOG, &log);
	CHECK(bitmap[0] == 1 << 5, bitmap[0]);
	/* An address that it has not got. */
	log.padding2 = GARBAGE | 0xfffff000u;
	CHECK(ioctl(vm, KVM_GET_DIRTY_LOG, &log) == -14, 0); /* EFAULT */
}

static const u8 write_msr[] = {
	0x66, 0xb9, 0x74, 0x01, 0, 0,	/* mov $0x174, %ecx */
	0x0f, 0x30,			/* wrmsr */
	0x41,				/* inc %cx */
	0x0f, 0x30,			/* wrmsr */
	0xf4,				/* hlt */
};

static void test_msr_filter(void)
{
	struct kvm_enable_cap cap = {
		.cap = KVM_CAP_X86_USER_SPACE_MSR, .args = { KVM_MSR_EXIT_REASON_FILTER },
	};
	u8 bitmap[8] = { 0xfd }; /* all but 0x175 */
	struct kvm_msr_filter filter = {
		.ranges = { { .flags = KVM_MSR_FILTER_WRITE, .nmsrs = 8, .base = 0x174,
			      .bitmap = bitmap } },
	};

	if (ioctl(dev, KVM_CHECK_EXTENSION, KVM_CAP_X86_MSR_FILTER) <= 0)
		finish(4);
	create_vm();
	create_vcpu(write_msr, sizeof(write_msr), 0);
	IOCTL(vm, KVM_ENABLE_CAP, &cap);
	IOCTL(vm, KVM_X86_SET_MSR_FILTER, &filter);
	RUN_TO(KVM_EXIT_X86_WRMSR);
	CHECK(run->msr.index == 0x175, run->msr.index);
	RUN_TO(KVM_EXIT_HLT);
	filter.ranges[0].bitmap = (u8 *)0xfffff000;
	CHECK(ioctl(vm, KVM_X86_SET_MSR_FILTER, &filter) == -14, 0); /* EFAULT */
	filter.flags = 0x80;
	CHECK(ioctl(vm, KVM_X86_SET_MSR_FILTER, &filter) == -22, 0); /* EINVAL */
}

static const u8 spin[] = { 0xeb, 0xfe };

#define SIGUSR1_BIT (1 << (10 - 1))

static void test_signal_mask(void)
{
	struct {
		struct kvm_signal_mask head;
		u32 set[2];
	} mask = { .head.len = 8, .set = { ~SIGUSR1_BIT, ~0u } };
	u32 blocked[2] = { SIGUSR1_BIT };

	create_vm();
	create_vcpu(spin, sizeof(spin), 0);
	syscall5(NR_RT_SIGPROCMASK, 0, (long)blocked, 0, 8, 0);
	syscall5(NR_KILL, syscall5(NR_GETPID, 0, 0, 0, 0, 0), 10, 0, 0, 0);
	IOCTL(vcpu, KVM_SET_SIGNAL_MASK, &mask);
	CHECK(ioctl(vcpu, KVM_RUN, 0) == -EINTR, 0);
	mask.head.len = 4;
	CHECK(ioctl(vcpu, KVM_SET_SIGNAL_MASK, &mask) == -22, 0); /* EINVAL */
}

static union {
	struct kvm_msr_list list;
	struct kvm_cpuid2 cpuid;
	struct kvm_msrs msrs;
	struct kvm_xsave xsave;
	struct kvm_irqchip chip;
	struct kvm_irq_routing routing;
	u32 words[8192];
} big;

/* What is got can be set: the structures have the size and the layout that the module takes. */
#define GET_AND_SET(fd, type, name)                                                                \
	do {                                                                                       \
		static type __s;                                                                   \
		IOCTL(fd, KVM_GET_##name, &__s);                                                   \
		IOCTL(fd, KVM_SET_##name, &__s);                                                   \
	} while (0)

static void test_state(void)
{
	struct kvm_pit_config pit = { 0 };
	struct kvm_msi msi = { .address_lo = 0xfee00000, .data = 0x40 };
	struct kvm_irqfd irqfd = { .gsi = 4 };
	u32 i;

	create_vm();
	IOCTL(vm, KVM_CREATE_IRQCHIP, 0);
	IOCTL(vm, KVM_CREATE_PIT2, &pit);
	create_vcpu(talk, sizeof(talk), 0);
	big.cpuid.nent = 256;
	IOCTL(dev, KVM_GET_SUPPORTED_CPUID, &big);
	IOCTL(vcpu, KVM_SET_CPUID2, &big);
	GET_AND_SET(vcpu, struct kvm_regs, REGS);
	GET_AND_SET(vcpu, struct kvm_sregs, SREGS);
	GET_AND_SET(vcpu, struct kvm_sregs2, SREGS2);
	GET_AND_SET(vcpu, struct kvm_fpu, FPU);
	GET_AND_SET(vcpu, struct kvm_xsave, XSAVE);
	GET_AND_SET(vcpu, struct kvm_debugregs, DEBUGREGS);
	GET_AND_SET(vcpu, struct kvm_vcpu_events, VCPU_EVENTS);
	GET_AND_SET(vcpu, struct kvm_mp_state, MP_STATE);
	GET_AND_SET(vcpu, struct kvm_lapic_state, LAPIC);
	GET_AND_SET(vm, struct kvm_pit_state2, PIT2);
	GET_AND_SET(vm, struct kvm_clock_data, CLOCK);
	for (i = 0; i < 3; i++) {
		big.chip.chip_id = i;
		IOCTL(vm, KVM_GET_IRQCHIP, &big);
		IOCTL(vm, KVM_SET_IRQCHIP, &big);
	}
	big.msrs.nmsrs = 1;
	big.msrs.entries[0].index = 0x10;
	CHECK(IOCTL(vcpu, KVM_GET_MSRS, &big) == 1, 0);
	CHECK(IOCTL(vcpu, KVM_SET_MSRS, &big) == 1, 0);
	big.list.nmsrs = 8000;
	IOCTL(dev, KVM_GET_MSR_INDEX_LIST, &big);
	CHECK(big.list.nmsrs > 10, big.list.nmsrs);
	memset(&big, 0, sizeof(big));
	big.routing.nr = 1;
	big.routing.entries[0].gsi = 4;
	big.routing.entries[0].type = KVM_IRQ_ROUTING_MSI;
	big.routing.entries[0].u.msi.address_lo = 0xfee00000;
	IOCTL(vm, KVM_SET_GSI_ROUTING, &big);
	irqfd.fd = syscall5(NR_EVENTFD2, 0, 0, 0, 0, 0);
	IOCTL(vm, KVM_IRQFD, &irqfd);
	IOCTL(vm, KVM_SIGNAL_MSI, &msi);
}

static void test_device(void)
{
	struct minivirt_info info = { .size = sizeof(info) };

	CHECK(IOCTL(dev, KVM_GET_API_VERSION, 0) == 12, 0);
	if (ioctl(dev, KVM_CHECK_EXTENSION, MINIVIRT_CAP_INFO) <= 0)
		return;
	IOCTL(dev, MINIVIRT_GET_INFO, &info);
	CHECK(info.size == sizeof(info), info.size);
}

/* The thread's own segments, which a 32-bit process has and a 64-bit one mostly not. */
static void test_segments(void)
{
	static u32 tls = 0x12345678;
	struct {
		u32 entry, base, limit, flags;
	} desc = { ~0u, (u32)&tls, 0xfffff, 0x51 }; /* 32-bit, limit in pages, usable */
	u16 ds, es, fs, gs, sel;
	u32 i, val;

	CHECK(!syscall5(NR_SET_THREAD_AREA, (long)&desc, 0, 0, 0, 0), 0);
	sel = desc.entry << 3 | 3;
	asm volatile("mov %0, %%gs\n\tmov %0, %%fs" : : "r"((u32)sel));
	create_vm();
	create_vcpu(talk, sizeof(talk), 0);
	for (i = 0; i < 5; i++) {
		ioctl(vcpu, KVM_RUN, 0);
		asm volatile("mov %%ds, %0\n\tmov %%es, %1\n\tmov %%fs, %2\n\tmov %%gs, %3"
			     : "=r"(ds), "=r"(es), "=r"(fs), "=r"(gs));
		CHECK(ds == 0x2b && es == 0x2b, ds << 16 | es);
		CHECK(fs == sel && gs == sel, fs << 16 | gs);
		asm volatile("mov %%gs:0, %0" : "=r"(val));
		CHECK(val == tls, val);
		asm volatile("mov %%fs:0, %0" : "=r"(val));
		CHECK(val == tls, val);
	}
	CHECK(run->exit_reason == KVM_EXIT_HLT, run->exit_reason);
}

static int same(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}

/* argv: the program, the device, what to test */
__attribute__((used)) static void start(char **argv)
{
	static const struct {
		const char *name;
		void (*fn)(void);
	} tests[] = {
		{ "device", test_device }, { "run", test_run }, { "dirty_log", test_dirty_log },
		{ "msr_filter", test_msr_filter }, { "signal_mask", test_signal_mask },
		{ "state", test_state }, { "segments", test_segments },
	};

	dev = syscall5(NR_OPEN, (long)argv[1], 2, 0, 0, 0);
	CHECK(dev >= 0, dev);
	for (u32 i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		if (same(argv[2], tests[i].name)) {
			tests[i].fn();
			finish(0);
		}
	fail(__LINE__, "no such test", 0);
}

/* The stack has argc, then argv[]. */
__attribute__((naked)) void _start(void)
{
	asm("lea 4(%esp), %eax\n\t"
	    "and $-16, %esp\n\t"
	    "sub $12, %esp\n\t"
	    "push %eax\n\t"
	    "call start");
}
