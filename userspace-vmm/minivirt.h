/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What every part of the runner uses: exit statuses and error messages.
 */
#ifndef MINIVIRT_H
#define MINIVIRT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define SZ_4K  0x1000ULL
#define SZ_1M  0x100000ULL
#define SZ_2M  0x200000ULL
#define SZ_1G  0x40000000ULL
#define SZ_4G  0x100000000ULL

#define BIT(n)	     (1U << (n))
#define BIT_ULL(n)   (1ULL << (n))

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#define container_of(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))

static inline uint64_t min(uint64_t x, uint64_t y)
{
	return x < y ? x : y;
}

/* @to is a power of two. */
static inline uint64_t align_down(uint64_t x, uint64_t to)
{
	return x & ~(to - 1);
}

static inline uint64_t align_up(uint64_t x, uint64_t to)
{
	return align_down(x + to - 1, to);
}

#define __printf(fmt, args) __attribute__((format(printf, fmt, args)))
#define __packed __attribute__((packed))

/*
 * Exit statuses.  0 to 255 are the guest's to choose through the debug-exit
 * port, so the runner's own are out of the way of what commands return.
 */
enum status {
	STATUS_POWER_OFF = 0,
	STATUS_REBOOT = 240,	   /* the guest asked for a reset */
	STATUS_SHUTDOWN = 241,	   /* triple fault, or the guest crashed */
	STATUS_VCPU_FAILED = 242,  /* failed VM entry or emulation */
	STATUS_HOST_ERROR = 243,   /* bad files, missing device, failed system call */
	STATUS_USAGE = 244,	   /* bad arguments */
	STATUS_QUIT = 245,	   /* Ctrl-A x */
};

/**
 * error - print "minivirt: MESSAGE" on the standard error
 */
void error(const char *fmt, ...) __printf(1, 2);

/**
 * die - error() and exit
 * @status: one of enum status
 *
 * For use while there are no vCPU threads; from then on vm_fail() is right.
 */
void die(enum status status, const char *fmt, ...) __printf(2, 3) __attribute__((noreturn));

/** xzalloc - calloc() of one object that dies instead of failing */
void *xzalloc(size_t size);

/**
 * device_path - the device to use: @option, else $MINIVIRT_DEV, else /dev/minivirt
 * @option: the argument of --dev, or NULL
 */
const char *device_path(const char *option);

/**
 * device_open - open a device that speaks the KVM ABI
 *
 * Dies with a message that tells what to do about it.
 */
int device_open(const char *path);

/* The subcommands: each returns the exit status. */
int cmd_run(int argc, char **argv);
int cmd_info(int argc, char **argv);
void usage_run(FILE *out);
void usage_info(FILE *out);

#endif /* MINIVIRT_H */
