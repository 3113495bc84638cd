// SPDX-License-Identifier: GPL-2.0-only
/* Runs a program of ioctls with objects of its own, which are gone afterwards. */
#include <fcntl.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/time.h>
#include <unistd.h>
#include "fuzz.h"

#define PAGE 0x1000ul
#define ARGS_SIZE 0x4000ul
#define CODE 0x8000
#define TABLES 0x10000
#define DESCRIPTORS 0x2000
#define RUN_PAGES 3
#define HLT 0xf4
/* Where nothing else of the process is, so that what it maps never comes there */
#define MEM_AT ((void *)0x200000000)

static u8 *mem, *buf, *args_end;
static int fds[NR_OBJECTS], events[NR_EVENTS];
static struct kvm_run *runs[NR_VCPUS];

static void on_signal(int sig)
{
	(void)sig;
}

static u8 *map(void *at, size_t size)
{
	void *p = mmap(at, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | (at ? MAP_FIXED : 0), -1, 0);

	if (p == MAP_FAILED)
		FAIL("mmap: %s", strerror(errno));
	return p;
}

void executor_init(void)
{
	struct sigaction action = { .sa_handler = on_signal };

	/* Structures end where nothing is mapped. */
	args_end = map(NULL, ARGS_SIZE + PAGE) + ARGS_SIZE;
	mprotect(args_end, PAGE, PROT_NONE);
	buf = map(NULL, BUF_SIZE);
	mem = map(MEM_AT, MEM_SIZE);
	sigaction(SIGALRM, &action, NULL);
}

static u64 value_of(const struct patch *p)
{
	switch (p->relative) {
	case REL_MEM:
		return p->val + (u64)mem;
	case REL_BUF:
		return p->val + (u64)buf;
	case REL_EVENT:
		return events[p->val % NR_EVENTS];
	default:
		return p->val;
	}
}

static void apply(const struct op *op, u8 *to, size_t size)
{
	for (u32 i = 0; i < op->nr_patches; i++) {
		const struct patch *p = &op->patches[i];
		u64 val = value_of(p);

		if (p->offset + p->width <= size)
			memcpy(to + p->offset, &val, p->width);
	}
}

/* A free place among objects of a kind, or the first. */
static int place(int first, int nr)
{
	for (int i = first; i < first + nr; i++)
		if (fds[i] < 0)
			return i;
	return first;
}

static void drop(int object)
{
	struct kvm_run **run = &runs[object - OBJ_VCPU];

	if (object >= OBJ_VCPU && *run) {
		munmap(*run, RUN_PAGES * PAGE);
		*run = NULL;
	}
	close(fds[object]);
	fds[object] = -1;
}

