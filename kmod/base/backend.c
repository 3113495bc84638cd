// SPDX-License-Identifier: GPL-2.0-only
/* The backend in use, what it is asked by static calls, and how the processor is used. */
#include <linux/module.h>

#include "base/backend.h"

bool mv_dump_on_failure;
module_param_named(dump, mv_dump_on_failure, bool, 0644);
MODULE_PARM_DESC(dump, "print the control block to the kernel log when a VM entry fails");

bool mv_apicv __ro_after_init = true;
module_param_named(apicv, mv_apicv, bool, 0444);
MODULE_PARM_DESC(apicv, "virtualize local APICs by hardware where it can; read: it does");

struct mv_backend *mv_backend __ro_after_init;
struct mv_host mv_host __ro_after_init;

#define MV_DEFINE_CALL(name) DEFINE_STATIC_CALL_NULL(mv_##name##_call, *(mv_vmx_backend.name));
MV_STATIC_CALLS(MV_DEFINE_CALL)

DEFINE_STATIC_KEY_FALSE(mv_skip_fetches);
