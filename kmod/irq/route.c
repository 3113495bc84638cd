// SPDX-License-Identifier: GPL-2.0-only
/*
 * From GSIs to pins and messages, the ioctls of the chips, and their life.
 */
#include <linux/nospec.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "irq/chips.h"
#include "irq/irq.h"

#define MV_NR_GSIS MV_MAX_ROUTES
#define NO_PIN (-1)
#define NO_GSI (~0u) /* all bits, for memset() */

/* Where a GSI leads: to one message, or to at most one pin of each chip. */
struct mv_route {
	bool msi;
	s8 pin[KVM_NR_IRQCHIPS];
	u32 address_lo, address_hi, data;
};

/**
 * struct mv_routing - all GSIs of a VM
 * @gsi: the GSI that leads to a pin, by chip; NO_GSI: none
 * @nr: of @route
 * @route: by GSI
 */
struct mv_routing {
	u32 gsi[KVM_NR_IRQCHIPS][MV_NR_PINS];
	u32 nr;
	struct mv_route route[];
};

/* ---- delivery ------------------------------------------------------------- */

/* SDM vol. 3A, 11.11 */
static int send_msi(struct mv_vm *vm, u32 address_lo, u32 address_hi, u32 data, bool few)
{
	struct mv_apic_irq irq = {
		.dest = address_lo >> 12 & 0xff,
		.mode = data & APIC_MODE_MASK,
		.vector = data & APIC_VECTOR_MASK,
		.logical = address_lo & BIT(2),
		.level = data & APIC_INT_LEVELTRIG,
		.redirect = address_lo & BIT(3),
		.few = few,
	};

	/* KVM_CAP_X2APIC_API: bits 31:8 of the ID are in the upper half. */
	if (vm->x2apic_api & KVM_X2APIC_API_USE_32BIT_IDS) {
		if (address_hi & 0xff)
			return -EINVAL;
		irq.dest |= address_hi;
	}
	return mv_apic_deliver(vm, &irq, NULL);
}

static int set_pins(struct mv_irqchip *chips, const struct mv_route *route, int level, int source)
{
	int chip, pin, r, ret = -1;

	lockdep_assert_held(&chips->vm->irq_lock);
	for (chip = 0; chip < KVM_NR_IRQCHIPS; chip++) {
		pin = route->pin[chip];
		if (pin == NO_PIN)
			continue;
		if (chip == KVM_IRQCHIP_IOAPIC)
			r = mv_ioapic_set_irq(chips, pin, source, level);
		else
			r = mv_pic_set_irq(chips, pin + 8 * chip, source, level);
		if (r >= 0)
			ret = max(ret, 0) + r;
	}
	return ret;
}

static const struct mv_route *find_route(const struct mv_routing *routing, u32 gsi)
{
	if (!routing || gsi >= routing->nr)
		return NULL;
	return &routing->route[array_index_nospec(gsi, routing->nr)];
}

static struct mv_routing *locked_routing(struct mv_vm *vm)
{
	return rcu_dereference_protected(vm->routing, lockdep_is_held(&vm->irq_lock));
}

int mv_set_irq_locked(struct mv_irqchip *chips, u32 gsi, int level, int source)
{
	const struct mv_route *route = find_route(locked_routing(chips->vm), gsi);

	if (!route)
		return -1;
	if (!route->msi)
		return set_pins(chips, route, level, source);
	if (!level)
		return -1;
	return send_msi(chips->vm, route->address_lo, route->address_hi, route->data, false);
}

/*
 * From any context: if @gsi leads to a message for no more vCPUs than one entry
 * of the APIC map has, send it. false: it does not, and mv_set_irq() is due.
 */
bool mv_send_gsi_msi(struct mv_vm *vm, u32 gsi)
{
	const struct mv_route *route;
	bool msi;
	int idx;

	idx = srcu_read_lock(&vm->srcu);
	route = find_route(srcu_dereference(vm->routing, &vm->srcu), gsi);
	msi = route && route->msi;
	if (msi)
		msi = send_msi(vm, route->address_lo, route->address_hi, route->data,
			       true) != -EAGAIN;
	srcu_read_unlock(&vm->srcu, idx);
	return msi;
}

