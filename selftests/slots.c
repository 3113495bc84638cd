// SPDX-License-Identifier: GPL-2.0-only
/* Memory slots: KVM_SET_USER_MEMORY_REGION and what the guest sees of it. */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include "test.h"

#define GPA 0x1000000ul /* of the slots here; mapped by 2 MiB pages in the guest */
#define SIZE 0x10000ul

/* Reads the 8 bytes at each address that the host gives, or writes them. */
static u64 peek_addr, poke_val;
static bool poke;

static void peek_and_poke(void)
{
	for (;;) {
		volatile u64 *p = (u64 *)READ_ONCE(peek_addr);

		if (READ_ONCE(poke))
			*p = READ_ONCE(poke_val);
		GUEST_SYNC(READ_ONCE(poke) ? 0 : *p);
	}
}

static void aim(struct vcpu *vcpu, u64 addr)
{
	*guest_ptr(vcpu->vm, peek_addr) = addr;
	*guest_ptr(vcpu->vm, poke) = false;
}

static u64 guest_read(struct vcpu *vcpu, u64 addr)
{
	aim(vcpu, addr);
	return RUN_SYNC(vcpu);
}

static void aim_write(struct vcpu *vcpu, u64 addr, u64 val)
{
	aim(vcpu, addr);
	*guest_ptr(vcpu->vm, poke) = true;
	*guest_ptr(vcpu->vm, poke_val) = val;
}

static void guest_write(struct vcpu *vcpu, u64 addr, u64 val)
{
	aim_write(vcpu, addr, val);
	RUN_SYNC(vcpu);
}

/* The guest's next read of the address finds no memory. */
static void expect_mmio(struct __test_metadata *_metadata, struct vcpu *vcpu, u64 addr)
{
	aim(vcpu, addr);
	RUN_TO(vcpu, KVM_EXIT_MMIO);
	EXPECT_EQ(addr, vcpu->run->mmio.phys_addr);
	EXPECT_EQ(0, vcpu->run->mmio.is_write);
	memset(vcpu->run->mmio.data, 0x77, 8);
	EXPECT_EQ(0x7777777777777777, RUN_SYNC(vcpu));
}

FIXTURE(slots) {
	struct vm *vm;
	struct vcpu *vcpu;
	u64 *mem;
};

FIXTURE_SETUP(slots)
{
	self->vm = vm_create();
	self->vcpu = vcpu_add(self->vm, peek_and_poke);
	self->mem = vm_add_memory(self->vm, 1, GPA, SIZE, 0);
	self->mem[0] = 0x1111;
	self->mem[SIZE / 8 - 1] = 0x2222;
}

FIXTURE_TEARDOWN(slots)
{
}

TEST_F(slots, memory_is_shared_with_the_host)
{
	EXPECT_EQ(0x1111, guest_read(self->vcpu, GPA));
	EXPECT_EQ(0x2222, guest_read(self->vcpu, GPA + SIZE - 8));
	guest_write(self->vcpu, GPA + 0x3008, 0x3333);
	EXPECT_EQ(0x3333, self->mem[0x3008 / 8]);
	self->mem[0x3008 / 8] = 0x4444;
	EXPECT_EQ(0x4444, guest_read(self->vcpu, GPA + 0x3008));
	expect_mmio(_metadata, self->vcpu, GPA - 8);
	expect_mmio(_metadata, self->vcpu, GPA + SIZE);
}

TEST_F(slots, delete_and_add_again)
{
	EXPECT_EQ(0x1111, guest_read(self->vcpu, GPA));
	EXPECT_EQ(0, vm_set_slot(self->vm, 1, GPA, 0, NULL, 0));
	expect_mmio(_metadata, self->vcpu, GPA);
	EXPECT_EQ(0, vm_set_slot(self->vm, 1, GPA, SIZE, self->mem, 0));
	EXPECT_EQ(0x1111, guest_read(self->vcpu, GPA));
	EXPECT_EQ(0, vm_set_slot(self->vm, 1, 0, 0, NULL, 0));
	/* It is gone, so there is nothing to delete. */
	EXPECT_ERRNO(EINVAL, vm_set_slot(self->vm, 1, GPA, 0, NULL, 0));
}

