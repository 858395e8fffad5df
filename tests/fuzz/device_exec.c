// SPDX-License-Identifier: MIT
/*
 * Running programs. The runner is a process of its own that runs one after the
 * other: its main thread, a second one for races, and one that keeps changing
 * the memory of those that ask for it. A program leaves nothing behind: at its
 * end every file is closed, every child dead, every ledger at zero.
 *
 * Nothing waits for ever: the fuzzer sends a signal to whoever is still in a
 * program after a while, again and again, and an operation that does not return
 * then is a bug.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "device.h"

#define MSEC		1000000ULL
#define SEC		(1000 * MSEC)
#define PAGE		4096UL
#define KICK_EVERY	10	/* ms */
#define STUCK		90	/* s after which an operation does not return any more */
#define LATE		(20 * SEC) /* by which the emulator may delay a deadline */
#define SETTLE		(20 * SEC) /* what is closed is gone by then */
#define CHILDREN	16
#define MAPS		64

const uid_t fz_users[FZ_USERS] = { 0, 4242, 4243 };

/* Where an operation's own memory begins: the structure, and two arrays. */
#define SCRATCH		(2 * PAGE)
#define AT_RELEASE	PAGE
#define AT_OFFSETS	(PAGE + 2048)

enum { RW_PAGES = 32, RO_PAGES = 2, RACY_PAGES = 4, NR_PIECES = 8 };

static struct fz_shared *shared;
static const struct fz_cover *cover;
static atomic_int files[FZ_FDS];
static struct {
	char *_Atomic addr;
	size_t len;
} pools[FZ_FDS];
static struct {
	void *addr;
	size_t len;
} maps[MAPS];
static atomic_uint nr_maps;
static pid_t children[CHILDREN];
static atomic_uint nr_children;
static atomic_uint users_seen;
static atomic_ulong last_recv;	/* where the last RECV of a ring writes */
static bool in_child;
static int query_fd, first_fd;
static char *scratch, *rw, *ro, *ro_alias, *flip, *gone, *descriptors;

static sem_t second_go, second_done, flipper_go, flipper_done;
static atomic_int arrived;
static atomic_bool flipper_stop;

static _Thread_local unsigned int self;	/* 0, 1, or 2 for a child */
static _Thread_local sigjmp_buf *landing;

static uint64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * SEC + ts.tv_nsec;
}

static void nap(unsigned int ms)
{
	struct timespec ts = { .tv_nsec = ms * MSEC };

	nanosleep(&ts, NULL);
}

static void __attribute__((format(printf, 2, 3))) violation(int op, const char *format, ...)
{
	int n = 0;
	va_list args;

	if (atomic_exchange(&shared->failed, true))
		return;
	if (op >= 0)
		n = snprintf(shared->verdict, sizeof(shared->verdict), "operation %d, %s: ",
			     op + 1, fz_kinds[shared->prog.op[op].kind].name);
	va_start(args, format);
	vsnprintf(shared->verdict + n, sizeof(shared->verdict) - n, format, args);
	va_end(args);
}

/* This thread alone, as the wrapper would not have it; from one user to another
 * the way is by root.
 */
static int become(unsigned int user)
{
	syscall(SYS_setresuid, -1, 0, -1);
	return syscall(SYS_setresuid, -1, fz_users[user], -1) ? -errno : 0;
}

/* --- memory ---------------------------------------------------------------------- */

/* What a program does to its own memory is seen here, and no fault of ours. */
static void on_fault(int sig)
{
	(void)sig;
	if (landing)
		siglongjmp(*landing, 1);
	_exit(99);
}

static void on_kick(int sig)
{
	(void)sig;
}

static bool peek(void *to, const void *from, size_t len)
{
	sigjmp_buf here;
	bool ok = false;

	landing = &here;
	if (!sigsetjmp(here, 0)) {
		memcpy(to, from, len);
		ok = true;
	}
	landing = NULL;
	return ok;
}

/* Read-only memory is written where it is mapped a second time. */
static void poke(char *to, const char *from, size_t len)
{
	sigjmp_buf here;

	landing = &here;
	if (!sigsetjmp(here, 0))
		for (volatile size_t i = 0; i < len; i++) {
			char *at = to + i;

			if (at >= ro && at < ro + RO_PAGES * PAGE)
				at = ro_alias + (at - ro);
			*(volatile char *)at = from[i];
		}
	landing = NULL;
}

static char *map(size_t len, int prot)
{
	char *addr = mmap(NULL, len, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (addr == MAP_FAILED)
		abort();
	return addr;
}

/* @pages of memory, with one behind them that is not there. */
static char *cliff(size_t pages)
{
	char *addr = map((pages + 1) * PAGE, PROT_READ | PROT_WRITE);

	mprotect(addr + pages * PAGE, PAGE, PROT_NONE);
	return addr;
}

static void map_memory(void)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, RO_PAGES * PAGE))
		abort();
	scratch = map(FZ_OPS * SCRATCH, PROT_READ | PROT_WRITE);
	rw = cliff(RW_PAGES);
	flip = cliff(RACY_PAGES);
	gone = cliff(RACY_PAGES);
	ro = cliff(1 + RO_PAGES) + PAGE;
	if (mmap(ro, RO_PAGES * PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0) != ro)
		abort();
	ro_alias = mmap(NULL, RO_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (ro_alias == MAP_FAILED)
		abort();
	close(fd);
	memset(rw, 0x61, RW_PAGES * PAGE);
	/* Pieces of a body, at both ends. */
	for (int i = 0; i < NR_PIECES; i++) {
		((struct symphony_piece *)rw)[i] = (struct symphony_piece){
			(uintptr_t)ro + 100 * i, i % 3 * 50,
		};
		((struct symphony_piece *)(rw + RW_PAGES * PAGE))[-1 - i] =
			((struct symphony_piece *)rw)[i];
	}
}

