// SPDX-License-Identifier: GPL-2.0-only
/*
 * The second-stage page tables as a radix tree of four levels.
 *
 * Entries are added by compare-and-exchange with mmu->lock held for reading,
 * by any number of faults at once, and taken away with it held for writing.
 * The processor, which walks the tables without a lock, sets accessed and
 * dirty bits meanwhile: what changes an entry in place does so atomically.
 */
#include <linux/io.h>
#include <linux/mem_encrypt.h>
#include <linux/mm.h>

#include "base/backend.h"
#include "base/ptformat.h"
#include "base/vm.h"
#include "mmu/mmu.h"

#define MV_PT_ENTRIES 512

static unsigned int pt_index(gfn_t gfn, int level)
{
	return (gfn >> (9 * (level - 1))) & (MV_PT_ENTRIES - 1);
}

static __always_inline u64 pt_pfn(u64 entry)
{
	return (__sme_clr(entry) & GENMASK_ULL(51, PAGE_SHIFT)) >> PAGE_SHIFT;
}

static __always_inline u64 *pt_child(u64 entry)
{
	return page_address(pfn_to_page(pt_pfn(entry)));
}

static __always_inline bool pt_present(const struct mv_pt_format *fmt, u64 entry)
{
	return entry & fmt->present;
}

static __always_inline bool pt_is_table(const struct mv_pt_format *fmt, u64 entry, int level)
{
	return level > 1 && pt_present(fmt, entry) && !(entry & fmt->large);
}

struct page *mv_pt_alloc(void)
{
	return alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);
}

void mv_pt_free(struct list_head *tables)
{
	struct page *page, *next;

	list_for_each_entry_safe(page, next, tables, lru) {
		list_del(&page->lru);
		__free_page(page);
	}
}

/* @table, which no processor walks any more, and all below it; nobody knows of it. */
static void pt_free_below(const struct mv_pt_format *fmt, u64 *table, int level)
{
	int i;

	for (i = 0; level > 1 && i < MV_PT_ENTRIES; i++)
		if (pt_is_table(fmt, table[i], level))
			pt_free_below(fmt, pt_child(table[i]), level - 1);
	free_page((unsigned long)table);
	if (level == 2)
		cond_resched();
}

void mv_pt_free_all(struct page *root)
{
	pt_free_below(mv_backend->pt_format, page_address(root), MV_PT_LEVELS);
}

static bool pt_allows(const struct mv_pt_format *fmt, u64 entry, u32 access)
{
	if ((access & MV_ACCESS_WRITE) && !(entry & fmt->write))
		return false;
	if (!(access & MV_ACCESS_EXEC))
		return true;
	return (entry & fmt->exec) == fmt->exec && !(entry & fmt->no_exec);
}

static u64 pt_leaf(const struct mv_pt_format *fmt, const struct mv_map *map, int level, bool exec)
{
	u64 pfn = map->pfn & ~(mv_pt_pages(level) - 1);
	u64 entry = pfn << PAGE_SHIFT | (map->device ? fmt->leaf_device : fmt->leaf);

	/* It is about to be used: what the processor would set by a locked access is set here. */
	entry |= fmt->accessed;
	if (map->writable)
		entry |= fmt->write | (map->clean ? 0 : fmt->dirty);
	if (level > 1)
		entry |= fmt->large;
	return entry | (exec ? fmt->exec : fmt->no_exec);
}

/**
 * mv_pt_map() - enter a translation
 * @mmu: mmu->lock is held for reading
 * @map: what to enter
 * @tables: empty tables to use, linked by page->lru
 *
 * Return: 0 when the tables allow map->access, by this call or by another;
 * a number of tables to add to @tables before the next try; -EBUSY if an
 * entry is in the way that has to be zapped first.
 */
int mv_pt_map(struct mv_mmu *mmu, const struct mv_map *map, struct list_head *tables)
{
	const struct mv_pt_format *fmt = mv_backend->pt_format;
	u64 *table = page_address(mmu->root), *entryp;
	struct page *page = NULL;
	int level = MV_PT_LEVELS;
	u64 old, new;

	lockdep_assert_held_read(&mmu->lock);
	for (;;) {
		entryp = &table[pt_index(map->gfn, level)];
		old = READ_ONCE(*entryp);
		if (pt_is_table(fmt, old, level)) {
			table = pt_child(old);
			level--;
			continue;
		}
		if (pt_present(fmt, old) && pt_allows(fmt, old, map->access))
			return 0;
		if (level > map->level) {
			if (pt_present(fmt, old))
				return -EBUSY;
			page = list_first_entry_or_null(tables, struct page, lru);
			if (!page)
				return level - map->level;
			new = page_to_phys(page) | fmt->table;
			/* Pairs with the processor's walk: empty before it can be found. */
			if (try_cmpxchg64(entryp, &old, new))
				list_del(&page->lru);
			continue;
		}
		new = pt_leaf(fmt, map, level, level == 1 || !mmu->exec_splits);
		if (pt_present(fmt, old) && pt_pfn(old) != pt_pfn(new))
			return -EBUSY;
		if (try_cmpxchg64(entryp, &old, new))
			return 0;
	}
}

