// SPDX-License-Identifier: GPL-2.0-only
/*
 * stress [--dev PATH] [--seconds N] [--seed S] [--race NAME]...
 *
 * Runs the races, or those that are named, for N seconds in all; prints a TAP result
 * for each.  A race is a number of rounds of a second or two, each a process of its
 * own, whose seed is that of the one before plus 1: --race NAME --seed S begins with
 * the round that failed.
 */
#include <fcntl.h>
#include <kselftest.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <time.h>
#include "stress.h"

#define PROGRESS 10 /* s */
#define HANG 120 /* s that a process may take to end */

bool stress_stop;

static u64 *steps; /* of all guests of a race, from its processes */

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static void on_signal(int sig)
{
	(void)sig;
}

static void *run_worker(void *arg)
{
	struct worker *w = arg;

	w->fn(w);
	return NULL;
}

static void start_worker(struct stress *s, void (*fn)(struct worker *w), struct vcpu *vcpu,
			 u64 seed)
{
	struct worker *w = &s->workers[s->nr_workers];

	*w = (struct worker) {
		.s = s, .fn = fn, .vcpu = vcpu,
		.rnd = rnd_seed(seed ^ (s->nr_workers + 1ull) << 32),
	};
	if (pthread_create(&w->thread, NULL, run_worker, w))
		FAIL("no thread");
	s->nr_workers++;
}

static void enable_cap(struct vm *vm, u32 number, u64 arg)
{
	struct kvm_enable_cap cap = { .cap = number, .args = { arg } };

	IOCTL(vm->fd, KVM_ENABLE_CAP, &cap);
}