/* What can be sent: sixteen of these; then what cannot. */
static void list_descriptors(void)
{
	int pair[2], *fds;
	const int good[] = { memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING),
			     open("/dev/null", O_RDWR | O_CLOEXEC), eventfd(0, EFD_CLOEXEC) };
	const int bad[] = { -1, query_fd, 1 << 20 };

	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair))
		abort();
	descriptors = cliff(1);
	fds = (int *)(descriptors + PAGE) - 24;
	for (unsigned int i = 0; i < 16; i++)
		fds[i] = i % 4 < 3 ? good[i % 4] : pair[i / 4 % 2];
	for (unsigned int i = 16; i < 24; i++)
		fds[i] = bad[(i - 16) % 3];
	mprotect(descriptors, PAGE, PROT_READ);
}

static uint64_t address(const struct fz_val *val, unsigned int own)
{
	unsigned int file = val->b == FZ_SELF ? own : val->b % FZ_FDS;

	switch (val->a) {
	case FZ_RW: return (uintptr_t)rw;
	case FZ_RO: return (uintptr_t)ro;
	case FZ_NONE: return (uintptr_t)(ro + RO_PAGES * PAGE);
	case FZ_EDGE: return (uintptr_t)(rw + RW_PAGES * PAGE);
	case FZ_FLIP: return (uintptr_t)flip;
	case FZ_GONE: return (uintptr_t)gone;
	case FZ_FILES: return (uintptr_t)(descriptors + PAGE - 24 * sizeof(int));
	case FZ_POOL: return (uintptr_t)pools[file].addr;
	case FZ_KERN: return 0xffff888000001000;
	default: return 0;
	}
}

static uint64_t resolve(const struct fz_op *op, const struct fz_val *val)
{
	unsigned int file = val->a == FZ_SELF ? op->fd : val->a % FZ_FDS;
	unsigned int b = val->b % FZ_RING;
	uint64_t n = 0;

	switch (val->tag) {
	case FZ_EP: n = shared->ep[file]; break;
	case FZ_SVC: n = shared->svc[val->a % FZ_SVCS]; break;
	case FZ_CALL_ID: n = shared->call_id[file][b]; break;
	case FZ_CALL_SLOT: n = shared->call_slot[file][b]; break;
	case FZ_MSG_ID: n = shared->msg_id[file][b]; break;
	case FZ_MSG_OFF: n = shared->msg_off[file][b]; break;
	case FZ_GRANT: n = shared->grant[val->a % FZ_GRANTS]; break;
	case FZ_FD: n = files[val->a % FZ_FDS]; break;
	case FZ_MS: return now() + val->n * (val->n >= 20 ? shared->calm : 1) * MSEC;
	case FZ_MEM: n = address(val, op->fd); break;
	case FZ_STR: n = (uintptr_t)fz_strings[val->a % fz_nr_strings].bytes; break;
	}
	return n + val->n;
}

static const struct fz_val *value_of(const struct fz_op *op, unsigned int i)
{
	return op->arg[i].tag != FZ_DEF ? &op->arg[i] : &fz_kinds[op->kind].field[i].def;
}

/* The argument of an operation that is no ioctl. */
static uint64_t plain(const struct fz_op *op, unsigned int i)
{
	const struct fz_val *val = value_of(op, i);

	return val->tag == FZ_MS ? (uint64_t)val->n : resolve(op, val);
}

/* --- ioctls ------------------------------------------------------------------------ */

struct shot {
	const struct fz_op *op;
	const struct fz_kind_info *kind;
	int index;
	bool strict;			/* nobody else interferes */
	bool must_fail;
	const char *why;
	unsigned long cmd;
	char *own, *at;			/* where the structure is made, and used */
	uint64_t deadline, max;
	bool own_offsets;
	unsigned char name;
	unsigned int ring;		/* 0: none */
};

static void must_fail(struct shot *shot, const char *why)
{
	shot->must_fail = true;
	shot->why = why;
}

static bool is_call(unsigned int index)
{
	return shared->prog.op[index].kind == FZ_CALL || shared->prog.op[index].kind == FZ_SEND;
}

/*
 * Where the structures of the calls are that stand right in front of it. They were
 * made, most of them: without the id they can be made again.
 */
static uint64_t calls_before(const struct shot *shot)
{
	unsigned int first = shot->index;

	while (first && is_call(first - 1))
		((struct symphony_call *)(scratch + --first * SCRATCH))->id = 0;
	return (uintptr_t)(scratch + first * SCRATCH);
}

static uint64_t default_of(struct shot *shot, unsigned int i, unsigned int nr_release)
{
	const struct fz_val *before = i ? value_of(shot->op, i - 1) : NULL;

	switch (shot->kind->field[i].kind) {
	case FZF_SIZE: return shot->kind->size;
	case FZF_NAME_LEN:
		if (before->tag == FZ_STR)
			return fz_strings[before->a % fz_nr_strings].len;
		return before->tag == FZ_NUM && !before->n ? 0 : 2;
	case FZF_RELEASE: return nr_release ? (uintptr_t)(shot->own + AT_RELEASE) : 0;
	case FZF_NR_RELEASE: return nr_release;
	case FZF_OFFSETS: return (uintptr_t)(shot->own + AT_OFFSETS);
	case FZF_CALLS: return calls_before(shot);
	case FZF_STRIDE: return SCRATCH;
	case FZF_OUT: return 0x5a5a5a5a5a5a5a5a;
	default: return 0;
	}
}

