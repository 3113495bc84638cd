// SPDX-License-Identifier: GPL-2.0-only
/* Eventfds on the buses, and coalesced writes: what of a guest's I/O userspace does not see. */
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "test.h"

#define PORT 0x540
#define PAGE_SIZE 4096 /* for KVM_COALESCED_MMIO_MAX */
#define M GPA_MMIO

/* The guest's next access; set by the host at each GUEST_SYNC(). */
static struct {
	bool pio, read;
	u8 len;
	u64 addr, val;
} op;

static void pio(u16 port, u8 len, u64 val)
{
	if (len == 1)
		asm volatile("outb %%al, %%dx" : : "a"((u8)val), "d"(port));
	else if (len == 2)
		asm volatile("outw %%ax, %%dx" : : "a"((u16)val), "d"(port));
	else
		asm volatile("outl %%eax, %%dx" : : "a"((u32)val), "d"(port));
}

static void mmio(u64 addr, u8 len, u64 val)
{
	if (len == 1)
		*(volatile u8 *)addr = val;
	else if (len == 2)
		*(volatile u16 *)addr = val;
	else if (len == 4)
		*(volatile u32 *)addr = val;
	else
		*(volatile u64 *)addr = val;
}

static void obey(void)
{
	for (;;) {
		GUEST_SYNC(0);
		if (READ_ONCE(op.read) && READ_ONCE(op.pio))
			inb(READ_ONCE(op.addr));
		else if (READ_ONCE(op.read))
			(void)*(volatile u8 *)READ_ONCE(op.addr);
		else if (READ_ONCE(op.pio))
			pio(READ_ONCE(op.addr), READ_ONCE(op.len), READ_ONCE(op.val));
		else
			mmio(READ_ONCE(op.addr), READ_ONCE(op.len), READ_ONCE(op.val));
	}
}

FIXTURE(bus) {
	struct vm *vm;
	struct vcpu *vcpu;
	struct kvm_coalesced_mmio_ring *ring;
	int fd[2];
};

FIXTURE_SETUP(bus)
{
	self->vm = vm_create();
	self->vcpu = vcpu_add(self->vm, obey);
	self->ring = (void *)self->vcpu->run + KVM_COALESCED_MMIO_PAGE_OFFSET * 4096;
	for (int i = 0; i < 2; i++)
		self->fd[i] = eventfd(0, EFD_NONBLOCK);
	RUN_SYNC(self->vcpu);
}

FIXTURE_TEARDOWN(bus)
{
}

/* The guest makes an access.  Whether userspace sees it, and then sees it right. */
static bool seen(struct vcpu *vcpu, bool is_pio, bool read, u64 addr, u8 len, u64 val)
{
	struct kvm_run *run = vcpu->run;
	__typeof__(op) *o = guest_ptr(vcpu->vm, op);

	*o = (__typeof__(op)) { is_pio, read, len, addr, val };
	vcpu_run(vcpu);
	if (is_ucall(vcpu))
		return false;
	if (is_pio) {
		if (run->exit_reason != KVM_EXIT_IO || run->io.port != addr ||
		    run->io.size != len || run->io.direction == read ||
		    (!read && memcmp((u8 *)run + run->io.data_offset, &val, len)))
			FAIL("exit %s, port %#x", exit_name(run->exit_reason), run->io.port);
	} else if (run->exit_reason != KVM_EXIT_MMIO || run->mmio.phys_addr != addr ||
		   run->mmio.len != len || run->mmio.is_write == read ||
		   (!read && memcmp(run->mmio.data, &val, len))) {
		FAIL("exit %s, address %#llx", exit_name(run->exit_reason), run->mmio.phys_addr);
	}
	RUN_SYNC(vcpu);
	return true;
}

#define OUT(len, addr, val) seen(self->vcpu, true, false, addr, len, val)
#define IN(addr) seen(self->vcpu, true, true, addr, 1, 0)
#define STORE(len, addr, val) seen(self->vcpu, false, false, addr, len, val)
#define LOAD(addr) seen(self->vcpu, false, true, addr, 1, 0)

/* How often it was signalled. */
static u64 take(int fd)
{
	u64 n = 0;

	if (read(fd, &n, sizeof(n)) != sizeof(n) && errno != EAGAIN)
		FAIL("read of an eventfd: %s", strerror(errno));
	return n;
}

/* ---- eventfds ---- */

