// SPDX-License-Identifier: MIT
/*
 * Programs as text: an operation a line, "#" before what is no operation.
 *
 *	open f0
 *	join f0 flags=CREATE pool_size=65536
 *	claim f0 name=s1 flags=REQUEUE|NOTIFY
 *	race			two threads from here on; b: is the second's
 *	call f1 handle=svc1 body=none-16 body_len=64 deadline=ms+20 -> EFAULT
 *	b: close f0
 *
 * What is not said of an operation is as it should be. Values: a number, the
 * names of flags, one of the strings below, or, with a number added,
 *
 *	ep, f1.ep		id of the endpoint of the own file, of another
 *	svc0 .. svc3		handle that the names s0 .. s3 were last seen to have
 *	call0.id, f1.call1.slot	of the last call made there, of the one before
 *	msg0.id, msg0.off	likewise of the messages received
 *	grant0 .. grant3, fd2	descriptors
 *	ms+20			20 ms from now
 *	rw ro none edge flip gone files pool f1.pool kern null	addresses; see enum fz_mem
 *
 * A batch makes those CALLs and SENDs again, as SENDs, that stand right in front of it,
 * from the first on.
 *
 * "ring=1" and "ring=2" submit an operation to one of the thread's two rings. What came
 * of it later counts, if "reap" or the next one there sees it; EINPROGRESS until then.
 *
 * "at" is where the structure is, "tail" the byte behind it, "rel0" to "rel3"
 * are offsets to release. "-> EINVAL" and "-> 0" are for seeds: replaying one
 * that ends in another way fails.
 */
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device.h"

#define STR(name, bytes)	{ name, bytes, sizeof(bytes) - 1 }

const struct fz_string fz_strings[] = {
	STR("s0", "s0"), STR("s1", "s1"), STR("s2", "s2"), STR("s3", "s3"),
	STR("bus0", "fuzz-0"), STR("bus1", "fuzz-1"),
	STR("list", "s0\0s1\0"), STR("badlist", "s0\0\0S1"), STR("nobus", "nowhere"),
	STR("empty", ""), STR("upper", "Upper"), STR("digit", "1st"),
	STR("inner_nul", "s\0s"), STR("latin", "s\xff\x80"), STR("dots", "s._-9"),
	STR("longest", "a23456789012345678901234567890123456789012345678901234567890123"),
	STR("toolong", "a234567890123456789012345678901234567890123456789012345678901234"),
};
const unsigned int fz_nr_strings = ARRAY_SIZE(fz_strings);

enum { S0, BUS0 = 4 };

/* --- what there is to do ------------------------------------------------------ */

static const char *const join_flags[] = { "CREATE", "EXCL", "GRANTS", "INHERIT", "RESERVED", NULL };
static const char *const claim_flags[] = {
	"REQUEUE", "REISSUE", "TAKEOVER", "ACTIVATOR", "NOTIFY", "GRANT", NULL
};
static const char *const drain_flags[] = { "RESUME", NULL };
static const char *const call_flags[] = {
	"DONTWAIT", "NOTIFY", "IDEMPOTENT", "ONEWAY", "VECTOR", NULL
};
static const char *const cancel_flags[] = { "RECV", "RECEIVERS", "RESUME", NULL };
static const char *const dontwait[] = { "DONTWAIT", NULL };
static const char *const reply_flags[] = { "ERROR", "RELEASE", "RECV", "DONTWAIT", "VECTOR", "TRY", NULL };
static const char *const remove_flag[] = { "REMOVE", NULL };
static const char *const none[] = { NULL };