static void check_field(struct shot *shot, const struct fz_field *field, uint64_t n)
{
	uint64_t mask = field->width == 8 ? ~0ULL : (1ULL << 8 * field->width) - 1;

	n &= mask;
	if (field->kind == FZF_SIZE && (n < shot->kind->size || n > PAGE))
		must_fail(shot, "its size");
	if (field->kind == FZF_FLAGS && n & ~(uint64_t)fz_flag_mask(field))
		must_fail(shot, "an unknown flag");
	if (field->kind == FZF_RESERVED && n)
		must_fail(shot, "a reserved member");
	if (field->kind == FZF_STRIDE && (!n || n % 8))
		must_fail(shot, "its stride");
}

/* Write the structure; what has to be refused is known from it. */
static void prepare(struct shot *shot)
{
	const struct fz_op *op = shot->op;
	unsigned int nr_release = 0, nr = fz_nr_fields(shot->kind);
	uint32_t *release = (uint32_t *)(shot->own + AT_RELEASE);
	const struct fz_val *at = NULL;
	uint64_t size = shot->kind->size;
	unsigned char tail = 0;

	memset(shot->own, 0, shot->kind->size);
	shot->cmd = shot->kind->cmd;
	shot->name = 0xff;
	for (unsigned int i = 0; i < nr; i++)
		if (shot->kind->field[i].kind == FZF_RING && !in_child)
			shot->ring = resolve(op, value_of(op, i)) % (1 + FZ_RINGS);
	for (unsigned int i = 0; i < nr; i++)
		if (!strncmp(shot->kind->field[i].name, "rel", 3) &&
		    isdigit((unsigned char)shot->kind->field[i].name[3]) &&
		    value_of(op, i)->tag != FZ_DEF)
			release[nr_release++] = resolve(op, value_of(op, i));
	for (unsigned int i = 0; i < nr; i++) {
		const struct fz_field *field = &shot->kind->field[i];
		const struct fz_val *val = value_of(op, i);
		uint64_t n = val->tag == FZ_DEF ? default_of(shot, i, nr_release) :
						  resolve(op, val);

		/* A ring knows no deadline of a RECV. */
		if (field->kind == FZF_DEADLINE && op->arg[i].tag == FZ_DEF && shot->ring &&
		    op->kind != FZ_CALL && op->kind != FZ_SEND)
			n = 0;
		if (field->offset != FZ_NOT_IN_STRUCT) {
			memcpy(shot->own + field->offset, &n, field->width);
			check_field(shot, field, n);
		} else if (!strcmp(field->name, "at")) {
			at = val;
			shot->at = (char *)(uintptr_t)n;
		} else if (!strcmp(field->name, "tail")) {
			tail = n;
		} else if (!strcmp(field->name, "cmd")) {
			shot->cmd = (uint32_t)n;
		}
		if (field->kind == FZF_SIZE)
			size = (uint32_t)n;
		if (field->kind == FZF_DEADLINE)
			shot->deadline = n;
		if (field->kind == FZF_ROOM)
			shot->max = n;
		if (field->kind == FZF_OFFSETS)
			shot->own_offsets = val->tag == FZ_DEF;
		if (field->kind == FZF_NAME && shot->name == 0xff && val->tag == FZ_STR)
			shot->name = val->a;
	}
	/* By "id" alone a RECV cannot be meant. */
	if (op->kind == FZ_CANCEL && op->arg[2].tag == FZ_DEF) {
		struct symphony_wait *wait = (struct symphony_wait *)shot->own;

		if (wait->flags & SYMPHONY_CANCEL_RECV)
			wait->id = last_recv;
	}
	shot->own[shot->kind->size] = tail;
	if (tail && size > shot->kind->size)
		must_fail(shot, "a member it does not know");
	if (at->tag == FZ_DEF) {
		shot->at = shot->own;
		return;
	}
	/* Others may write there. */
	shot->must_fail = false;
	shot->strict = false;
	poke(shot->at, shot->own, shot->kind->size + 1);
}

static bool is_known(unsigned long cmd)
{
	return cmd >= SYMPHONY_IOC_QUERY && cmd <= SYMPHONY_IOC_SEND_BATCH &&
	       (cmd <= SYMPHONY_IOC_RELEASE || cmd >= SYMPHONY_IOC_DRAIN);
}

static bool may_say(const struct shot *shot, int err)
{
	static const int any[] = { EFAULT, EINVAL, E2BIG, ENOMEM, ENOTCONN, EPERM,
				   ESHUTDOWN, 0 };

	for (const int *e = any; *e; e++)
		if (*e == err)
			return true;
	/* What a file is may have changed under the operation. */
	if (!shot->strict && (err == EBADF || err == ENOTTY))
		return true;
	for (const int *e = shot->kind->errnos; e && *e; e++)
		if (*e == err)
			return true;
	return shot->op->kind == FZ_RAW;
}

static void push(uint64_t *ring, uint64_t n)
{
	memmove(ring + 1, ring, (FZ_RING - 1) * sizeof(*ring));
	ring[0] = n;
}