/* Messages take no lock: they are the way of the fast devices. */
int mv_set_irq(struct mv_vm *vm, u32 gsi, int level, int source)
{
	struct mv_irqchip *chips = mv_chips(vm);
	const struct mv_route *route;
	int idx, ret = -1;

	idx = srcu_read_lock(&vm->srcu);
	route = find_route(srcu_dereference(vm->routing, &vm->srcu), gsi);
	if (route && route->msi) {
		if (level)
			ret = send_msi(vm, route->address_lo, route->address_hi, route->data,
				       false);
	} else if (route && chips) {
		spin_lock_bh(&vm->irq_lock);
		ret = set_pins(chips, route, level, source);
		spin_unlock_bh(&vm->irq_lock);
	}
	srcu_read_unlock(&vm->srcu, idx);
	return ret;
}

/* ---- who waits for the end of an interrupt --------------------------------- */

static bool is_pit(struct mv_irqchip *chips, u32 chip, u32 pin)
{
	return chips->pit && locked_routing(chips->vm)->gsi[chip][pin] == MV_PIT_GSI;
}

static bool pit_wants_ack(struct mv_irqchip *chips, u32 chip, u32 pin)
{
	return is_pit(chips, chip, pin) && chips->pit->reinject;
}

bool mv_pin_wants_ack(struct mv_irqchip *chips, u32 chip, u32 pin)
{
	return pit_wants_ack(chips, chip, pin) ||
	       mv_irqfd_resamples(chips, locked_routing(chips->vm)->gsi[chip][pin]);
}

void mv_pin_acked(struct mv_irqchip *chips, u32 chip, u32 pin)
{
	if (pit_wants_ack(chips, chip, pin))
		mv_pit_acked(chips);
	mv_irqfd_acked(chips, locked_routing(chips->vm)->gsi[chip][pin]);
}

void mv_pin_unmasked(struct mv_irqchip *chips, u32 chip, u32 pin)
{
	if (is_pit(chips, chip, pin))
		mv_pit_forget_ticks(chips);
}

/* ---- the table ------------------------------------------------------------ */

static struct mv_routing *alloc_routing(u32 nr_gsis)
{
	struct mv_routing *routing;
	u32 i;

	routing = kvzalloc(struct_size(routing, route, nr_gsis), GFP_KERNEL_ACCOUNT);
	if (!routing)
		return NULL;
	memset(routing->gsi, (u8)NO_GSI, sizeof(routing->gsi));
	routing->nr = nr_gsis;
	for (i = 0; i < nr_gsis; i++)
		memset(routing->route[i].pin, NO_PIN, sizeof(routing->route[i].pin));
	return routing;
}

static bool is_free(const struct mv_route *route)
{
	int chip;

	for (chip = 0; chip < KVM_NR_IRQCHIPS; chip++) {
		if (route->pin[chip] != NO_PIN)
			return false;
	}
	return !route->msi;
}

static int add_pin(struct mv_routing *routing, u32 gsi, u32 chip, u32 pin)
{
	struct mv_route *route = &routing->route[gsi];

	if (chip >= KVM_NR_IRQCHIPS)
		return -EINVAL;
	chip = array_index_nospec(chip, KVM_NR_IRQCHIPS);
	if (pin >= (chip == KVM_IRQCHIP_IOAPIC ? MV_NR_PINS : 8))
		return -EINVAL;
	if (route->msi || route->pin[chip] != NO_PIN)
		return -EINVAL;
	route->pin[chip] = pin;
	routing->gsi[chip][pin] = gsi;
	return 0;
}

