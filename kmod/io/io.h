/* SPDX-License-Identifier: GPL-2.0-only */
/* The buses, and the devices of the module on them. */
#ifndef MV_IO_IO_H
#define MV_IO_IO_H

#include "base/vm.h"

struct mv_io_device;

struct mv_io_ops {
	/*
	 * 0: done; -EOPNOTSUPP: not for this device, go on looking.  They do not sleep.
	 * @read may be missing; @data is all zero before it.
	 */
	int (*read)(struct mv_io_device *dev, struct mv_vcpu *vcpu, u64 addr, int len, void *data);
	int (*write)(struct mv_io_device *dev, struct mv_vcpu *vcpu, u64 addr, int len,
		     const void *data);
	/* Optional, with one range only: at the end of the VM. */
	void (*destroy)(struct mv_io_device *dev);
};

struct mv_io_device {
	const struct mv_io_ops *ops;
};

int mv_bus_register(struct mv_vm *vm, enum mv_bus_id bus, u64 addr, u64 len,
		    struct mv_io_device *dev); /* vm->slots_lock held */
void mv_bus_unregister(struct mv_vm *vm, enum mv_bus_id bus, struct mv_io_device *dev);
struct mv_io_device *mv_bus_find(struct mv_vm *vm, enum mv_bus_id bus,
				 bool (*match)(const struct mv_io_device *dev, const void *arg),
				 const void *arg);
/* 0, or -EOPNOTSUPP: for userspace. What is read goes into @data, all zero before. */
int mv_bus_access(struct mv_vcpu *vcpu, enum mv_bus_id bus, u64 addr, int len, void *data,
		  bool write);
bool mv_bus_ring(struct mv_vcpu *vcpu, u64 addr);
void mv_bus_destroy(struct mv_vm *vm);

/* ---- io/ioeventfd.c, io/coalesced.c ---------------------------------------- */

long mv_ioeventfd_ioctl(struct mv_vm *vm, const struct kvm_ioeventfd __user *arg);
void mv_ioeventfd_signal(const struct mv_io_device *dev);
long mv_coalesced_ioctl(struct mv_vm *vm, const struct kvm_coalesced_mmio_zone __user *arg,
			bool add);
struct kvm_coalesced_mmio_ring *mv_coalesced_ring(struct mv_vm *vm);

#endif /* MV_IO_IO_H */
