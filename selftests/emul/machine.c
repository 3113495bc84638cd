// SPDX-License-Identifier: GPL-2.0
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "machine.h"

#define ATTR_DATA	0xc093		/* present, writable, accessed, 32-bit, 4 KiB units */
#define ATTR_CODE	0xc09b

static struct machine *machine_of(struct mv_emul *e)
{
	return (struct machine *)((char *)e - offsetof(struct machine, e));
}

static void broken(const char *rule, u64 la, unsigned int len)
{
	fprintf(stderr, "the emulator breaks a rule: %s (la %#llx, length %u)\n", rule, la, len);
	abort();
}

/* Checks an access as a page walk would. */
static int walk(struct machine *m, u64 la, unsigned int len, bool write)
{
	u64 page = la & ~0xfffull;
	bool present = page - MEM_LA < MEM_SIZE && page != m->absent;

	if (!len || (la & 0xfff) + len > 0x1000)
		broken("an access stays within a page", la, len);
	if (m->e.mode != MV_MODE_LONG64 && la >> 32)
		broken("linear addresses have 32 bits", la, len);
	if (present && !(write && page == m->read_only))
		return MV_EMUL_OK;

	m->e.exception = (struct mv_emul_exception) {
		.vector = 14,
		.has_error_code = true,
		.error_code = present | write << 1 | (m->e.cpl == 3) << 2,
		.cr2 = la,
	};
	return MV_EMUL_FAULT;
}

static bool is_mmio(struct machine *m, u64 la)
{
	return la >= m->mmio_start && la < m->mmio_end;
}

static int op_fetch(struct mv_emul *e, u64 la, u8 *buf, unsigned int len)
{
	struct machine *m = machine_of(e);

	if (!len || (la & 0xfff) + len > 0x1000)
		broken("a fetch stays within a page", la, len);
	m->nr_fetches++;
	if (la < m->code_la || la >= m->code_la + m->code_len)
		return MV_EMUL_UNKNOWN;
	if (len > m->code_la + m->code_len - la)
		len = m->code_la + m->code_len - la;
	memcpy(buf, m->code + (la - m->code_la), len);
	return len;
}

static int op_read(struct mv_emul *e, u64 la, void *buf, unsigned int len, bool for_write)
{
	struct machine *m = machine_of(e);
	int ret = walk(m, la, len, for_write);

	if (ret)
		return ret;
	if (!is_mmio(m, la)) {
		memcpy(buf, m->mem + (la - MEM_LA), len);
		return MV_EMUL_OK;
	}
	if (len > 8)
		return MV_EMUL_UNKNOWN;
	m->asked.la = la;
	m->asked.len = len;
	return MV_EMUL_IO;
}

static int post(struct machine *m, u64 la, const void *buf, unsigned int len)
{
	if (m->nr_posted == MV_EMUL_WRITES_MAX)
		broken("at most MV_EMUL_WRITES_MAX posted writes", la, len);
	m->posted[m->nr_posted].la = la;
	m->posted[m->nr_posted].len = len;
	memcpy(m->posted[m->nr_posted].data, buf, len);
	m->nr_posted++;
	return MV_EMUL_POSTED;
}

static int op_write(struct mv_emul *e, u64 la, const void *buf, unsigned int len)
{
	struct machine *m = machine_of(e);
	int ret = walk(m, la, len, true);

	if (ret)
		return ret;
	if (is_mmio(m, la))
		return len > 8 ? MV_EMUL_UNKNOWN : post(m, la, buf, len);
	memcpy(m->mem + (la - MEM_LA), buf, len);
	return MV_EMUL_OK;
}

static int op_check_write(struct mv_emul *e, u64 la)
{
	return walk(machine_of(e), la, 1, true);
}

static int op_cmpxchg(struct mv_emul *e, u64 la, const void *old, const void *new,
		      unsigned int len)
{
	struct machine *m = machine_of(e);
	u8 *mem = m->mem + (la - MEM_LA);
	int ret = walk(m, la, len, true);

	if ((la & 63) + len > 64)
		broken("a locked access stays within a cache line", la, len);

	if (ret)
		return ret;
	if (is_mmio(m, la)) {
		post(m, la, new, len > 8 ? 8 : len);
		return len > 8 ? post(m, la + 8, (const u8 *)new + 8, 8) : MV_EMUL_POSTED;
	}
	if (m->contended)
		mem[0]++;
	if (memcmp(mem, old, len))
		return MV_EMUL_RETRY;
	memcpy(mem, new, len);
	return MV_EMUL_OK;
}

static void use_port(struct machine *m, u16 port, unsigned int size, unsigned int count)
{
	if ((size != 1 && size != 2 && size != 4) || !count || size * count > MV_EMUL_PIO_MAX)
		broken("port I/O fits its buffer", port, size * count);
	m->port = port;
	m->port_size = size;
	m->port_count = count;
}

static int op_pio_in(struct mv_emul *e, u16 port, unsigned int size, unsigned int count)
{
	struct machine *m = machine_of(e);
	unsigned int i;

	if (m->port_answered && (m->port != port || m->port_size != size ||
				 m->port_count != count))
		broken("a port is read again as before", port, size * count);
	use_port(m, port, size, count);
	if (m->user_port && !m->port_answered)
		return MV_EMUL_IO;
	m->port_answered = false;
	for (i = 0; i < size * count; i++)
		((u8 *)m->pio_data)[i] = m->port_data++;
	return MV_EMUL_OK;
}