static int add_entry(struct mv_vm *vm, struct mv_routing *routing,
		     const struct kvm_irq_routing_entry *e)
{
	u32 gsi = array_index_nospec(e->gsi, routing->nr);
	struct mv_route *route = &routing->route[gsi];

	switch (e->type) {
	case KVM_IRQ_ROUTING_IRQCHIP:
		if (e->flags || vm->split_irqchip)
			return -EINVAL;
		return add_pin(routing, gsi, e->u.irqchip.irqchip, e->u.irqchip.pin);
	case KVM_IRQ_ROUTING_MSI:
		if (e->flags & ~KVM_MSI_VALID_DEVID || !is_free(route))
			return -EINVAL;
		if (vm->x2apic_api & KVM_X2APIC_API_USE_32BIT_IDS && e->u.msi.address_hi & 0xff)
			return -EINVAL;
		route->msi = true;
		route->address_lo = e->u.msi.address_lo;
		route->address_hi = e->u.msi.address_hi;
		route->data = e->u.msi.data;
		return 0;
	default:
		return -EINVAL;
	}
}

/* The level-triggered pins of userspace's IOAPIC. */
static void update_split_eoi_vectors(struct mv_vm *vm, const struct mv_routing *routing)
{
	u32 gsi, nr = min(routing->nr, vm->nr_ioapic_routes);
	DECLARE_BITMAP(vectors, 256) = {};

	for (gsi = 0; gsi < nr; gsi++) {
		const struct mv_route *route = &routing->route[gsi];

		if (route->msi && route->data & APIC_INT_LEVELTRIG)
			__set_bit(route->data & APIC_VECTOR_MASK, vectors);
	}
	mv_set_eoi_vectors(vm, vectors);
}

/* Returns what was there: to be freed when the readers under vm->srcu are gone. */
static struct mv_routing *install_routing(struct mv_vm *vm, struct mv_routing *routing)
{
	struct mv_routing *old;

	lockdep_assert_held(&vm->lock);
	spin_lock_bh(&vm->irq_lock);
	old = rcu_replace_pointer(vm->routing, routing, lockdep_is_held(&vm->irq_lock));
	if (vm->irqchip)
		mv_ioapic_update_eoi_vectors(vm->irqchip);
	else if (vm->split_irqchip)
		update_split_eoi_vectors(vm, routing);
	spin_unlock_bh(&vm->irq_lock);
	return old;
}

/* GSI n is pin n of the two PICs, seen as one chip of 16, and of the IOAPIC. */
static struct mv_routing *default_routing(void)
{
	struct mv_routing *routing = alloc_routing(MV_NR_PINS);
	u32 gsi;

	for (gsi = 0; routing && gsi < MV_NR_PINS; gsi++) {
		if (gsi < MV_PIC_PINS)
			add_pin(routing, gsi, gsi / 8, gsi % 8);
		add_pin(routing, gsi, KVM_IRQCHIP_IOAPIC, gsi);
	}
	return routing;
}

static struct mv_routing *make_routing(struct mv_vm *vm,
				       const struct kvm_irq_routing_entry *entries, u32 nr)
{
	struct mv_routing *routing;
	u32 i, nr_gsis = MV_NR_PINS;
	int err = 0;

	for (i = 0; i < nr; i++) {
		if (entries[i].gsi >= MV_NR_GSIS)
			return ERR_PTR(-EINVAL);
		nr_gsis = max(nr_gsis, entries[i].gsi + 1);
	}
	routing = alloc_routing(nr_gsis);
	if (!routing)
		return ERR_PTR(-ENOMEM);
	for (i = 0; i < nr && !err; i++)
		err = add_entry(vm, routing, &entries[i]);
	if (err) {
		kvfree(routing);
		return ERR_PTR(err);
	}
	return routing;
}