#define PIO KVM_IOEVENTFD_FLAG_PIO
#define MATCH KVM_IOEVENTFD_FLAG_DATAMATCH
#define DEASSIGN KVM_IOEVENTFD_FLAG_DEASSIGN

static int ioeventfd(struct vm *vm, int fd, u32 flags, u64 addr, u32 len, u64 match)
{
	struct kvm_ioeventfd e = {
		.fd = fd, .flags = flags, .addr = addr, .len = len, .datamatch = match,
	};

	return ioctl(vm->fd, KVM_IOEVENTFD, &e);
}

#define IOEVENTFD(...) ioeventfd(self->vm, __VA_ARGS__)

TEST_F(bus, capabilities)
{
	EXPECT_EQ(1, has_cap(self->vm->dev, KVM_CAP_IOEVENTFD));
	EXPECT_EQ(1, has_cap(self->vm->dev, KVM_CAP_IOEVENTFD_NO_LENGTH));
	EXPECT_EQ(1, has_cap(self->vm->dev, KVM_CAP_IOEVENTFD_ANY_LENGTH));
	EXPECT_EQ(KVM_COALESCED_MMIO_PAGE_OFFSET, has_cap(self->vm->dev, KVM_CAP_COALESCED_MMIO));
	EXPECT_EQ(1, has_cap(self->vm->dev, KVM_CAP_COALESCED_PIO));
	EXPECT_LE((KVM_COALESCED_MMIO_PAGE_OFFSET + 1) * 4096, self->vm->run_size);
}

TEST_F(bus, eventfd_on_a_port)
{
	ASSERT_EQ(0, IOEVENTFD(self->fd[0], PIO, PORT, 2, 0));
	EXPECT_FALSE(OUT(2, PORT, 0x1234));
	EXPECT_FALSE(OUT(2, PORT, 0));
	EXPECT_EQ(2, take(self->fd[0]));
	/* Another length, another port, another direction, another bus. */
	EXPECT_TRUE(OUT(1, PORT, 1));
	EXPECT_TRUE(OUT(4, PORT, 1));
	EXPECT_TRUE(OUT(2, PORT + 1, 1));
	EXPECT_TRUE(OUT(2, PORT - 1, 1));
	EXPECT_TRUE(IN(PORT));
	EXPECT_TRUE(STORE(2, M + PORT, 1));
	EXPECT_EQ(0, take(self->fd[0]));

	EXPECT_EQ(0, IOEVENTFD(self->fd[0], PIO | DEASSIGN, PORT, 2, 0));
	EXPECT_TRUE(OUT(2, PORT, 0x1234));
	EXPECT_EQ(0, take(self->fd[0]));
}

TEST_F(bus, eventfds_of_each_length_in_memory)
{
	for (int len = 1; len <= 8; len *= 2) {
		ASSERT_EQ(0, IOEVENTFD(self->fd[0], 0, M + 16, len, 0));
		for (int l = 1; l <= 8; l *= 2)
			EXPECT_EQ(l != len, STORE(l, M + 16, 0x7172737475767778 >> (64 - 8 * l)));
		EXPECT_TRUE(LOAD(M + 16));
		EXPECT_EQ(1, take(self->fd[0]));
		EXPECT_EQ(0, IOEVENTFD(self->fd[0], DEASSIGN, M + 16, len, 0));
		EXPECT_TRUE(STORE(len, M + 16, 0x42));
	}
}

