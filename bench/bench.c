// SPDX-License-Identifier: GPL-2.0-only
/*
 * bench - what a KVM-like device costs, in ticks of the time-stamp counter
 *
 * In the emulators of the testbed a tick is an instruction, so the figures are
 * exact and repeat. On a real processor they are cycles.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

static const struct row *const tables[] = { exit_rows, event_rows, memory_rows, life_rows };

const char *dev_path = "/dev/minivirt";
int dev;
bool real_mode;
int marks; /* samples of each row that are marked for the emulator's debugger */

#define WARM_UP 3 /* samples before them */

/* Does nothing but where Bochs' debugger stops at it by itself, and qemu.py by a breakpoint. */
static void magic_break(void)
{
	asm volatile("xchg %bx, %bx");
}

/* Each row has a process, and so a count, of its own. */
void mark(void)
{
	static int nr;
	int sample = nr++ / 2;

	if (sample >= WARM_UP && sample < WARM_UP + marks)
		magic_break();
}

static void usage(FILE *f)
{
	fprintf(f,
		"usage: bench [OPTION]... [ROW...]\n"
		"       bench --time COMMAND [ARGUMENT...]\n"
		"\n"
		"Measure a device that speaks the KVM ABI: all rows, or those named, by themselves or\n"
		"by their group: kernel, user, events, memory, life.\n"
		"\n"
		"  --dev PATH    the device (/dev/minivirt)\n"
		"  --json FILE   write the figures there too\n"
		"  --real-mode   guests that can run in real mode do\n"
		"  --marks N     the emulator's debugger stops at both ends of N samples of each row\n"
		"  --list        what rows there are\n"
		"  --time        print how many ticks COMMAND takes, last on standard output\n");
}

static bool wanted(const struct row *row, char **names)
{
	if (!*names)
		return true;
	for (; *names; names++)
		if (!strcmp(*names, row->name) || !strcmp(*names, row->group))
			return true;
	return false;
}

static bool supported(const struct row *row)
{
	if ((row->flags & VM_IRQCHIP) && ioctl(dev, KVM_CHECK_EXTENSION, KVM_CAP_IRQCHIP) <= 0)
		return false;
	return !row->cap || ioctl(dev, KVM_CHECK_EXTENSION, row->cap) > 0;
}

static void list_rows(void)
{
	for (size_t t = 0; t < ARRAY_SIZE(tables); t++)
		for (const struct row *row = tables[t]; row->name; row++)
			printf("%-14s %s\n", row->name, row->title);
}

/*
 * In a process of its own, so that a row that fails does not end the others
 * and none inherits another's memory. Negative: no figure.
 */
static double measure(const struct row *row)
{
	double r = -1;
	int fds[2];
	pid_t pid;

	if (!supported(row)) {
		/* Empty samples, so that each row has as many. */
		for (int i = 0; i < 2 * marks; i++)
			magic_break();
		return -1;
	}
	fflush(NULL);
	if (pipe(fds))
		die("pipe: %s", strerror(errno));
	pid = fork();
	if (pid < 0)
		die("fork: %s", strerror(errno));
	if (!pid) {
		close(fds[0]);
		r = row->measure(row);
		if (write(fds[1], &r, sizeof(r)) != sizeof(r))
			die("write: %s", strerror(errno));
		_exit(0);
	}
	close(fds[1]);
	if (read(fds[0], &r, sizeof(r)) != sizeof(r))
		fprintf(stderr, "bench: row %s failed\n", row->name);
	close(fds[0]);
	waitpid(pid, NULL, 0);
	return r;
}

static void print_row(const struct row *row, double r)
{
	char figure[32] = "-";

	if (r >= 0)
		snprintf(figure, sizeof(figure), "%.0f", r);
	printf("%-52s %12s%s%s\n", row->title, figure, row->unit ? " " : "",
	       row->unit ? row->unit : "");
	fflush(stdout);
}

static void json_row(FILE *f, const struct row *row, double r, bool first)
{
	fprintf(f, "%s\n    {\"name\": \"%s\", \"title\": \"%s\", ", first ? "" : ",", row->name,
		row->title);
	fprintf(f, "\"group\": \"%s\", \"unit\": \"%s\", ", row->group,
		row->unit ? row->unit : "instructions");
	if (r < 0)
		fprintf(f, "\"value\": null}");
	else
		fprintf(f, "\"value\": %.0f}", r);
}

static void measure_all(const char *json_path, char **names)
{
	FILE *json = fopen(json_path ? json_path : "/dev/null", "w");
	bool first = true;

	if (!json)
		die("%s: %s", json_path, strerror(errno));
	fprintf(json, "{\n  \"device\": \"%s\",\n  \"rows\": [", dev_path);
	for (size_t t = 0; t < ARRAY_SIZE(tables); t++) {
		for (const struct row *row = tables[t]; row->name; row++) {
			double r;

			if (!wanted(row, names))
				continue;
			r = measure(row);
			print_row(row, r);
			json_row(json, row, r, first);
			first = false;
		}
	}
	fprintf(json, "\n  ]\n}\n");
	if (fclose(json))
		die("%s: %s", json_path, strerror(errno));
}

static int time_command(char **argv)
{
	u64 start = ticks();
	pid_t pid = fork();
	int status;

	if (!pid) {
		execvp(argv[0], argv);
		die("%s: %s", argv[0], strerror(errno));
	}
	if (waitpid(pid, &status, 0) != pid)
		die("waitpid: %s", strerror(errno));
	printf("%llu\n", (unsigned long long)(ticks() - start));
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static void ignore(int sig)
{
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "dev", required_argument, NULL, 'd' },
		{ "json", required_argument, NULL, 'j' },
		{ "real-mode", no_argument, NULL, 'r' },
		{ "marks", required_argument, NULL, 'm' },
		{ "list", no_argument, NULL, 'l' },
		{ "time", no_argument, NULL, 't' },
		{ "help", no_argument, NULL, 'h' },
		{}
	};
	const struct sigaction interrupt = { .sa_handler = ignore };
	const char *json = NULL;
	int c;

	while ((c = getopt_long(argc, argv, "+", options, NULL)) != -1) {
		switch (c) {
		case 'd':
			dev_path = optarg;
			break;
		case 'j':
			json = optarg;
			break;
		case 'r':
			real_mode = true;
			break;
		case 'm':
			marks = atoi(optarg);
			break;
		case 'l':
			list_rows();
			return 0;
		case 't':
			return time_command(argv + optind);
		case 'h':
			usage(stdout);
			return 0;
		default:
			usage(stderr);
			return 2;
		}
	}
	dev = open(dev_path, O_RDWR | O_CLOEXEC);
	if (dev < 0)
		die("%s: %s", dev_path, strerror(errno));
	/* What makes KVM_RUN return, with nothing more to do */
	sigaction(SIGUSR1, &interrupt, NULL);
	measure_all(json, argv + optind);
	return 0;
}