TEST_F(slots, memory_where_mmio_was)
{
	expect_mmio(_metadata, self->vcpu, GPA + SIZE);
	vm_add_memory(self->vm, 2, GPA + SIZE, SIZE, 0);
	EXPECT_EQ(0, guest_read(self->vcpu, GPA + SIZE));
}

TEST_F(slots, move)
{
	EXPECT_EQ(0x1111, guest_read(self->vcpu, GPA));
	EXPECT_EQ(0, vm_set_slot(self->vm, 1, GPA + 4 * SIZE, SIZE, self->mem, 0));
	EXPECT_EQ(0x1111, guest_read(self->vcpu, GPA + 4 * SIZE));
	expect_mmio(_metadata, self->vcpu, GPA);
	/* Onto a part of where it is now. */
	EXPECT_EQ(0, vm_set_slot(self->vm, 1, GPA + 4 * SIZE + 0x1000, SIZE, self->mem, 0));
	EXPECT_EQ(0x1111, guest_read(self->vcpu, GPA + 4 * SIZE + 0x1000));
	EXPECT_EQ(0x2222, guest_read(self->vcpu, GPA + 5 * SIZE + 0x1000 - 8));
	expect_mmio(_metadata, self->vcpu, GPA + 4 * SIZE);
}

TEST_F(slots, only_the_place_and_logging_can_change)
{
	EXPECT_EQ(0, vm_set_slot(self->vm, 1, GPA, SIZE, self->mem, 0));
	EXPECT_ERRNO(EINVAL, vm_set_slot(self->vm, 1, GPA, SIZE - 0x1000, self->mem, 0));
	EXPECT_ERRNO(EINVAL, vm_set_slot(self->vm, 1, GPA, SIZE, self->mem + 512, 0));
	EXPECT_ERRNO(EINVAL, vm_set_slot(self->vm, 1, GPA, SIZE, self->mem, KVM_MEM_READONLY));
	EXPECT_EQ(0x2222, guest_read(self->vcpu, GPA + SIZE - 8));
}

TEST_F(slots, no_two_overlap)
{
	struct vm *vm = self->vm;

	EXPECT_ERRNO(EEXIST, vm_set_slot(vm, 2, GPA, SIZE, self->mem, 0));
	EXPECT_ERRNO(EEXIST, vm_set_slot(vm, 2, GPA + SIZE - 0x1000, SIZE, self->mem, 0));
	EXPECT_ERRNO(EEXIST, vm_set_slot(vm, 2, GPA - SIZE + 0x1000, SIZE, self->mem, 0));
	EXPECT_ERRNO(EEXIST, vm_set_slot(vm, 2, GPA + 0x1000, 0x1000, self->mem, 0));
	EXPECT_EQ(0, vm_set_slot(vm, 2, GPA + SIZE, SIZE, self->mem, 0));
	EXPECT_ERRNO(EEXIST, vm_set_slot(vm, 2, GPA + 0x1000, SIZE, self->mem, 0));
	/* Two places for the same memory are allowed. */
	EXPECT_EQ(0x1111, guest_read(self->vcpu, GPA + SIZE));
}

TEST_F(slots, bad_regions_are_refused)
{
	struct vm *vm = self->vm;
	int max = has_cap(vm->dev, KVM_CAP_NR_MEMSLOTS);
	u8 *mem = (u8 *)self->mem;

	EXPECT_ERRNO(EINVAL, vm_set_slot(vm, 2, 0x2000001, SIZE, mem, 0));
	EXPECT_ERRNO(EINVAL, vm_set_slot(vm, 2, 0x2000000, SIZE + 1, mem, 0));
	EXPECT_ERRNO(EINVAL, vm_set_slot(vm, 2, 0x2000000, SIZE, mem + 1, 0));
	EXPECT_ERRNO(EINVAL, vm_set_slot(vm, 2, 0x2000000, 0, mem, 0));
	EXPECT_ERRNO(EINVAL, vm_set_slot(vm, max, 0x2000000, SIZE, mem, 0));
	EXPECT_ERRNO(EINVAL, vm_set_slot(vm, 0x7fff, 0x2000000, SIZE, mem, 0));
	EXPECT_ERRNO(EINVAL, vm_set_slot(vm, 0x20002, 0x2000000, SIZE, mem, 0));
	EXPECT_ERRNO(EINVAL, vm_set_slot(vm, 2, 0x2000000, SIZE, mem, 1u << 31));
	EXPECT_ERRNO(EINVAL, vm_set_slot(vm, 2, -SIZE, SIZE, mem, 0));
	EXPECT_ERRNO(EINVAL, vm_set_slot(vm, 2, -SIZE, 2 * SIZE, mem, 0));
	EXPECT_ERRNO(EINVAL, vm_set_slot(vm, 2, 1ull << 52, SIZE, mem, 0));
	EXPECT_ERRNO(EINVAL, vm_set_slot(vm, 2, 0x2000000, SIZE, (void *)-SIZE, 0));
	EXPECT_ERRNO(EINVAL, vm_set_slot(vm, 2, 0x2000000, SIZE, (void *)(1ul << 63), 0));
	EXPECT_ERRNO(EINVAL, vm_set_slot(vm, 2, 0x2000000, -0x1000ul, mem, 0));
	EXPECT_EQ(0x1111, guest_read(self->vcpu, GPA));
}