/* As virtio's queues: one address, a value each. */
TEST_F(bus, eventfds_that_match_data)
{
	for (int flags = 0; flags <= PIO; flags += PIO) {
		u64 addr = flags ? PORT : M;

		ASSERT_EQ(0, IOEVENTFD(self->fd[0], MATCH | flags, addr, 2, 7));
		ASSERT_EQ(0, IOEVENTFD(self->fd[1], MATCH | flags, addr, 2, 0xff07));
		EXPECT_FALSE(seen(self->vcpu, flags, false, addr, 2, 7));
		EXPECT_FALSE(seen(self->vcpu, flags, false, addr, 2, 0xff07));
		EXPECT_FALSE(seen(self->vcpu, flags, false, addr, 2, 7));
		EXPECT_TRUE(seen(self->vcpu, flags, false, addr, 2, 8));
		EXPECT_TRUE(seen(self->vcpu, flags, false, addr, 1, 7));
		EXPECT_EQ(2, take(self->fd[0]));
		EXPECT_EQ(1, take(self->fd[1]));
		EXPECT_EQ(0, IOEVENTFD(self->fd[0], DEASSIGN | MATCH | flags, addr, 2, 7));
		EXPECT_TRUE(seen(self->vcpu, flags, false, addr, 2, 7));
		EXPECT_FALSE(seen(self->vcpu, flags, false, addr, 2, 0xff07));
		EXPECT_EQ(1, take(self->fd[1]));
	}
	/* All 64 bits count, so this can never match. */
	ASSERT_EQ(0, IOEVENTFD(self->fd[0], MATCH, M + 8, 1, 0x107));
	EXPECT_TRUE(STORE(1, M + 8, 7));
	ASSERT_EQ(0, IOEVENTFD(self->fd[0], MATCH, M + 8, 8, 0x123456789abcdef0));
	EXPECT_FALSE(STORE(8, M + 8, 0x123456789abcdef0));
	EXPECT_TRUE(STORE(8, M + 8, 0x023456789abcdef0));
}

TEST_F(bus, eventfds_of_any_length)
{
	ASSERT_EQ(0, IOEVENTFD(self->fd[0], PIO, PORT, 0, 0));
	ASSERT_EQ(0, IOEVENTFD(self->fd[1], 0, M + 4, 0, 0));
	for (int len = 1; len <= 8; len *= 2) {
		if (len < 8)
			EXPECT_FALSE(OUT(len, PORT, 0x5a));
		EXPECT_FALSE(STORE(len, M + 4, 0x5a));
		EXPECT_TRUE(STORE(len, M, 0x5a));
		EXPECT_TRUE(STORE(len, M + 5, 0x5a));
	}
	EXPECT_EQ(3, take(self->fd[0]));
	EXPECT_EQ(4, take(self->fd[1]));
	EXPECT_TRUE(IN(PORT));
	/* With VT-x KVM takes a load for a store. */
	if (is_minivirt()) {
		EXPECT_TRUE(LOAD(M + 4));
		EXPECT_EQ(0, take(self->fd[1]));
	}
	EXPECT_EQ(0, IOEVENTFD(self->fd[1], DEASSIGN, M + 4, 0, 0));
	EXPECT_TRUE(STORE(4, M + 4, 0x5a));
}

static void kick_in_many_ways(void)
{
	asm volatile("movl $1, (%0)\n\t"
		     "movb $2, 0x7f(%1)\n\t"
		     "movw %%ax, 0xd0000000\n\t"
		     "movq %%r15, (%0,%2,1)\n\t"
		     "movl %%eax, %%gs:(%0)\n\t"
		     "movabs %%al, 0xd0000000\n\t"
		     "movnti %%eax, (%0)\n\t"
		     : : "r"((u64)M), "r"((u64)M - 0x7f), "r"(0ull) : "memory");
	GUEST_DONE();
}

TEST_F(bus, eventfd_of_any_length_by_many_instructions)
{
	struct vcpu *vcpu = vcpu_add(self->vm, kick_in_many_ways);

	ASSERT_EQ(0, IOEVENTFD(self->fd[0], 0, M, 0, 0));
	RUN_DONE(vcpu);
	EXPECT_EQ(7, take(self->fd[0]));
}

static void step_over_a_kick(void)
{
	asm volatile("movl $1, (%0)\n\t"
		     ".globl behind_the_kick\n"
		     "behind_the_kick: nop"
		     : : "r"((u64)M) : "memory");
	GUEST_DONE();
}

extern const u8 behind_the_kick[];

TEST_F(bus, single_step_over_an_eventfd)
{
	struct kvm_guest_debug debug = {
		.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP,
	};
	struct vcpu *vcpu = vcpu_add(self->vm, step_over_a_kick);
	int steps;

	ASSERT_EQ(0, IOEVENTFD(self->fd[0], 0, M, 0, 0));
	IOCTL(vcpu->fd, KVM_SET_GUEST_DEBUG, &debug);
	for (steps = 0; !take(self->fd[0]); steps++) {
		RUN_TO(vcpu, KVM_EXIT_DEBUG);
		ASSERT_GT(30, steps);
	}
	EXPECT_EQ((u64)behind_the_kick, vcpu->run->debug.arch.pc);
}

