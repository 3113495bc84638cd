// SPDX-License-Identifier: GPL-2.0-only
/* The guest's x87, SSE and extended state, through the host kernel's own FPU code. */
#include <linux/slab.h>
#include <asm/fpu/api.h>
#include <asm/fpu/types.h>
#include <asm/fpu/xcr.h>

#include "cpu/cpuid.h"
#include "cpu/fpu.h"

int mv_fpu_create(struct mv_vcpu *vcpu)
{
	return fpu_alloc_guest_fpstate(&vcpu->fpu) ? 0 : -ENOMEM;
}

void mv_fpu_destroy(struct mv_vcpu *vcpu)
{
	fpu_free_guest_fpstate(&vcpu->fpu);
}

/*
 * A new vCPU's registers are already as FNINIT leaves them, and INIT changes
 * none of them. SDM vol. 3A, table 10-1.
 */
void mv_fpu_reset(struct mv_vcpu *vcpu, bool init)
{
	if (init)
		return;
	vcpu->xcr0 = XFEATURE_MASK_FP;
	vcpu->ia32_xss = 0;
	vcpu->pkru = 0;
}

/* XSETBV, SDM vol. 1, 13.3: which combinations of bits are possible. */
int mv_set_xcr0(struct mv_vcpu *vcpu, u32 index, u64 val)
{
	u64 avx512 = val & XFEATURE_MASK_AVX512;

	if (index != XCR_XFEATURE_ENABLED_MASK || !(val & XFEATURE_MASK_FP) ||
	    (val & ~(vcpu->guest_supported_xcr0 | XFEATURE_MASK_FP)))
		return 1;
	if ((val & XFEATURE_MASK_YMM) && !(val & XFEATURE_MASK_SSE))
		return 1;
	if (avx512 && (avx512 != XFEATURE_MASK_AVX512 || !(val & XFEATURE_MASK_YMM)))
		return 1;
	vcpu->xcr0 = val;
	mv_cpuid_runtime_update(vcpu);
	return 0;
}

/*
 * KVM_GET_XSAVE: the standard form, in which components have fixed places.  A
 * host that lacks what the guest has not got can be migrated to.  None of the
 * components that guests can have lies behind struct kvm_xsave, so
 * KVM_GET_XSAVE2 is the same.
 */
int mv_get_xsave(struct mv_vcpu *vcpu, void *buf)
{
	fpu_copy_guest_fpstate_to_uabi(&vcpu->fpu, buf, sizeof(struct kvm_xsave),
				       vcpu->guest_supported_xcr0 | XFEATURE_MASK_FPSSE,
				       vcpu->pkru);
	return 0;
}

int mv_set_xsave(struct mv_vcpu *vcpu, void *buf)
{
	return fpu_copy_uabi_to_guest_fpstate(&vcpu->fpu, buf, mv_supported_xcr0(), &vcpu->pkru);
}

/*
 * KVM_GET/SET_FPU by way of the XSAVE form: the kernel keeps components that
 * are in their initial state out of memory, and the FXSAVE image in it is stale then.
 */
int mv_get_fpu(struct mv_vcpu *vcpu, void *buf)
{
	struct kvm_xsave *xsave = kzalloc(sizeof(*xsave), GFP_KERNEL_ACCOUNT);
	struct fxregs_state *fx = (void *)xsave;
	struct kvm_fpu *fpu = buf;

	if (!xsave)
		return -ENOMEM;
	mv_get_xsave(vcpu, xsave);
	memcpy(fpu->fpr, fx->st_space, sizeof(fpu->fpr));
	memcpy(fpu->xmm, fx->xmm_space, sizeof(fpu->xmm));
	fpu->fcw = fx->cwd;
	fpu->fsw = fx->swd;
	fpu->ftwx = fx->twd;
	fpu->last_opcode = fx->fop;
	fpu->last_ip = fx->rip;
	fpu->last_dp = fx->rdp;
	kfree(xsave);
	return 0;
}

/* MXCSR is not part of it, whatever the structure says: KVM's ABI has it so. */
int mv_set_fpu(struct mv_vcpu *vcpu, void *buf)
{
	struct kvm_xsave *xsave = kzalloc(sizeof(*xsave), GFP_KERNEL_ACCOUNT);
	struct xregs_state *regs = (void *)xsave;
	struct fxregs_state *fx = &regs->i387;
	const struct kvm_fpu *fpu = buf;
	int r;

	if (!xsave)
		return -ENOMEM;
	mv_get_xsave(vcpu, xsave);
	memcpy(fx->st_space, fpu->fpr, sizeof(fpu->fpr));
	memcpy(fx->xmm_space, fpu->xmm, sizeof(fpu->xmm));
	fx->cwd = fpu->fcw;
	fx->swd = fpu->fsw;
	fx->twd = fpu->ftwx;
	fx->fop = fpu->last_opcode;
	fx->rip = fpu->last_ip;
	fx->rdp = fpu->last_dp;
	regs->header.xfeatures |= XFEATURE_MASK_FPSSE;
	r = mv_set_xsave(vcpu, xsave);
	kfree(xsave);
	return r;
}

int mv_get_xcrs(struct mv_vcpu *vcpu, void *buf)
{
	struct kvm_xcrs *xcrs = buf;

	xcrs->nr_xcrs = boot_cpu_has(X86_FEATURE_XSAVE);
	xcrs->xcrs[0].xcr = XCR_XFEATURE_ENABLED_MASK;
	xcrs->xcrs[0].value = vcpu->xcr0;
	return 0;
}

int mv_set_xcrs(struct mv_vcpu *vcpu, void *buf)
{
	const struct kvm_xcrs *xcrs = buf;
	int i;

	if (!boot_cpu_has(X86_FEATURE_XSAVE) || xcrs->nr_xcrs > KVM_MAX_XCRS || xcrs->flags)
		return -EINVAL;
	/* Only XCR0 is known; others are left alone. */
	for (i = 0; i < xcrs->nr_xcrs; i++)
		if (xcrs->xcrs[i].xcr == XCR_XFEATURE_ENABLED_MASK)
			return mv_set_xcr0(vcpu, 0, xcrs->xcrs[i].value) ? -EINVAL : 0;
	return 0;
}
