// SPDX-License-Identifier: GPL-2.0
/*
 * minivirt run: boot a Linux kernel in a virtual machine.
 */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>
#include "boot/boot.h"
#include "console.h"
#include "dev/devices.h"
#include "terminal.h"
#include "vm.h"

#define DEFAULT_MEM    (512 * SZ_1M)
#define DEFAULT_APPEND "console=ttyS0 panic=-1"
#define MAX_CPUS       255 /* xAPIC IDs 0 to 254: 255 is the broadcast */

struct options {
	const char *kernel;
	const char *initrd;
	const char *append;
	const char *dev;
	uint64_t mem;
	unsigned int cpus;
	bool tty;
	bool debug;
};

void usage_run(FILE *out)
{
	fprintf(out,
		"usage: minivirt run [OPTIONS] [--kernel] KERNEL\n"
		"\n"
		"Boots KERNEL, an x86-64 bzImage or ELF vmlinux, with a serial console on the\n"
		"terminal.  Ctrl-A x quits, Ctrl-A h shows the keys.\n"
		"\n"
		"  -k, --kernel FILE   the kernel\n"
		"  -i, --initrd FILE   initial RAM disk\n"
		"  -a, --append STR    kernel command line, default '" DEFAULT_APPEND "'\n"
		"  -m, --mem SIZE      memory in MiB, or with a suffix K, M, G or T; default 512\n"
		"  -c, --cpus N        vCPUs, default 1, at most 255\n"
		"  -d, --dev PATH      device, default $MINIVIRT_DEV or /dev/minivirt; /dev/kvm works\n"
		"      --no-tty        leave the standard input alone\n"
		"      --debug         report accesses that no device answers\n"
		"  -h, --help          this help\n"
		"\n"
		"Exit status: 0 power-off, or the byte that the guest wrote to port 0xf4 before;\n"
		"240 reboot, 241 triple fault, 242 vCPU failed, 243 host error, 244 bad usage,\n"
		"245 Ctrl-A x.\n");
}

static uint64_t parse_size(const char *arg)
{
	static const char suffixes[] = "KMGT";
	unsigned int shift = 20;
	unsigned long long n;
	const char *suffix;
	char *end;

	errno = 0;
	n = strtoull(arg, &end, 10);
	suffix = *end ? strchr(suffixes, *end & ~0x20) : NULL;
	if (suffix) {
		shift = 10 * (suffix - suffixes + 1);
		end++;
	}
	if (errno || *arg < '0' || *arg > '9' || *end || !n || n > UINT64_MAX >> shift)
		die(STATUS_USAGE, "--mem: '%s' is no size", arg);
	n <<= shift;
	if (n % SZ_4K)
		die(STATUS_USAGE, "--mem: %s is not a multiple of 4K", arg);
	return n;
}

static unsigned int parse_cpus(const char *arg)
{
	unsigned long n;
	char *end;

	n = strtoul(arg, &end, 10);
	if (*arg < '0' || *arg > '9' || *end || !n || n > MAX_CPUS)
		die(STATUS_USAGE, "--cpus: '%s' is not a number from 1 to %d", arg, MAX_CPUS);
	return n;
}

/* Returns false if there is nothing left to do. */
static bool parse_options(struct options *opt, int argc, char **argv)
{
	enum { OPT_NO_TTY = 256, OPT_DEBUG };
	static const struct option long_options[] = {
		{ "kernel", required_argument, NULL, 'k' },
		{ "initrd", required_argument, NULL, 'i' },
		{ "append", required_argument, NULL, 'a' },
		{ "mem", required_argument, NULL, 'm' },
		{ "cpus", required_argument, NULL, 'c' },
		{ "dev", required_argument, NULL, 'd' },
		{ "no-tty", no_argument, NULL, OPT_NO_TTY },
		{ "debug", no_argument, NULL, OPT_DEBUG },
		{ "help", no_argument, NULL, 'h' },
		{ NULL },
	};
	int c;

	while ((c = getopt_long(argc, argv, "k:i:a:m:c:d:h", long_options, NULL)) != -1) {
		switch (c) {
		case 'k':
			opt->kernel = optarg;
			break;
		case 'i':
			opt->initrd = optarg;
			break;
		case 'a':
			opt->append = optarg;
			break;
		case 'm':
			opt->mem = parse_size(optarg);
			break;
		case 'c':
			opt->cpus = parse_cpus(optarg);
			break;
		case 'd':
			opt->dev = optarg;
			break;
		case OPT_NO_TTY:
			opt->tty = false;
			break;
		case OPT_DEBUG:
			opt->debug = true;
			break;
		case 'h':
			usage_run(stdout);
			return false;
		default:
			die(STATUS_USAGE, "try minivirt run --help");
		}
	}
	if (!opt->kernel && optind < argc)
		opt->kernel = argv[optind++];
	if (!opt->kernel)
		die(STATUS_USAGE, "no kernel given; try minivirt run --help");
	if (optind < argc)
		die(STATUS_USAGE, "'%s' is one argument too many; try minivirt run --help",
		    argv[optind]);
	return true;
}

