// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the kernel wants done before a thread goes on in a guest: rescheduling,
 * task work, signals.  The kernel exports one function for it, which takes a
 * KVM vCPU to count a pending signal in; here is one that nobody reads.
 */
#include <linux/entry-kvm.h>
#include <linux/kvm_host.h>

int mv_guest_mode_work(void); /* run.h and kvm_host.h do not go together */

static struct kvm_run uncounted_run;
static struct kvm_vcpu uncounted = { .run = &uncounted_run };

int mv_guest_mode_work(void)
{
	return xfer_to_guest_mode_handle_work(&uncounted);
}
