// SPDX-License-Identifier: GPL-2.0-only
/*
 * KVM_IRQFD: an eventfd that raises a GSI.
 *
 * Who signals the eventfd calls irqfd_wakeup(), with the lock of its wait
 * queue held and interrupts off.  Messages to few vCPUs are sent right there.
 * Those to many, and pins, whose lock is taken with interrupts on, go by a work
 * item.
 *
 * With KVM_IRQFD_FLAG_RESAMPLE the eventfd raises a level-triggered line.  It
 * goes down by itself at the end of the interrupt, and the other eventfd tells
 * the device, which signals again if it still wants something.  The vCPU that
 * has ended the interrupt signals those eventfds, with no lock but
 * vm->irqfds_lock, before it enters the guest again: how many wait for them is
 * userspace's choice.
 *
 * A work item of the kernel takes vm->irqfds_lock, so nobody who holds it waits
 * for userspace: not in a copy, nor for a lock or a grace period that does.
 */
#include <linux/eventfd.h>
#include <linux/file.h>
#include <linux/poll.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "base/compat.h"
#include "base/request.h"
#include "irq/chips.h"
#include "irq/irq.h"

/* A bound on what the end of one interrupt signals. */
#define MV_MAX_RESAMPLED 1024

struct mv_irqfd {
	/* Under vm->irqfds_lock: */
	struct list_head list; /* in vm->irqfds */
	struct list_head resampled; /* in vm->resampled_irqfds, if @resample */
	struct list_head untold; /* in vm->untold_irqfds: @resample is to be signaled */
	struct mv_vm *vm;
	u32 gsi;
	bool closed; /* the last descriptor of @eventfd is: no signal comes any more */
	struct eventfd_ctx *eventfd;
	struct eventfd_ctx *resample; /* the end of the interrupt signals it; NULL: none */
	wait_queue_entry_t wait;
	poll_table poll;
	struct work_struct inject;
};

static void irqfd_inject(struct work_struct *work)
{
	struct mv_irqfd *irqfd = container_of(work, struct mv_irqfd, inject);

	if (irqfd->resample) {
		mv_set_irq(irqfd->vm, irqfd->gsi, 1, MV_IRQ_SOURCE_IRQFD);
	} else {
		mv_set_irq(irqfd->vm, irqfd->gsi, 1, MV_IRQ_SOURCE_USER);
		mv_set_irq(irqfd->vm, irqfd->gsi, 0, MV_IRQ_SOURCE_USER);
	}
}

static int irqfd_wakeup(wait_queue_entry_t *wait, unsigned int mode, int sync, void *key)
{
	struct mv_irqfd *irqfd = container_of(wait, struct mv_irqfd, wait);
	__poll_t events = key_to_poll(key);
	u64 count;

	if (events & EPOLLHUP) {
		WRITE_ONCE(irqfd->closed, true);
		schedule_work(&irqfd->vm->irqfd_reaper);
	}
	if (!(events & EPOLLIN))
		return 0;
	eventfd_ctx_do_read(irqfd->eventfd, &count);
	if (!mv_send_gsi_msi(irqfd->vm, irqfd->gsi))
		schedule_work(&irqfd->inject);
	return 1;
}

/* Before userspace's own waiters: they are not to be woken. */
static void irqfd_queue(struct file *file, wait_queue_head_t *head, poll_table *poll)
{
	struct mv_irqfd *irqfd = container_of(poll, struct mv_irqfd, poll);

	add_wait_queue_priority(head, &irqfd->wait);
}

/* ---- resampling ------------------------------------------------------------- */

bool mv_irqfd_resamples(struct mv_irqchip *chips, u32 gsi)
{
	lockdep_assert_held(&chips->vm->irq_lock);
	return gsi < MV_MAX_ROUTES && test_bit(gsi, chips->resampled);
}

void mv_irqfd_acked(struct mv_irqchip *chips, u32 gsi)
{
	if (!mv_irqfd_resamples(chips, gsi))
		return;
	mv_set_irq_locked(chips, gsi, 0, MV_IRQ_SOURCE_IRQFD);
	set_bit(gsi, chips->ended);
	/* Interrupts end in the thread of a vCPU. */
	mv_request(mv_loaded_vcpu(), MV_REQ_RESAMPLE);
}

