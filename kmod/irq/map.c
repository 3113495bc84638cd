// SPDX-License-Identifier: GPL-2.0-only
/*
 * From the destination of an interrupt message to local APICs: SDM vol. 3A,
 * 11.6.2 and 11.12.10.
 */
#include <linux/nospec.h>
#include <linux/slab.h>

#include "base/backend.h"
#include "irq/irq.h"
#include "irq/lapic.h"
#include "mmu/memory.h"

#define XAPIC_BROADCAST 0xffu
#define X2APIC_BROADCAST 0xffffffffu

enum mv_logical_model {
	MV_LOGICAL_UNSET,
	MV_LOGICAL_FLAT,
	MV_LOGICAL_CLUSTER,
	MV_LOGICAL_X2APIC,
	MV_LOGICAL_MIXED,
};

/**
 * struct mv_apic_map - APIC ID to vCPU, for the usual cases
 * @rcu: for freeing it
 * @nr_vcpus: of the VM when it was made; with another number it is stale
 * @model: what all enabled APICs agree on
 * @unique: no two APICs have one physical ID
 * @size: of @phys, a multiple of 16
 * @logical: flat: by bit; cluster: four for each cluster
 * @phys: by physical ID; x2APIC's logical IDs follow from these
 *
 * What a map cannot answer is found by asking each APIC.
 */
struct mv_apic_map {
	struct rcu_head rcu;
	int nr_vcpus;
	enum mv_logical_model model;
	bool unique;
	u32 size;
	struct mv_vcpu *logical[64];
	struct mv_vcpu *phys[];
};

static void map_add_physical(struct mv_apic_map *map, struct mv_vcpu *vcpu)
{
	u32 id = lapic_id(vcpu->lapic);

	/*
	 * An ID above 255 cannot be read in xAPIC mode, but a VM must be able
	 * to start such a vCPU: its true ID reaches it in both modes.
	 */
	if (vcpu->id > 255)
		id = vcpu->id;
	if (map->phys[id])
		map->unique = false;
	map->phys[id] = vcpu;
}

static void map_add_logical(struct mv_apic_map *map, struct mv_vcpu *vcpu)
{
	struct mv_lapic *lapic = vcpu->lapic;
	u32 bits = GET_APIC_LOGICAL_ID(lapic_reg(lapic, APIC_LDR));
	enum mv_logical_model model;
	u32 slot = 0;

	if (!lapic_enabled(lapic))
		return;

	if (lapic_x2apic(lapic)) {
		model = MV_LOGICAL_X2APIC;
	} else if (lapic_reg(lapic, APIC_DFR) == APIC_DFR_FLAT) {
		model = MV_LOGICAL_FLAT;
	} else {
		model = MV_LOGICAL_CLUSTER;
		slot = (bits >> 4) * 4;
		bits &= 0xf;
	}
	if (model != MV_LOGICAL_X2APIC && !bits)
		return;

	if (map->model != MV_LOGICAL_UNSET && map->model != model)
		model = MV_LOGICAL_MIXED;
	if (model == MV_LOGICAL_FLAT || model == MV_LOGICAL_CLUSTER) {
		slot += ffs(bits) - 1;
		/* An APIC with several bits, or one that shares its bit. */
		if (!is_power_of_2(bits) || map->logical[slot])
			model = MV_LOGICAL_MIXED;
		else
			map->logical[slot] = vcpu;
	}
	map->model = model;
}

/* One second-stage table serves all vCPUs: that page is the APIC's for all of them or for none. */
static bool all_xapic_at_default_base(struct mv_vm *vm)
{
	const u64 mask = PAGE_MASK | XAPIC_ENABLE | X2APIC_ENABLE;
	struct mv_vcpu *vcpu;
	int i;

	mv_for_each_vcpu(i, vcpu, vm) {
		if ((READ_ONCE(vcpu->apic_base) & mask) !=
		    (APIC_DEFAULT_PHYS_BASE | XAPIC_ENABLE))
			return false;
	}
	return true;
}

