// SPDX-License-Identifier: GPL-2.0-only
/* Signals and preemption: a guest never holds up its host. */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <time.h>
#include "test.h"

static volatile u64 counter; /* in the guest's copy */

static void spin(void)
{
	sti();
	for (;;)
		counter++;
}

static void spin_with_interrupts_off(void)
{
	for (;;)
		counter++;
}

static void spin_from_sync(void)
{
	GUEST_SYNC(1);
	spin();
}

static volatile sig_atomic_t handled;

static void on_signal(int sig __attribute__((unused)))
{
	handled++;
}

static void catch_signal(int sig)
{
	struct sigaction sa = { .sa_handler = on_signal };

	sigaction(sig, &sa, NULL);
}

/* Signals the thread until it says that it is done. */
struct kicker {
	pthread_t thread, target;
	volatile u64 *counter;
	volatile bool done;
};

static void *kick(void *arg)
{
	struct kicker *k = arg;

	/* Not before the guest has got somewhere. */
	while (*k->counter < 1000)
		usleep(100);
	while (!k->done) {
		pthread_kill(k->target, SIGUSR1);
		usleep(1000);
	}
	return NULL;
}

static void start_kicker(struct kicker *k, volatile u64 *count)
{
	*k = (struct kicker) { .target = pthread_self(), .counter = count };
	pthread_create(&k->thread, NULL, kick, k);
}

static void stop_kicker(struct kicker *k)
{
	k->done = true;
	pthread_join(k->thread, NULL);
}

static void check_kick(struct __test_metadata *_metadata, void (*guest)(void))
{
	struct vcpu *vcpu = vcpu_add(vm_create(), guest);
	volatile u64 *count = guest_ptr(vcpu->vm, counter);
	struct kicker k;
	u64 before;

	catch_signal(SIGUSR1);
	start_kicker(&k, count);
	EXPECT_ERRNO(EINTR, ioctl(vcpu->fd, KVM_RUN, 0));
	EXPECT_EQ(KVM_EXIT_INTR, vcpu->run->exit_reason);
	EXPECT_LT(0, handled);
	EXPECT_LE(1000, *count);
	/* It goes on where it was. */
	before = *count;
	while (*count < before + 1000)
		EXPECT_ERRNO(EINTR, ioctl(vcpu->fd, KVM_RUN, 0));
	stop_kicker(&k);
}

TEST(signal_ends_a_tight_loop)
{
	check_kick(_metadata, spin);
}

TEST(signal_ends_a_loop_with_interrupts_off)
{
	if (on_bochs())
		SKIP(return, "Bochs holds back host interrupts while such a guest runs");
	check_kick(_metadata, spin_with_interrupts_off);
}

TEST(timer_signal_ends_a_tight_loop)
{
	struct vcpu *vcpu = vcpu_add(vm_create(), spin);
	/* Again and again: the first may come before the guest runs. */
	struct itimerspec when = { { .tv_nsec = 5000000 }, { .tv_nsec = 5000000 } };
	timer_t timer;

	/* Nobody else runs: only the host's own timer interrupt comes. */
	catch_signal(SIGUSR1);
	ASSERT_EQ(0, timer_create(CLOCK_MONOTONIC,
				  &(struct sigevent) { .sigev_notify = SIGEV_SIGNAL,
						       .sigev_signo = SIGUSR1 }, &timer));
	ASSERT_EQ(0, timer_settime(timer, 0, &when, NULL));
	EXPECT_ERRNO(EINTR, ioctl(vcpu->fd, KVM_RUN, 0));
	EXPECT_LE(1, handled);
}

TEST(immediate_exit_does_not_enter_the_guest)
{
	struct vcpu *vcpu = vcpu_add(vm_create(), spin);

	REQUIRE_CAP(vcpu->vm->dev, KVM_CAP_IMMEDIATE_EXIT);
	vcpu->run->immediate_exit = 1;
	EXPECT_ERRNO(EINTR, ioctl(vcpu->fd, KVM_RUN, 0));
	EXPECT_ERRNO(EINTR, ioctl(vcpu->fd, KVM_RUN, 0));
	EXPECT_EQ(0, *guest_ptr(vcpu->vm, counter));
	EXPECT_EQ((u64)spin, vcpu_regs(vcpu).rip);
}

static void read_both(void)
{
	GUEST_ASSERT_EQ(inb(0x10), 0x5a);
	GUEST_ASSERT_EQ(*(volatile u32 *)GPA_MMIO, 0x12345678);
	GUEST_DONE();
}

