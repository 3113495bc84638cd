/* SPDX-License-Identifier: GPL-2.0-only */
/* The counters of a VM or vCPU, by KVM_GET_STATS_FD. */
#ifndef SELFTESTS_STATS_H
#define SELFTESTS_STATS_H

#include "vm.h"

struct stats {
	int fd;
	struct kvm_stats_header head;
	char id[256];
};

/* @fd: of the VM or vCPU */
void stats_open(struct stats *s, int fd);
/* The value of a counter; -1: there is none. */
s64 stats_get(struct stats *s, const char *name);

#endif /* SELFTESTS_STATS_H */
