/* SPDX-License-Identifier: GPL-2.0-only */
/* Second-stage page tables: EPT (SDM vol. 3C, 29.3) and NPT (APM vol. 2, 15.25). */
#ifndef MV_BASE_PTFORMAT_H
#define MV_BASE_PTFORMAT_H

#include <linux/types.h>

/**
 * struct mv_pt_format - where EPT and NPT put their bits
 * @table: all the bits of an entry that points to a table
 * @leaf: the bits that a leaf of RAM has: readable, memory type write-back, user
 * @leaf_device: @leaf for what is not RAM: memory type uncached
 * @present: an entry with none of these bits is not present
 * @large: additional bit of a 2 MiB or 1 GiB leaf
 * @write: bit of a writable leaf
 * @exec: bit of an executable leaf (EPT), or 0
 * @no_exec: bit of a leaf that is not executable (NPT), or 0
 * @accessed: set by the processor on use; 0: it has no such bit
 * @dirty: set by the processor on a write; 0: it has no such bit
 * @logged: of @write and @dirty the one that is clear until the next write of a page that is
 *	logged: @dirty if the processor keeps a log of the pages where it sets that
 * @max_level: 1: 4 KiB leaves only, 2: 2 MiB too, 3: 1 GiB too
 */
struct mv_pt_format {
	u64 table;
	u64 leaf;
	u64 leaf_device;
	u64 present;
	u64 large;
	u64 write;
	u64 exec;
	u64 no_exec;
	u64 accessed;
	u64 dirty;
	u64 logged;
	int max_level;
};

#endif /* MV_BASE_PTFORMAT_H */