/*
 * Block the signals that end the machine and the one that stops the job, and
 * get them from a descriptor instead; but not those that whoever started us
 * wants ignored, as nohup(1) does.  Threads started later inherit that.
 */
static int signals_open(sigset_t *signals)
{
	static const int all[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP };
	int fd;

	sigemptyset(signals);
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		struct sigaction old;

		sigaction(all[i], NULL, &old);
		if (old.sa_handler != SIG_IGN)
			sigaddset(signals, all[i]);
	}
	pthread_sigmask(SIG_BLOCK, signals, NULL);
	signal(SIGPIPE, SIG_IGN);
	fd = signalfd(-1, signals, SFD_CLOEXEC);
	if (fd < 0)
		die(STATUS_HOST_ERROR, "signalfd: %s", strerror(errno));
	return fd;
}

/* Returns the signal to die of, or 0. */
static int handle_signal(int signal_fd, bool tty)
{
	struct signalfd_siginfo info;

	if (read(signal_fd, &info, sizeof(info)) != sizeof(info))
		return 0;
	if (info.ssi_signo != SIGTSTP)
		return info.ssi_signo;
	terminal_restore();
	raise(SIGSTOP);
	if (tty)
		terminal_raw();
	return 0;
}

static void pass_input(struct console *con, struct serial *serial)
{
	const uint8_t *data;
	size_t len;

	data = console_input(con, &len);
	console_consume(con, serial_input(serial, data, len));
}

/* Runs until the VM has stopped.  Returns the signal that stopped it, or 0. */
static int event_loop(struct vm *vm, struct console *con, struct serial *serial, int signal_fd,
		      bool tty)
{
	struct pollfd fds[] = {
		{ .fd = vm->event_fd, .events = POLLIN },
		{ .fd = signal_fd, .events = POLLIN },
		{ .events = POLLIN },
	};
	eventfd_t count;

	while (atomic_load(&vm->status) == VM_RUNNING) {
		/* poll and not epoll: the standard input may be a regular file. */
		fds[2].fd = console_fd(con);
		if (poll(fds, ARRAY_SIZE(fds), -1) < 0)
			continue;
		if (fds[0].revents)
			eventfd_read(vm->event_fd, &count);
		if (fds[1].revents) {
			int sig = handle_signal(signal_fd, tty);

			if (sig) {
				vm_stop(vm, STATUS_QUIT);
				return sig;
			}
		}
		if (fds[2].revents && console_read(con) == CONSOLE_KEY_QUIT)
			vm_stop(vm, STATUS_QUIT);
		pass_input(con, serial);
	}
	return 0;
}

/* The VM has stopped, by the signal @sig unless that is 0.  Returns the exit status. */
static int finish(struct vm *vm, struct console *con, const sigset_t *signals, int sig)
{
	int status = atomic_load(&vm->status);

	terminal_restore();
	/* From here on a signal kills: the output may have a reader that is stuck. */
	pthread_sigmask(SIG_UNBLOCK, signals, NULL);
	if (status == STATUS_QUIT)
		console_close(con, false);
	vm_join(vm);
	if (status != STATUS_QUIT)
		console_close(con, true);
	if (vm->failed)
		vcpu_report(vm->failed);
	if (sig) {
		signal(sig, SIG_DFL);
		raise(sig);
	}
	if (status == STATUS_QUIT)
		fprintf(stderr, "\nminivirt: ended by Ctrl-A x\n");
	return status;
}

int cmd_run(int argc, char **argv)
{
	struct options opt = {
		.append = DEFAULT_APPEND,
		.mem = DEFAULT_MEM,
		.cpus = 1,
		.tty = true,
	};
	struct vm vm = { 0 };
	struct kernel kernel;
	struct boot_entry entry;
	struct console *con;
	struct serial *serial;
	uint8_t guest_status = 0;
	sigset_t signals;
	int signal_fd, sig, status;

	if (!parse_options(&opt, argc, argv))
		return 0;
	vm.bus.log = opt.debug;
	kernel_open(&kernel, opt.kernel);
	memory_alloc(&vm.memory, opt.mem);
	entry = boot_prepare(&vm.memory, &kernel, opt.initrd, opt.append, opt.cpus);
	vm_create(&vm, device_path(opt.dev), opt.cpus);

	signal_fd = signals_open(&signals);
	con = console_open(opt.tty);
	serial = serial_add(&vm, con);
	pm_add(&vm);
	rtc_add(&vm);
	i8042_add(&vm);
	debug_exit_add(&vm, &guest_status);
	vm_start(&vm, &entry);

	sig = event_loop(&vm, con, serial, signal_fd, opt.tty);
	status = finish(&vm, con, &signals, sig);
	return status == STATUS_POWER_OFF ? guest_status : status;
}
