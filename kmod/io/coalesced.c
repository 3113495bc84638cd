// SPDX-License-Identifier: GPL-2.0-only
/*
 * Coalesced MMIO and PIO: writes that userspace need not see at once wait in a
 * ring, a page that every vCPU's descriptor maps, until it looks there.
 */
#include <linux/nospec.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "io/io.h"

struct mv_coalesced_zone {
	struct mv_io_device dev;
	struct kvm_coalesced_mmio_zone zone;
};

static struct mv_coalesced_zone *to_zone(const struct mv_io_device *dev)
{
	return container_of(dev, struct mv_coalesced_zone, dev);
}

/* The ring, made when the first one asks for it: most VMs need none. NULL: no memory. */
struct kvm_coalesced_mmio_ring *mv_coalesced_ring(struct mv_vm *vm)
{
	struct kvm_coalesced_mmio_ring *ring = READ_ONCE(vm->coalesced_ring), *new;

	if (ring)
		return ring;
	new = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (!new)
		return NULL;
	ring = cmpxchg(&vm->coalesced_ring, NULL, new);
	if (ring)
		free_page((unsigned long)new);
	return ring ?: new;
}

/* When the ring is full, the write is userspace's to take, as any other. */
static int coalesced_write(struct mv_io_device *dev, struct mv_vcpu *vcpu, u64 addr, int len,
			   const void *data)
{
	struct mv_vm *vm = vcpu->vm;
	struct kvm_coalesced_mmio_ring *ring = vm->coalesced_ring;
	struct kvm_coalesced_mmio *entry;
	int r = -EOPNOTSUPP;
	u32 last, next;

	spin_lock(&vm->ring_lock);
	/* Userspace can write what it likes to the ring. */
	last = READ_ONCE(ring->last);
	next = (last + 1) % KVM_COALESCED_MMIO_MAX;
	if (last < KVM_COALESCED_MMIO_MAX && next != READ_ONCE(ring->first)) {
		entry = &ring->coalesced_mmio[array_index_nospec(last, KVM_COALESCED_MMIO_MAX)];
		entry->phys_addr = addr;
		entry->len = len;
		entry->pio = to_zone(dev)->zone.pio;
		memcpy(entry->data, data, len);
		/* Userspace reads the entry after it has seen the index move. */
		smp_store_release(&ring->last, next);
		r = 0;
	}
	spin_unlock(&vm->ring_lock);
	return r;
}

static void coalesced_destroy(struct mv_io_device *dev)
{
	kfree(to_zone(dev));
}

static const struct mv_io_ops coalesced_ops = {
	.write = coalesced_write,
	.destroy = coalesced_destroy,
};

static int register_zone(struct mv_vm *vm, enum mv_bus_id bus,
			 const struct kvm_coalesced_mmio_zone *zone)
{
	struct mv_coalesced_zone *z;
	int r;

	/* No write lies in an empty one; to the bus it would be one of any length. */
	if (!zone->size)
		return 0;
	z = kzalloc(sizeof(*z), GFP_KERNEL_ACCOUNT);
	if (!z || !mv_coalesced_ring(vm)) {
		kfree(z);
		return -ENOMEM;
	}
	z->dev.ops = &coalesced_ops;
	z->zone = *zone;
	r = mv_bus_register(vm, bus, zone->addr, zone->size, &z->dev);
	if (r)
		kfree(z);
	return r;
}

static bool contains(const struct mv_io_device *dev, const void *arg)
{
	const struct kvm_coalesced_mmio_zone *part = arg, *zone = &to_zone(dev)->zone;

	return dev->ops == &coalesced_ops && part->addr + part->size >= part->addr &&
	       part->addr >= zone->addr && part->addr + part->size <= zone->addr + zone->size;
}

/* All zones that contain this one. */
static void unregister_zones(struct mv_vm *vm, enum mv_bus_id bus,
			     const struct kvm_coalesced_mmio_zone *zone)
{
	struct mv_io_device *dev;

	while ((dev = mv_bus_find(vm, bus, contains, zone))) {
		mv_bus_unregister(vm, bus, dev);
		coalesced_destroy(dev);
	}
}

long mv_coalesced_ioctl(struct mv_vm *vm, const struct kvm_coalesced_mmio_zone __user *arg,
			bool add)
{
	struct kvm_coalesced_mmio_zone zone;
	enum mv_bus_id bus;
	int r = 0;

	if (copy_from_user(&zone, arg, sizeof(zone)))
		return -EFAULT;
	if (zone.pio > 1)
		return -EINVAL;
	bus = zone.pio ? MV_PIO_BUS : MV_MMIO_BUS;
	mutex_lock(&vm->slots_lock);
	if (add)
		r = register_zone(vm, bus, &zone);
	else
		unregister_zones(vm, bus, &zone);
	mutex_unlock(&vm->slots_lock);
	return r;
}
