// SPDX-License-Identifier: GPL-2.0
/*
 * The runner on a terminal: its mode, before and after, and the escape keys.
 * TAP on the standard output.
 *
 * usage: console RUNNER GUEST DEVICE
 */
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#include <utmp.h>

#define ARRAY_SIZE(a)  (sizeof(a) / sizeof((a)[0]))
#define PATIENCE_MSECS 10000

/* A runner on a pseudo-terminal that is kept open beyond its end. */
struct session {
	int master, slave;
	pid_t pid;
	struct termios before;
	size_t len;
	char output[65536];
};

static char **args;
static int count, failed;

static void result(bool ok, const char *name, const struct session *s)
{
	printf("%sok %d - %s\n", ok ? "" : "not ", ++count, name);
	if (!ok) {
		failed++;
		printf("# output: %.*s\n", (int)s->len, s->output);
	}
}

static void start(struct session *s, const char *test)
{
	s->len = 0;
	if (openpty(&s->master, &s->slave, NULL, NULL, NULL) || tcgetattr(s->slave, &s->before)) {
		perror("Bail out! openpty");
		exit(1);
	}
	s->pid = fork();
	if (!s->pid) {
		login_tty(s->slave);
		close(s->master);
		execl(args[1], args[1], "run", "--dev", args[3], "--mem", "64", "--append", test,
		      args[2], NULL);
		_exit(127);
	}
}

/* Reads until @text has come. */
static bool expect(struct session *s, const char *text)
{
	struct pollfd fd = { .fd = s->master, .events = POLLIN };
	ssize_t n;

	for (;;) {
		if (memmem(s->output, s->len, text, strlen(text)))
			return true;
		if (poll(&fd, 1, PATIENCE_MSECS) <= 0)
			return false;
		n = read(s->master, s->output + s->len, sizeof(s->output) - s->len);
		if (n <= 0)
			return false;
		s->len += n;
	}
}

static void type(struct session *s, const char *keys)
{
	if (write(s->master, keys, strlen(keys)) < 0)
		perror("# write");
}

static bool is_raw(const struct session *s)
{
	struct termios now;

	tcgetattr(s->slave, &now);
	return !(now.c_lflag & (ICANON | ECHO | ISIG));
}

/* Returns the wait status.  The terminal must be as it was. */
static int finish(struct session *s, const char *name)
{
	struct termios now;
	int status;

	waitpid(s->pid, &status, 0);
	tcgetattr(s->slave, &now);
	result(now.c_lflag == s->before.c_lflag && now.c_iflag == s->before.c_iflag &&
	       now.c_oflag == s->before.c_oflag && now.c_cflag == s->before.c_cflag, name, s);
	close(s->master);
	close(s->slave);
	return status;
}

static bool exited(int status, int code)
{
	return WIFEXITED(status) && WEXITSTATUS(status) == code;
}

static void test_echo(struct session *s)
{
	int status;

	start(s, "echo");
	result(expect(s, "ready") && is_raw(s), "the terminal is raw while the guest runs", s);
	type(s, "a\003b\r");
	result(expect(s, "a\003b\r"), "Ctrl-C and return go to the guest as they are", s);
	type(s, "\001a\001\001\001z");
	result(expect(s, "\001\001\001z"), "Ctrl-A a, Ctrl-A Ctrl-A and Ctrl-A z", s);
	type(s, "\001h");
	result(expect(s, "Ctrl-A x"), "Ctrl-A h lists the keys", s);
	type(s, ".");
	status = finish(s, "power-off restores the terminal");
	result(exited(status, 0), "power-off is status 0", s);
}

static void test_quit(struct session *s, const char *test, const char *text)
{
	char name[64];
	int status;

	start(s, test);
	expect(s, text);
	type(s, "more than fits into the receiver, and nobody takes it\001x");
	snprintf(name, sizeof(name), "Ctrl-A x restores the terminal: %s", test);
	status = finish(s, name);
	snprintf(name, sizeof(name), "Ctrl-A x is status 245: %s", test);
	result(exited(status, 245), name, s);
}

static void test_signal(struct session *s, int sig)
{
	char name[64];
	int status;

	start(s, "hang");
	expect(s, "hanging");
	kill(s->pid, sig);
	snprintf(name, sizeof(name), "SIG%s restores the terminal", sigabbrev_np(sig));
	status = finish(s, name);
	snprintf(name, sizeof(name), "SIG%s ends it", sigabbrev_np(sig));
	result(WIFSIGNALED(status) && WTERMSIG(status) == sig, name, s);
}

static void test_stop(struct session *s)
{
	int status;

	start(s, "echo");
	expect(s, "ready");
	kill(s->pid, SIGTSTP);
	waitpid(s->pid, &status, WUNTRACED);
	result(WIFSTOPPED(status) && !is_raw(s), "SIGTSTP stops it and restores the terminal", s);
	kill(s->pid, SIGCONT);
	type(s, "again");
	result(expect(s, "again") && is_raw(s), "SIGCONT makes it go on", s);
	type(s, ".");
	status = finish(s, "power-off after a stop restores the terminal");
	result(exited(status, 0), "power-off after a stop is status 0", s);
}

int main(int argc, char **argv)
{
	static const int signals[] = { SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGSEGV, SIGABRT };
	static struct session s;

	if (argc != 4) {
		fprintf(stderr, "usage: console RUNNER GUEST DEVICE\n");
		return 2;
	}
	args = argv;
	test_echo(&s);
	test_quit(&s, "hang", "hanging");
	test_quit(&s, "flood", "0123");
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		test_signal(&s, signals[i]);
	test_stop(&s);
	printf("1..%d\n", count);
	return failed != 0;
}