static void received(struct shot *shot, uint32_t offset)
{
	unsigned int file = shot->op->fd;
	struct symphony_msg msg = { .id = 0 };
	char *pool = pools[file].addr;

	if (pool && peek(&msg, pool + offset, sizeof(msg)) && shot->strict) {
		if (offset % SYMPHONY_POOL_ALIGN ||
		    offset + sizeof(msg) > pools[file].len)
			violation(shot->index, "gave offset %#x", offset);
		else if (msg.type < SYMPHONY_MSG_CALL || msg.type > SYMPHONY_MSG_ACTIVATE ||
			 msg.header_len != sizeof(msg) ||
			 msg.body_len > pools[file].len - offset - sizeof(msg))
			violation(shot->index,
				  "a message of type %u, header %u, body %u at %#x",
				  msg.type, msg.header_len, msg.body_len, offset);
	}
	push(shared->msg_id[file], msg.id);
	push(shared->msg_off[file], offset);
}

static void received_all(struct shot *shot, uint32_t nr)
{
	const uint32_t *offsets = (uint32_t *)(shot->own + AT_OFFSETS);

	if (shot->strict && nr > (uint32_t)shot->max)
		violation(shot->index, "gave %u messages for %llu", nr,
			  (unsigned long long)shot->max);
	for (uint32_t i = 0; shot->own_offsets && i < nr && i < SYMPHONY_BATCH_MAX; i++)
		received(shot, offsets[i]);
}

static void joined(unsigned int file, const struct symphony_join *join)
{
	unsigned int i;
	void *addr;

	shared->ep[file] = join->endpoint;
	addr = mmap(NULL, join->pool_size, PROT_READ, MAP_SHARED, files[file], 0);
	i = atomic_fetch_add(&nr_maps, 1);
	if (addr == MAP_FAILED || i >= MAPS)
		return;
	maps[i].addr = addr;
	maps[i].len = join->pool_size;
	pools[file].len = join->pool_size;
	pools[file].addr = addr;
}

static bool is_outcome(int status)
{
	return !status || status == -ECONNRESET || status == -ECONNABORTED ||
	       status == -ETIMEDOUT || status == -ETIME ||
	       status == -ECANCELED || status == -EMSGSIZE || status == -ECONNREFUSED;
}

static void named(struct shot *shot, const struct symphony_call *call)
{
	push(shared->call_id[shot->op->fd], call->id);
	push(shared->call_slot[shot->op->fd], call->slot);
}

static void called(struct shot *shot, const struct symphony_call *call, int err)
{
	if (err && err != EINTR)
		return;
	named(shot, call);
	if (err || shot->op->kind == FZ_SEND || shot->at != shot->own)
		return;
	if (!is_outcome(call->status))
		violation(shot->index, "outcome %d", call->status);
	if (!call->status)
		received(shot, call->offset);
	else if (call->offset != SYMPHONY_NO_OFFSET)
		violation(shot->index, "outcome %d at %#x", call->status, call->offset);
}

/* SENDs that were made by a batch. */
static void called_all(struct shot *shot, const struct symphony_send_batch *batch)
{
	struct symphony_call call;

	if (shot->strict && (!batch->nr || batch->nr > shot->max))
		violation(shot->index, "made %u of %llu SENDs", batch->nr,
			  (unsigned long long)shot->max);
	for (uint32_t i = 0; i < batch->nr && i < SYMPHONY_BATCH_MAX; i++)
		if (peek(&call, (char *)(uintptr_t)batch->calls + i * (uint64_t)batch->stride,
			 sizeof(call)))
			named(shot, &call);
}

static void granted(int fd)
{
	for (int i = 0; i < FZ_GRANTS; i++)
		if (shared->grant[i] < 0) {
			shared->grant[i] = fd;
			return;
		}
}

/* What later operations will name. */
static void remember(struct shot *shot, int err)
{
	union {
		struct symphony_join join;
		struct symphony_service service;
		struct symphony_call call;
		struct symphony_recv recv;
		struct symphony_reply reply;
		struct symphony_wait wait;
		struct symphony_send_batch batch;
	} out;

	if (shot->op->kind > FZ_WAIT && shot->op->kind != FZ_BATCH)
		return;
	if (!peek(&out, shot->at, shot->kind->size))
		return;
	if (shot->op->kind == FZ_CALL || shot->op->kind == FZ_SEND)
		called(shot, &out.call, err);
	if (err)
		return;
	switch (shot->op->kind) {
	case FZ_JOIN:
		joined(shot->op->fd, &out.join);
		break;
	case FZ_CLAIM:
	case FZ_RESOLVE:
		if (shot->name < FZ_SVCS)
			shared->svc[shot->name] = out.service.handle;
		break;
	case FZ_OPGRANT:
		granted(out.service.grant);
		break;
	case FZ_RECV:
		received_all(shot, out.recv.nr);
		break;
	case FZ_REPLY:
		if (out.reply.flags & SYMPHONY_REPLY_RECV)
			received_all(shot, out.reply.nr);
		break;
	case FZ_BATCH:
		called_all(shot, &out.batch);
		break;
	case FZ_WAIT:
		if (shot->at == shot->own && !is_outcome(out.wait.status))
			violation(shot->index, "outcome %d", out.wait.status);
		else if (!out.wait.status)
			received(shot, out.wait.offset);
		break;
	}
}

/* --- rings ----------------------------------------------------------------------------- */