TEST_F(slots, the_last_number_works)
{
	int max = has_cap(self->vm->dev, KVM_CAP_NR_MEMSLOTS);

	ASSERT_LE(32, max);
	EXPECT_EQ(0, vm_set_slot(self->vm, max - 1, GPA + SIZE, SIZE, self->mem, 0));
	EXPECT_EQ(0x1111, guest_read(self->vcpu, GPA + SIZE));
}

/*
 * All that there can be, each with a page; every other page stays empty. On a
 * debug kernel each takes half a million instructions to add: there, some of them.
 */
TEST_F_TIMEOUT(slots, as_many_as_it_says, 120)
{
	int max = has_cap(self->vm->dev, KVM_CAP_NR_MEMSLOTS);
	int first = access("/sys/kernel/debug/kmemleak", F_OK) ? 2 : max - 2000;
	u64 *mem = self->mem, base = 0x40000000;
	int step = 7919; /* not in order */

	if (max < 1000)
		SKIP(return, "not many");
	ASSERT_NE(0, max % step);
	mem[0] = 0x5000;
	mem[512] = 0x5001;
	for (int i = 2; i < max; i++) {
		int j = (u64)i * step % max;

		if (j >= first && vm_set_slot(self->vm, j, base + j * 0x2000ul, 0x1000,
					      mem + j % 2 * 512, 0))
			FAIL("slot %d: %s", j, strerror(errno));
	}
	for (int j = first; j < max; j += (max - first) / 10)
		EXPECT_EQ(0x5000 + j % 2, guest_read(self->vcpu, base + j * 0x2000ul));
	expect_mmio(_metadata, self->vcpu, base + (first + 1) * 0x2000 + 0x1000);
	for (int j = first; j < first + 198; j += 2)
		EXPECT_EQ(0, vm_set_slot(self->vm, j, 0, 0, NULL, 0));
	expect_mmio(_metadata, self->vcpu, base + (first + 98) * 0x2000);
	EXPECT_EQ(0x5000 + (first + 99) % 2, guest_read(self->vcpu, base + (first + 99) * 0x2000));
}

TEST_F(slots, many)
{
	const int n = 64;

	/* Not in order, and every other page stays empty. */
	for (int i = 0; i < n; i++) {
		int j = i * 37 % n;
		u64 *p = vm_add_memory(self->vm, 2 + j, 0x2000000 + j * 0x2000, 0x1000, 0);

		p[0] = 0x5000 + j;
	}
	for (int i = 0; i < n; i++)
		EXPECT_EQ(0x5000 + i, guest_read(self->vcpu, 0x2000000 + i * 0x2000));
	expect_mmio(_metadata, self->vcpu, 0x2001000);
	for (int i = 0; i < n; i += 2)
		EXPECT_EQ(0, vm_set_slot(self->vm, 2 + i, 0, 0, NULL, 0));
	expect_mmio(_metadata, self->vcpu, 0x2000000);
	EXPECT_EQ(0x5001, guest_read(self->vcpu, 0x2002000));
}

