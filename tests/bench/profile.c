// SPDX-License-Identifier: MIT
/*
 * A plugin for QEMU's TCG (plugin API 1: QEMU up to 9.0) that counts how often each
 * instruction is executed between bench_begin() and bench_end(), in the kernel
 * and in every process, and writes "address count" lines to the file given as
 * out=. With stores= it counts the bytes that are stored, by the kernel and by all
 * processes, instead, and adds a line with the two to that file each time. The two
 * functions are known by instructions that do nothing and that no compiler emits.
 * QEMU's header is not packaged, so what is used of it is declared here.
 */
#include <err.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct qemu_plugin_tb;
struct qemu_plugin_insn;

enum { QEMU_PLUGIN_INLINE_ADD_U64 };
enum { QEMU_PLUGIN_CB_NO_REGS };
enum { QEMU_PLUGIN_MEM_W = 2 };

void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id, void (*fn)(uint64_t id,
					   struct qemu_plugin_tb *tb));
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t index);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *insn);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);
void qemu_plugin_register_vcpu_insn_exec_inline(struct qemu_plugin_insn *insn, int op, void *to,
						uint64_t value);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn,
					    void (*fn)(unsigned int cpu, void *data), int flags,
					    void *data);
void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn *insn,
				      void (*fn)(unsigned int cpu, uint32_t info, uint64_t address,
						 void *data),
				      int flags, int rw, void *data);
unsigned int qemu_plugin_mem_size_shift(uint32_t info);
bool qemu_plugin_mem_is_store(uint32_t info);

#define EXPORT __attribute__((visibility("default")))

EXPORT int qemu_plugin_version = 1;

struct counter {
	struct counter *next;
	uint64_t address;
	uint64_t count;
};

static struct counter *counters[1 << 18];
static char *path;
static bool counts_stores;
static uint64_t stored[2];	/* by processes, by the kernel */

static uint64_t *counter(uint64_t address)
{
	struct counter **bucket =
		&counters[address % (sizeof(counters) / sizeof(counters[0]))];
	struct counter *c;

	for (c = *bucket; c; c = c->next)
		if (c->address == address)
			return &c->count;
	c = calloc(1, sizeof(*c));
	if (!c)
		err(1, "profile");
	c->address = address;
	c->next = *bucket;
	*bucket = c;
	return &c->count;
}

static void begin(unsigned int cpu, void *data)
{
	(void)cpu;
	(void)data;
	for (size_t i = 0; i < sizeof(counters) / sizeof(counters[0]); i++)
		for (struct counter *c = counters[i]; c; c = c->next)
			c->count = 0;
	memset(stored, 0, sizeof(stored));
}

static void store(unsigned int cpu, uint32_t info, uint64_t address, void *data)
{
	(void)cpu;
	(void)address;
	/* Of an instruction that loads as well, the load is told, too. */
	if (qemu_plugin_mem_is_store(info))
		*(uint64_t *)data += 1ULL << qemu_plugin_mem_size_shift(info);
}

static void end(unsigned int cpu, void *data)
{
	FILE *file = fopen(path, counts_stores ? "a" : "w");

	(void)cpu;
	(void)data;
	if (!file)
		err(1, "%s", path);
	if (counts_stores)
		fprintf(file, "%" PRIu64 " %" PRIu64 "\n", stored[1], stored[0]);
	for (size_t i = 0; i < sizeof(counters) / sizeof(counters[0]); i++)
		for (struct counter *c = counters[i]; c; c = c->next)
			if (c->count)
				fprintf(file, "%" PRIx64 " %" PRIu64 "\n", c->address, c->count);
	if (fclose(file))
		err(1, "%s", path);
}

static void translate(uint64_t id, struct qemu_plugin_tb *tb)
{
	static const unsigned char xchg_bx[] = { 0x66, 0x87, 0xdb };
	static const unsigned char xchg_cx[] = { 0x66, 0x87, 0xc9 };

	(void)id;
	for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
		const void *bytes = qemu_plugin_insn_data(insn);

		if (counts_stores)
			qemu_plugin_register_vcpu_mem_cb(insn, store, QEMU_PLUGIN_CB_NO_REGS,
					QEMU_PLUGIN_MEM_W,
					&stored[qemu_plugin_insn_vaddr(insn) >> 63]);
		else
			qemu_plugin_register_vcpu_insn_exec_inline(insn, QEMU_PLUGIN_INLINE_ADD_U64,
					counter(qemu_plugin_insn_vaddr(insn)), 1);
		if (qemu_plugin_insn_size(insn) != sizeof(xchg_bx))
			continue;
		if (!memcmp(bytes, xchg_bx, sizeof(xchg_bx)))
			qemu_plugin_register_vcpu_insn_exec_cb(insn, begin,
							       QEMU_PLUGIN_CB_NO_REGS, NULL);
		else if (!memcmp(bytes, xchg_cx, sizeof(xchg_cx)))
			qemu_plugin_register_vcpu_insn_exec_cb(insn, end,
							       QEMU_PLUGIN_CB_NO_REGS, NULL);
	}
}

EXPORT int qemu_plugin_install(uint64_t id, const void *info, int argc, char **argv)
{
	(void)info;
	counts_stores = argc == 1 && !strncmp(argv[0], "stores=", 7);
	if (argc != 1 || (!counts_stores && strncmp(argv[0], "out=", 4))) {
		warnx("profile: needs out=FILE or stores=FILE");
		return -1;
	}
	path = strdup(strchr(argv[0], '=') + 1);
	if (!path)
		return -1;
	qemu_plugin_register_vcpu_tb_trans_cb(id, translate);
	return 0;
}
