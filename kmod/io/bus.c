// SPDX-License-Identifier: GPL-2.0-only
/*
 * The buses: ranges of ports and of guest-physical addresses, and the
 * devices of the module behind them.
 *
 * Writers hold vm->slots_lock and replace the table; vCPUs read it under
 * vm->srcu.
 */
#include <linux/slab.h>

#include "minivirt.h"

#define MV_MAX_RANGES 10000 /* eventfds of many queues of many devices, and zones */

/**
 * struct mv_bus_range - a range and who is behind it
 * @addr: the first byte
 * @len: in bytes; 0: an access of any length that begins at @addr
 * @reach: the highest end of this range and all before it
 * @dev: NULL: unregistered, to be left out of the next table
 */
struct mv_bus_range {
	u64 addr, len, reach;
	struct mv_io_device *dev;
};

/* Sorted by @addr. */
struct mv_bus {
	int nr;
	struct mv_bus_range range[];
};

static struct mv_bus __rcu **bus_of(struct mv_vm *vm, enum mv_bus_id id)
{
	return id == MV_PIO_BUS ? &vm->pio_bus : &vm->mmio_bus;
}

static struct mv_bus *locked_bus(struct mv_vm *vm, enum mv_bus_id id)
{
	return rcu_dereference_protected(*bus_of(vm, id), lockdep_is_held(&vm->slots_lock));
}

static void append(struct mv_bus *bus, const struct mv_bus_range *r)
{
	u64 end = r->addr + max(r->len, 1ull), before = 0;

	if (bus->nr)
		before = bus->range[bus->nr - 1].reach;
	bus->range[bus->nr] = *r;
	bus->range[bus->nr].reach = max(end, before);
	bus->nr++;
}

/* Readers are vCPUs: while there are none, nobody has seen the old table. */
static void wait_for_readers(struct mv_vm *vm)
{
	/* The new table is visible to a vCPU that is added after this. */
	smp_mb();
	if (READ_ONCE(vm->nr_vcpus))
		synchronize_srcu_expedited(&vm->srcu);
}

int mv_bus_register(struct mv_vm *vm, enum mv_bus_id id, u64 addr, u64 len,
		    struct mv_io_device *dev)
{
	const struct mv_bus_range add = { .addr = addr, .len = len, .dev = dev };
	struct mv_bus *bus, *old = locked_bus(vm, id);
	int i, live = 0, nr = old ? old->nr : 0;

	for (i = 0; i < nr; i++)
		live += !!old->range[i].dev;
	if (live >= MV_MAX_RANGES)
		return -ENOSPC;
	bus = kvzalloc(struct_size(bus, range, live + 1), GFP_KERNEL_ACCOUNT);
	if (!bus)
		return -ENOMEM;

	for (i = 0; i < nr && old->range[i].addr <= addr; i++) {
		if (old->range[i].dev)
			append(bus, &old->range[i]);
	}
	append(bus, &add);
	for (; i < nr; i++) {
		if (old->range[i].dev)
			append(bus, &old->range[i]);
	}

	rcu_assign_pointer(*bus_of(vm, id), bus);
	wait_for_readers(vm);
	kvfree(old);
	return 0;
}

/* Takes no memory, so it cannot fail. */
void mv_bus_unregister(struct mv_vm *vm, enum mv_bus_id id, struct mv_io_device *dev)
{
	struct mv_bus *bus = locked_bus(vm, id);
	int i;

	for (i = 0; bus && i < bus->nr; i++) {
		if (bus->range[i].dev == dev)
			WRITE_ONCE(bus->range[i].dev, NULL);
	}
	wait_for_readers(vm);
}

/**
 * mv_bus_find() - a device on a bus
 * @vm: whose; its slots_lock is held
 * @id: which bus
 * @match: true for the one that is looked for
 * @arg: for @match
 *
 * Return: the first that matches, or NULL.
 */
struct mv_io_device *mv_bus_find(struct mv_vm *vm, enum mv_bus_id id,
				 bool (*match)(const struct mv_io_device *dev, const void *arg),
				 const void *arg)
{
	struct mv_bus *bus = locked_bus(vm, id);
	int i;

	for (i = 0; bus && i < bus->nr; i++) {
		struct mv_io_device *dev = bus->range[i].dev;

		if (dev && match(dev, arg))
			return dev;
	}
	return NULL;
}

/* The number of ranges that begin at or below @addr. */
static int count_up_to(const struct mv_bus *bus, u64 addr)
{
	int low = 0, high = bus->nr, mid;

	while (low < high) {
		mid = (low + high) / 2;
		if (bus->range[mid].addr <= addr)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

int mv_bus_access(struct mv_vcpu *vcpu, enum mv_bus_id id, u64 addr, int len, void *data,
		  bool write)
{
	struct mv_vm *vm = vcpu->vm;
	const struct mv_bus_range *r;
	int i, idx, ret = -EOPNOTSUPP;
	struct mv_io_device *dev;
	struct mv_bus *bus;

	idx = srcu_read_lock(&vm->srcu);
	bus = srcu_dereference(*bus_of(vm, id), &vm->srcu);
	for (i = bus ? count_up_to(bus, addr) : 0; i-- > 0 && bus->range[i].reach > addr;) {
		r = &bus->range[i];
		if (r->len ? !len || addr + len > r->addr + r->len : addr != r->addr)
			continue;
		dev = READ_ONCE(r->dev);
		if (!dev)
			continue;
		if (write)
			ret = dev->ops->write(dev, vcpu, addr, len, data);
		else if (dev->ops->read)
			ret = dev->ops->read(dev, vcpu, addr, len, data);
		if (ret != -EOPNOTSUPP)
			break;
	}
	srcu_read_unlock(&vm->srcu, idx);
	return ret;
}

static void destroy(struct mv_bus *bus)
{
	int i;

	for (i = 0; bus && i < bus->nr; i++) {
		struct mv_io_device *dev = bus->range[i].dev;

		if (dev && dev->ops->destroy)
			dev->ops->destroy(dev);
	}
	kvfree(bus);
}

/* The VM is on its way out; the devices that nobody else frees go with it. */
void mv_bus_destroy(struct mv_vm *vm)
{
	destroy(rcu_access_pointer(vm->pio_bus));
	destroy(rcu_access_pointer(vm->mmio_bus));
}
