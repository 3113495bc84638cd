// SPDX-License-Identifier: GPL-2.0-only
/* KVM_IOEVENTFD: a write to a port or to an address that signals an eventfd. */
#include <linux/eventfd.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "base/compat.h"
#include "io/io.h"

struct mv_ioeventfd {
	struct mv_io_device dev;
	struct eventfd_ctx *eventfd;
	u64 addr;
	u32 len; /* of the writes that it is for, in bytes; 0: any */
	bool wildcard; /* whatever is written; else only @datamatch */
	u64 datamatch;
};

static const struct mv_io_ops ioeventfd_ops;

static struct mv_ioeventfd *to_ioeventfd(const struct mv_io_device *dev)
{
	return container_of(dev, struct mv_ioeventfd, dev);
}

void mv_ioeventfd_signal(const struct mv_io_device *dev)
{
	mv_eventfd_signal(to_ioeventfd(dev)->eventfd);
}

static int ioeventfd_write(struct mv_io_device *dev, struct mv_vcpu *vcpu, u64 addr, int len,
			   const void *data)
{
	struct mv_ioeventfd *e = to_ioeventfd(dev);
	u64 val = 0;

	if (addr != e->addr || (e->len && e->len != len))
		return -EOPNOTSUPP;
	if (!e->wildcard) {
		memcpy(&val, data, len);
		if (val != e->datamatch)
			return -EOPNOTSUPP;
	}
	mv_eventfd_signal(e->eventfd);
	return 0;
}

static void ioeventfd_destroy(struct mv_io_device *dev)
{
	eventfd_ctx_put(to_ioeventfd(dev)->eventfd);
	kfree(to_ioeventfd(dev));
}

static const struct mv_io_ops ioeventfd_ops = {
	.write = ioeventfd_write,
	.destroy = ioeventfd_destroy,
};

/* Is there a write that both are for? */
static bool collides(const struct mv_io_device *dev, const void *arg)
{
	const struct mv_ioeventfd *b = arg, *a = to_ioeventfd(dev);

	if (dev->ops != &ioeventfd_ops || a->addr != b->addr)
		return false;
	if (!a->len || !b->len)
		return true;
	return a->len == b->len &&
	       (a->wildcard || b->wildcard || a->datamatch == b->datamatch);
}

static bool is_same(const struct mv_io_device *dev, const void *arg)
{
	const struct mv_ioeventfd *b = arg, *a = to_ioeventfd(dev);

	return dev->ops == &ioeventfd_ops && a->eventfd == b->eventfd && a->addr == b->addr &&
	       a->len == b->len && a->wildcard == b->wildcard && a->datamatch == b->datamatch;
}

static int assign(struct mv_vm *vm, enum mv_bus_id bus, const struct mv_ioeventfd *what)
{
	struct mv_ioeventfd *e;
	int r;

	if (mv_bus_find(vm, bus, collides, what))
		return -EEXIST;
	e = kmemdup(what, sizeof(*what), GFP_KERNEL_ACCOUNT);
	if (!e)
		return -ENOMEM;
	r = mv_bus_register(vm, bus, e->addr, e->len, &e->dev);
	if (r)
		kfree(e);
	return r;
}

static int deassign(struct mv_vm *vm, enum mv_bus_id bus, const struct mv_ioeventfd *what)
{
	struct mv_io_device *dev = mv_bus_find(vm, bus, is_same, what);

	if (!dev)
		return -ENOENT;
	mv_bus_unregister(vm, bus, dev);
	ioeventfd_destroy(dev);
	return 0;
}

static bool is_valid(const struct kvm_ioeventfd *args)
{
	const u32 flags = KVM_IOEVENTFD_FLAG_DATAMATCH | KVM_IOEVENTFD_FLAG_PIO;

	if (args->flags & ~flags || args->addr + args->len < args->addr)
		return false;
	switch (args->len) {
	case 0:
		return !(args->flags & KVM_IOEVENTFD_FLAG_DATAMATCH);
	case 1:
	case 2:
	case 4:
	case 8:
		return true;
	default:
		return false;
	}
}

long mv_ioeventfd_ioctl(struct mv_vm *vm, const struct kvm_ioeventfd __user *arg)
{
	struct mv_ioeventfd what = { .dev.ops = &ioeventfd_ops };
	struct kvm_ioeventfd args;
	enum mv_bus_id bus;
	bool remove;
	int r;

	if (copy_from_user(&args, arg, sizeof(args)))
		return -EFAULT;
	remove = args.flags & KVM_IOEVENTFD_FLAG_DEASSIGN;
	if (!remove && !is_valid(&args))
		return -EINVAL;
	bus = args.flags & KVM_IOEVENTFD_FLAG_PIO ? MV_PIO_BUS : MV_MMIO_BUS;
	what.addr = args.addr;
	what.len = args.len;
	what.wildcard = !(args.flags & KVM_IOEVENTFD_FLAG_DATAMATCH);
	if (!what.wildcard)
		what.datamatch = args.datamatch;
	what.eventfd = eventfd_ctx_fdget(args.fd);
	if (IS_ERR(what.eventfd))
		return PTR_ERR(what.eventfd);

	mutex_lock(&vm->slots_lock);
	r = remove ? deassign(vm, bus, &what) : assign(vm, bus, &what);
	mutex_unlock(&vm->slots_lock);
	if (r || remove)
		eventfd_ctx_put(what.eventfd);
	return r;
}
