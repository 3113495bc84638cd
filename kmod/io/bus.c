// SPDX-License-Identifier: GPL-2.0-only
/*
 * The buses: ranges of ports and of guest-physical addresses, and the
 * devices of the module behind them.
 *
 * Writers hold vm->slots_lock and replace the table; vCPUs read it under RCU,
 * as no device sleeps.
 */
#include <linux/nospec.h>
#include <linux/slab.h>

#include "io/io.h"

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

/*
 * Sorted by @addr. For the search [0] is below all addresses, reaching nowhere,
 * and [nr + 1] above all; between them are the ranges.
 */
struct mv_bus {
	unsigned long nr;
	struct mv_bus_range range[];
};

static struct mv_bus *locked_bus(struct mv_vm *vm, enum mv_bus_id id)
{
	return rcu_dereference_protected(vm->bus[id], lockdep_is_held(&vm->slots_lock));
}

#define for_each_range(r, bus) \
	for ((r) = (bus) ? (bus)->range + 1 : NULL; (r) && (r) <= (bus)->range + (bus)->nr; (r)++)

static void append(struct mv_bus *bus, const struct mv_bus_range *r)
{
	u64 end = r->addr + max(r->len, 1ull), before = bus->range[bus->nr].reach;

	bus->nr++;
	bus->range[bus->nr] = *r;
	bus->range[bus->nr].reach = max(end, before);
}

/* Readers are vCPUs: while there are none, nobody has seen the old table. */
static void wait_for_readers(struct mv_vm *vm)
{
	/* Pairs with vcpu_publish(): who is added after this sees the new table. */
	smp_mb();
	if (READ_ONCE(vm->nr_vcpus))
		synchronize_rcu_expedited();
}

int mv_bus_register(struct mv_vm *vm, enum mv_bus_id id, u64 addr, u64 len,
		    struct mv_io_device *dev)
{
	const struct mv_bus_range add = { .addr = addr, .len = len, .dev = dev };
	struct mv_bus *bus, *old = locked_bus(vm, id);
	struct mv_bus_range *r;
	bool added = false;
	int live = 0;

	for_each_range(r, old)
		live += !!r->dev;
	if (live >= MV_MAX_RANGES)
		return -ENOSPC;
	bus = kvzalloc(struct_size(bus, range, live + 3), GFP_KERNEL_ACCOUNT);
	if (!bus)
		return -ENOMEM;

	for_each_range(r, old) {
		if (!added && r->addr > addr) {
			append(bus, &add);
			added = true;
		}
		if (r->dev)
			append(bus, r);
	}
	if (!added)
		append(bus, &add);
	bus->range[bus->nr + 1].addr = ~0ull;

	rcu_assign_pointer(vm->bus[id], bus);
	wait_for_readers(vm);
	kvfree(old);
	return 0;
}

/* Takes no memory, so it cannot fail. */
void mv_bus_unregister(struct mv_vm *vm, enum mv_bus_id id, struct mv_io_device *dev)
{
	struct mv_bus *bus = locked_bus(vm, id);
	struct mv_bus_range *r;

	for_each_range(r, bus) {
		if (r->dev == dev)
			WRITE_ONCE(r->dev, NULL);
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
	struct mv_bus_range *r;

	for_each_range(r, bus) {
		if (r->dev && match(r->dev, arg))
			return r->dev;
	}
	return NULL;
}

/* Is @r the last range that begins at or below @addr? */
static bool is_last_up_to(const struct mv_bus_range *r, u64 addr)
{
	return r->addr <= addr && addr < (r + 1)->addr;
}

static noinline const struct mv_bus_range *last_up_to(const struct mv_bus *bus, u64 addr)
{
	unsigned long low = 0, high = bus->nr, mid;

	while (low < high) {
		mid = (low + high + 1) / 2;
		if (bus->range[mid].addr <= addr)
			low = mid;
		else
			high = mid - 1;
	}
	return &bus->range[low];
}

/* Where this vCPU has found a device is where it mostly finds the next one. */
static __always_inline const struct mv_bus_range *
search(struct mv_vcpu *vcpu, enum mv_bus_id id, const struct mv_bus *bus, u64 addr)
{
	/* The index may be of another table: 0, then, if this one has not so many. */
	unsigned long i = array_index_nospec(vcpu->bus_index[id], bus->nr + 1);
	const struct mv_bus_range *r = &bus->range[i];

	if (!is_last_up_to(r, addr)) {
		r = last_up_to(bus, addr);
		vcpu->bus_index[id] = r - bus->range;
	}
	return r;
}

int mv_bus_access(struct mv_vcpu *vcpu, enum mv_bus_id id, u64 addr, int len, void *data,
		  bool write)
{
	const struct mv_bus_range *r;
	struct mv_io_device *dev;
	int ret = -EOPNOTSUPP;
	struct mv_bus *bus;

	rcu_read_lock();
	bus = rcu_dereference(vcpu->vm->bus[id]);
	if (!bus)
		goto unlock;
	for (r = search(vcpu, id, bus, addr); r->reach > addr; r--) {
		if (r->len ? addr + len > r->addr + r->len : addr != r->addr)
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
unlock:
	rcu_read_unlock();
	return ret;
}

/*
 * A write whose length nobody has looked at, for a device that takes any: only
 * eventfds are registered so, and what is written does not matter to them.
 */
bool mv_bus_ring(struct mv_vcpu *vcpu, u64 addr)
{
	const struct mv_bus_range *r;
	struct mv_io_device *dev;
	struct mv_bus *bus;
	bool rung = false;

	rcu_read_lock();
	bus = rcu_dereference(vcpu->vm->bus[MV_MMIO_BUS]);
	if (!bus)
		goto unlock;
	for (r = search(vcpu, MV_MMIO_BUS, bus, addr); r->reach > addr; r--) {
		if (r->len || r->addr != addr)
			continue;
		dev = READ_ONCE(r->dev);
		if (!dev)
			continue;
		mv_ioeventfd_signal(dev);
		rung = true;
		break;
	}
unlock:
	rcu_read_unlock();
	return rung;
}

/* The VM is on its way out; the devices that nobody else frees go with it. */
void mv_bus_destroy(struct mv_vm *vm)
{
	struct mv_bus_range *r;
	struct mv_bus *bus;
	enum mv_bus_id id;

	for (id = 0; id < MV_NR_BUSES; id++) {
		bus = rcu_access_pointer(vm->bus[id]);
		for_each_range(r, bus) {
			if (r->dev && r->dev->ops->destroy)
				r->dev->ops->destroy(r->dev);
		}
		kvfree(bus);
	}
}