#define NUM(x)		{ FZ_NUM, 0, 0, x }
#define OWN(tag)	{ tag, FZ_SELF, 0, 0 }
#define F(type, member, kind, ...)						\
	{ #member, offsetof(struct type, member),				\
	  sizeof(((struct type *)0)->member), kind, ##__VA_ARGS__ }
#define PSEUDO(name, kind, ...)	{ name, FZ_NOT_IN_STRUCT, 0, kind, ##__VA_ARGS__ }

#define SIZE(type)	F(type, size, FZF_SIZE)
#define FLAGS(type, names) F(type, flags, FZF_FLAGS, NUM(0), names)
#define RING		PSEUDO("ring", FZF_RING, NUM(0))
#define PLACE		PSEUDO("at", FZF_ADDRESS), PSEUDO("tail", FZF_NUM, NUM(0))
#define RELEASES(type)								\
	F(type, release, FZF_RELEASE), F(type, nr_release, FZF_NR_RELEASE),	\
	PSEUDO("rel0", FZF_SLOT), PSEUDO("rel1", FZF_SLOT),			\
	PSEUDO("rel2", FZF_SLOT), PSEUDO("rel3", FZF_SLOT)
#define DEADLINE(type)	F(type, deadline, FZF_DEADLINE, { FZ_MS, 0, 0, 20 })

#define SERVICE(names)								\
	{ SIZE(symphony_service), FLAGS(symphony_service, names),		\
	  F(symphony_service, name, FZF_NAME, { FZ_STR, S0, 0, 0 }),		\
	  F(symphony_service, name_len, FZF_NAME_LEN),				\
	  F(symphony_service, limit, FZF_OUT),					\
	  F(symphony_service, handle, FZF_HANDLE, { FZ_SVC, 0, 0, 0 }),		\
	  F(symphony_service, endpoint, FZF_ENDPOINT, NUM(0)),			\
	  F(symphony_service, grant, FZF_FD, NUM(0)),				\
	  F(symphony_service, reserved, FZF_RESERVED, NUM(0)), PLACE }

#define CALL									\
	{ SIZE(symphony_call), FLAGS(symphony_call, call_flags),		\
	  F(symphony_call, handle, FZF_HANDLE, { FZ_SVC, 0, 0, 0 }),		\
	  F(symphony_call, key, FZF_NUM, NUM(0)),				\
	  F(symphony_call, body, FZF_ADDRESS, { FZ_MEM, FZ_RW, 0, 0 }),		\
	  F(symphony_call, body_len, FZF_LEN, NUM(0)),				\
	  F(symphony_call, content_type, FZF_NUM, NUM(0)),			\
	  F(symphony_call, reply_max, FZF_LEN, NUM(0)),				\
	  RELEASES(symphony_call), DEADLINE(symphony_call),			\
	  F(symphony_call, parent, FZF_ID, NUM(0)),				\
	  F(symphony_call, parent_slot, FZF_SLOT, NUM(0)),			\
	  F(symphony_call, nr_fds, FZF_NUM, NUM(0)),				\
	  F(symphony_call, fds, FZF_ADDRESS, { FZ_MEM, FZ_FILES, 0, 0 }),	\
	  F(symphony_call, id, FZF_ID, NUM(0)),					\
	  F(symphony_call, slot, FZF_SLOT, NUM(0)), RING, PLACE }

#define WAIT(names)								\
	{ SIZE(symphony_wait), FLAGS(symphony_wait, names),			\
	  F(symphony_wait, id, FZF_ID, OWN(FZ_CALL_ID)),			\
	  F(symphony_wait, slot, FZF_SLOT, OWN(FZ_CALL_SLOT)),			\
	  F(symphony_wait, offset, FZF_OUT), RING, PLACE }

#define ERRNOS(...)	(const int []){ __VA_ARGS__, 0 }
#define SEND_ERRNOS								\
	ERRNOS(ENOENT, ECONNREFUSED, EMSGSIZE, EAGAIN, ENOBUFS, EDQUOT,		\
	       ETIME, ESRCH, EINTR, EBADF, ELOOP)

const struct fz_kind_info fz_kinds[FZ_KINDS] = {
	[FZ_OPEN] = { "open", .field = { PSEUDO("nonblock", FZF_NUM, NUM(0)) } },
	[FZ_JOIN] = {
		"join", SYMPHONY_IOC_JOIN, sizeof(struct symphony_join),
		ERRNOS(EISCONN, ENOENT, EEXIST, EACCES, EBUSY, ENAMETOOLONG, EDQUOT),
		{ SIZE(symphony_join), FLAGS(symphony_join, join_flags),
		  F(symphony_join, name, FZF_NAME, { FZ_STR, BUS0, 0, 0 }),
		  F(symphony_join, name_len, FZF_NAME_LEN),
		  F(symphony_join, mode, FZF_NUM, NUM(0)),
		  F(symphony_join, pool_size, FZF_LEN, NUM(SYMPHONY_POOL_MIN)),
		  F(symphony_join, limit, FZF_OUT),
		  F(symphony_join, endpoint, FZF_OUT),
		  F(symphony_join, reserve, FZF_NAME, NUM(0)),
		  F(symphony_join, reserve_len, FZF_NAME_LEN),
		  F(symphony_join, bus_flags, FZF_OUT),
		  F(symphony_join, bus_uid, FZF_OUT),
		  F(symphony_join, bus_gid, FZF_OUT),
		  F(symphony_join, bus_mode, FZF_OUT),
		  F(symphony_join, reserved, FZF_RESERVED, NUM(0)), PLACE },
	},
	[FZ_CLAIM] = {
		"claim", SYMPHONY_IOC_CLAIM, sizeof(struct symphony_service),
		ERRNOS(EACCES, EALREADY, EBUSY, ESRCH, EBADF, ENAMETOOLONG, EDQUOT,
		       ENOBUFS),
		SERVICE(claim_flags),
	},
	[FZ_UNCLAIM] = {
		"unclaim", SYMPHONY_IOC_UNCLAIM, sizeof(struct symphony_service),
		ERRNOS(ENOENT), SERVICE(none),
	},
	[FZ_RESOLVE] = {
		"resolve", SYMPHONY_IOC_RESOLVE, sizeof(struct symphony_service),
		ERRNOS(ENOENT, ENAMETOOLONG), SERVICE(none),
	},
	[FZ_DRAIN] = {
		"drain", SYMPHONY_IOC_DRAIN, sizeof(struct symphony_service),
		ERRNOS(ENOENT), SERVICE(drain_flags),
	},
	[FZ_OPGRANT] = {
		"grant", SYMPHONY_IOC_GRANT, sizeof(struct symphony_service),
		ERRNOS(ENAMETOOLONG, EMFILE), SERVICE(none),
	},
	[FZ_CALL] = {
		"call", SYMPHONY_IOC_CALL, sizeof(struct symphony_call),
		/* With an id it is a WAIT. */
		ERRNOS(ENOENT, ECONNREFUSED, EMSGSIZE, EAGAIN, ENOBUFS, EDQUOT,
		       ETIME, ESRCH, EINTR, EBADF, ELOOP, EBUSY),
		CALL,
	},
	[FZ_SEND] = {
		"send", SYMPHONY_IOC_SEND, sizeof(struct symphony_call),
		SEND_ERRNOS,
		CALL,
	},
	[FZ_RECV] = {
		"recv", SYMPHONY_IOC_RECV, sizeof(struct symphony_recv),
		ERRNOS(EAGAIN, ETIMEDOUT, EINTR, ECANCELED),
		{ SIZE(symphony_recv), FLAGS(symphony_recv, dontwait),
		  DEADLINE(symphony_recv),
		  F(symphony_recv, offsets, FZF_OFFSETS),
		  F(symphony_recv, max, FZF_ROOM, NUM(1)),
		  RELEASES(symphony_recv),
		  F(symphony_recv, reserved, FZF_RESERVED, NUM(0)), RING, PLACE },
	},
	[FZ_REPLY] = {
		"reply", SYMPHONY_IOC_REPLY, sizeof(struct symphony_reply),
		ERRNOS(ESRCH, EMSGSIZE, EDQUOT, EBADF, ELOOP),
		{ SIZE(symphony_reply), FLAGS(symphony_reply, reply_flags),
		  F(symphony_reply, id, FZF_ID, OWN(FZ_MSG_ID)),
		  F(symphony_reply, slot, FZF_SLOT, OWN(FZ_MSG_OFF)),
		  F(symphony_reply, content_type, FZF_NUM, NUM(0)),
		  F(symphony_reply, body, FZF_ADDRESS, { FZ_MEM, FZ_RW, 0, 0 }),
		  F(symphony_reply, body_len, FZF_LEN, NUM(0)),
		  F(symphony_reply, nr_fds, FZF_NUM, NUM(0)),
		  F(symphony_reply, fds, FZF_ADDRESS, { FZ_MEM, FZ_FILES, 0, 0 }),
		  DEADLINE(symphony_reply),
		  F(symphony_reply, offsets, FZF_OFFSETS),
		  F(symphony_reply, max, FZF_ROOM, NUM(1)),
		  RELEASES(symphony_reply),
		  F(symphony_reply, limit, FZF_OUT), RING, PLACE },
	},
	[FZ_CANCEL] = {
		"cancel", SYMPHONY_IOC_CANCEL, sizeof(struct symphony_wait),
		ERRNOS(ESRCH, EALREADY), WAIT(cancel_flags),
	},
	[FZ_WAIT] = {
		"wait", SYMPHONY_IOC_WAIT, sizeof(struct symphony_wait),
		ERRNOS(ESRCH, EBUSY, EAGAIN, EINTR), WAIT(dontwait),
	},
	[FZ_WATCH] = {
		"watch", SYMPHONY_IOC_WATCH, sizeof(struct symphony_watch),
		ERRNOS(ESRCH, EALREADY, ENOBUFS),
		{ SIZE(symphony_watch), FLAGS(symphony_watch, remove_flag),
		  F(symphony_watch, endpoint, FZF_ENDPOINT, { FZ_EP, 0, 0, 0 }),
		  F(symphony_watch, cookie, FZF_NUM, NUM(0)), PLACE },
	},
	[FZ_RELEASE] = {
		"release", SYMPHONY_IOC_RELEASE, sizeof(struct symphony_release),
		ERRNOS(0),
		{ SIZE(symphony_release), FLAGS(symphony_release, none),
		  F(symphony_release, release, FZF_RELEASE),
		  F(symphony_release, nr_release, FZF_NR_RELEASE),
		  PSEUDO("rel0", FZF_SLOT, OWN(FZ_MSG_OFF)), PSEUDO("rel1", FZF_SLOT),
		  PSEUDO("rel2", FZF_SLOT), PSEUDO("rel3", FZF_SLOT),
		  F(symphony_release, reserved, FZF_RESERVED, NUM(0)), RING, PLACE },
	},
	[FZ_QUERY] = {
		"query", SYMPHONY_IOC_QUERY, sizeof(struct symphony_query),
		ERRNOS(0),
		{ SIZE(symphony_query), FLAGS(symphony_query, none),
		  F(symphony_query, features, FZF_OUT), PLACE },
	},
	[FZ_RAW] = {
		"ioctl", 0, 128, NULL,
		{ { "size", 0, 4, FZF_SIZE }, { "w1", 4, 4, FZF_NUM },
		  { "w2", 8, 8, FZF_NUM }, { "w3", 16, 8, FZF_NUM },
		  { "w4", 24, 8, FZF_NUM }, PSEUDO("cmd", FZF_NUM, NUM(0xb50d)), PLACE },
	},
	[FZ_MMAP] = { "mmap", .field = {
		PSEUDO("len", FZF_LEN, NUM(SYMPHONY_POOL_MIN)),
		PSEUDO("prot", FZF_NUM, NUM(1)), PSEUDO("flags", FZF_NUM, NUM(1)),
		PSEUDO("off", FZF_NUM, NUM(0)) } },
	[FZ_MUNMAP] = { "munmap", .field = {
		PSEUDO("off", FZF_NUM, NUM(0)),
		PSEUDO("len", FZF_LEN, NUM(SYMPHONY_POOL_MIN)) } },
	[FZ_MPROTECT] = { "mprotect", .field = {
		PSEUDO("off", FZF_NUM, NUM(0)), PSEUDO("len", FZF_LEN, NUM(4096)),
		PSEUDO("prot", FZF_NUM, NUM(3)) } },
	[FZ_MADVISE] = { "madvise", .field = {
		PSEUDO("off", FZF_NUM, NUM(0)), PSEUDO("len", FZF_LEN, NUM(4096)),
		PSEUDO("advice", FZF_NUM, NUM(4)) } },
	[FZ_MREMAP] = { "mremap", .field = {
		PSEUDO("len", FZF_LEN, NUM(2 * SYMPHONY_POOL_MIN)) } },
	[FZ_READ] = { "read", .field = {
		PSEUDO("off", FZF_SLOT, NUM(0)), PSEUDO("len", FZF_LEN, NUM(128)) } },
	[FZ_CLOSE] = { "close", .field = { PSEUDO("keep_pool", FZF_NUM, NUM(0)) } },
	[FZ_DUP] = { "dup", .field = { PSEUDO("to", FZF_NUM, NUM(5)) } },
	[FZ_POLL] = { "poll", .field = {
		PSEUDO("events", FZF_NUM, NUM(1)), PSEUDO("ms", FZF_MS, NUM(0)) } },
	[FZ_FORK] = { "fork", .field = { PSEUDO("ops", FZF_NUM, NUM(1)) } },
	[FZ_AS] = { "as", .field = { PSEUDO("user", FZF_NUM, NUM(1)) } },
	[FZ_NAP] = { "nap", .field = { PSEUDO("ms", FZF_MS, NUM(1)) } },
	[FZ_KICK] = { "kick" },
	[FZ_NONBLOCK] = { "nonblock", .field = { PSEUDO("on", FZF_NUM, NUM(1)) } },
	[FZ_OPFDS] = {
		"fds", SYMPHONY_IOC_FDS, sizeof(struct symphony_fds),
		ERRNOS(ESRCH, ENOENT, EBUSY, ERANGE, EMFILE),
		{ SIZE(symphony_fds), FLAGS(symphony_fds, none),
		  F(symphony_fds, id, FZF_ID, OWN(FZ_MSG_ID)),
		  F(symphony_fds, offset, FZF_SLOT, OWN(FZ_MSG_OFF)),
		  F(symphony_fds, nr, FZF_ROOM, NUM(SYMPHONY_FDS_MAX)),
		  F(symphony_fds, fds, FZF_OFFSETS), PLACE },
	},
	[FZ_BATCH] = {
		"batch", SYMPHONY_IOC_SEND_BATCH, sizeof(struct symphony_send_batch),
		SEND_ERRNOS,
		{ SIZE(symphony_send_batch), FLAGS(symphony_send_batch, none),
		  F(symphony_send_batch, calls, FZF_CALLS),
		  F(symphony_send_batch, stride, FZF_STRIDE),
		  F(symphony_send_batch, nr, FZF_ROOM, NUM(1)), RING, PLACE },
	},
	[FZ_REAP] = { "reap", .field = { PSEUDO("ring", FZF_RING, NUM(1)) } },
	[FZ_ENDRING] = { "endring", .field = { PSEUDO("ring", FZF_RING, NUM(1)) } },
	[FZ_NOFILE] = { "nofile", .field = { PSEUDO("more", FZF_NUM, NUM(0)) } },
};

unsigned int fz_nr_fields(const struct fz_kind_info *kind)
{
	unsigned int n = 0;

	while (n < FZ_ARGS && kind->field[n].name)
		n++;
	return n;
}

uint32_t fz_flag_mask(const struct fz_field *field)
{
	uint32_t n = 0;

	while (field->flags[n])
		n++;
	return (1U << n) - 1;
}

const char *fz_errno_name(int err)
{
	return err ? strerrorname_np(err) ?: "?" : "0";
}

static int errno_number(const char *name, size_t len)
{
	if (len == 1 && *name == '0')
		return 0;
	for (int err = 1; err < 134; err++) {
		const char *known = strerrorname_np(err);

		if (known && strlen(known) == len && !memcmp(known, name, len))
			return err;
	}
	return -1;
}

/* --- writing --------------------------------------------------------------------- */

static const char *const mem_names[FZ_MEMS] = {
	"rw", "ro", "none", "edge", "flip", "gone", "files", "pool", "kern", "null"
};

struct out {
	char *at, *end;
};

static void __attribute__((format(printf, 2, 3))) put(struct out *out,
						      const char *format, ...)
{
	size_t room = out->end - out->at;
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(out->at, room, format, args);
	va_end(args);
	out->at += n < (int)room ? n : (int)room - 1;
}

static void put_number(struct out *out, int64_t n)
{
	if (n > -65536 && n <= 65536)
		put(out, "%lld", (long long)n);
	else if (n < 0)
		put(out, "-%#llx", -(unsigned long long)n);
	else
		put(out, "%#llx", (long long)n);
}

static void put_flags(struct out *out, const struct fz_field *field, uint64_t n)
{
	const char *bar = "";

	for (int i = 0; field->flags[i]; i++) {
		if (!(n & 1U << i))
			continue;
		put(out, "%s%s", bar, field->flags[i]);
		bar = "|";
	}
	n &= ~(uint64_t)fz_flag_mask(field);
	if (n || !*bar)
		put(out, "%s%#llx", bar, (long long)n);
}

static void put_value(struct out *out, const struct fz_field *field,
		      const struct fz_val *val)
{
	bool filed = val->tag == FZ_EP || (val->tag >= FZ_CALL_ID && val->tag <= FZ_MSG_OFF);

	if (val->tag == FZ_NUM) {
		if (field->kind == FZF_FLAGS)
			put_flags(out, field, val->n);
		else
			put_number(out, val->n);
		return;
	}
	if (filed && val->a != FZ_SELF)
		put(out, "f%u.", val->a);
	if (val->tag == FZ_MEM && val->a == FZ_POOL && val->b != FZ_SELF)
		put(out, "f%u.", val->b);
	switch (val->tag) {
	case FZ_EP: put(out, "ep"); break;
	case FZ_SVC: put(out, "svc%u", val->a); break;
	case FZ_CALL_ID: put(out, "call%u.id", val->b); break;
	case FZ_CALL_SLOT: put(out, "call%u.slot", val->b); break;
	case FZ_MSG_ID: put(out, "msg%u.id", val->b); break;
	case FZ_MSG_OFF: put(out, "msg%u.off", val->b); break;
	case FZ_GRANT: put(out, "grant%u", val->a); break;
	case FZ_FD: put(out, "fd%u", val->a); break;
	case FZ_MS: put(out, "ms"); break;
	case FZ_MEM: put(out, "%s", mem_names[val->a]); break;
	case FZ_STR: put(out, "%s", fz_strings[val->a].name); break;
	}
	if (val->n) {
		if (val->n > 0)
			put(out, "+");
		put_number(out, val->n);
	}
}

size_t fz_print(const struct fz_prog *prog, char *text, size_t size)
{
	struct out out = { text, text + size };

	*text = 0;
	for (unsigned int i = 0; i < prog->nr; i++) {
		const struct fz_op *op = &prog->op[i];
		const struct fz_kind_info *kind = &fz_kinds[op->kind];

		if (i == prog->race)
			put(&out, "race\n");
		put(&out, "%s%s f%u", op->thread ? "b: " : "", kind->name, op->fd);
		for (unsigned int j = 0; j < fz_nr_fields(kind); j++) {
			if (op->arg[j].tag == FZ_DEF)
				continue;
			put(&out, " %s=", kind->field[j].name);
			put_value(&out, &kind->field[j], &op->arg[j]);
		}
		if (op->expect != FZ_ANY)
			put(&out, " -> %s", fz_errno_name(-op->expect));
		put(&out, "\n");
	}
	return out.at - text;
}

/* --- reading ----------------------------------------------------------------------- */

struct in {
	const char *at;
	char *error;
	size_t size;
};

static int wrong(struct in *in, const char *what)
{
	snprintf(in->error, in->size, "%s: \"%.*s\"", what,
		 (int)strcspn(in->at, "\n"), in->at);
	return -1;
}

static bool word(struct in *in, const char *text)
{
	size_t len = strlen(text);

	if (strncmp(in->at, text, len) || isalnum((unsigned char)in->at[len]) ||
	    in->at[len] == '_')
		return false;
	in->at += len;
	return true;
}

/* A name with a number behind it, less than @max. */
static bool numbered(struct in *in, const char *text, unsigned int max, uint8_t *n)
{
	size_t len = strlen(text);
	unsigned int value;
	char *end;

	if (strncmp(in->at, text, len) || !isdigit((unsigned char)in->at[len]))
		return false;
	value = strtoul(in->at + len, &end, 10);
	if (value >= max || isalpha((unsigned char)*end))
		return false;
	in->at = end;
	*n = value;
	return true;
}

static bool number(struct in *in, int64_t *n)
{
	bool minus = *in->at == '-';
	char *end;

	if (!isdigit((unsigned char)in->at[minus || *in->at == '+']))
		return false;
	if (minus)
		*n = strtoll(in->at, &end, 0);
	else
		*n = strtoull(in->at, &end, 0);
	in->at = end;
	return true;
}

static bool flag_names(struct in *in, const struct fz_field *field, struct fz_val *val)
{
	int64_t more;
	bool found;

	val->tag = FZ_NUM;
	do {
		found = false;
		for (int i = 0; !found && field->flags[i]; i++)
			if (word(in, field->flags[i])) {
				val->n |= 1U << i;
				found = true;
			}
		if (!found && number(in, &more)) {
			val->n |= more;
			found = true;
		}
	} while (found && *in->at == '|' && in->at++);
	return found;
}

static bool reference(struct in *in, struct fz_val *val)
{
	const char *start = in->at;
	uint8_t file = FZ_SELF;
	unsigned int i;

	if (numbered(in, "fd", FZ_FDS, &val->a)) {
		val->tag = FZ_FD;
		return true;
	}
	if (numbered(in, "f", FZ_FDS, &file)) {
		if (*in->at != '.') {
			in->at = start;
			return false;
		}
		in->at++;
	}
	val->a = file;
	if (numbered(in, "call", FZ_RING, &val->b)) {
		val->tag = !strncmp(in->at, ".id", 3) ? FZ_CALL_ID : FZ_CALL_SLOT;
		in->at += val->tag == FZ_CALL_ID ? 3 : 5;
		return true;
	}
	if (numbered(in, "msg", FZ_RING, &val->b)) {
		val->tag = !strncmp(in->at, ".id", 3) ? FZ_MSG_ID : FZ_MSG_OFF;
		in->at += val->tag == FZ_MSG_ID ? 3 : 4;
		return true;
	}
	if (word(in, "ep")) {
		val->tag = FZ_EP;
		return true;
	}
	for (i = 0; i < FZ_MEMS; i++)
		if (word(in, mem_names[i])) {
			*val = (struct fz_val){ FZ_MEM, i, file, 0 };
			return true;
		}
	if (file != FZ_SELF)
		return false;
	val->a = 0;
	if (numbered(in, "svc", FZ_SVCS, &val->a)) {
		val->tag = FZ_SVC;
	} else if (numbered(in, "grant", FZ_GRANTS, &val->a)) {
		val->tag = FZ_GRANT;
	} else if (word(in, "ms")) {
		val->tag = FZ_MS;
	} else {
		for (i = 0; i < fz_nr_strings; i++)
			if (word(in, fz_strings[i].name))
				break;
		if (i == fz_nr_strings)
			return false;
		*val = (struct fz_val){ FZ_STR, i, 0, 0 };
	}
	return true;
}

static bool value(struct in *in, const struct fz_field *field, struct fz_val *val)
{
	*val = (struct fz_val){ .tag = FZ_NUM };
	if (field->kind == FZF_FLAGS)
		return flag_names(in, field, val);
	if (number(in, &val->n))
		return true;
	if (!reference(in, val))
		return false;
	if (*in->at == '+' || *in->at == '-')
		return number(in, &val->n);
	return true;
}

static void blank(struct in *in)
{
	in->at += strspn(in->at, " \t");
}

static int argument(struct in *in, struct fz_op *op)
{
	const struct fz_kind_info *kind = &fz_kinds[op->kind];
	size_t len = strcspn(in->at, "=\n");

	for (unsigned int i = 0; i < fz_nr_fields(kind); i++) {
		if (strlen(kind->field[i].name) != len ||
		    strncmp(in->at, kind->field[i].name, len))
			continue;
		if (in->at[len] != '=')
			break;
		in->at += len + 1;
		return value(in, &kind->field[i], &op->arg[i]) ? 0 :
			wrong(in, "no such value");
	}
	return wrong(in, "no such argument");
}

static int operation(struct in *in, struct fz_prog *prog)
{
	struct fz_op op = { .expect = FZ_ANY };
	unsigned int i;
	size_t len;

	if (prog->nr == FZ_OPS)
		return wrong(in, "too many operations");
	if (!strncmp(in->at, "b:", 2)) {
		op.thread = 1;
		in->at += 2;
		blank(in);
	}
	for (i = 0; i < FZ_KINDS; i++)
		if (word(in, fz_kinds[i].name))
			break;
	if (i == FZ_KINDS)
		return wrong(in, "no such operation");
	op.kind = i;
	for (blank(in); *in->at && *in->at != '\n' && *in->at != '#'; blank(in)) {
		if (!strncmp(in->at, "->", 2)) {
			int err;

			in->at += 2;
			blank(in);
			len = strcspn(in->at, " \t\n");
			err = errno_number(in->at, len);
			if (err < 0)
				return wrong(in, "no such error");
			op.expect = -err;
			in->at += len;
		} else if (in->at[0] == 'f' && isdigit((unsigned char)in->at[1]) &&
			   isspace((unsigned char)in->at[2])) {
			if (!numbered(in, "f", FZ_FDS, &op.fd))
				return wrong(in, "no such file");
		} else if (argument(in, &op)) {
			return -1;
		}
	}
	prog->op[prog->nr++] = op;
	return 0;
}

int fz_parse(const char **text, struct fz_prog *prog, char *error, size_t size)
{
	struct in in = { *text, error, size };

	memset(prog, 0, sizeof(*prog));
	prog->race = FZ_OPS;
	while (*in.at) {
		blank(&in);
		if (!strncmp(in.at, "---", 3)) {
			in.at += strcspn(in.at, "\n");
			if (prog->nr)
				break;
		} else if (word(&in, "race")) {
			prog->race = prog->nr;
		} else if (*in.at && *in.at != '\n' && *in.at != '#') {
			if (operation(&in, prog))
				return -1;
		}
		in.at += strcspn(in.at, "\n");
		in.at += *in.at == '\n';
	}
	*text = in.at;
	return 0;
}