void mv_apic_map_update(struct mv_vm *vm)
{
	struct mv_apic_map *map, *old;
	struct mv_vcpu *vcpu;
	bool access_page;
	u32 size = 256;
	int i;

	mv_for_each_vcpu(i, vcpu, vm)
		size = max_t(u32, size, round_up(vcpu->id + 1, 16));

	/* Without memory the slow path does it all. */
	map = kzalloc(struct_size(map, phys, size), GFP_KERNEL_ACCOUNT);

	spin_lock_bh(&vm->irq_lock);
	if (map) {
		map->unique = true;
		map->size = size;
		mv_for_each_vcpu(i, vcpu, vm) {
			if (!vcpu->lapic || vcpu->id >= size)
				break;
			if (!lapic_hw_enabled(vcpu->lapic))
				continue;
			map_add_physical(map, vcpu);
			map_add_logical(map, vcpu);
		}
		map->nr_vcpus = i;
	}
	old = rcu_replace_pointer(vm->apic_map, map, lockdep_is_held(&vm->irq_lock));
	access_page = vm->apic_access_page;
	WRITE_ONCE(vm->apic_access_page, mv_apicv && all_xapic_at_default_base(vm));
	access_page &= !vm->apic_access_page;
	spin_unlock_bh(&vm->irq_lock);
	if (access_page)
		mv_mmu_zap_page(vm, gpa_to_gfn(APIC_DEFAULT_PHYS_BASE));
	if (old)
		kfree_rcu(old, rcu);
}

void mv_apic_map_destroy(struct mv_vm *vm)
{
	kfree(rcu_access_pointer(vm->apic_map));
	RCU_INIT_POINTER(vm->apic_map, NULL);
}

static bool may_be_broadcast(const struct mv_apic_irq *irq, struct mv_vcpu *self)
{
	return irq->dest == X2APIC_BROADCAST ||
	       (irq->dest == XAPIC_BROADCAST && !(self && lapic_x2apic(self->lapic)));
}

/*
 * Messages of devices have 8-bit IDs, whatever mode the APICs are in, unless
 * userspace has said that it means 32 bits.
 */
static bool is_broadcast(struct mv_vcpu *vcpu, const struct mv_apic_irq *irq,
			 struct mv_vcpu *self)
{
	bool x2apic = false;

	if (self)
		x2apic = lapic_x2apic(self->lapic);
	else if (vcpu->vm->x2apic_api & KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK)
		x2apic = lapic_x2apic(vcpu->lapic);
	return irq->dest == (x2apic ? X2APIC_BROADCAST : XAPIC_BROADCAST);
}

static bool matches(struct mv_vcpu *vcpu, const struct mv_apic_irq *irq, struct mv_vcpu *self)
{
	struct mv_lapic *lapic = vcpu->lapic;
	u32 id, dest = irq->dest;

	if (!lapic || !lapic_hw_enabled(lapic))
		return false;
	switch (irq->shorthand) {
	case APIC_DEST_SELF:
		return vcpu == self;
	case APIC_DEST_ALLINC:
		return true;
	case APIC_DEST_ALLBUT:
		return vcpu != self;
	}

	if (is_broadcast(vcpu, irq, self))
		return true;
	if (!irq->logical)
		return dest == lapic_id(lapic) || (dest > 255 && dest == vcpu->id);

	id = lapic_reg(lapic, APIC_LDR);
	if (lapic_x2apic(lapic))
		return id >> 16 == dest >> 16 && (id & dest & 0xffff);
	id = GET_APIC_LOGICAL_ID(id);
	if (lapic_reg(lapic, APIC_DFR) == APIC_DFR_FLAT)
		return id & dest;
	return id >> 4 == dest >> 4 && (id & dest & 0xf);
}

/* One of the destinations gets it.  Which one: as KVM, spread by vector. */
static bool to_one(const struct mv_apic_irq *irq)
{
	return irq->mode == APIC_DM_LOWEST || irq->redirect;
}

