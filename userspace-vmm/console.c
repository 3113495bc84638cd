// SPDX-License-Identifier: GPL-2.0
/*
 * The console: the program's standard input and output as a serial device
 * sees them.
 *
 * A thread of its own writes the output, so that neither a vCPU nor the event
 * loop waits for a slow reader while the buffer has room, and so that a burst
 * of single bytes becomes one system call.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "console.h"
#include "minivirt.h"
#include "terminal.h"

#define ESCAPE	     0x01 /* Ctrl-A */
#define OUT_SIZE     (64 * 1024)
#define IN_SIZE	     256
#define GATHER_NSECS 1000000

struct console {
	/* Input: used by the event loop only. */
	bool reading;
	bool escaped;
	size_t in_len;
	uint8_t in[IN_SIZE];

	/* Output: under lock. */
	pthread_t writer;
	pthread_mutex_t lock;
	pthread_cond_t more; /* there is output, or the end has come */
	pthread_cond_t room; /* the buffer was emptied */
	bool closing;
	size_t out_len;
	uint8_t out[OUT_SIZE];
};

/* Nobody is told when it fails: a guest runs on without a reader. */
static void write_all(const uint8_t *data, size_t len)
{
	while (len) {
		ssize_t n = write(STDOUT_FILENO, data, len);

		if (n < 0 && errno != EINTR)
			return;
		if (n > 0) {
			data += n;
			len -= n;
		}
	}
}

static void *writer_main(void *arg)
{
	static const struct timespec gather = { .tv_nsec = GATHER_NSECS };
	struct console *con = arg;
	static uint8_t buf[OUT_SIZE];
	size_t len;

	pthread_mutex_lock(&con->lock);
	for (;;) {
		while (!con->out_len && !con->closing)
			pthread_cond_wait(&con->more, &con->lock);
		if (!con->out_len)
			break;
		if (!con->closing && con->out_len < OUT_SIZE) {
			pthread_mutex_unlock(&con->lock);
			nanosleep(&gather, NULL);
			pthread_mutex_lock(&con->lock);
		}
		len = con->out_len;
		memcpy(buf, con->out, len);
		con->out_len = 0;
		pthread_cond_broadcast(&con->room);
		pthread_mutex_unlock(&con->lock);
		write_all(buf, len);
		pthread_mutex_lock(&con->lock);
	}
	pthread_mutex_unlock(&con->lock);
	return NULL;
}

void console_write(struct console *con, const uint8_t *data, size_t len)
{
	pthread_mutex_lock(&con->lock);
	while (len && !con->closing) {
		size_t n = min(len, OUT_SIZE - con->out_len);

		if (!n) {
			pthread_cond_wait(&con->room, &con->lock);
			continue;
		}
		memcpy(con->out + con->out_len, data, n);
		if (!con->out_len)
			pthread_cond_signal(&con->more);
		con->out_len += n;
		data += n;
		len -= n;
	}
	pthread_mutex_unlock(&con->lock);
}

/* On a terminal input is always read, lest Ctrl-A x depend on the guest. */
int console_fd(const struct console *con)
{
	if (!con->reading || (con->in_len == IN_SIZE && !terminal_is_raw()))
		return -1;
	return STDIN_FILENO;
}

static void print_keys(void)
{
	fprintf(stderr, "\r\n"
			"Ctrl-A x   quit\r\n"
			"Ctrl-A a   send Ctrl-A to the guest\r\n"
			"Ctrl-A h   this help\r\n");
}

/* What is typed beyond a full buffer is lost, as on a serial line. */
static void queue(struct console *con, uint8_t c)
{
	if (con->in_len < IN_SIZE)
		con->in[con->in_len++] = c;
}

static enum console_key escape(struct console *con, uint8_t c)
{
	switch (c) {
	case 'x':
	case 'X':
		return CONSOLE_KEY_QUIT;
	case 'a':
	case 'A':
	case ESCAPE:
		queue(con, ESCAPE);
		break;
	case 'h':
	case 'H':
	case '?':
		print_keys();
		break;
	default:
		queue(con, ESCAPE);
		queue(con, c);
	}
	return CONSOLE_KEY_NONE;
}

enum console_key console_read(struct console *con)
{
	bool raw = terminal_is_raw();
	uint8_t buf[IN_SIZE];
	ssize_t n = read(STDIN_FILENO, buf, raw ? IN_SIZE : IN_SIZE - con->in_len);

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return CONSOLE_KEY_NONE;
	if (n <= 0)
		con->reading = false;
	for (ssize_t i = 0; i < n; i++) {
		if (con->escaped) {
			con->escaped = false;
			if (escape(con, buf[i]) == CONSOLE_KEY_QUIT)
				return CONSOLE_KEY_QUIT;
		} else if (raw && buf[i] == ESCAPE) {
			con->escaped = true;
		} else {
			queue(con, buf[i]);
		}
	}
	return CONSOLE_KEY_NONE;
}

const uint8_t *console_input(const struct console *con, size_t *len)
{
	*len = con->in_len;
	return con->in;
}

void console_consume(struct console *con, size_t len)
{
	con->in_len -= len;
	memmove(con->in, con->in + len, con->in_len);
}

struct console *console_open(bool tty)
{
	struct console *con = xzalloc(sizeof(*con));
	int err;

	pthread_mutex_init(&con->lock, NULL);
	pthread_cond_init(&con->more, NULL);
	pthread_cond_init(&con->room, NULL);
	err = pthread_create(&con->writer, NULL, writer_main, con);
	if (err)
		die(STATUS_HOST_ERROR, "cannot start a thread: %s", strerror(err));
	con->reading = tty;
	if (tty)
		terminal_raw();
	return con;
}

void console_close(struct console *con, bool drain)
{
	pthread_mutex_lock(&con->lock);
	con->closing = true;
	if (!drain)
		con->out_len = 0;
	pthread_cond_broadcast(&con->more);
	pthread_cond_broadcast(&con->room);
	pthread_mutex_unlock(&con->lock);
	if (drain)
		pthread_join(con->writer, NULL);
	terminal_restore();
}
