// SPDX-License-Identifier: GPL-2.0-only
/* Programs as text. */
#include "fuzz.h"

static const char *const relatives[] = { "", "mem+", "buf+", "event+" };

static int object_by_name(const char *name)
{
	for (int i = 0; i < NR_OBJECTS; i++)
		if (!strcmp(object_names[i], name))
			return i;
	return -1;
}

static int call_by_name(const char *name)
{
	for (int i = 0; i < nr_calls; i++)
		if (!strcmp(calls[i].name, name))
			return i;
	return -1;
}

/* OFFSET:BYTES=VALUE */
static bool read_patch(const char *word, struct patch *patch)
{
	unsigned int offset, width;
	int n = 0;

	if (sscanf(word, "%i:%u=%n", &offset, &width, &n) != 2 || !n)
		return false;
	if (offset > 0xffff || (width != 1 && width != 2 && width != 4 && width != 8))
		return false;
	*patch = (struct patch) { .offset = offset, .width = width };
	for (int i = 1; i < 4; i++) {
		if (!strncmp(word + n, relatives[i], strlen(relatives[i]))) {
			patch->relative = i;
			n += strlen(relatives[i]);
		}
	}
	patch->val = strtoull(word + n, NULL, 0);
	return true;
}

static bool read_op(char *line, struct op *op)
{
	char *word = strtok(line, " \t\n");
	int object = object_by_name(word), call;

	memset(op, 0, sizeof(*op));
	word = strtok(NULL, " \t\n");
	call = word ? call_by_name(word) : -1;
	if (object < 0 || call < 0)
		return false;
	op->object = object;
	op->call = call;
	while ((word = strtok(NULL, " \t\n"))) {
		if (!strcmp(word, "get"))
			op->get = 1;
		else if (!strncmp(word, "arg=", 4))
			op->arg = strtoull(word + 4, NULL, 0);
		else if (op->nr_patches == MAX_PATCHES ||
			 !read_patch(word, &op->patches[op->nr_patches++]))
			return false;
	}
	return true;
}

bool read_program(FILE *f, struct program *p)
{
	char line[1024];

	p->nr = 0;
	while (fgets(line, sizeof(line), f)) {
		if (line[0] == '#' || line[0] == '\n')
			continue;
		if (p->nr == MAX_OPS || !read_op(line, &p->ops[p->nr++]))
			return false;
	}
	return p->nr > 0;
}

void write_program(FILE *f, const struct program *p)
{
	for (const struct op *op = p->ops; op < p->ops + p->nr; op++) {
		fprintf(f, "%s %s", object_names[op->object], calls[op->call].name);
		if (op->get)
			fputs(" get", f);
		if (op->arg)
			fprintf(f, " arg=%#llx", (unsigned long long)op->arg);
		for (u32 i = 0; i < op->nr_patches; i++)
			fprintf(f, " %#x:%u=%s%#llx", op->patches[i].offset, op->patches[i].width,
				relatives[op->patches[i].relative],
				(unsigned long long)op->patches[i].val);
		fputc('\n', f);
	}
}
