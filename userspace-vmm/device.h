/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Emulated devices and the two address spaces that they live in.
 */
#ifndef DEVICE_H
#define DEVICE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum space {
	SPACE_PIO,
	SPACE_MMIO,
	NR_SPACES,
};

/**
 * struct device - one range of addresses and what answers there
 * @name: for messages
 * @space: which address space
 * @base: first address
 * @size: number of addresses
 * @width: the widest access that it takes, in bytes; the bus splits wider ones
 * @read: value of a read of @size bytes at @offset from @base
 * @write: write of @size bytes
 *
 * @lock is held during @read and @write, which run on vCPU threads.
 */
struct device {
	const char *name;
	enum space space;
	uint64_t base;
	uint64_t size;
	unsigned int width;
	uint64_t (*read)(struct device *dev, uint64_t offset, unsigned int size);
	void (*write)(struct device *dev, uint64_t offset, unsigned int size, uint64_t value);

	pthread_mutex_t lock;
	struct device *next;
};

/**
 * struct bus - the devices of a machine
 * @log: print accesses that no device answers
 */
struct bus {
	struct device *devices[NR_SPACES];
	bool log;
};

/** bus_add - add a device; not while vCPUs run */
void bus_add(struct bus *bus, struct device *dev);

/**
 * bus_access - one access by a vCPU
 * @addr: its address
 * @data: little-endian bytes, written for a read
 * @len: 1 to 8 bytes
 *
 * Where no device is, a read gives all ones and a write does nothing.
 */
void bus_access(struct bus *bus, enum space space, uint64_t addr, uint8_t *data,
		unsigned int len, bool write);

#endif /* DEVICE_H */