static int deliver_by_asking(struct mv_vm *vm, const struct mv_apic_irq *irq,
			     struct mv_vcpu *self)
{
	struct mv_vcpu *vcpu;
	int i, n = 0, ret = -1;

	if (to_one(irq)) {
		mv_for_each_vcpu(i, vcpu, vm)
			n += matches(vcpu, irq, self) && lapic_enabled(vcpu->lapic);
		if (!n)
			return -1;
		n = irq->vector % n;
	}

	mv_for_each_vcpu(i, vcpu, vm) {
		if (!matches(vcpu, irq, self))
			continue;
		if (to_one(irq) && (!lapic_enabled(vcpu->lapic) || n--))
			continue;
		ret = max(ret, 0) + mv_lapic_accept(vcpu, irq, self);
		if (to_one(irq))
			break;
	}
	return ret;
}

static int deliver_to_set(struct mv_vcpu *const *dst, unsigned long set,
			  const struct mv_apic_irq *irq, struct mv_vcpu *self)
{
	unsigned long bits = set;
	int i, n, ret = 0;

	for_each_set_bit(i, &bits, 16) {
		if (!dst[i] || (to_one(irq) && !lapic_enabled(dst[i]->lapic)))
			__clear_bit(i, &set);
	}
	if (set && to_one(irq)) {
		for (n = irq->vector % hweight16(set); n; n--)
			set &= set - 1;
		set &= -set;
	}
	for_each_set_bit(i, &set, 16)
		ret += mv_lapic_accept(dst[i], irq, self);
	return ret;
}

struct mv_vcpu *mv_apic_find(struct mv_vm *vm, u32 id)
{
	struct mv_vcpu *vcpu = NULL;
	struct mv_apic_map *map;

	rcu_read_lock();
	map = rcu_dereference(vm->apic_map);
	if (map && id < map->size)
		vcpu = map->phys[array_index_nospec(id, map->size)];
	rcu_read_unlock();
	return vcpu; /* which lives as long as the VM */
}

bool mv_apic_ids_are_unique(struct mv_vm *vm)
{
	const struct mv_apic_map *map;
	bool unique;

	rcu_read_lock();
	map = rcu_dereference(vm->apic_map);
	unique = map && map->unique && map->nr_vcpus == READ_ONCE(vm->nr_vcpus);
	rcu_read_unlock();
	return unique;
}

int mv_apic_deliver(struct mv_vm *vm, const struct mv_apic_irq *irq, struct mv_vcpu *self)
{
	u32 dest = irq->dest, slot, limit;
	struct mv_vcpu *const *dst;
	struct mv_apic_map *map;
	unsigned long set;
	int ret = 0;

	rcu_read_lock();
	map = rcu_dereference(vm->apic_map);
	if (!map || irq->shorthand || map->nr_vcpus != READ_ONCE(vm->nr_vcpus) ||
	    may_be_broadcast(irq, self))
		goto ask;

	if (!irq->logical) {
		struct mv_vcpu *vcpu = NULL;

		if (!map->unique)
			goto ask;
		if (dest < map->size)
			vcpu = map->phys[array_index_nospec(dest, map->size)];
		if (vcpu)
			ret = mv_lapic_accept(vcpu, irq, self);
		goto out;
	}

	dst = map->logical;
	limit = ARRAY_SIZE(map->logical);
	switch (map->model) {
	case MV_LOGICAL_FLAT:
		slot = 0;
		set = dest & 0xff;
		break;
	case MV_LOGICAL_CLUSTER:
		slot = (dest >> 4 & 0xf) * 4;
		set = dest & 0xf;
		break;
	case MV_LOGICAL_X2APIC:
		dst = map->phys;
		limit = map->size;
		slot = dest >> 16 << 4;
		set = dest & 0xffff;
		break;
	default:
		goto ask;
	}
	if (slot < limit)
		ret = deliver_to_set(dst + array_index_nospec(slot, limit), set, irq, self);
out:
	rcu_read_unlock();
	return ret;
ask:
	ret = irq->few ? -EAGAIN : deliver_by_asking(vm, irq, self);
	rcu_read_unlock();
	return ret;
}