void mv_irqfd_resample(struct mv_vm *vm)
{
	struct mv_irqchip *chips = mv_chips(vm);
	struct mv_irqfd *irqfd;
	u32 gsi;

	mutex_lock(&vm->irqfds_lock);
	for_each_set_bit(gsi, chips->ended, MV_MAX_ROUTES) {
		clear_bit(gsi, chips->ended);
		list_for_each_entry(irqfd, &vm->resampled_irqfds, resampled) {
			if (irqfd->gsi == gsi)
				list_move_tail(&irqfd->untold, &vm->untold_irqfds);
		}
	}
	while (!list_empty(&vm->untold_irqfds) && !fatal_signal_pending(current)) {
		irqfd = list_first_entry(&vm->untold_irqfds, struct mv_irqfd, untold);
		list_del_init(&irqfd->untold);
		mv_eventfd_signal(irqfd->resample);
		/* One alone may wake many. */
		mutex_unlock(&vm->irqfds_lock);
		cond_resched();
		mutex_lock(&vm->irqfds_lock);
	}
	mutex_unlock(&vm->irqfds_lock);
}

static bool is_resampled(struct mv_vm *vm, u32 gsi)
{
	struct mv_irqfd *irqfd;

	list_for_each_entry(irqfd, &vm->resampled_irqfds, resampled) {
		if (irqfd->gsi == gsi)
			return true;
	}
	return false;
}

/* The first that waits for the end of the GSI's interrupt has come, or the last has gone. */
static void set_resampled(struct mv_irqchip *chips, u32 gsi, bool resampled)
{
	/* No route leads from other GSIs. */
	if (gsi >= MV_MAX_ROUTES)
		return;
	spin_lock_bh(&chips->vm->irq_lock);
	__assign_bit(gsi, chips->resampled, resampled);
	/* Nobody could tell when the line goes down. */
	if (!resampled)
		mv_set_irq_locked(chips, gsi, 0, MV_IRQ_SOURCE_IRQFD);
	mv_ioapic_update_eoi_vectors(chips);
	spin_unlock_bh(&chips->vm->irq_lock);
}

static void add_resampled(struct mv_irqfd *irqfd)
{
	struct mv_vm *vm = irqfd->vm;
	bool first = !is_resampled(vm, irqfd->gsi);

	list_add(&irqfd->resampled, &vm->resampled_irqfds);
	if (first)
		set_resampled(mv_chips(vm), irqfd->gsi, true);
}

static void remove_resampled(struct mv_irqfd *irqfd)
{
	struct mv_vm *vm = irqfd->vm;

	list_del(&irqfd->untold);
	list_del(&irqfd->resampled);
	if (!is_resampled(vm, irqfd->gsi))
		set_resampled(mv_chips(vm), irqfd->gsi, false);
}

/* ---- life ------------------------------------------------------------------- */

static void irqfd_free(struct mv_irqfd *irqfd)
{
	u64 count;

	lockdep_assert_held(&irqfd->vm->irqfds_lock);
	list_del(&irqfd->list);
	/* From here on nobody wakes it, so nothing makes it work again. */
	eventfd_ctx_remove_wait_queue(irqfd->eventfd, &irqfd->wait, &count);
	/* What was signalled before counts; not by waiting for others' work. */
	if (cancel_work_sync(&irqfd->inject))
		irqfd_inject(&irqfd->inject);
	if (irqfd->resample) {
		remove_resampled(irqfd);
		eventfd_ctx_put(irqfd->resample);
	}
	eventfd_ctx_put(irqfd->eventfd);
	kfree(irqfd);
}

/* Frees what is closed; it cannot go away in its own wake-up. */
static void irqfd_reap(struct work_struct *work)
{
	struct mv_vm *vm = container_of(work, struct mv_vm, irqfd_reaper);
	struct mv_irqfd *irqfd, *next;

	mutex_lock(&vm->irqfds_lock);
	list_for_each_entry_safe(irqfd, next, &vm->irqfds, list) {
		if (READ_ONCE(irqfd->closed))
			irqfd_free(irqfd);
	}
	mutex_unlock(&vm->irqfds_lock);
}

void mv_irqfd_init_vm(struct mv_vm *vm)
{
	mutex_init(&vm->irqfds_lock);
	INIT_LIST_HEAD(&vm->irqfds);
	INIT_LIST_HEAD(&vm->resampled_irqfds);
	INIT_LIST_HEAD(&vm->untold_irqfds);
	INIT_WORK(&vm->irqfd_reaper, irqfd_reap);
}