TEST_F(bus, eventfds_that_collide)
{
	/* { length, flags } of what is there and of what comes */
	static const struct { u32 len[2], flags[2]; u64 match; int err; } cases[] = {
		{ { 2, 2 }, { 0, 0 }, 0, EEXIST },
		{ { 2, 4 }, { 0, 0 }, 0, 0 },
		{ { 0, 4 }, { 0, 0 }, 0, EEXIST },
		{ { 4, 0 }, { 0, 0 }, 0, EEXIST },
		{ { 4, 0 }, { MATCH, 0 }, 0, EEXIST },
		{ { 0, 0 }, { 0, 0 }, 0, EEXIST },
		{ { 2, 2 }, { MATCH, MATCH }, 5, EEXIST },
		{ { 2, 2 }, { MATCH, MATCH }, 6, 0 },
		{ { 2, 2 }, { MATCH, 0 }, 6, EEXIST },
		{ { 2, 2 }, { 0, MATCH }, 6, EEXIST },
		{ { 2, 2 }, { PIO, PIO }, 0, EEXIST },
		{ { 2, 2 }, { 0, PIO }, 0, 0 },
	};

	for (int i = 0; i < ARRAY_SIZE(cases); i++) {
		struct vm *vm = vm_create_empty();

		ASSERT_EQ(0, ioeventfd(vm, self->fd[0], cases[i].flags[0], PORT, cases[i].len[0],
				       5));
		EXPECT_ERRNO(cases[i].err, ioeventfd(vm, self->fd[1], cases[i].flags[1], PORT,
						     cases[i].len[1], cases[i].match))
			TH_LOG("case %d", i);
		EXPECT_EQ(0, ioeventfd(vm, self->fd[1], cases[i].flags[1], PORT + 2,
				       cases[i].len[1], 5));
		close(vm->fd);
	}
}

TEST_F(bus, bad_eventfds)
{
	int null = open("/dev/null", O_RDWR);
	u32 flags[] = { 0, PIO, DEASSIGN };

	EXPECT_ERRNO(EFAULT, ioctl(self->vm->fd, KVM_IOEVENTFD, 8));
	for (int i = 0; i < ARRAY_SIZE(flags); i++) {
		EXPECT_ERRNO(EBADF, IOEVENTFD(-1, flags[i], PORT, 2, 0));
		EXPECT_ERRNO(EINVAL, IOEVENTFD(null, flags[i], PORT, 2, 0));
	}
	EXPECT_ERRNO(EINVAL, IOEVENTFD(self->fd[0], 0, PORT, 3, 0));
	EXPECT_ERRNO(EINVAL, IOEVENTFD(self->fd[0], 0, PORT, 16, 0));
	EXPECT_ERRNO(EINVAL, IOEVENTFD(self->fd[0], 0, PORT, -1, 0));
	EXPECT_ERRNO(EINVAL, IOEVENTFD(self->fd[0], MATCH, PORT, 0, 0));
	EXPECT_ERRNO(EINVAL, IOEVENTFD(self->fd[0], 0, -4ull, 4, 0));
	EXPECT_ERRNO(EINVAL, IOEVENTFD(self->fd[0], 1u << 5, PORT, 2, 0));
	EXPECT_ERRNO(EINVAL, IOEVENTFD(self->fd[0], 1u << 31, PORT, 2, 0));
	EXPECT_EQ(0, IOEVENTFD(self->fd[0], 0, -1ull, 0, 0));

	/* Only what was assigned is deassigned. */
	ASSERT_EQ(0, IOEVENTFD(self->fd[0], MATCH, M, 2, 5));
	EXPECT_ERRNO(ENOENT, IOEVENTFD(self->fd[1], MATCH | DEASSIGN, M, 2, 5));
	EXPECT_ERRNO(ENOENT, IOEVENTFD(self->fd[0], MATCH | DEASSIGN, M + 2, 2, 5));
	EXPECT_ERRNO(ENOENT, IOEVENTFD(self->fd[0], MATCH | DEASSIGN, M, 4, 5));
	EXPECT_ERRNO(ENOENT, IOEVENTFD(self->fd[0], MATCH | DEASSIGN, M, 2, 6));
	EXPECT_ERRNO(ENOENT, IOEVENTFD(self->fd[0], DEASSIGN, M, 2, 5));
	EXPECT_ERRNO(ENOENT, IOEVENTFD(self->fd[0], PIO | MATCH | DEASSIGN, M, 2, 5));
	EXPECT_EQ(0, IOEVENTFD(self->fd[0], MATCH | DEASSIGN, M, 2, 5));
	EXPECT_ERRNO(ENOENT, IOEVENTFD(self->fd[0], MATCH | DEASSIGN, M, 2, 5));
}