static long set_gsi_routing(struct mv_vm *vm, struct kvm_irq_routing __user *arg)
{
	struct mv_routing *routing, *old = NULL;
	struct kvm_irq_routing_entry *entries = NULL;
	struct kvm_irq_routing head;

	if (copy_from_user(&head, arg, sizeof(head)))
		return -EFAULT;
	if (!mv_chips(vm) && !READ_ONCE(vm->split_irqchip))
		return -EINVAL;
	if (head.nr > MV_MAX_ROUTES || head.flags)
		return -EINVAL;
	if (head.nr) {
		entries = vmemdup_user(arg->entries, array_size(sizeof(*entries), head.nr));
		if (IS_ERR(entries))
			return PTR_ERR(entries);
	}

	mutex_lock(&vm->lock);
	routing = make_routing(vm, entries, head.nr);
	if (!IS_ERR(routing))
		old = install_routing(vm, routing);
	mutex_unlock(&vm->lock);
	kvfree(entries);
	if (old) {
		synchronize_srcu_expedited(&vm->srcu);
		kvfree(old);
	}
	return PTR_ERR_OR_ZERO(routing);
}

/* ---- ioctls --------------------------------------------------------------- */

static int irqchip_create(struct mv_vm *vm)
{
	struct mv_irqchip *chips;
	struct mv_routing *routing;
	int err;

	lockdep_assert_held(&vm->lock);
	if (vm->irqchip || vm->split_irqchip)
		return -EEXIST;
	if (vm->nr_vcpus)
		return -EINVAL;

	chips = kzalloc(sizeof(*chips), GFP_KERNEL_ACCOUNT);
	routing = default_routing();
	if (!chips || !routing) {
		err = -ENOMEM;
		goto free;
	}
	chips->vm = vm;
	mv_pic_init(chips);
	mv_ioapic_init(chips);

	mutex_lock(&vm->slots_lock);
	err = mv_bus_register(vm, MV_PIO_BUS, 0x20, 2, &chips->pic.dev);
	if (!err)
		err = mv_bus_register(vm, MV_PIO_BUS, 0xa0, 2, &chips->pic.dev);
	if (!err)
		err = mv_bus_register(vm, MV_PIO_BUS, 0x4d0, 2, &chips->pic.dev);
	if (!err)
		err = mv_bus_register(vm, MV_MMIO_BUS, IO_APIC_DEFAULT_PHYS_BASE, 0x100,
				      &chips->ioapic.dev);
	if (err)
		mv_bus_unregister(vm, MV_PIO_BUS, &chips->pic.dev);
	mutex_unlock(&vm->slots_lock);
	if (err)
		goto free;

	/* There were none before, as they need a chip. */
	install_routing(vm, routing);
	/* Pairs with mv_chips(): whole, with its routes, when it is seen. */
	smp_store_release(&vm->irqchip, chips);
	return 0;

free:
	kvfree(routing);
	kfree(chips);
	return err;
}

static long irq_line(struct mv_vm *vm, struct kvm_irq_level __user *arg, bool status)
{
	struct kvm_irq_level line;

	if (copy_from_user(&line, arg, sizeof(line)))
		return -EFAULT;
	if (!mv_chips(vm) && !vm->split_irqchip)
		return -ENXIO;
	line.status = mv_set_irq(vm, line.irq, line.level, MV_IRQ_SOURCE_USER);
	if (status && copy_to_user(arg, &line, sizeof(line)))
		return -EFAULT;
	return 0;
}

static long signal_msi(struct mv_vm *vm, struct kvm_msi __user *arg)
{
	struct kvm_msi msi;

	if (copy_from_user(&msi, arg, sizeof(msi)))
		return -EFAULT;
	if ((!mv_chips(vm) && !vm->split_irqchip) || msi.flags & ~KVM_MSI_VALID_DEVID)
		return -EINVAL;
	return send_msi(vm, msi.address_lo, msi.address_hi, msi.data, false);
}

