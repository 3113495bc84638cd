// SPDX-License-Identifier: GPL-2.0
/*
 * Finds the device that an access is for.
 */
#include <string.h>
#include "device.h"
#include "minivirt.h"

void bus_add(struct bus *bus, struct device *dev)
{
	struct device **p = &bus->devices[dev->space];

	pthread_mutex_init(&dev->lock, NULL);
	/* In the order of addition: the busiest is added first. */
	while (*p)
		p = &(*p)->next;
	*p = dev;
}

static struct device *bus_find(struct bus *bus, enum space space, uint64_t addr)
{
	struct device *dev = bus->devices[space];

	while (dev && addr - dev->base >= dev->size)
		dev = dev->next;
	return dev;
}

static void device_access(struct device *dev, uint64_t offset, uint8_t *data, unsigned int len,
			  bool write)
{
	uint64_t value = 0;

	if (write) {
		memcpy(&value, data, len);
		dev->write(dev, offset, len, value);
	} else {
		value = dev->read(dev, offset, len);
		memcpy(data, &value, len);
	}
}

static void log_unclaimed(enum space space, uint64_t addr, const uint8_t *data, unsigned int len,
			  bool write)
{
	uint64_t value = 0;

	memcpy(&value, data, len);
	error("%s %s of %u bytes at 0x%llx: 0x%llx, no device", space == SPACE_PIO ? "PIO" : "MMIO",
	      write ? "write" : "read", len, (unsigned long long)addr, (unsigned long long)value);
}

void bus_access(struct bus *bus, enum space space, uint64_t addr, uint8_t *data,
		unsigned int len, bool write)
{
	struct device *dev = bus_find(bus, space, addr);
	uint64_t offset;

	if (!write)
		memset(data, 0xff, len);
	if (!dev) {
		if (bus->log)
			log_unclaimed(space, addr, data, len, write);
		return;
	}
	pthread_mutex_lock(&dev->lock);
	for (offset = addr - dev->base; len && offset < dev->size;) {
		unsigned int n = min(len, min(dev->width, dev->size - offset));

		device_access(dev, offset, data, n, write);
		offset += n;
		data += n;
		len -= n;
	}
	pthread_mutex_unlock(&dev->lock);
}