TEST_F(bus, eventfd_closed_while_assigned)
{
	ASSERT_EQ(0, IOEVENTFD(self->fd[0], PIO, PORT, 1, 0));
	close(self->fd[0]);
	EXPECT_FALSE(OUT(1, PORT, 0));
	EXPECT_FALSE(OUT(1, PORT, 0));
	EXPECT_ERRNO(EEXIST, IOEVENTFD(self->fd[1], PIO, PORT, 1, 0));
}

#define ROUNDS 300

static void kick_forever(void)
{
	for (u64 n = 0;; n++) {
		if (n % 64 == 0)
			GUEST_SYNC(n);
		mmio(M, 4, n);
	}
}

static void *assign_and_deassign(void *arg)
{
	struct vm *vm = arg;
	int fd = eventfd(0, EFD_NONBLOCK);
	u64 n = 0;

	for (int i = 0; i < ROUNDS; i++) {
		u32 len = i & 1 ? 4 : 0;

		if (ioeventfd(vm, fd, 0, M, len, 0) ||
		    ioeventfd(vm, fd, DEASSIGN, M, len, 0))
			FAIL("KVM_IOEVENTFD: %s", strerror(errno));
		n += take(fd);
	}
	close(fd);
	return (void *)n;
}

/* Each write is signalled or seen, once. */
TEST_F(bus, eventfds_come_and_go_while_the_guest_writes)
{
	struct vcpu *vcpu = vcpu_add(self->vm, kick_forever);
	u64 next = 0, exits = 0;
	pthread_t thread;
	void *signals;

	RUN_SYNC(vcpu);
	pthread_create(&thread, NULL, assign_and_deassign, self->vm);
	while (pthread_tryjoin_np(thread, &signals)) {
		vcpu_run(vcpu);
		if (is_ucall(vcpu)) {
			next = vcpu_regs(vcpu).rsi;
			continue;
		}
		ASSERT_EQ(KVM_EXIT_MMIO, vcpu->run->exit_reason);
		exits++;
	}
	do {
		vcpu_run(vcpu);
		exits += vcpu->run->exit_reason == KVM_EXIT_MMIO;
	} while (!is_ucall(vcpu));
	next = vcpu_regs(vcpu).rsi;
	EXPECT_EQ(next, exits + (u64)signals);
}

/* ---- coalesced writes ---- */

static int zone(struct vm *vm, bool add, u64 addr, u32 size, u32 is_pio)
{
	struct kvm_coalesced_mmio_zone z = { .addr = addr, .size = size, .pio = is_pio };

	return ioctl(vm->fd, add ? KVM_REGISTER_COALESCED_MMIO : KVM_UNREGISTER_COALESCED_MMIO,
		     &z);
}

/* The oldest write in the ring, which has to be this one. */
static bool next_is(struct kvm_coalesced_mmio_ring *ring, bool is_pio, u64 addr, u32 len, u64 val)
{
	struct kvm_coalesced_mmio *e = &ring->coalesced_mmio[ring->first];

	if (ring->first == ring->last)
		return false;
	ring->first = (ring->first + 1) % KVM_COALESCED_MMIO_MAX;
	return e->pio == is_pio && e->phys_addr == addr && e->len == len &&
	       !memcmp(e->data, &val, len);
}