static void setup(struct stress *s, u64 *r)
{
	static const enum irqchip chips[] = {
		IRQCHIP_FULL, IRQCHIP_FULL, IRQCHIP_SPLIT, IRQCHIP_NONE,
	};
	struct vm *vm;

	s->irqchip = chips[rnd_below(r, 4)];
	stress_wild = s->race->wild;
	stress_has_apic = s->irqchip != IRQCHIP_NONE;
	stress_prepare_guest();
	vm = vm_create();
	s->vm = vm;
	if (s->irqchip == IRQCHIP_FULL)
		create_irqchip(vm);
	else if (s->irqchip == IRQCHIP_SPLIT)
		enable_cap(vm, KVM_CAP_SPLIT_IRQCHIP, 24);
	if (s->race->ring)
		enable_cap(vm, KVM_CAP_DIRTY_LOG_RING, RING_SIZE);
	for (u32 i = 0; stress_has_apic && i < vm->cpuid->nent; i++)
		if (vm->cpuid->entries[i].function == 1)
			vm->cpuid->entries[i].ecx |= 1 << 24 | 1 << 21;
	/* Far from all else: where parts of it are unmapped, nothing else gets a place. */
	s->pool = mmap((void *)0x200000000, POOL_SIZE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
	if (s->pool == MAP_FAILED)
		FAIL("mmap: %s", strerror(errno));
	if (vm_set_slot(vm, 1, WINDOW, WINDOW_SIZE, s->pool, 0))
		FAIL("a slot: %s", strerror(errno));
	for (int i = 0; i < NR_EVENTFDS; i++)
		s->eventfds[i] = eventfd(0, EFD_NONBLOCK);
	for (int i = 0; i < NR_RUNNERS; i++) {
		struct vcpu *vcpu = vcpu_add(vm, (void (*)(void))stress_guest);

		vcpu_set_args(vcpu, i, rnd(r));
	}
	s->sregs = vcpu_sregs(&vm->vcpus[0]);
	s->regs = vcpu_regs(&vm->vcpus[0]);
}

/* Wakes those that sleep in KVM_RUN. */
static void kick(struct stress *s)
{
	for (int i = 0; i < s->nr_workers; i++)
		pthread_kill(s->workers[i].thread, SIGUSR1);
}

/* Before it, the threads are told that all is over. */
static void join(struct stress *s)
{
	bool joined[MAX_WORKERS] = { false };
	int left = s->nr_workers;

	while (left) {
		for (int i = 0; i < NR_RUNNERS; i++)
			s->vm->vcpus[i].run->immediate_exit = 1;
		for (int i = 0; i < s->nr_workers; i++) {
			if (joined[i])
				continue;
			if (pthread_tryjoin_np(s->workers[i].thread, NULL)) {
				pthread_kill(s->workers[i].thread, SIGUSR1);
			} else {
				joined[i] = true;
				left--;
			}
		}
		usleep(5000);
	}
}

/* All that the process has, in any order. */
static void close_all(struct stress *s, u64 *r)
{
	int fds[64], n = 0;

	for (int fd = s->vm->dev; fd < s->vm->dev + 64; fd++)
		fds[n++] = fd;
	while (n) {
		int i = rnd_below(r, n);

		close(fds[i]);
		fds[i] = fds[--n];
	}
}

/* The process of a round. */
static void run_round(const struct race *race, u64 seed, double seconds)
{
	static struct stress s;
	u64 r = rnd_seed(seed);
	double end;

	signal(SIGUSR1, on_signal);
	signal(SIGUSR2, on_signal);
	/* What a wild race closes may be a pipe or what it writes to. */
	signal(SIGPIPE, SIG_IGN);
	s.race = race;
	setup(&s, &r);
	for (int i = 0; i < NR_RUNNERS; i++)
		start_worker(&s, stress_run_vcpu, &s.vm->vcpus[i], seed);
	for (int i = 0; race->workers[i]; i++)
		start_worker(&s, race->workers[i], NULL, seed);
	for (end = now() + seconds; now() < end;) {
		usleep(5000);
		if (rnd_below(&r, 8) == 0)
			kick(&s);
	}
	for (int i = 0; i < NR_RUNNERS; i++)
		*steps += (*guest_ptr(s.vm, stress_counts))[i][0];
	if (rnd_below(&r, 4) == 0)
		_exit(0);
	WRITE_ONCE(stress_stop, true);
	join(&s);
	if (rnd_below(&r, 4))
		close_all(&s, &r);
	_exit(0);
}

/* Where the threads of a process that does not end are; only root and some kernels tell. */
static void show_stacks(pid_t pid)
{
	char command[200];

	snprintf(command, sizeof(command),
		 "cd /proc/%d/task; for t in *; do echo \"# $t $(cat $t/syscall)\"; "
		 "sed 's/^/# /' $t/stack; done", pid);
	if (system(command))
		ksft_print_msg("no stacks\n");
}

/* Waits for the process; its status, or -1 when it does not end. */
static int wait_for(pid_t pid, double until)
{
	int status;

	while (waitpid(pid, &status, WNOHANG) == 0) {
		if (now() > until)
			return -1;
		usleep(2000);
	}
	return status;
}

/* VMs of the module that exist; a kernel without the module cannot tell. */
static int vms(void)
{
	struct minivirt_info info = { .size = sizeof(info) };
	int fd = open(dev_path, O_RDWR | O_CLOEXEC), n = 0;

	if (!ioctl(fd, MINIVIRT_GET_INFO, &info))
		n = info.vms;
	close(fd);
	return n;
}

static bool round_ends_well(const struct race *race, u64 seed)
{
	u64 r = rnd_seed(~seed);
	double seconds = race->killed ? 10 : 1 + rnd_below(&r, 1000) / 1e3, at = now();
	u64 trouble = kernel_trouble();
	int status, before = vms();
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (!pid)
		run_round(race, seed, seconds);
	if (race->killed) {
		usleep(rnd_below(&r, 1000) * rnd_below(&r, 1000));
		kill(pid, SIGKILL);
	}
	status = wait_for(pid, at + seconds + HANG);
	if (status == -1) {
		ksft_print_msg("the process does not end:\n");
		show_stacks(pid);
		kill(pid, SIGKILL);
		if (wait_for(pid, now() + HANG) == -1)
			ksft_print_msg("not even by SIGKILL\n");
		return false;
	}
	if (race->killed && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
		status = 0;
	if (status) {
		ksft_print_msg("the process ended with status %#x\n", status);
		return false;
	}
	if (kernel_trouble() != trouble) {
		ksft_print_msg("the kernel has reported something\n");
		return false;
	}
	for (at = now() + HANG; vms() > before; usleep(10000)) {
		if (now() > at) {
			ksft_print_msg("its VM is still there\n");
			return false;
		}
	}
	return true;
}

static bool write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool done = fd >= 0 && write(fd, text, strlen(text)) > 0;

	close(fd);
	return done;
}

static bool run_race(const struct race *race, u64 seed, double seconds)
{
	double start = now(), told = start;
	u64 rounds = 0;

	*steps = 0;
	while (!rounds || now() < start + seconds) {
		if (!round_ends_well(race, seed + rounds)) {
			ksft_print_msg("again by: stress --race %s --seed %llu\n", race->name,
				       (unsigned long long)(seed + rounds));
			return false;
		}
		rounds++;
		if (now() > told + PROGRESS) {
			told = now();
			ksft_print_msg("progress %s: %.0f of %.0f s, %llu steps, to seed %llu\n",
				       race->name, told - start, seconds,
				       (unsigned long long)*steps,
				       (unsigned long long)(seed + rounds));
			fflush(stdout);
		}
	}
	if (!*steps && !race->killed)
		ksft_print_msg("no guest ran\n");
	return *steps || race->killed;
}

static bool by_name(const char *name, bool *chosen)
{
	for (int i = 0; i < stress_nr_races; i++)
		if (!strcmp(stress_races[i].name, name))
			return chosen[i] = true;
	return false;
}

int main(int argc, char **argv)
{
	const char *env = getenv("MINIVIRT_DEV");
	u64 seed = time(NULL) ^ (u64)getpid() << 32;
	bool chosen[64] = { false };
	double seconds = 0;
	int nr = 0, fd;
	u32 a, b, c, d;

	if (env)
		dev_path = env;
	for (int i = 1; i < argc; i++) {
		bool more = i + 1 < argc;

		if (more && !strcmp(argv[i], "--dev")) {
			dev_path = argv[++i];
		} else if (more && !strcmp(argv[i], "--seconds")) {
			seconds = atof(argv[++i]);
		} else if (more && !strcmp(argv[i], "--seed")) {
			seed = strtoull(argv[++i], NULL, 0);
		} else if (more && !strcmp(argv[i], "--race") && by_name(argv[i + 1], chosen)) {
			i++;
			nr++;
		} else {
			for (int j = 0; j < stress_nr_races; j++)
				ksft_print_msg("race %s\n", stress_races[j].name);
			ksft_exit_fail_msg("stress.c tells the options\n");
		}
	}
	fd = open(dev_path, O_RDWR);
	if (fd < 0)
		ksft_exit_skip("%s: %s\n", dev_path, strerror(errno));
	close(fd);
	cpuid(0, 0, &a, &b, &c, &d);
	stress_tcg = on_tcg();
	stress_vmcall = b == 0x756e6547; /* "Genu" */
	if (!nr) {
		memset(chosen, true, sizeof(chosen));
		nr = stress_nr_races;
	}
	if (!seconds)
		seconds = 10 * nr;
	steps = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (steps == MAP_FAILED)
		ksft_exit_fail_msg("mmap: %s\n", strerror(errno));
	if (!write_file("/sys/kernel/mm/ksm/run", "1"))
		ksft_print_msg("without KSM\n");
	ksft_print_header();
	ksft_set_plan(nr);
	ksft_print_msg("seed %llu\n", (unsigned long long)seed);
	for (int i = 0; i < stress_nr_races; i++)
		if (chosen[i])
			ksft_test_result(run_race(&stress_races[i], seed, seconds / nr), "%s\n",
					 stress_races[i].name);
	write_file("/sys/kernel/mm/ksm/run", "0");
	ksft_finished();
}