TEST(immediate_exit_completes_the_io_before)
{
	struct vcpu *vcpu = vcpu_add(vm_create(), read_both);
	struct kvm_run *run = vcpu->run;
	u64 rip;

	RUN_TO(vcpu, KVM_EXIT_IO);
	rip = vcpu_regs(vcpu).rip;
	((u8 *)run)[run->io.data_offset] = 0x5a;
	run->immediate_exit = 1;
	EXPECT_ERRNO(EINTR, ioctl(vcpu->fd, KVM_RUN, 0));
	/* So that its state can be saved now. */
	EXPECT_EQ(0x5a, vcpu_regs(vcpu).rax & 0xff);
	EXPECT_LE(rip, vcpu_regs(vcpu).rip);
	((u8 *)run)[run->io.data_offset] = 0;
	run->immediate_exit = 0;
	RUN_TO(vcpu, KVM_EXIT_MMIO);
	memcpy(run->mmio.data, "\x78\x56\x34\x12", 4);
	run->immediate_exit = 1;
	EXPECT_ERRNO(EINTR, ioctl(vcpu->fd, KVM_RUN, 0));
	run->immediate_exit = 0;
	RUN_DONE(vcpu);
}

static int set_signal_mask(struct vcpu *vcpu, u32 len, u64 mask)
{
	struct {
		struct kvm_signal_mask head;
		u8 sigset[8];
	} __attribute__((packed)) arg = { .head.len = len };

	memcpy(arg.sigset, &mask, sizeof(mask));
	return ioctl(vcpu->fd, KVM_SET_SIGNAL_MASK, &arg);
}

TEST(signal_mask_is_in_force_during_run)
{
	struct vcpu *vcpu = vcpu_add(vm_create(), spin_from_sync);
	sigset_t set, pending;
	u64 all_but_usr1 = ~(1ull << (SIGUSR1 - 1));

	catch_signal(SIGUSR1);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	ASSERT_EQ(0, sigprocmask(SIG_BLOCK, &set, NULL));
	raise(SIGUSR1);
	/* It is blocked in this thread, and in KVM_RUN too. */
	EXPECT_EQ(1, RUN_SYNC(vcpu));
	/* Now KVM_RUN can be interrupted by it, but it is not taken. */
	ASSERT_EQ(0, set_signal_mask(vcpu, 8, all_but_usr1));
	EXPECT_ERRNO(EINTR, ioctl(vcpu->fd, KVM_RUN, 0));
	EXPECT_EQ(KVM_EXIT_INTR, vcpu->run->exit_reason);
	EXPECT_EQ(0, handled);
	sigpending(&pending);
	EXPECT_TRUE(sigismember(&pending, SIGUSR1));
	/* The thread's own mask is in force again. */
	sigprocmask(SIG_BLOCK, NULL, &set);
	EXPECT_TRUE(sigismember(&set, SIGUSR1));
	EXPECT_FALSE(sigismember(&set, SIGUSR2));
}

static void *send_usr1(void *thread)
{
	usleep(200000);
	pthread_kill(*(pthread_t *)thread, SIGUSR1);
	return NULL;
}

