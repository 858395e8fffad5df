// SPDX-License-Identifier: MIT
/* Chance: programs made and changed at random, from values that are worth trying. */
#include <string.h>

#include "device.h"

/* splitmix64 */
uint64_t fz_random(struct fz_rng *rng)
{
	uint64_t z = rng->state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

#define PICK(rng, array)	((array)[fz_below(rng, ARRAY_SIZE(array))])

static bool one_in(struct fz_rng *rng, unsigned int n)
{
	return !fz_below(rng, n);
}

static int64_t any_number(struct fz_rng *rng)
{
	static const int64_t border[] = {
		0, 1, 2, 3, -1, -2, 4, 7, 8, 15, 16, 31, 32, 63, 64, 127, 128, 129, 255,
		256, 257, 4095, 4096, 4097, 32640, 32768, 65408, 65535, 65536, 65537,
		1 << 20, 64 << 20, 0x7fffffff, 0x80000000, 0xffffffff, 0xffffff80,
		0x100000000, INT64_MAX, INT64_MIN,
	};

	if (one_in(rng, 6))
		return fz_random(rng) >> fz_below(rng, 64);
	return PICK(rng, border);
}

static int64_t any_delta(struct fz_rng *rng)
{
	static const int64_t delta[] = { 1, -1, 128, -128, 64, 4, 1LL << 32 };

	return one_in(rng, 8) ? PICK(rng, delta) : 0;
}

static uint8_t any_file(struct fz_rng *rng)
{
	/* Two files meet more often than six. */
	return fz_below(rng, one_in(rng, 4) ? FZ_FDS : 3);
}

static struct fz_val any_address(struct fz_rng *rng)
{
	static const int64_t delta[] = {
		0, 0, 0, -1, -4, -8, -16, -24, -40, -48, -60, -64, -100, -120, -127, -128,
		-129, -256, -2048, -4096, 1, 4, 8, 64, 4092, 4090, 4096,
	};

	return (struct fz_val){ FZ_MEM, fz_below(rng, FZ_MEMS),
				one_in(rng, 2) ? FZ_SELF : any_file(rng),
				PICK(rng, delta) };
}

static struct fz_val any_name(struct fz_rng *rng, const struct fz_field *field)
{
	unsigned int usual = one_in(rng, 6) ? fz_nr_strings : FZ_SVCS;

	if (field->def.tag == FZ_STR && field->def.a >= FZ_SVCS && !one_in(rng, 5))
		return (struct fz_val){ FZ_STR, field->def.a + fz_below(rng, 2), 0, 0 };
	if (field->def.tag == FZ_NUM)	/* a list, or none */
		return (struct fz_val){ FZ_STR, 6 + fz_below(rng, 2), 0, 0 };
	return (struct fz_val){ FZ_STR, fz_below(rng, usual), 0, 0 };
}

static int64_t any_length(struct fz_rng *rng)
{
	static const int64_t length[] = {
		0, 1, 8, 64, 127, 128, 129, 256, 1000, 4000, 4096, 4097, 8192, 16384,
		20000, 28000, 32640, 32641, 32768, 40000, 65536, 65537, 131072, 69632,
		1 << 20, 64 << 20, 0xffffffff, 0x80000000,
	};

	return one_in(rng, 8) ? fz_below(rng, 70000) : PICK(rng, length);
}

static struct fz_val any_value(struct fz_rng *rng, const struct fz_field *field)
{
	struct fz_val val = { .tag = FZ_NUM };
	static const int64_t ms[] = { -1, 0, 1, 2, 5, 10, 20, 50 };
	static const uint8_t of_file[] = { FZ_CALL_ID, FZ_MSG_ID, FZ_CALL_SLOT, FZ_MSG_OFF };

	if (one_in(rng, 12)) {
		val.n = any_number(rng);
		return val;
	}
	switch (field->kind) {
	case FZF_SIZE:
		val.n = one_in(rng, 2) ? any_number(rng) : (int)fz_below(rng, 200);
		break;
	case FZF_FLAGS:
		val.n = fz_random(rng) & fz_flag_mask(field);
		if (one_in(rng, 2))
			val.n &= fz_random(rng);
		if (one_in(rng, 12))
			val.n ^= 1U << fz_below(rng, 32);
		break;
	case FZF_RESERVED:
		val.n = one_in(rng, 2) ? 0 : any_number(rng);
		break;
	case FZF_NAME:
		return any_name(rng, field);
	case FZF_NAME_LEN:
		val.n = fz_below(rng, 70);
		break;
	case FZF_HANDLE:
		return (struct fz_val){ FZ_SVC, fz_below(rng, FZ_SVCS), 0, any_delta(rng) };
	case FZF_ENDPOINT:
		return (struct fz_val){ FZ_EP, any_file(rng), 0, any_delta(rng) };
	case FZF_ID:
	case FZF_SLOT:
		val.tag = of_file[fz_below(rng, 2) + 2 * (field->kind == FZF_SLOT)];
		val.a = one_in(rng, 2) ? FZ_SELF : any_file(rng);
		val.b = one_in(rng, 2) ? 0 : fz_below(rng, FZ_RING);
		val.n = any_delta(rng);
		break;
	case FZF_LEN:
		val.n = any_length(rng);
		break;
	case FZF_ADDRESS:
	case FZF_RELEASE:
	case FZF_OFFSETS:
	case FZF_CALLS:
		return any_address(rng);
	case FZF_STRIDE:
		val.n = one_in(rng, 2) ? (int)sizeof(struct symphony_call) : any_number(rng);
		break;
	case FZF_DEADLINE:
		if (one_in(rng, 6))
			return val;
		return (struct fz_val){ FZ_MS, 0, 0, PICK(rng, ms) };
	case FZF_NR_RELEASE:
		val.n = one_in(rng, 3) ? any_number(rng) : (int)fz_below(rng, 6);
		break;
	case FZF_ROOM:
		val.n = fz_below(rng, one_in(rng, 4) ? 258 : 6);
		break;
	case FZF_FD:
		return (struct fz_val){ one_in(rng, 3) ? FZ_FD : FZ_GRANT,
					fz_below(rng, FZ_GRANTS), 0, 0 };
	case FZF_RING:
		val.n = fz_below(rng, 1 + FZ_RINGS);
		break;
	case FZF_MS:
		val.n = fz_below(rng, 6);
		break;
	case FZF_NUM:
	case FZF_OUT:
		val.n = one_in(rng, 2) ? (int)fz_below(rng, 8) : any_number(rng);
		break;
	}
	return val;
}

static uint8_t any_kind(struct fz_rng *rng)
{
	/* What carries calls comes more often. */
	static const uint8_t usual[] = {
		FZ_CALL, FZ_CALL, FZ_SEND, FZ_SEND, FZ_SEND, FZ_RECV, FZ_RECV, FZ_RECV,
		FZ_REPLY, FZ_REPLY, FZ_CLAIM, FZ_CLAIM, FZ_JOIN, FZ_CANCEL, FZ_RELEASE,
		FZ_CLOSE, FZ_OPEN, FZ_WATCH, FZ_DRAIN, FZ_UNCLAIM, FZ_WAIT, FZ_OPFDS,
		FZ_REAP, FZ_ENDRING, FZ_BATCH,
	};

	return one_in(rng, 4) ? fz_below(rng, FZ_KINDS) : PICK(rng, usual);
}

static void any_argument(struct fz_rng *rng, struct fz_op *op)
{
	unsigned int nr = fz_nr_fields(&fz_kinds[op->kind]), i;

	if (!nr)
		return;
	i = fz_below(rng, nr);
	op->arg[i] = any_value(rng, &fz_kinds[op->kind].field[i]);
	op->expect = FZ_ANY;
}

static struct fz_op any_op(struct fz_rng *rng)
{
	struct fz_op op = {
		.kind = any_kind(rng),
		.fd = any_file(rng),
		.thread = fz_below(rng, 2),
		.expect = FZ_ANY,
	};

	for (unsigned int i = fz_below(rng, 5); i; i--)
		any_argument(rng, &op);
	/* What needs its own luck: rings, and files. */
	for (unsigned int i = 0; i < fz_nr_fields(&fz_kinds[op.kind]); i++) {
		const struct fz_field *field = &fz_kinds[op.kind].field[i];

		if (field->kind == FZF_RING && one_in(rng, 4))
			op.arg[i] = any_value(rng, field);
		if (!strcmp(field->name, "nr_fds") && one_in(rng, 4))
			op.arg[i] = (struct fz_val){ FZ_NUM, 0, 0, fz_below(rng, 20) };
	}
	/* The structure itself is more often where it should be. */
	for (unsigned int i = 0; i < fz_nr_fields(&fz_kinds[op.kind]); i++) {
		enum fz_field_kind kind = fz_kinds[op.kind].field[i].kind;

		if ((kind == FZF_SIZE || kind == FZF_RESERVED || kind == FZF_NAME_LEN ||
		     kind == FZF_NR_RELEASE) && !one_in(rng, 4))
			op.arg[i].tag = FZ_DEF;
	}
	return op;
}

static void insert(struct fz_prog *prog, unsigned int i, const struct fz_op *op)
{
	if (prog->nr == FZ_OPS)
		return;
	memmove(&prog->op[i + 1], &prog->op[i], (prog->nr - i) * sizeof(*op));
	prog->op[i] = *op;
	prog->nr++;
	if (prog->race < FZ_OPS && i < prog->race)
		prog->race++;
}

void fz_remove(struct fz_prog *prog, unsigned int i)
{
	prog->nr--;
	memmove(&prog->op[i], &prog->op[i + 1], (prog->nr - i) * sizeof(prog->op[0]));
	if (i < prog->race && prog->race < FZ_OPS)
		prog->race--;
}

/* Two endpoints, one of which serves: without that little comes of the rest. */
void fz_generate(struct fz_rng *rng, struct fz_prog *prog)
{
	static const uint8_t kinds[] = { FZ_OPEN, FZ_JOIN, FZ_OPEN, FZ_JOIN, FZ_CLAIM };
	unsigned int nr = 8 + fz_below(rng, FZ_OPS - 8);

	memset(prog, 0, sizeof(*prog));
	for (; prog->nr < ARRAY_SIZE(kinds); prog->nr++) {
		struct fz_op *op = &prog->op[prog->nr];

		op->kind = kinds[prog->nr];
		op->fd = prog->nr / 2 % 2;
		op->expect = FZ_ANY;
		if (op->kind == FZ_JOIN)
			op->arg[1] = (struct fz_val){ FZ_NUM, 0, 0, SYMPHONY_JOIN_CREATE };
	}
	while (prog->nr < nr)
		prog->op[prog->nr++] = any_op(rng);
	prog->race = one_in(rng, 2) ? FZ_OPS : 5 + fz_below(rng, nr - 5);
}

static void splice(struct fz_rng *rng, struct fz_prog *prog, const struct fz_prog *other)
{
	unsigned int from = fz_below(rng, other->nr), n = 1 + fz_below(rng, other->nr - from);
	unsigned int at = fz_below(rng, prog->nr + 1);

	for (unsigned int i = 0; i < n; i++)
		insert(prog, at + i, &other->op[from + i]);
}

static void change_value(struct fz_rng *rng, struct fz_op *op)
{
	unsigned int nr = fz_nr_fields(&fz_kinds[op->kind]);
	struct fz_val *val = &op->arg[fz_below(rng, nr)];

	op->expect = FZ_ANY;
	if (!nr || val->tag == FZ_DEF)
		return;
	switch (fz_below(rng, 4)) {
	case 0: val->n ^= 1ULL << fz_below(rng, 64); break;
	case 1: val->n += any_delta(rng) ?: 1; break;
	case 2: val->n = val->tag == FZ_MS ? 0 : any_number(rng); break;
	default: val->tag = FZ_DEF; val->n = 0;
	}
}

static void change(struct fz_rng *rng, struct fz_prog *prog, const struct fz_prog *other)
{
	struct fz_op *op, new;
	unsigned int i;

	if (!prog->nr) {
		fz_generate(rng, prog);
		return;
	}
	i = fz_below(rng, prog->nr);
	op = &prog->op[i];
	switch (fz_below(rng, 16)) {
	case 0: case 1: case 2: case 3:
		any_argument(rng, op);
		break;
	case 4: case 5:
		change_value(rng, op);
		break;
	case 6: case 7: case 8:
		new = any_op(rng);
		insert(prog, i + fz_below(rng, 2), &new);
		break;
	case 9:
		fz_remove(prog, i);
		break;
	case 10:
		new = *op;
		insert(prog, fz_below(rng, prog->nr + 1), &new);
		break;
	case 11:
		new = prog->op[fz_below(rng, prog->nr)];
		prog->op[i] = new;
		break;
	case 12:
		op->fd = any_file(rng);
		op->expect = FZ_ANY;
		break;
	case 13:
		op->thread ^= 1;
		break;
	case 14:
		prog->race = one_in(rng, 4) ? FZ_OPS : fz_below(rng, prog->nr + 1);
		break;
	case 15:
		if (other && other->nr)
			splice(rng, prog, other);
	}
}

void fz_mutate(struct fz_rng *rng, struct fz_prog *prog, const struct fz_prog *other)
{
	for (unsigned int n = 1 + fz_below(rng, one_in(rng, 3) ? 8 : 3); n; n--)
		change(rng, prog, other);
}
