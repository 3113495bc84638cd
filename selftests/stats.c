// SPDX-License-Identifier: GPL-2.0-only
/* KVM_GET_STATS_FD: a file that describes itself. */
#include <fcntl.h>
#include "stats.h"
#include "test.h"

static void exit_a_lot(void)
{
	for (;;)
		outb(0x10, 0);
}

static struct vcpu *exiting_vcpu(void)
{
	return vcpu_add(vm_create(), exit_a_lot);
}

TEST(counters_count)
{
	struct vcpu *vcpu = exiting_vcpu();
	s64 exits, io_exits;
	struct stats s;

	REQUIRE_CAP(vcpu->vm->fd, KVM_CAP_BINARY_STATS_FD);
	stats_open(&s, vcpu->fd);
	EXPECT_EQ(0, strncmp(s.id, "kvm-", 4));
	EXPECT_TRUE(strstr(s.id, "vcpu-0"));
	EXPECT_EQ(0, stats_get(&s, "exits"));
	for (int i = 0; i < 11; i++)
		RUN_TO(vcpu, KVM_EXIT_IO);
	exits = stats_get(&s, "exits");
	io_exits = stats_get(&s, "io_exits");
	EXPECT_LE(11, exits);
	EXPECT_EQ(11, io_exits);
	for (int i = 0; i < 11; i++)
		RUN_TO(vcpu, KVM_EXIT_IO);
	EXPECT_LE(exits + 11, stats_get(&s, "exits"));
	EXPECT_EQ(22, stats_get(&s, "io_exits"));
	EXPECT_EQ(-1, stats_get(&s, "no_such_counter"));
}

/* Header, name, descriptors and values follow each other; a read goes over all of them. */
TEST(a_file_from_start_to_end)
{
	struct vcpu *vcpu = exiting_vcpu();
	struct kvm_stats_header *head;
	char buf[16384], again[16384];
	int fd, len, n;

	REQUIRE_CAP(vcpu->vm->fd, KVM_CAP_BINARY_STATS_FD);
	fd = IOCTL(vcpu->fd, KVM_GET_STATS_FD, 0);
	len = read(fd, buf, sizeof(buf));
	EXPECT_LT(0, len);
	EXPECT_EQ(0, read(fd, buf, sizeof(buf)));
	head = (void *)buf;
	EXPECT_LE(head->data_offset + 8 * head->num_desc, len);
	for (n = 0; n < len; n += 7)
		pread(fd, again + n, 7, n);
	EXPECT_EQ(0, memcmp(buf, again, len));
	EXPECT_EQ(0, pread(fd, again, 8, len));
	EXPECT_EQ(0, pread(fd, again, 8, 1ll << 40));
	EXPECT_ERRNO(EINVAL, pread(fd, again, 8, -1));
	EXPECT_ERRNO(EFAULT, pread(fd, mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS,
					    -1, 0), 8, 0));
	EXPECT_EQ(-1, write(fd, buf, 8));
	EXPECT_TRUE(fcntl(fd, F_GETFD) & FD_CLOEXEC);
}

TEST(a_vm_has_counters_too)
{
	struct vm *vm = vm_create();
	struct stats s;

	REQUIRE_CAP(vm->fd, KVM_CAP_BINARY_STATS_FD);
	stats_open(&s, vm->fd);
	EXPECT_EQ(0, strncmp(s.id, "kvm-", 4));
	EXPECT_LE(0, stats_get(&s, "remote_tlb_flush"));
}

/* The descriptor outlives those that it came from. */
TEST(the_descriptor_keeps_the_vm)
{
	struct vcpu *vcpu = exiting_vcpu();
	struct stats of_vm, of_vcpu;

	REQUIRE_CAP(vcpu->vm->fd, KVM_CAP_BINARY_STATS_FD);
	stats_open(&of_vm, vcpu->vm->fd);
	stats_open(&of_vcpu, vcpu->fd);
	RUN_TO(vcpu, KVM_EXIT_IO);
	munmap(vcpu->run, vcpu->vm->run_size);
	close(vcpu->fd);
	close(vcpu->vm->fd);
	EXPECT_EQ(1, stats_get(&of_vcpu, "io_exits"));
	close(of_vcpu.fd);
	EXPECT_LE(0, stats_get(&of_vm, "remote_tlb_flush"));
	close(of_vm.fd);
}

TEST_MAIN