static int op_pio_out(struct mv_emul *e, u16 port, unsigned int size, unsigned int count)
{
	struct machine *m = machine_of(e);

	use_port(m, port, size, count);
	if (m->nr_out + size * count <= sizeof(m->out)) {
		memcpy(m->out + m->nr_out, m->pio_data, size * count);
		m->nr_out += size * count;
	}
	return m->user_port ? MV_EMUL_POSTED : MV_EMUL_OK;
}

static void op_get_seg(struct mv_emul *e, unsigned int seg, u64 *base, u32 *limit, u32 *attr)
{
	struct machine *m = machine_of(e);

	if (seg >= ARRAY_SIZE(m->seg) || (e->mode == MV_MODE_LONG64 && seg < MV_SEG_FS))
		broken("segments that matter", seg, 0);
	*base = m->seg[seg].base;
	*limit = m->seg[seg].limit;
	*attr = m->seg[seg].attr;
}

static u64 op_get_cr(struct mv_emul *e, unsigned int n)
{
	return n ? machine_of(e)->cr4 : machine_of(e)->cr0;
}

static u16 op_get_selector(struct mv_emul *e, unsigned int seg)
{
	if (seg >= ARRAY_SIZE(machine_of(e)->selector))
		broken("selectors that there are", seg, 0);
	return machine_of(e)->selector[seg];
}

static int op_load_seg(struct mv_emul *e, unsigned int seg, u16 selector)
{
	if (seg > MV_SEG_GS || seg == MV_SEG_CS)
		broken("segments that can be loaded", seg, 0);
	if (selector == BAD_SELECTOR)
		return mv_emul_raise(e, VEC_GP, selector & ~3);
	machine_of(e)->selector[seg] = selector;
	return MV_EMUL_OK;
}

static int op_set_cr0(struct mv_emul *e, u64 val)
{
	machine_of(e)->cr0 = val;
	return MV_EMUL_OK;
}

static u16 op_fpu_word(struct mv_emul *e, bool status)
{
	return status ? machine_of(e)->fsw : 0x37f;
}

static u64 op_read_mm(struct mv_emul *e, unsigned int n)
{
	return machine_of(e)->mm[n];
}

static void op_write_mm(struct mv_emul *e, unsigned int n, u64 val)
{
	machine_of(e)->mm[n] = val;
}

static void op_read_xmm(struct mv_emul *e, unsigned int n, u64 val[2])
{
	memcpy(val, machine_of(e)->xmm[n], 16);
}

static void op_write_xmm(struct mv_emul *e, unsigned int n, const u64 val[2])
{
	memcpy(machine_of(e)->xmm[n], val, 16);
}

static const struct mv_emul_ops ops = {
	.fetch = op_fetch,
	.read = op_read,
	.write = op_write,
	.check_write = op_check_write,
	.cmpxchg = op_cmpxchg,
	.pio_in = op_pio_in,
	.pio_out = op_pio_out,
	.get_seg = op_get_seg,
	.get_selector = op_get_selector,
	.load_seg = op_load_seg,
	.get_cr = op_get_cr,
	.set_cr0 = op_set_cr0,
	.fpu_word = op_fpu_word,
	.read_mm = op_read_mm,
	.write_mm = op_write_mm,
	.read_xmm = op_read_xmm,
	.write_xmm = op_write_xmm,
};

void machine_init(struct machine *m, enum mv_emul_mode mode, u8 *mem, const void *code,
		  unsigned int code_len)
{
	bool flat = mode == MV_MODE_PROT16 || mode == MV_MODE_PROT32;
	unsigned int i;

	memset(m, 0, sizeof(*m));
	m->mem = mem;
	m->code = code;
	m->code_len = code_len;
	m->code_la = 0x1000;
	for (i = 0; i < ARRAY_SIZE(m->seg); i++) {
		m->seg[i].limit = flat ? 0xffffffff : 0xffff;
		m->seg[i].attr = i == MV_SEG_CS ? ATTR_CODE : ATTR_DATA;
		if (!flat)
			m->seg[i].attr &= ~MV_SEG_DB;
	}
	m->e.ops = &ops;
	m->e.gpr = m->gpr;
	m->e.pio_data = m->pio_data;
	m->e.mode = mode;
	m->e.rip = m->code_la;
	m->e.rflags = 2;
	m->cr0 = X86_CR0_PE | X86_CR0_AM | X86_CR0_NE;
	m->cr4 = X86_CR4_OSFXSR;
	mv_emul_start(&m->e);
}

int machine_step(struct machine *m)
{
	unsigned int i;
	int ret;

	m->nr_posted = 0;
	ret = mv_emul_insn(&m->e);
	for (i = 0; ret >= 0 && i < m->nr_posted; i++) {
		memcpy(m->mem + (m->posted[i].la - MEM_LA), m->posted[i].data, m->posted[i].len);
		m->nr_shown++;
	}
	return ret;
}

void machine_answer(struct machine *m)
{
	u64 data = 0;

	if (m->asked.len) {
		memcpy(&data, m->mem + (m->asked.la - MEM_LA), m->asked.len);
		mv_emul_complete_read(&m->e, data);
		m->asked.len = 0;
		m->nr_asked++;
	} else {
		m->port_answered = true;
	}
}

int machine_run(struct machine *m)
{
	unsigned int limit = 100000;
	int ret;

	do {
		ret = machine_step(m);
		if (ret == MV_EMUL_IO)
			machine_answer(m);
		else if (ret == MV_EMUL_REP)
			mv_emul_start(&m->e);
	} while ((ret == MV_EMUL_IO || ret == MV_EMUL_REP) && --limit);
	return ret;
}