TEST_F(bus, coalesced_writes)
{
	struct kvm_coalesced_mmio_ring *ring = self->ring;

	ASSERT_EQ(0, zone(self->vm, true, M + 0x100, 0x20, 0));
	ASSERT_EQ(0, zone(self->vm, true, PORT, 4, 1));
	for (int len = 1; len <= 8; len *= 2)
		EXPECT_FALSE(STORE(len, M + 0x108, 0x0102030405060708));
	EXPECT_FALSE(STORE(1, M + 0x100, 0xa5));
	EXPECT_FALSE(OUT(1, PORT + 3, 0x5a));
	EXPECT_FALSE(OUT(4, PORT, 0x12345678));
	for (int len = 1; len <= 8; len *= 2)
		EXPECT_TRUE(next_is(ring, false, M + 0x108, len, 0x0102030405060708));
	EXPECT_TRUE(next_is(ring, false, M + 0x100, 1, 0xa5));
	EXPECT_TRUE(next_is(ring, true, PORT + 3, 1, 0x5a));
	EXPECT_TRUE(next_is(ring, true, PORT, 4, 0x12345678));

	/* Beside them, across their ends, and loads. */
	EXPECT_TRUE(STORE(1, M + 0xff, 1));
	EXPECT_TRUE(STORE(2, M + 0xff, 1));
	EXPECT_TRUE(STORE(4, M + 0x11e, 1));
	EXPECT_TRUE(STORE(4, M + 0x120, 1));
	EXPECT_TRUE(OUT(2, PORT + 3, 1));
	EXPECT_TRUE(OUT(1, PORT + 4, 1));
	EXPECT_TRUE(OUT(1, 0x110, 1));
	EXPECT_TRUE(STORE(1, M + PORT, 1));
	EXPECT_TRUE(LOAD(M + 0x100));
	EXPECT_TRUE(IN(PORT));
	EXPECT_EQ(ring->first, ring->last);
}

TEST_F(bus, coalesced_zones_go)
{
	struct kvm_coalesced_mmio_ring *ring = self->ring;

	ASSERT_EQ(0, zone(self->vm, true, M, 0x20, 0));
	ASSERT_EQ(0, zone(self->vm, true, M + 0x10, 0x20, 0));
	/* Nothing that is not wholly in a zone takes it away, nor does one of the other kind. */
	EXPECT_EQ(0, zone(self->vm, false, M + 0x10, 0x21, 0));
	EXPECT_EQ(0, zone(self->vm, false, M + 4, 4, 1));
	EXPECT_EQ(0, zone(self->vm, false, M + 4, -4, 0));
	EXPECT_FALSE(STORE(4, M, 1));
	EXPECT_TRUE(next_is(ring, false, M, 4, 1));
	/* A part of it does. */
	EXPECT_EQ(0, zone(self->vm, false, M + 4, 4, 0));
	EXPECT_TRUE(STORE(4, M, 1));
	EXPECT_FALSE(STORE(4, M + 0x10, 2));
	EXPECT_TRUE(next_is(ring, false, M + 0x10, 4, 2));
	EXPECT_EQ(0, zone(self->vm, false, M + 0x10, 0x20, 0));
	EXPECT_TRUE(STORE(4, M + 0x10, 2));
	EXPECT_EQ(0, zone(self->vm, false, M + 0x10, 0x20, 0));
	/* An empty one has no room for a write. */
	EXPECT_EQ(0, zone(self->vm, true, M, 0, 0));
	EXPECT_TRUE(STORE(4, M, 1));

	EXPECT_ERRNO(EINVAL, zone(self->vm, true, M, 8, 2));
	EXPECT_ERRNO(EINVAL, zone(self->vm, false, M, 8, 2));
	EXPECT_ERRNO(EFAULT, ioctl(self->vm->fd, KVM_REGISTER_COALESCED_MMIO, 8));
	EXPECT_ERRNO(EFAULT, ioctl(self->vm->fd, KVM_UNREGISTER_COALESCED_MMIO, 8));
}

TEST_F(bus, eventfd_in_a_coalesced_zone)
{
	if (!is_minivirt())
		SKIP(return, "which one of them KVM finds is left open");
	ASSERT_EQ(0, zone(self->vm, true, M, 0x1000, 0));
	ASSERT_EQ(0, IOEVENTFD(self->fd[0], MATCH, M + 0x10, 4, 1));
	EXPECT_FALSE(STORE(4, M + 0x10, 1));
	EXPECT_EQ(1, take(self->fd[0]));
	EXPECT_FALSE(STORE(4, M + 0x10, 2));
	EXPECT_TRUE(next_is(self->ring, false, M + 0x10, 4, 2));
}

TEST_F(bus, full_ring)
{
	struct kvm_coalesced_mmio_ring *ring = self->ring;
	int n;

	ASSERT_EQ(0, zone(self->vm, true, M, 0x1000, 0));
	for (n = 0; !STORE(4, M + 4 * n, n); n++)
		ASSERT_GT(KVM_COALESCED_MMIO_MAX, n);
	/* KVM takes it for full a little early. */
	EXPECT_LT(50, n);
	if (is_minivirt())
		EXPECT_EQ(KVM_COALESCED_MMIO_MAX - 1, n);
	EXPECT_TRUE(STORE(4, M, 1));
	for (int i = 0; i < n; i++)
		EXPECT_TRUE(next_is(ring, false, M + 4 * i, 4, i));
	EXPECT_FALSE(STORE(4, M, 2));
	EXPECT_TRUE(next_is(ring, false, M, 4, 2));
	EXPECT_FALSE(next_is(ring, false, M, 4, 2));
}