static long irqchip_state(struct mv_vm *vm, struct kvm_irqchip __user *arg, bool set)
{
	struct mv_irqchip *chips = mv_chips(vm);
	struct kvm_irqchip *s;
	long err = 0;

	s = memdup_user(arg, sizeof(*s));
	if (IS_ERR(s))
		return PTR_ERR(s);

	if (!chips) {
		err = -ENXIO;
	} else if (s->chip_id >= KVM_NR_IRQCHIPS) {
		err = -EINVAL;
	} else {
		spin_lock_bh(&vm->irq_lock);
		if (s->chip_id == KVM_IRQCHIP_IOAPIC) {
			if (set)
				mv_ioapic_set(chips, &s->chip.ioapic);
			else
				mv_ioapic_get(chips, &s->chip.ioapic);
		} else {
			int id = array_index_nospec(s->chip_id, 2);

			if (set)
				mv_pic_set(chips, id, &s->chip.pic);
			else
				mv_pic_get(chips, id, &s->chip.pic);
		}
		spin_unlock_bh(&vm->irq_lock);
		if (set && s->chip_id == KVM_IRQCHIP_IOAPIC)
			mv_ioapic_send_all(chips);
		if (!set && copy_to_user(arg, s, sizeof(*s)))
			err = -EFAULT;
	}
	kfree(s);
	return err;
}

static long create(struct mv_vm *vm, const struct kvm_pit_config *pit)
{
	long r;

	mutex_lock(&vm->lock);
	r = pit ? mv_pit_create(vm, pit) : irqchip_create(vm);
	mutex_unlock(&vm->lock);
	return r;
}

/* Each takes the locks that it needs, around no copy from or to userspace. */
long mv_irq_vm_ioctl(struct mv_vm *vm, unsigned int nr, unsigned long arg)
{
	struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };
	void __user *argp = (void __user *)arg;

	switch (nr) {
	case KVM_CREATE_IRQCHIP:
		return create(vm, NULL);
	case KVM_CREATE_PIT2:
		if (copy_from_user(&pit, argp, sizeof(pit)))
			return -EFAULT;
		fallthrough;
	case KVM_CREATE_PIT:
		return create(vm, &pit);
	case KVM_GET_IRQCHIP:
	case KVM_SET_IRQCHIP:
		return irqchip_state(vm, argp, nr == KVM_SET_IRQCHIP);
	case KVM_SET_GSI_ROUTING:
		return set_gsi_routing(vm, argp);
	case KVM_IRQFD:
		return mv_irqfd_ioctl(vm, argp);
	case KVM_GET_PIT:
	case KVM_SET_PIT:
	case KVM_GET_PIT2:
	case KVM_SET_PIT2:
	case KVM_REINJECT_CONTROL:
		return mv_pit_ioctl(vm, nr, argp);
	case KVM_IRQ_LINE:
	case KVM_IRQ_LINE_STATUS:
		return irq_line(vm, argp, nr == KVM_IRQ_LINE_STATUS);
	case KVM_SIGNAL_MSI:
		return signal_msi(vm, argp);
	default:
		return -ENOTTY;
	}
}

/* ---- life ----------------------------------------------------------------- */

int mv_irqchip_split(struct mv_vm *vm, u64 nr_routes)
{
	int err = 0;

	if (nr_routes > MV_MAX_ROUTES)
		return -EINVAL;
	mutex_lock(&vm->lock);
	if (vm->irqchip || vm->split_irqchip || vm->nr_vcpus) {
		err = -EEXIST;
	} else {
		vm->nr_ioapic_routes = nr_routes;
		WRITE_ONCE(vm->split_irqchip, true);
	}
	mutex_unlock(&vm->lock);
	return err;
}

/*
 * The last descriptor is closed: no vCPU runs and no ioctl comes.  Before the
 * vCPUs go: until then the timer of the PIT may interrupt them.
 */
void mv_irqchip_destroy(struct mv_vm *vm)
{
	struct mv_irqchip *chips = vm->irqchip;

	if (chips) {
		mv_pit_destroy(chips);
		mv_ioapic_stop(chips);
		kfree(chips);
		vm->irqchip = NULL;
	}
	kvfree(rcu_access_pointer(vm->routing));
	RCU_INIT_POINTER(vm->routing, NULL);
	mv_apic_map_destroy(vm);
}