TEST_F(slots, number_of_mmu_pages)
{
	int fd = self->vm->fd;

	REQUIRE_CAP(self->vm->dev, KVM_CAP_MMU_SHADOW_CACHE_CONTROL);
	EXPECT_EQ(64, ioctl(fd, KVM_GET_NR_MMU_PAGES, 0));
	/* With more memory there are more of them, until somebody says how many. */
	vm_add_memory(self->vm, 2, 0x40000000, 0x4000000, 0);
	EXPECT_EQ((0x4000000 + SIZE + RAM_SIZE) / 0x1000 / 50, ioctl(fd, KVM_GET_NR_MMU_PAGES, 0));
	EXPECT_ERRNO(EINVAL, ioctl(fd, KVM_SET_NR_MMU_PAGES, 63));
	EXPECT_EQ(0, ioctl(fd, KVM_SET_NR_MMU_PAGES, 64));
	EXPECT_EQ(64, ioctl(fd, KVM_GET_NR_MMU_PAGES, 0));
	guest_write(self->vcpu, 0x40001000, 1);
	EXPECT_EQ(1, guest_read(self->vcpu, 0x40001000));
}

static long set_cap(struct vm *vm, u32 cap, u64 arg)
{
	return ERRNO_OF(ioctl(vm->fd, KVM_ENABLE_CAP,
			      &(struct kvm_enable_cap) { .cap = cap, .args = { arg } }));
}

TEST_F(slots, large_pages_of_a_trusted_guest)
{
	struct vm *vm = vm_create();

	REQUIRE_CAP(vm->dev, KVM_CAP_VM_DISABLE_NX_HUGE_PAGES);
	EXPECT_EQ(EINVAL, set_cap(vm, KVM_CAP_VM_DISABLE_NX_HUGE_PAGES, 1));
	EXPECT_EQ(0, set_cap(vm, KVM_CAP_VM_DISABLE_NX_HUGE_PAGES, 0));
	EXPECT_EQ(0, guest_read(vcpu_add(vm, peek_and_poke), GPA_FREE));
	EXPECT_EQ(EINVAL, set_cap(vm, KVM_CAP_VM_DISABLE_NX_HUGE_PAGES, 0));
	if (setuid(65534))
		SKIP(return, "not root");
	EXPECT_EQ(EPERM, set_cap(vm, KVM_CAP_VM_DISABLE_NX_HUGE_PAGES, 0));
}

TEST_F(slots, read_only)
{
	u64 *mem = self->mem;

	REQUIRE_CAP(self->vm->dev, KVM_CAP_READONLY_MEM);
	ASSERT_EQ(0, vm_set_slot(self->vm, 1, 0, 0, NULL, 0));
	ASSERT_EQ(0, vm_set_slot(self->vm, 1, GPA, SIZE, mem, KVM_MEM_READONLY));
	EXPECT_EQ(0x1111, guest_read(self->vcpu, GPA));
	/* A write is an MMIO exit and does not reach the memory. */
	aim_write(self->vcpu, GPA, 0x6666);
	RUN_TO(self->vcpu, KVM_EXIT_MMIO);
	EXPECT_EQ(1, self->vcpu->run->mmio.is_write);
	EXPECT_EQ(GPA, self->vcpu->run->mmio.phys_addr);
	EXPECT_EQ(8, self->vcpu->run->mmio.len);
	EXPECT_EQ(0x66, self->vcpu->run->mmio.data[0]);
	RUN_SYNC(self->vcpu);
	EXPECT_EQ(0x1111, mem[0]);
	EXPECT_EQ(0x1111, guest_read(self->vcpu, GPA));
	/* The host may write; and may have it read-only itself. */
	mem[0] = 0x7777;
	EXPECT_EQ(0x7777, guest_read(self->vcpu, GPA));
	ASSERT_EQ(0, mprotect(mem, SIZE, PROT_READ));
	EXPECT_EQ(0x7777, guest_read(self->vcpu, GPA));
}

static void add_one(void)
{
	asm volatile("addq $1, (%0)" : : "r"(GPA) : "memory");
	GUEST_DONE();
}