void mv_irqfd_release_vm(struct mv_vm *vm)
{
	struct mv_irqfd *irqfd, *next;

	mutex_lock(&vm->irqfds_lock);
	list_for_each_entry_safe(irqfd, next, &vm->irqfds, list)
		irqfd_free(irqfd);
	mutex_unlock(&vm->irqfds_lock);
	cancel_work_sync(&vm->irqfd_reaper);
}

/* ---- the ioctl -------------------------------------------------------------- */

static int check_room(struct mv_irqfd *new)
{
	struct mv_irqfd *irqfd;
	int nr = 0;

	list_for_each_entry(irqfd, &new->vm->irqfds, list) {
		if (irqfd->eventfd == new->eventfd)
			return -EBUSY;
		nr += !!irqfd->resample;
	}
	return new->resample && nr >= MV_MAX_RESAMPLED ? -ENOSPC : 0;
}

static int assign(struct mv_vm *vm, const struct kvm_irqfd *args)
{
	bool resample = args->flags & KVM_IRQFD_FLAG_RESAMPLE;
	struct mv_irqfd *irqfd;
	struct file *file;
	int r;

	/* Only chips of the module can tell of the end of an interrupt. */
	if (!mv_chips(vm) && (resample || !READ_ONCE(vm->split_irqchip)))
		return -EINVAL;
	irqfd = kzalloc(sizeof(*irqfd), GFP_KERNEL_ACCOUNT);
	if (!irqfd)
		return -ENOMEM;
	irqfd->vm = vm;
	irqfd->gsi = args->gsi;
	INIT_LIST_HEAD(&irqfd->untold);
	INIT_WORK(&irqfd->inject, irqfd_inject);
	init_waitqueue_func_entry(&irqfd->wait, irqfd_wakeup);
	init_poll_funcptr(&irqfd->poll, irqfd_queue);

	/* Held until all is done: meanwhile it does not close. */
	r = -EBADF;
	file = fget(args->fd);
	if (!file)
		goto free;
	irqfd->eventfd = eventfd_ctx_fileget(file);
	r = PTR_ERR_OR_ZERO(irqfd->eventfd);
	if (r)
		goto put_file;
	if (resample) {
		irqfd->resample = eventfd_ctx_fdget(args->resamplefd);
		r = PTR_ERR_OR_ZERO(irqfd->resample);
		if (r)
			goto put_eventfd;
	}
	mutex_lock(&vm->irqfds_lock);
	r = check_room(irqfd);
	if (r)
		goto unlock;

	list_add(&irqfd->list, &vm->irqfds);
	if (resample)
		add_resampled(irqfd);
	/* What was signalled before counts. */
	if (vfs_poll(file, &irqfd->poll) & EPOLLIN)
		schedule_work(&irqfd->inject);
	mutex_unlock(&vm->irqfds_lock);
	fput(file);
	return 0;

unlock:
	mutex_unlock(&vm->irqfds_lock);
	if (resample)
		eventfd_ctx_put(irqfd->resample);
put_eventfd:
	eventfd_ctx_put(irqfd->eventfd);
put_file:
	fput(file);
free:
	kfree(irqfd);
	return r;
}

static int deassign(struct mv_vm *vm, const struct kvm_irqfd *args)
{
	struct eventfd_ctx *eventfd = eventfd_ctx_fdget(args->fd);
	struct mv_irqfd *irqfd, *next;

	if (IS_ERR(eventfd))
		return PTR_ERR(eventfd);
	mutex_lock(&vm->irqfds_lock);
	list_for_each_entry_safe(irqfd, next, &vm->irqfds, list) {
		if (irqfd->eventfd == eventfd && irqfd->gsi == args->gsi)
			irqfd_free(irqfd);
	}
	mutex_unlock(&vm->irqfds_lock);
	eventfd_ctx_put(eventfd);
	return 0;
}

long mv_irqfd_ioctl(struct mv_vm *vm, const struct kvm_irqfd __user *arg)
{
	struct kvm_irqfd args;

	if (copy_from_user(&args, arg, sizeof(args)))
		return -EFAULT;
	if (args.flags & ~(KVM_IRQFD_FLAG_DEASSIGN | KVM_IRQFD_FLAG_RESAMPLE))
		return -EINVAL;
	return args.flags & KVM_IRQFD_FLAG_DEASSIGN ? deassign(vm, &args) : assign(vm, &args);
}