/* What an ioctl has given is an object from now on. */
static void take(u32 nr, int fd)
{
	int object = OBJ_VM;

	if (fd < 0)
		return;
	if (nr == KVM_CREATE_VCPU)
		object = place(OBJ_VCPU, NR_VCPUS);
	else if (nr == KVM_GET_STATS_FD)
		object = place(OBJ_STATS, NR_STATS);
	drop(object);
	fds[object] = fd;
	if (nr == KVM_CREATE_VCPU) {
		void *run = mmap(NULL, RUN_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

		runs[object - OBJ_VCPU] = run == MAP_FAILED ? NULL : run;
	}
}

static long call_int(const struct op *op, const struct call *c)
{
	long ret = ioctl(fds[op->object], c->nr, op->arg);

	if (c->nr == KVM_CREATE_VM || c->nr == KVM_CREATE_VCPU || c->nr == KVM_GET_STATS_FD)
		take(c->nr, ret);
	return ret;
}

static long call_ptr(const struct op *op, const struct call *c)
{
	u8 *arg = args_end - c->size;

	memset(arg, 0, c->size);
	if (op->get) {
		int fd = fds[op->object];

		if (c->get == KVM_GET_SUPPORTED_CPUID) {
			*(u32 *)arg = 100;
			fd = fds[OBJ_SYS];
		}
		apply(op, arg, c->get == KVM_GET_SUPPORTED_CPUID ? 0 : 4);
		ioctl(fd, c->get, arg);
	}
	apply(op, arg, c->size);
	/* Signals end KVM_RUN: that of the timer stays. */
	if (c->nr == KVM_SET_SIGNAL_MASK)
		arg[4 + (SIGALRM - 1) / 8] &= ~(1 << (SIGALRM - 1) % 8);
	return ioctl(fds[op->object], c->nr, arg);
}

/* Instructions that exit, or may; most of them are the same in all modes. */
static const struct {
	u8 size, bytes[8];
} pieces[] = {
	{ 2, { 0xe6, 0x80 } }, /* out */
	{ 2, { 0xe4, 0x80 } }, /* in */
	{ 1, { 0xee } },
	{ 1, { 0xec } },
	{ 1, { 0xef } },
	{ 2, { 0xf3, 0x6e } }, /* rep outsb */
	{ 2, { 0xf3, 0x6d } }, /* rep insd */
	{ 2, { 0x0f, 0xa2 } }, /* cpuid */
	{ 2, { 0x0f, 0x30 } }, /* wrmsr */
	{ 2, { 0x0f, 0x32 } }, /* rdmsr */
	{ 2, { 0x0f, 0x31 } }, /* rdtsc */
	{ 2, { 0x0f, 0x33 } }, /* rdpmc */
	{ 3, { 0x0f, 0x01, 0xc1 } }, /* vmcall */
	{ 3, { 0x0f, 0x01, 0xd9 } }, /* vmmcall */
	{ 3, { 0x0f, 0x01, 0xd1 } }, /* xsetbv */
	{ 3, { 0x0f, 0x01, 0xf9 } }, /* rdtscp */
	{ 3, { 0x0f, 0x01, 0xc8 } }, /* monitor */
	{ 3, { 0x0f, 0x01, 0xc9 } }, /* mwait */
	{ 3, { 0x0f, 0x01, 0xf0 } }, /* lmsw ax */
	{ 3, { 0x0f, 0x01, 0xe0 } }, /* smsw ax */
	{ 3, { 0x0f, 0x01, 0x16 } }, /* lgdt */
	{ 3, { 0x0f, 0x01, 0x3f } }, /* invlpg */
	{ 3, { 0x0f, 0x20, 0xc0 } }, /* mov eax, cr0 */
	{ 3, { 0x0f, 0x22, 0xc0 } }, /* mov cr0, eax */
	{ 3, { 0x0f, 0x22, 0xd9 } }, /* mov cr3, ecx */
	{ 3, { 0x0f, 0x22, 0xe0 } }, /* mov cr4, eax */
	{ 3, { 0x0f, 0x21, 0xf0 } }, /* mov eax, dr6 */
	{ 3, { 0x0f, 0x23, 0xf8 } }, /* mov dr7, eax */
	{ 2, { 0x0f, 0x06 } }, /* clts */
	{ 2, { 0x0f, 0x09 } }, /* wbinvd */
	{ 2, { 0xf3, 0x90 } }, /* pause */
	{ 2, { 0x0f, 0x0b } }, /* ud2 */
	{ 2, { 0xcd, 0x40 } }, /* int */
	{ 1, { 0xcc } },
	{ 1, { 0xcf } }, /* iret */
	{ 2, { 0xfb, 0xf4 } }, /* sti; hlt */
	{ 1, { 0xfa } }, /* cli */
	{ 1, { 0x9d } }, /* popf */
	{ 2, { 0x89, 0x07 } }, /* mov [rdi], eax */
	{ 2, { 0x8b, 0x06 } }, /* mov eax, [rsi] */
	{ 2, { 0x88, 0x0f } }, /* mov [rdi], cl */
	{ 2, { 0x0f, 0xb6 } },
	{ 2, { 0x01, 0x0f } }, /* add [rdi], ecx */
	{ 3, { 0xf0, 0xff, 0x07 } }, /* lock inc [rdi] */
	{ 2, { 0x87, 0x0f } }, /* xchg [rdi], ecx */
	{ 4, { 0xf0, 0x0f, 0xb1, 0x0f } }, /* lock cmpxchg [rdi], ecx */
	{ 1, { 0xa4 } }, /* movsb */
	{ 2, { 0xf3, 0xab } }, /* rep stosd */
	{ 3, { 0x0f, 0x10, 0x06 } }, /* movups xmm0, [rsi] */
	{ 3, { 0x0f, 0x11, 0x07 } }, /* movups [rdi], xmm0 */
	{ 2, { 0xff, 0xe7 } }, /* jmp rdi */
	{ 2, { 0x0f, 0x00 } }, /* sldt and its like, by what comes next */
	{ 1, { 0x67 } },
	{ 1, { 0x66 } },
	{ 1, { 0x48 } },
};

/* Code and registers that are made from the argument. */
static void write_guest(u64 *r, struct kvm_regs *regs, int mode)
{
	static const u64 addresses[] = {
		0xd0000000, 0xd0000ffe, 0xfee00080, 0xfee00300, 0xfec00010, 0x9000, 0xffffe,
		0x100000,
	};
	static const u64 counts[] = {
		1, 3, 0x10, 0x1b, 0x6e0, 0x830, 0x4b564d01, 0xc0000080, 0xc0000102,
	};
	u8 *code = mem + CODE;

	memset(code, HLT, PAGE);
	for (u64 n = 1 + rnd_below(r, 16); n; n--) {
		u32 i = rnd_below(r, sizeof(pieces) / sizeof(pieces[0]));

		memcpy(code, pieces[i].bytes, pieces[i].size);
		code += pieces[i].size;
	}
	/*
	 * Once more, in half of them, with other registers. An exit is in between: Bochs has
	 * no host interrupts while a guest spins with its own off.
	 */
	if (rnd_below(r, 2)) {
		*code++ = 0xe6; /* out */
		*code++ = 0x80;
		*code++ = 0xe9;
		*(u32 *)code = CODE - (code + 4 - mem);
	}
	*regs = (struct kvm_regs) {
		.rip = CODE, .rflags = 2 | (rnd_below(r, 2) << 9), .rsp = CODE,
		.rax = rnd_value(r), .rbx = rnd_below(r, 16),
		.rdx = rnd_below(r, 2) ? 0x80 : rnd(r),
		.rcx = counts[rnd_below(r, 9)], .rsi = addresses[rnd_below(r, 8)],
		.rdi = addresses[rnd_below(r, 8)],
	};
	if (mode == 0)
		regs->rsi &= 0xffff, regs->rdi &= 0xffff;
}

static long make_guest(const struct op *op)
{
	u64 r = rnd_seed(op->arg);
	int mode = op->arg & 3, fd = fds[op->object];
	struct kvm_mp_state runnable = { KVM_MP_STATE_RUNNABLE };
	struct kvm_sregs sregs;
	struct kvm_regs regs;

	if (ioctl(fd, KVM_GET_SREGS, &sregs))
		return -1;
	write_guest(&r, &regs, mode);
	switch (mode) {
	case 0:
		sregs.cs.base = 0;
		sregs.cs.selector = 0;
		break;
	case 1:
		set_segments(&sregs, flat_segment(SEL_CODE, 11, false));
		sregs.cr0 |= 1;
		break;
	default:
		write_page_tables((u64 *)(mem + TABLES), TABLES, PTE_P | PTE_W | PTE_U);
		set_long_mode(&sregs, TABLES);
	}
	write_descriptors((u64 *)(mem + DESCRIPTORS));
	sregs.gdt = (struct kvm_dtable) { .base = DESCRIPTORS, .limit = 0xff };
	/* Three quarters of guests handle no exception at all. */
	sregs.idt.base = 0x1000;
	sregs.idt.limit = mode || rnd_below(&r, 4) ? 0 : 0x3ff;
	ioctl(fd, KVM_SET_MP_STATE, &runnable);
	return ioctl(fd, KVM_SET_SREGS, &sregs) ?: ioctl(fd, KVM_SET_REGS, &regs);
}

/* Whatever the guest does, the timer ends it. */
static long run(const struct op *op)
{
	struct itimerval timer = { { 0, 5000 }, { 0, 5000 } }, off = { 0 };
	long ret = 0;

	setitimer(ITIMER_REAL, &timer, NULL);
	for (u64 n = 1 + 4 * (op->arg & 7); n && !ret; n--)
		ret = ioctl(fds[op->object], KVM_RUN, 0);
	setitimer(ITIMER_REAL, &off, NULL);
	return ret;
}

static long advise(u64 arg)
{
	static const int advices[] = { MADV_DONTNEED, MADV_FREE, 21 /* PAGEOUT */, MADV_HUGEPAGE };
	u8 *at = mem + (arg >> 4) % (MEM_SIZE / PAGE) * PAGE;
	size_t size = (arg >> 12) % 16 * PAGE + PAGE;

	if (at + size > mem + MEM_SIZE)
		size = PAGE;
	switch (arg & 7) {
	case 0:
		return munmap(at, size);
	case 1:
		return mprotect(at, size, PROT_READ);
	case 2:
		return mprotect(at, size, PROT_NONE);
	case 3:
		return mmap(at, size, PROT_READ | PROT_WRITE,
			    MAP_FIXED | MAP_SHARED | MAP_ANONYMOUS, -1, 0) == MAP_FAILED;
	default:
		return madvise(at, size, advices[arg & 3]);
	}
}

/* A page of a vCPU's descriptor, which the kernel reads. */
static long map_page(const struct op *op)
{
	u64 page = (op->arg & 4 ? KVM_DIRTY_LOG_PAGE_OFFSET : 0) + (op->arg >> 3 & 7);
	void *at = mmap(NULL, PAGE, PROT_READ | (op->arg & 1 ? PROT_WRITE : 0),
			op->arg & 2 ? MAP_PRIVATE : MAP_SHARED, fds[op->object], page * PAGE);
	long ret;

	if (at == MAP_FAILED)
		return -1;
	ret = write(events[0], at, 8);
	munmap(at, PAGE);
	return ret;
}

static long execute_op(const struct op *op)
{
	const struct call *c = &calls[op->call];
	u64 one = 1;

	switch (c->what) {
	case IOCTL_INT:
		return call_int(op, c);
	case IOCTL_PTR:
		return call_ptr(op, c);
	case RUN:
		return run(op);
	case GUEST:
		return make_guest(op);
	case RUN_PAGE:
		if (op->object < OBJ_VCPU || !runs[op->object - OBJ_VCPU])
			return -1;
		apply(op, (u8 *)runs[op->object - OBJ_VCPU], RUN_PAGES * PAGE);
		return 0;
	case MEMORY:
		apply(op, mem + CODE, MEM_SIZE - CODE);
		return 0;
	case ADVISE:
		return advise(op->arg);
	case CLOSE:
		drop(op->object);
		return 0;
	case MAP:
		return map_page(op);
	case SIGNAL:
		return write(events[op->arg % NR_EVENTS], &one, sizeof(one));
	case READ:
		return pread(fds[op->object], buf, op->arg % BUF_SIZE, op->arg >> 16);
	default:
		return -1;
	}
}

void execute(const struct program *p, bool verbose)
{
	bool advised = false;

	memset(mem, HLT, MEM_SIZE);
	memset(buf, 0xff, BUF_SIZE);
	for (int i = 0; i < NR_OBJECTS; i++)
		fds[i] = -1;
	for (int i = 0; i < NR_EVENTS; i++)
		events[i] = eventfd(0, EFD_NONBLOCK);
	fds[OBJ_SYS] = open(dev_path, O_RDWR | O_CLOEXEC);
	for (const struct op *op = p->ops; op < p->ops + p->nr; op++) {
		long ret;

		advised |= calls[op->call].what == ADVISE;
		/* The guest's memory may be gone: then no guest is written to it. */
		if (advised && (calls[op->call].what == GUEST || calls[op->call].what == MEMORY))
			continue;
		errno = 0;
		ret = execute_op(op);
		if (verbose)
			printf("# %s %s: %ld %s\n", object_names[op->object],
			       calls[op->call].name, ret, ret < 0 ? strerror(errno) : "");
	}
	for (int i = 0; i < NR_OBJECTS; i++)
		drop(i);
	for (int i = 0; i < NR_EVENTS; i++)
		close(events[i]);
	if (advised)
		map(MEM_AT, MEM_SIZE);
}