/* Only the write goes to userspace. */
TEST_F(slots, read_modify_write_of_read_only_memory)
{
	struct vcpu *vcpu = vcpu_add(self->vm, add_one);
	u64 *mem = self->mem, sum;

	REQUIRE_CAP(self->vm->dev, KVM_CAP_READONLY_MEM);
	ASSERT_EQ(0, vm_set_slot(self->vm, 1, 0, 0, NULL, 0));
	ASSERT_EQ(0, vm_set_slot(self->vm, 1, GPA, SIZE, mem, KVM_MEM_READONLY));
	mem[0] = 0x5555;
	RUN_TO(vcpu, KVM_EXIT_MMIO);
	EXPECT_EQ(1, vcpu->run->mmio.is_write);
	memcpy(&sum, vcpu->run->mmio.data, 8);
	EXPECT_EQ(0x5556, sum);
	RUN_DONE(vcpu);
	EXPECT_EQ(0x5555, mem[0]);
}

TEST_F(slots, above_4_gib)
{
	u64 *pml4 = gpa_ptr(self->vm, GPA_PML4), *pdpt = pml4 + 512, *pd;
	u64 *mem = vm_add_memory(self->vm, 2, 5ul << 30, SIZE, 0);

	/* The guest's fourth gibibyte becomes the one above 5 GiB. */
	pd = pdpt + 512 * 4;
	for (u64 i = 0; i < 512; i++)
		pd[i] = ((5ul << 30) + (i << 21)) | PTE_PS | PTE_P | PTE_W | PTE_U;
	mem[1] = 0x9999;
	EXPECT_EQ(0x9999, guest_read(self->vcpu, (3ul << 30) + 8));
	expect_mmio(_metadata, self->vcpu, GPA + SIZE);
}

TEST_F(slots, backed_by_a_shared_file)
{
	int fd = memfd_create("slot", 0);
	u64 *a, *b;

	ASSERT_EQ(0, ftruncate(fd, SIZE));
	a = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	b = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_EQ(0, vm_set_slot(self->vm, 2, GPA + SIZE, SIZE, a, 0));
	guest_write(self->vcpu, GPA + SIZE + 0x1000, 0xabcd);
	EXPECT_EQ(0xabcd, b[512]);
	b[513] = 0xef01;
	EXPECT_EQ(0xef01, guest_read(self->vcpu, GPA + SIZE + 0x1008));
}

TEST_F(slots, hva_without_memory_is_a_fault_of_the_host)
{
	ASSERT_EQ(0, munmap(self->mem, SIZE));
	aim(self->vcpu, GPA);
	EXPECT_ERRNO(EFAULT, ioctl(self->vcpu->fd, KVM_RUN, 0));
	/* The access is made when there is memory again. */
	ASSERT_EQ(self->mem, mmap(self->mem, SIZE, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	self->mem[0] = 0x8888;
	EXPECT_EQ(0x8888, RUN_SYNC(self->vcpu));
}

static _Atomic bool stop;

static void *toggle_slot(void *arg)
{
	struct vm *vm = arg;
	u64 *mem = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	mem[0] = 0xaaaa;
	for (int i = 0; i < 20; i++)
		if (vm_set_slot(vm, 2, GPA + SIZE, SIZE, mem, 0) ||
		    vm_set_slot(vm, 2, GPA + SIZE, 0, NULL, 0))
			return "slot change failed";
	stop = true;
	return NULL;
}

/* Under a running vCPU: each read is of the memory or an exit, never something else. */
TEST_F(slots, come_and_go_under_a_running_vcpu)
{
	struct vcpu *vcpu = self->vcpu;
	pthread_t thread;
	void *failure;

	ASSERT_EQ(0, pthread_create(&thread, NULL, toggle_slot, self->vm));
	while (!stop) {
		u64 val;

		aim(vcpu, GPA + SIZE);
		vcpu_run(vcpu);
		if (vcpu->run->exit_reason == KVM_EXIT_MMIO) {
			memset(vcpu->run->mmio.data, 0xbb, 8);
			vcpu_run(vcpu);
		}
		ASSERT_TRUE(is_ucall(vcpu));
		val = vcpu_regs(vcpu).rsi;
		ASSERT_TRUE(val == 0xaaaa || val == 0xbbbbbbbbbbbbbbbb);
	}
	pthread_join(thread, &failure);
	EXPECT_EQ(NULL, failure);
}

TEST_MAIN