/* What comes of an operation that was submitted, at once or later. */
static void completed(unsigned int index, int ret)
{
	struct shot shot = {
		.op = &shared->prog.op[index],
		.kind = &fz_kinds[shared->prog.op[index].kind],
		.index = index,
		.own = scratch + index * SCRATCH,
	};

	shared->ret[index] = ret < 0 ? ret : 0;
	/* It ended with its ring; not an operation for one; too many RECVs. */
	if (ret < 0 && ret != -ECANCELED && ret != -EOPNOTSUPP && ret != -EDQUOT &&
	    !may_say(&shot, -ret))
		violation(index, "%s over a ring, which is not documented",
			  fz_errno_name(-ret));
	if (ret >= 0 && shot.op->kind == FZ_CALL)
		received(&shot, ret);
	if (ret >= 0 && (shot.op->kind == FZ_RECV || shot.op->kind == FZ_REPLY)) {
		shot.own_offsets = true;
		received_all(&shot, ret);
	}
}

static void reap_ring(unsigned int which)
{
	unsigned int index;
	int ret;

	while (fz_ring_reap(self, which, &index, &ret))
		if (index < shared->prog.nr)
			completed(index, ret);
}

/* True if it went that way; its result is -EINPROGRESS as long as it has none. */
static bool run_over_ring(struct shot *shot, int fd)
{
	if (!shot->ring)
		return false;
	shared->ret[shot->index] = -EINPROGRESS;
	if (shot->op->kind == FZ_RECV)
		last_recv = (uintptr_t)(shot->own + AT_OFFSETS);
	if (!fz_ring_submit(self, shot->ring - 1, fd, shot->cmd, shot->at, shot->index))
		return false;
	/* Before it can have an outcome it has a name. */
	if (shot->op->kind == FZ_CALL || shot->op->kind == FZ_SEND) {
		struct symphony_call call;

		if (peek(&call, shot->at, sizeof(call)) && call.id)
			called(shot, &call, EINTR);
	}
	reap_ring(shot->ring - 1);
	if (!shared->ret[shot->index] && shot->must_fail)
		violation(shot->index, "accepted %s", shot->why);
	return true;
}

static int run_ioctl(const struct fz_op *op, int index, bool strict)
{
	struct shot shot = {
		.op = op,
		.kind = &fz_kinds[op->kind],
		.index = index,
		.strict = strict,
		.own = scratch + index * SCRATCH,
	};
	int fd = files[op->fd];
	uint64_t begin = now(), end;
	int err;

	shot.strict &= fd >= 0;
	prepare(&shot);
	if (run_over_ring(&shot, fd))
		return shared->ret[index];
	err = ioctl(fd, shot.cmd, shot.at) < 0 ? errno : 0;
	end = now();
	if (!err && shot.must_fail)
		violation(index, "accepted %s", shot.why);
	if (op->kind == FZ_RAW && (shot.cmd >> 8 & 0xff) == SYMPHONY_IOC_MAGIC &&
	    !is_known(shot.cmd) && err != ENOTTY && err != EBADF)
		violation(index, "%#lx is no operation and gives %s", shot.cmd,
			  fz_errno_name(err));
	if (err && !may_say(&shot, err))
		violation(index, "%s, which is not documented", fz_errno_name(err));
	if (shot.deadline && shot.at == shot.own && end > begin + LATE &&
	    end > shot.deadline + LATE)
		violation(index, "came back %llu ms after its deadline",
			  (unsigned long long)((end - shot.deadline) / MSEC));
	remember(&shot, err);
	return -err;
}

/* --- other operations ------------------------------------------------------------- */

static int run_open(const struct fz_op *op)
{
	int fd = open("/dev/symphony", O_RDWR | O_CLOEXEC | (plain(op, 0) ? O_NONBLOCK : 0));

	if (fd < 0)
		return -errno;
	/* What was open there is closed at the end. */
	files[op->fd] = fd;
	return 0;
}

/* A pool that is mapped keeps its file open. */
static int run_close(const struct fz_op *op)
{
	char *pool = plain(op, 0) ? NULL : atomic_exchange(&pools[op->fd].addr, NULL);

	if (pool)
		munmap(pool, pools[op->fd].len);
	return close(atomic_exchange(&files[op->fd], -1)) ? -errno : 0;
}

static int run_mmap(const struct fz_op *op, int index)
{
	uint64_t len = plain(op, 0), prot = plain(op, 1), flags = plain(op, 2);
	uint64_t off = plain(op, 3);
	unsigned int i;
	void *addr;

	/* Nothing but this device's, and nowhere in particular. */
	flags &= MAP_SHARED | MAP_PRIVATE | MAP_POPULATE | MAP_NORESERVE;
	addr = mmap(NULL, len, prot & 7, flags, files[op->fd], off);
	if (addr == MAP_FAILED)
		return -errno;
	if (prot & PROT_WRITE)
		violation(index, "a writable pool");
	if (off || (flags & MAP_TYPE) == MAP_PRIVATE)
		violation(index, "mapped with offset %#llx, flags %#llx",
			  (unsigned long long)off, (unsigned long long)flags);
	i = atomic_fetch_add(&nr_maps, 1);
	if (i < MAPS) {
		maps[i].addr = addr;
		maps[i].len = len;
	}
	return 0;
}

/* The part of the mapped pool that an operation means; NULL when there is none. */
static char *pool_part(const struct fz_op *op, uint64_t off, uint64_t *len)
{
	char *pool = pools[op->fd].addr;
	size_t all = pools[op->fd].len;

	off &= ~(PAGE - 1);
	if (!pool || off >= all)
		return NULL;
	*len = *len < all - off ? (*len + PAGE - 1) & ~(PAGE - 1) : all - off;
	return pool + off;
}

