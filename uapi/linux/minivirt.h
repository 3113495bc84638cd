/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * minivirt: what /dev/minivirt has beyond the KVM ABI.
 *
 * minivirt speaks the ioctl ABI of <linux/kvm.h>; this header adds only the
 * extensions.  Each one is found through KVM_CHECK_EXTENSION with the
 * capability number given beside it; on KVM that returns 0.
 */
#ifndef _UAPI_LINUX_MINIVIRT_H
#define _UAPI_LINUX_MINIVIRT_H

#include <linux/types.h>
#include <linux/ioctl.h>
#include <linux/kvm.h>

/* An ioctl type that the kernel's ioctl-number.rst lists as free. */
#define MINIVIRTIO 0xBC

/* Capability numbers, well above KVM's. */
#define MINIVIRT_CAP_BASE 0x4d560000 /* "MV" */
#define MINIVIRT_CAP_INFO (MINIVIRT_CAP_BASE + 0)

/* minivirt_info.backend */
#define MINIVIRT_BACKEND_VMX 1
#define MINIVIRT_BACKEND_SVM 2

/* minivirt_info.features: hardware features that this module uses here. */
#define MINIVIRT_FEATURE_VPID (1ULL << 0) /* VMX VPID or SVM ASID: tagged TLB */
#define MINIVIRT_FEATURE_AD_BITS (1ULL << 1) /* accessed/dirty bits in EPT or NPT */
#define MINIVIRT_FEATURE_PAGE_2M (1ULL << 2) /* 2 MiB second-stage leaves */
#define MINIVIRT_FEATURE_PAGE_1G (1ULL << 3) /* 1 GiB second-stage leaves */
#define MINIVIRT_FEATURE_APICV (1ULL << 4) /* APIC virtualization, virtual-interrupt delivery */
#define MINIVIRT_FEATURE_PREEMPTION_TIMER (1ULL << 5) /* VMX-preemption timer */
#define MINIVIRT_FEATURE_TSC_SCALING (1ULL << 6) /* TSC multiplier */
#define MINIVIRT_FEATURE_XSAVES (1ULL << 7) /* XSAVES/XRSTORS in the guest */
#define MINIVIRT_FEATURE_NEXT_RIP (1ULL << 8) /* SVM next-RIP save */
#define MINIVIRT_FEATURE_VGIF (1ULL << 9) /* SVM virtual GIF */
#define MINIVIRT_FEATURE_PLE (1ULL << 10) /* PAUSE-loop exiting or PAUSE filter */
#define MINIVIRT_FEATURE_PML (1ULL << 11) /* page-modification logging */
#define MINIVIRT_FEATURE_TPR_SHADOW (1ULL << 12) /* CR8 without exits: VMX TPR shadow, SVM V_TPR */

/**
 * struct minivirt_info - what module this is and what it uses
 * @size: in: sizeof(struct minivirt_info) as the caller knows it; out: the
 *        number of bytes that the module filled in, at most the size given.
 *        A size below %MINIVIRT_INFO_SIZE_V0 gets -EINVAL.
 * @backend: %MINIVIRT_BACKEND_VMX or %MINIVIRT_BACKEND_SVM
 * @features: MINIVIRT_FEATURE_* bits: in use, not merely present
 * @version: the module's version, NUL-terminated
 * @phys_bits: physical-address width that guests can use, in bits
 * @vms: virtual machines in existence, of all users
 */
struct minivirt_info {
	__u32 size;
	__u32 backend;
	__u64 features;
	char version[32];
	__u32 phys_bits;
	__u32 vms;
};

#define MINIVIRT_INFO_SIZE_V0 56

/* System ioctl. */
#define MINIVIRT_GET_INFO _IOWR(MINIVIRTIO, 0x00, struct minivirt_info)

#endif /* _UAPI_LINUX_MINIVIRT_H */