/* Collect @table, which nothing points to any more, with all below it. */
static void pt_detach(const struct mv_pt_format *fmt, u64 *table, int level,
		      struct list_head *freed)
{
	int i;

	list_add(&virt_to_page(table)->lru, freed);
	if (level == 1)
		return;
	for (i = 0; i < MV_PT_ENTRIES; i++)
		if (pt_is_table(fmt, table[i], level))
			pt_detach(fmt, pt_child(table[i]), level - 1, freed);
}

static void pt_clear_bits(u64 *entryp, u64 bits)
{
	atomic64_andnot(bits, (atomic64_t *)entryp);
}

static unsigned int pt_leaf_op(const struct mv_pt_format *fmt, enum mv_pt_op op, u64 *entryp,
			       int level)
{
	u64 entry = READ_ONCE(*entryp);

	switch (op) {
	case MV_PT_LOG_WRITES:
		if (level == 1) {
			if (!(entry & fmt->logged))
				return 0;
			pt_clear_bits(entryp, fmt->logged);
			return MV_PT_CHANGED;
		}
		fallthrough;
	case MV_PT_ZAP:
		WRITE_ONCE(*entryp, 0);
		return MV_PT_CHANGED | MV_PT_GONE;
	case MV_PT_TEST_YOUNG:
		return entry & fmt->accessed ? MV_PT_CHANGED : 0;
	case MV_PT_CLEAR_YOUNG:
		if (!(entry & fmt->accessed))
			return 0;
		pt_clear_bits(entryp, fmt->accessed);
		return MV_PT_CHANGED;
	}
	return 0;
}

struct pt_range {
	const struct mv_pt_format *fmt;
	enum mv_pt_op op;
	gfn_t start, end;
	struct list_head *freed;
};

static unsigned int pt_walk_range(const struct pt_range *r, u64 *table, int level, gfn_t base)
{
	u64 span = mv_pt_pages(level);
	unsigned int i = r->start > base ? (r->start - base) / span : 0;
	unsigned int changed = 0;
	gfn_t gfn;

	for (; i < MV_PT_ENTRIES; i++) {
		gfn = base + i * span;
		if (gfn >= r->end)
			break;
		if (!pt_present(r->fmt, table[i]))
			continue;
		if (!pt_is_table(r->fmt, table[i], level)) {
			changed |= pt_leaf_op(r->fmt, r->op, &table[i], level);
		} else if (r->op == MV_PT_ZAP && r->start <= gfn && gfn + span <= r->end) {
			pt_detach(r->fmt, pt_child(table[i]), level - 1, r->freed);
			WRITE_ONCE(table[i], 0);
			changed |= MV_PT_CHANGED | MV_PT_GONE;
		} else {
			changed |= pt_walk_range(r, pt_child(table[i]), level - 1, gfn);
		}
	}
	return changed;
}

/**
 * mv_pt_range() - do @op to all that maps guest page frames @start to @end - 1
 * @mmu: mmu->lock is held, for writing unless @op is about youth
 * @op: what to do
 * @start: first guest page frame
 * @end: behind the last; a large leaf on the border is in
 * @freed: zapped tables, linked by page->lru, to be freed after a TLB flush;
 *	NULL if @op is not MV_PT_ZAP
 *
 * Tables that lie whole in the range are taken out, so that a large leaf can
 * take their place.
 *
 * Return: MV_PT_CHANGED, MV_PT_GONE
 */
unsigned int mv_pt_range(struct mv_mmu *mmu, enum mv_pt_op op, gfn_t start, gfn_t end,
			 struct list_head *freed)
{
	struct pt_range r = {
		.fmt = mv_backend->pt_format,
		.op = op,
		.start = start,
		.end = end,
		.freed = freed,
	};

	lockdep_assert_held(&mmu->lock);
	return pt_walk_range(&r, page_address(mmu->root), MV_PT_LEVELS, 0);
}