/* Other mappings can have come where a part of a pool was unmapped. */
static bool is_of_device(const char *at)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	unsigned long start, end;
	bool found = false;
	char line[256];

	while (maps && !found && fgets(line, sizeof(line), maps))
		found = sscanf(line, "%lx-%lx", &start, &end) == 2 &&
			start <= (unsigned long)at && (unsigned long)at < end &&
			strstr(line, "/dev/symphony");
	if (maps)
		fclose(maps);
	return found;
}

static int run_memory(const struct fz_op *op, int index)
{
	uint64_t off = plain(op, 0), len = op->kind == FZ_MREMAP ? PAGE : plain(op, 1);
	char *at = pool_part(op, op->kind == FZ_MREMAP ? 0 : off, &len), byte;
	int ret;

	if (!at)
		return 0;
	switch (op->kind) {
	case FZ_MUNMAP:
		ret = munmap(at, len);
		break;
	case FZ_MPROTECT:
		ret = mprotect(at, len, plain(op, 2) & 7);
		if (!ret && len && plain(op, 2) & PROT_WRITE && is_of_device(at))
			violation(index, "a writable pool");
		break;
	case FZ_MADVISE:
		ret = madvise(at, len, plain(op, 2) & 0x1f);
		break;
	case FZ_MREMAP:
		if (mremap(pools[op->fd].addr, pools[op->fd].len, off, 0) == MAP_FAILED)
			return -errno;
		if (off > pools[op->fd].len)
			violation(index, "a mapping that grew to %#llx",
				  (unsigned long long)off);
		return 0;
	default:
		for (uint64_t i = 0; i < len; i += 512)
			peek(&byte, at + i, 1);
		return 0;
	}
	return ret ? -errno : 0;
}

static int run_poll(const struct fz_op *op)
{
	struct pollfd pollfd = { files[op->fd], plain(op, 0), 0 };

	return poll(&pollfd, 1, plain(op, 1) % 8) < 0 ? -errno : 0;
}

static int run_as(const struct fz_op *op)
{
	unsigned int user = plain(op, 0) % FZ_USERS;

	atomic_fetch_or(&users_seen, 1U << user);
	return become(user);
}

static int run_nofile(const struct fz_op *op)
{
	struct rlimit limit;
	int fd = dup(query_fd);

	if (fd < 0 || getrlimit(RLIMIT_NOFILE, &limit))
		return -errno;
	close(fd);
	limit.rlim_cur = fd + plain(op, 0) % 8;
	return setrlimit(RLIMIT_NOFILE, &limit) ? -errno : 0;
}

static int run_one(int index, bool strict)
{
	const struct fz_op *op = &shared->prog.op[index];

	if (fz_kinds[op->kind].size)
		return run_ioctl(op, index, strict);
	switch (op->kind) {
	case FZ_OPEN:
		return run_open(op);
	case FZ_MMAP:
		return run_mmap(op, index);
	case FZ_MUNMAP:
	case FZ_MPROTECT:
	case FZ_MADVISE:
	case FZ_MREMAP:
	case FZ_READ:
		return run_memory(op, index);
	case FZ_CLOSE:
		return run_close(op);
	case FZ_DUP:
		files[plain(op, 0) % FZ_FDS] = dup(files[op->fd]);
		return 0;
	case FZ_POLL:
		return run_poll(op);
	case FZ_AS:
		return run_as(op);
	case FZ_NAP:
		nap(plain(op, 0) % 16);
		return 0;
	case FZ_KICK:
		syscall(SYS_tgkill, getpid(), shared->tid[!self], SIGUSR1);
		return 0;
	case FZ_NONBLOCK:
		return fcntl(files[op->fd], F_SETFL, plain(op, 0) ? O_NONBLOCK : 0) ?
			-errno : 0;
	case FZ_NOFILE:
		return run_nofile(op);
	case FZ_REAP:
	case FZ_ENDRING:
		if (in_child)
			return 0;
		reap_ring(plain(op, 0) - 1);
		if (op->kind == FZ_ENDRING)
			fz_ring_close(self, plain(op, 0) - 1);
		return 0;
	}
	return 0;
}

static void run_ops(unsigned int from, unsigned int to, bool strict, bool all);

/* The next operations are a child's, which then is gone. */
static void run_child(unsigned int from, unsigned int nr)
{
	struct itimerval soon = { { 0, 5000 }, { 0, 15000 } };
	unsigned int i = atomic_fetch_add(&nr_children, 1);
	unsigned int end = from + nr < shared->prog.nr ? from + nr : shared->prog.nr;
	pid_t pid;

	if (i >= CHILDREN)
		return;
	pid = _Fork();
	if (pid) {
		children[i] = pid;
		return;
	}
	in_child = true;
	self = 2;
	for (i = 0; i < FZ_FDS; i++)
		pools[i].addr = NULL;
	setitimer(ITIMER_REAL, &soon, NULL);
	fz_cover_enable(cover, 2);
	run_ops(from, end, false, true);
	_exit(0);
}