/* Its default action would be to kill: but it is blocked in the thread, whose turn comes later. */
TEST(a_signal_that_kills_only_interrupts_run)
{
	struct vcpu *vcpu = vcpu_add(vm_create(), spin_from_sync);
	pthread_t self = pthread_self(), sender;
	sigset_t set, pending;

	signal(SIGUSR1, SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	ASSERT_EQ(0, pthread_sigmask(SIG_BLOCK, &set, NULL));
	EXPECT_EQ(1, RUN_SYNC(vcpu));
	ASSERT_EQ(0, set_signal_mask(vcpu, 8, ~(1ull << (SIGUSR1 - 1))));
	ASSERT_EQ(0, pthread_create(&sender, NULL, send_usr1, &self));
	EXPECT_ERRNO(EINTR, ioctl(vcpu->fd, KVM_RUN, 0));
	sigpending(&pending);
	EXPECT_TRUE(sigismember(&pending, SIGUSR1));
	pthread_join(sender, NULL);
}

TEST(bad_signal_masks_are_refused)
{
	struct vcpu *vcpu = vcpu_add(vm_create(), spin_from_sync);

	EXPECT_ERRNO(EINVAL, set_signal_mask(vcpu, 4, 0));
	EXPECT_ERRNO(EINVAL, set_signal_mask(vcpu, 128, 0));
	EXPECT_ERRNO(EFAULT, ioctl(vcpu->fd, KVM_SET_SIGNAL_MASK, 8));
	EXPECT_EQ(0, set_signal_mask(vcpu, 8, ~0ull));
	EXPECT_EQ(0, ioctl(vcpu->fd, KVM_SET_SIGNAL_MASK, NULL));
	EXPECT_EQ(1, RUN_SYNC(vcpu));
}

static void *run_until_eintr(void *arg)
{
	struct vcpu *vcpu = arg;

	while (!ioctl(vcpu->fd, KVM_RUN, 0))
		;
	return (void *)(long)errno;
}

static void pin_to_cpu(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

/* Ends KVM_RUN in a thread, wherever the thread is. */
static void stop_thread(struct __test_metadata *_metadata, pthread_t thread, struct vcpu *vcpu)
{
	void *err;

	vcpu->run->immediate_exit = 1;
	pthread_kill(thread, SIGUSR1);
	ASSERT_EQ(0, pthread_join(thread, &err));
	EXPECT_EQ(EINTR, (long)err);
}

TEST(spinning_vcpus_on_one_cpu_both_advance)
{
	struct vcpu *vcpu[2];
	pthread_t thread[2];

	catch_signal(SIGUSR1);
	pin_to_cpu(sched_getcpu());
	for (int i = 0; i < 2; i++) {
		vcpu[i] = vcpu_add(vm_create(), spin);
		ASSERT_EQ(0, pthread_create(&thread[i], NULL, run_until_eintr, vcpu[i]));
	}
	for (u64 round = 1; round <= 3; round++)
		for (int i = 0; i < 2; i++)
			while (*guest_ptr(vcpu[i]->vm, counter) < round * 1000000)
				usleep(1000);
	for (int i = 0; i < 2; i++)
		stop_thread(_metadata, thread[i], vcpu[i]);
}

static void add_up(void)
{
	for (u64 sum = 0;;) {
		sum += 3;
		GUEST_SYNC(sum);
	}
}

static void *run_once(void *arg)
{
	return (void *)RUN_SYNC((struct vcpu *)arg);
}

TEST(any_thread_may_run_a_vcpu)
{
	struct vcpu *vcpu = vcpu_add(vm_create(), add_up);

	for (u64 i = 1; i <= 10; i++) {
		pthread_t thread;
		void *sum;

		ASSERT_EQ(0, pthread_create(&thread, NULL, run_once, vcpu));
		ASSERT_EQ(0, pthread_join(thread, &sum));
		EXPECT_EQ(3 * i, (u64)sum);
	}
}

TEST(vcpu_moves_between_cpus)
{
	struct vcpu *vcpu = vcpu_add(vm_create(), add_up);
	int n = sysconf(_SC_NPROCESSORS_ONLN);

	if (n < 2)
		SKIP(return, "one CPU only");
	for (u64 i = 1; i <= 50; i++) {
		pin_to_cpu(i % n);
		EXPECT_EQ(3 * i, RUN_SYNC(vcpu));
	}
}

/* While one vCPU's thread is in the guest, an ioctl of another thread waits for it. */
static void *read_regs(void *arg)
{
	struct kvm_regs regs;

	return (void *)(long)ioctl(((struct vcpu *)arg)->fd, KVM_GET_REGS, &regs);
}

TEST(ioctls_of_one_vcpu_are_one_at_a_time)
{
	struct vcpu *vcpu = vcpu_add(vm_create(), spin);
	pthread_t runner, reader;
	void *ret;

	catch_signal(SIGUSR1);
	ASSERT_EQ(0, pthread_create(&runner, NULL, run_until_eintr, vcpu));
	while (*guest_ptr(vcpu->vm, counter) < 1000)
		usleep(1000);
	ASSERT_EQ(0, pthread_create(&reader, NULL, read_regs, vcpu));
	usleep(10000);
	EXPECT_EQ(EBUSY, pthread_tryjoin_np(reader, &ret));
	stop_thread(_metadata, runner, vcpu);
	ASSERT_EQ(0, pthread_join(reader, &ret));
	EXPECT_EQ(NULL, ret);
}

TEST(ioctls_of_the_vm_go_on_while_a_vcpu_runs)
{
	struct vcpu *vcpu = vcpu_add(vm_create(), spin);
	pthread_t runner;

	catch_signal(SIGUSR1);
	ASSERT_EQ(0, pthread_create(&runner, NULL, run_until_eintr, vcpu));
	while (*guest_ptr(vcpu->vm, counter) < 1000)
		usleep(1000);
	vm_add_memory(vcpu->vm, 1, 0x1000000, 0x10000, 0);
	EXPECT_LE(0, ioctl(vcpu->vm->fd, KVM_CREATE_VCPU, 5));
	EXPECT_EQ(0, vm_set_slot(vcpu->vm, 1, 0, 0, NULL, 0));
	stop_thread(_metadata, runner, vcpu);
}

TEST_MAIN