TEST_F(bus, ring_with_bad_indices)
{
	static const u32 bad[] = {
		KVM_COALESCED_MMIO_MAX, KVM_COALESCED_MMIO_MAX + 1, 0x7fffffff, 0xffffffff
	};
	struct kvm_coalesced_mmio_ring *ring = self->ring;

	ASSERT_EQ(0, zone(self->vm, true, M, 0x1000, 0));
	for (int i = 0; i < ARRAY_SIZE(bad); i++) {
		ring->first = 0;
		ring->last = bad[i];
		EXPECT_TRUE(STORE(4, M, 1));
		EXPECT_EQ(bad[i], ring->last);
		ring->first = bad[i];
		ring->last = 1;
		STORE(4, M, 1);
	}
}

TEST_F(bus, one_ring_for_all_vcpus)
{
	struct vcpu *other = vcpu_add(self->vm, obey);
	struct kvm_coalesced_mmio_ring *ring =
		(void *)other->run + KVM_COALESCED_MMIO_PAGE_OFFSET * 4096;

	/* The page is there before any zone is. */
	self->ring->coalesced_mmio[5].len = 0x1234;
	EXPECT_EQ(0x1234, ring->coalesced_mmio[5].len);
	ASSERT_EQ(0, zone(self->vm, true, M, 0x1000, 0));
	RUN_SYNC(other);
	EXPECT_FALSE(STORE(4, M, 1));
	EXPECT_FALSE(seen(other, false, false, M + 4, 4, 2));
	EXPECT_TRUE(next_is(ring, false, M, 4, 1));
	EXPECT_TRUE(next_is(self->ring, false, M + 4, 4, 2));
	EXPECT_EQ(ring->first, ring->last);
}

/* ---- strings ---- */

static u8 text[200]; /* the guest's */

static void out_string(void)
{
	const u8 *p = text;
	u64 n = READ_ONCE(op.len);

	asm volatile("rep outsb" : "+S"(p), "+c"(n) : "d"(PORT) : "memory");
	GUEST_DONE();
}

/* What was given to userspace up to the end, by the exits of one OUTS. */
static int rest_of_string(struct vcpu *vcpu, u8 *out)
{
	struct kvm_run *run = vcpu->run;
	int n = 0;

	for (;;) {
		vcpu_run(vcpu);
		if (is_ucall(vcpu))
			return n;
		if (run->exit_reason != KVM_EXIT_IO || run->io.port != PORT || run->io.size != 1)
			FAIL("exit %s", exit_name(run->exit_reason));
		memcpy(out + n, (u8 *)run + run->io.data_offset, run->io.count);
		n += run->io.count;
	}
}

/* KVM drops what is behind the first byte that it has handled and the next it has not. */
TEST_F(bus, strings_that_only_begin_in_the_module)
{
	u8 rest[sizeof(text)];
	struct vcpu *vcpu;

	if (!is_minivirt())
		SKIP(return, "KVM loses writes");
	for (int i = 0; i < sizeof(text); i++)
		text[i] = i;
	op.len = sizeof(text);
	self->vm = vm_create();
	vcpu = vcpu_add(self->vm, out_string);
	self->ring = (void *)vcpu->run + KVM_COALESCED_MMIO_PAGE_OFFSET * 4096;
	ASSERT_EQ(0, zone(self->vm, true, PORT, 1, 1));
	EXPECT_EQ(sizeof(text) - (KVM_COALESCED_MMIO_MAX - 1), rest_of_string(vcpu, rest));
	EXPECT_EQ(0, memcmp(rest, text + KVM_COALESCED_MMIO_MAX - 1,
			    sizeof(text) - (KVM_COALESCED_MMIO_MAX - 1)));
	for (int i = 0; i < KVM_COALESCED_MMIO_MAX - 1; i++)
		EXPECT_TRUE(next_is(self->ring, true, PORT, 1, i));
}

TEST_MAIN