static void run_ops(unsigned int from, unsigned int to, bool strict, bool all)
{
	for (unsigned int i = from; i < to; i++) {
		const struct fz_op *op = &shared->prog.op[i];
		int ret;

		if (op->kind == FZ_FORK) {
			unsigned int nr = plain(op, 0) % 8;

			if (!in_child && (all || op->thread == self))
				run_child(i + 1, nr);
			i += in_child ? 0 : nr;
			continue;
		}
		if (!all && op->thread != self)
			continue;
		shared->at[self] = i + 1;
		ret = run_one(i, strict && !nr_children);
		shared->at[self] = 0;
		shared->ret[i] = ret;
		shared->ops++;
		shared->kind_ops[op->kind]++;
		shared->good += !ret;
		shared->kind_good[op->kind] += !ret;
	}
}

/* --- a program ----------------------------------------------------------------------- */

static void sem_take(sem_t *sem)
{
	while (sem_wait(sem))
		;
}

static void race(void)
{
	uint64_t give_up = now() + SEC;

	arrived++;
	while (arrived < 2 && now() < give_up)
		sched_yield();
	run_ops(shared->prog.race, shared->prog.nr, false, false);
}

static void *second_main(void *arg)
{
	(void)arg;
	self = 1;
	shared->tid[1] = gettid();
	fz_cover_enable(cover, 1);
	for (;;) {
		sem_take(&second_go);
		become(1);
		race();
		sem_post(&second_done);
	}
	return NULL;
}

static const uint32_t nasty[] = {
	0, 1, 4, 0x7fffffff, 0x80000000, 0xffffffff, 128, 127, 4096, 65536, 0xfffffff0,
};

static void flip_something(struct fz_rng *rng)
{
	volatile uint32_t *word = (uint32_t *)flip + fz_below(rng, 40);
	char *page = gone + PAGE * fz_below(rng, RACY_PAGES);
	uint32_t old = *word;

	*word = fz_below(rng, 2) ? nasty[fz_below(rng, ARRAY_SIZE(nasty))] :
				   old ^ 1U << fz_below(rng, 32);
	switch (fz_below(rng, 8)) {
	case 0: madvise(page, PAGE, MADV_DONTNEED); break;
	case 1: mprotect(page, PAGE, PROT_NONE); break;
	case 2: mprotect(page, PAGE, PROT_READ); break;
	case 3: mprotect(page, PAGE, PROT_READ | PROT_WRITE); break;
	default: sched_yield();
	}
	*word = old;
}

static void *flipper_main(void *arg)
{
	struct fz_rng rng = { 1 };

	(void)arg;
	for (;;) {
		sem_take(&flipper_go);
		while (!flipper_stop)
			flip_something(&rng);
		mprotect(gone, RACY_PAGES * PAGE, PROT_READ | PROT_WRITE);
		memset(flip, 0, PAGE);
		sem_post(&flipper_done);
	}
	return NULL;
}

static bool wants_flipper(const struct fz_prog *prog)
{
	for (unsigned int i = 0; i < prog->nr; i++)
		for (unsigned int j = 0; j < FZ_ARGS; j++)
			if (prog->op[i].arg[j].tag == FZ_MEM &&
			    (prog->op[i].arg[j].a == FZ_FLIP ||
			     prog->op[i].arg[j].a == FZ_GONE))
				return true;
	return false;
}

static void reap(void)
{
	unsigned int n = nr_children < CHILDREN ? nr_children : CHILDREN;
	uint64_t give_up = now() + 40 * MSEC;

	for (unsigned int i = 0; i < n; i++) {
		if (children[i] <= 0)
			continue;
		while (waitpid(children[i], NULL, WNOHANG) == 0) {
			if (now() > give_up)
				kill(children[i], SIGKILL);
			nap(1);
		}
	}
}

static bool ledger_is_zero(unsigned int user)
{
	struct symphony_query query = { .size = sizeof(query) };
	uint64_t give_up = now() + SETTLE;

	become(user);
	for (;;) {
		if (ioctl(query_fd, SYMPHONY_IOC_QUERY, &query)) {
			violation(-1, "QUERY: %s", strerror(errno));
			return false;
		}
		if (!(query.user_buses.used | query.user_endpoints.used |
		      query.user_pool.used | query.user_calls.used |
		      query.user_services.used | query.user_files.used |
		      query.user_claims.used | query.user_records.used))
			return true;
		if (now() > give_up)
			break;
		nap(1);
	}
	violation(-1, "after the end user %u still has %llu buses, %llu endpoints, %llu bytes, %llu calls, %llu services, %llu files, %llu claims, %llu records",
		  fz_users[user], (unsigned long long)query.user_buses.used,
		  (unsigned long long)query.user_endpoints.used,
		  (unsigned long long)query.user_pool.used,
		  (unsigned long long)query.user_calls.used,
		  (unsigned long long)query.user_services.used,
		  (unsigned long long)query.user_files.used,
		  (unsigned long long)query.user_claims.used,
		  (unsigned long long)query.user_records.used);
	return false;
}

static void clean(void)
{
	struct rlimit limit;

	reap();
	for (unsigned int i = 0; i < 2 * FZ_RINGS; i++)
		fz_ring_close(i / FZ_RINGS, i % FZ_RINGS);
	close_range(first_fd, ~0U, 0);
	for (unsigned int i = 0; i < nr_maps && i < MAPS; i++)
		munmap(maps[i].addr, maps[i].len);
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	for (unsigned int user = 0; user < FZ_USERS; user++)
		if (users_seen & 1U << user && !ledger_is_zero(user))
			break;
	become(1);
}

