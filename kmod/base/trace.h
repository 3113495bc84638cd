/* SPDX-License-Identifier: GPL-2.0-only */
/* Tracepoints: /sys/kernel/tracing/events/minivirt. */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM minivirt

#if !defined(MV_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define MV_TRACE_H

#include <linux/tracepoint.h>

#include "base/backend.h"

#define MV_EXIT_NAMES                                                                      \
	{ MV_EXIT_UNKNOWN, "unknown" }, { MV_EXIT_FAIL_ENTRY, "fail-entry" },               \
	{ MV_EXIT_EXTERNAL_INTERRUPT, "interrupt" }, { MV_EXIT_NMI, "nmi" },                \
	{ MV_EXIT_EXCEPTION, "exception" }, { MV_EXIT_TRIPLE_FAULT, "triple-fault" },       \
	{ MV_EXIT_SHUTDOWN, "shutdown" },                                                   \
	{ MV_EXIT_IRQ_WINDOW, "irq-window" }, { MV_EXIT_NMI_WINDOW, "nmi-window" },         \
	{ MV_EXIT_CPUID, "cpuid" }, { MV_EXIT_HLT, "hlt" }, { MV_EXIT_PAUSE, "pause" },     \
	{ MV_EXIT_INVD, "invd" }, { MV_EXIT_RDPMC, "rdpmc" }, { MV_EXIT_RDTSC, "rdtsc" },   \
	{ MV_EXIT_HYPERCALL, "hypercall" }, { MV_EXIT_CR, "cr" }, { MV_EXIT_DR, "dr" },     \
	{ MV_EXIT_IO, "io" }, { MV_EXIT_RDMSR, "rdmsr" }, { MV_EXIT_WRMSR, "wrmsr" },       \
	{ MV_EXIT_MONITOR, "monitor" }, { MV_EXIT_MWAIT, "mwait" },                         \
	{ MV_EXIT_XSETBV, "xsetbv" }, { MV_EXIT_INVALID_OP, "invalid-op" },                 \
	{ MV_EXIT_TASK_SWITCH, "task-switch" }, { MV_EXIT_PAGE_FAULT, "page-fault" },       \
	{ MV_EXIT_DOORBELL, "doorbell" }, { MV_EXIT_LOG_FULL, "log-full" },                 \
	{ MV_EXIT_APIC_ACCESS, "apic-access" }, { MV_EXIT_APIC_WRITE, "apic-write" },       \
	{ MV_EXIT_EOI, "eoi" }, { MV_EXIT_EMULATE, "emulate" },                             \
	{ MV_EXIT_UNFINISHED, "unfinished" }, { MV_EXIT_DONE, "done" }

TRACE_EVENT(mv_exit,
	TP_PROTO(struct mv_vcpu *vcpu),
	TP_ARGS(vcpu),
	TP_STRUCT__entry(
		__field(int, vcpu_id)
		__field(u16, reason)
		__field(u32, hw_reason)
		__field(u64, rip)
		__field(u64, info)
	),
	TP_fast_assign(
		__entry->vcpu_id = vcpu->id;
		__entry->reason = vcpu->exit.reason;
		__entry->hw_reason = vcpu->exit.hw_reason;
		__entry->rip = mv_rip(vcpu);
		__entry->info = vcpu->exit.fault.gpa;
	),
	TP_printk("vcpu %d %s (%#x) rip %#llx info %#llx", __entry->vcpu_id,
		  __print_symbolic(__entry->reason, MV_EXIT_NAMES), __entry->hw_reason,
		  __entry->rip, __entry->info)
);

TRACE_EVENT(mv_inject,
	TP_PROTO(struct mv_vcpu *vcpu, enum mv_event_type type),
	TP_ARGS(vcpu, type),
	TP_STRUCT__entry(
		__field(int, vcpu_id)
		__field(u8, type)
		__field(u8, vector)
	),
	TP_fast_assign(
		__entry->vcpu_id = vcpu->id;
		__entry->type = type;
		__entry->vector = type == MV_EVENT_IRQ ? vcpu->pending.irq_vector :
				  type == MV_EVENT_NMI ? 2 : vcpu->pending.exc_vector;
	),
	TP_printk("vcpu %d %s vector %u", __entry->vcpu_id,
		  __print_symbolic(__entry->type, { MV_EVENT_IRQ, "irq" }, { MV_EVENT_NMI, "nmi" },
				   { MV_EVENT_EXCEPTION, "exception" }),
		  __entry->vector)
);

#endif /* MV_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH base
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