static void begin(void)
{
	for (int i = 0; i < FZ_FDS; i++) {
		files[i] = -1;
		pools[i].addr = NULL;
	}
	for (int i = 0; i < FZ_GRANTS; i++)
		shared->grant[i] = -1;
	memset(shared->ep, 0, offsetof(struct fz_shared, grant) -
			      offsetof(struct fz_shared, ep));
	for (int i = 0; i < FZ_OPS; i++)
		shared->ret[i] = FZ_ANY;
	memset(children, 0, sizeof(children));
	nr_children = 0;
	nr_maps = 0;
	users_seen = 1U << 1;
	become(1);
}

static void run_prog(void)
{
	const struct fz_prog *prog = &shared->prog;
	unsigned int race_at = prog->race < prog->nr ? prog->race : prog->nr;
	bool flipper = wants_flipper(prog);

	begin();
	if (flipper) {
		flipper_stop = false;
		sem_post(&flipper_go);
	}
	run_ops(0, race_at, true, true);
	if (race_at < prog->nr) {
		arrived = 0;
		sem_post(&second_go);
		race();
		sem_take(&second_done);
	}
	if (flipper) {
		flipper_stop = true;
		sem_take(&flipper_done);
	}
	clean();
}

static void runner_main(int in, int out)
{
	struct sigaction fault = { .sa_handler = on_fault, .sa_flags = SA_NODEFER };
	struct sigaction kick = { .sa_handler = on_kick };
	pthread_t thread;
	char byte = 0;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigaction(SIGSEGV, &fault, NULL);
	sigaction(SIGBUS, &fault, NULL);
	sigaction(SIGUSR1, &kick, NULL);
	sigaction(SIGALRM, &kick, NULL);
	map_memory();
	/* A program's files come behind all others, of which none stays open. */
	do
		query_fd = open("/dev/symphony", O_RDWR | O_CLOEXEC);
	while (query_fd >= 0 && (query_fd < in || query_fd < out));
	list_descriptors();
	first_fd = dup(query_fd);
	close(first_fd);
	sem_init(&second_go, 0, 0);
	sem_init(&second_done, 0, 0);
	sem_init(&flipper_go, 0, 0);
	sem_init(&flipper_done, 0, 0);
	shared->tid[0] = gettid();
	shared->tid[1] = 0;
	if (query_fd < 0 || pthread_create(&thread, NULL, second_main, NULL) ||
	    pthread_create(&thread, NULL, flipper_main, NULL))
		_exit(98);
	while (!shared->tid[1])
		nap(1);
	fz_cover_enable(cover, 0);
	for (;;) {
		ssize_t n = read(in, &byte, 1);

		if (n < 0 && errno == EINTR)
			continue;
		if (n != 1)
			_exit(0);
		run_prog();
		while (write(out, &byte, 1) < 0 && errno == EINTR)
			;
	}
}

/* --- the fuzzer's side ----------------------------------------------------------------- */

void fz_runner_start(struct fz_runner *runner)
{
	int to[2], from[2];

	if (pipe2(to, O_CLOEXEC) || pipe2(from, O_CLOEXEC))
		abort();
	shared = runner->shared;
	cover = runner->cover;
	runner->pid = fork();
	if (runner->pid < 0)
		abort();
	if (!runner->pid) {
		close(to[1]);
		close(from[0]);
		runner_main(to[0], from[1]);
	}
	close(to[0]);
	close(from[1]);
	runner->to = to[1];
	runner->from = from[0];
}

void fz_runner_stop(struct fz_runner *runner)
{
	if (runner->pid <= 0)
		return;
	close(runner->to);
	close(runner->from);
	kill(runner->pid, SIGKILL);
	waitpid(runner->pid, NULL, 0);
	runner->pid = 0;
}

static void dump_stacks(pid_t pid)
{
	char command[256];

	snprintf(command, sizeof(command),
		 "for t in /proc/%d/task/*; do echo \"# $t\"; cat $t/syscall $t/stack; done | sed 's/^/# /'",
		 pid);
	if (system(command))
		fprintf(stderr, "# no stacks\n");
}

/* Signals for whoever is still in the program; NULL when it ended by itself. */
static enum fz_end await(struct fz_runner *runner)
{
	struct pollfd pollfd = { runner->from, POLLIN, 0 };
	uint64_t start = now();
	int ms = runner->patience;
	char byte;

	while (poll(&pollfd, 1, ms) <= 0) {
		ms = KICK_EVERY;
		runner->kicks++;
		for (int i = 0; i < 2; i++)
			syscall(SYS_tgkill, runner->pid, runner->shared->tid[i], SIGUSR1);
		if (now() - start < STUCK * SEC)
			continue;
		violation(-1, "does not end: threads in operations %d, %d, child in %d",
			  runner->shared->at[0], runner->shared->at[1],
			  runner->shared->at[2]);
		dump_stacks(runner->pid);
		return FZ_VIOLATION;
	}
	return read(runner->from, &byte, 1) == 1 ? FZ_OK : FZ_LOST;
}

enum fz_end fz_runner_run(struct fz_runner *runner, const struct fz_prog *prog)
{
	enum fz_end end;
	char byte = 0;

	if (runner->pid <= 0)
		fz_runner_start(runner);
	memcpy(&runner->shared->prog, prog, sizeof(*prog));
	runner->shared->failed = false;
	runner->shared->calm = runner->patience >= 1000 ? 200 : 1;
	fz_cover_reset(runner->cover);
	if (write(runner->to, &byte, 1) != 1)
		abort();
	end = await(runner);
	if (end == FZ_LOST) {
		fz_runner_stop(runner);
		runner->lost++;
	}
	return runner->shared->failed ? FZ_VIOLATION : end;
}
