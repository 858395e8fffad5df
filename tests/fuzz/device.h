/* SPDX-License-Identifier: MIT */
/*
 * The device's fuzzer. An input is a program: operations over a few files,
 * from one thread, then from two that race, some of them in a child. It is kept
 * as the table of its arguments, written as text (device_text.c), changed at
 * random (device_mutate.c), run by a process of its own (device_exec.c) and
 * judged by the coverage that it brings (device_cover.c) and by what must not
 * happen; device.c is the loop.
 */
#ifndef SYMPHONY_TESTS_FUZZ_DEVICE_H
#define SYMPHONY_TESTS_FUZZ_DEVICE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <linux/symphony.h>

#define FZ_OPS		32	/* operations of a program */
#define FZ_ARGS		24	/* fields of an operation */
#define FZ_FDS		6	/* files, f0 to f5 */
#define FZ_RING		4	/* calls and messages remembered of each */
#define FZ_SVCS		4
#define FZ_GRANTS	4
#define FZ_TEXT		16384	/* a program as text */

#define FZ_SELF		0xff	/* "of the operation's own file" */

#ifndef ARRAY_SIZE
#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#endif

/* --- programs: device_text.c ------------------------------------------------ */

/* What an argument is, before the program runs. @n is added to it. */
enum fz_tag {
	FZ_DEF,		/* what makes the operation a valid one */
	FZ_NUM,
	FZ_EP,		/* id of the endpoint of file @a */
	FZ_SVC,		/* handle of service @a */
	FZ_CALL_ID,	/* of the @b-th last call that file @a made */
	FZ_CALL_SLOT,
	FZ_MSG_ID,	/* of the @b-th last message that file @a received */
	FZ_MSG_OFF,
	FZ_GRANT,	/* descriptor of grant @a */
	FZ_FD,		/* descriptor of file @a */
	FZ_MS,		/* milliseconds from now, as CLOCK_MONOTONIC in ns */
	FZ_MEM,		/* address: enum fz_mem @a; the pool of file @b */
	FZ_STR,		/* address of string @a */
	FZ_TAGS,
};

struct fz_val {
	uint8_t tag, a, b;
	int64_t n;
};

enum fz_mem {
	FZ_RW,		/* plain memory */
	FZ_RO,		/* read-only; plain memory in front of it */
	FZ_NONE,	/* not mapped; read-only memory in front of it */
	FZ_EDGE,	/* not mapped; plain memory in front of it */
	FZ_FLIP,	/* another thread changes the words in it */
	FZ_GONE,	/* another thread takes the pages away, and gives them back */
	FZ_FILES,	/* read-only: descriptors, sixteen that can be sent, then others */
	FZ_POOL,	/* a receive pool */
	FZ_KERN,	/* an address of the kernel */
	FZ_NULL,
	FZ_MEMS,
};

enum fz_kind {
	FZ_OPEN, FZ_JOIN, FZ_CLAIM, FZ_UNCLAIM, FZ_RESOLVE, FZ_DRAIN, FZ_OPGRANT,
	FZ_CALL, FZ_SEND, FZ_RECV, FZ_REPLY, FZ_CANCEL, FZ_WAIT, FZ_WATCH,
	FZ_RELEASE, FZ_QUERY, FZ_RAW, FZ_MMAP, FZ_MUNMAP, FZ_MPROTECT, FZ_MADVISE,
	FZ_MREMAP, FZ_READ, FZ_CLOSE, FZ_DUP, FZ_POLL, FZ_FORK, FZ_AS, FZ_NAP,
	FZ_KICK, FZ_NONBLOCK, FZ_NOFILE, FZ_OPFDS, FZ_BATCH, FZ_REAP, FZ_ENDRING, FZ_KINDS,
};

/* How a field is to be filled and changed. */
enum fz_field_kind {
	FZF_NUM, FZF_SIZE, FZF_FLAGS, FZF_RESERVED, FZF_OUT, FZF_NAME, FZF_NAME_LEN,
	FZF_HANDLE, FZF_ENDPOINT, FZF_ID, FZF_SLOT, FZF_LEN, FZF_ADDRESS, FZF_DEADLINE,
	FZF_RELEASE, FZF_NR_RELEASE, FZF_OFFSETS, FZF_FD, FZF_MS, FZF_ROOM, FZF_RING,
	FZF_CALLS, FZF_STRIDE,
};

#define FZ_NOT_IN_STRUCT	0xffff

struct fz_field {
	const char *name;
	uint16_t offset, width;
	enum fz_field_kind kind;
	struct fz_val def;
	const char *const *flags;	/* FZF_FLAGS: the names of the bits */
};

struct fz_kind_info {
	const char *name;
	unsigned long cmd;
	uint16_t size;			/* of the structure; 0: no ioctl */
	const int *errnos;		/* besides those that any can give; 0 at the end */
	struct fz_field field[FZ_ARGS];
};

extern const struct fz_kind_info fz_kinds[FZ_KINDS];

struct fz_string {
	const char *name, *bytes;
	unsigned int len;
};

extern const struct fz_string fz_strings[];
extern const unsigned int fz_nr_strings;

#define FZ_ANY	INT16_MIN	/* fz_op.expect: whatever comes */

struct fz_op {
	uint8_t kind, fd;
	uint8_t thread;			/* 1: the second one, when they race */
	int16_t expect;			/* 0 or a negative errno, in seeds */
	struct fz_val arg[FZ_ARGS];
};

struct fz_prog {
	uint32_t nr;
	uint32_t race;			/* from this operation on, two threads */
	struct fz_op op[FZ_OPS];
};

/* What programs have in common when they read the same. */
size_t fz_print(const struct fz_prog *prog, char *text, size_t size);
/* One program; *@text is left behind it. 0, or a message in @error. */
int fz_parse(const char **text, struct fz_prog *prog, char *error, size_t size);
unsigned int fz_nr_fields(const struct fz_kind_info *kind);
uint32_t fz_flag_mask(const struct fz_field *field);
const char *fz_errno_name(int err);

/* --- chance: device_mutate.c ------------------------------------------------ */

struct fz_rng {
	uint64_t state;
};

uint64_t fz_random(struct fz_rng *rng);
static inline unsigned int fz_below(struct fz_rng *rng, unsigned int n)
{
	return n ? (fz_random(rng) >> 16) % n : 0;
}

void fz_generate(struct fz_rng *rng, struct fz_prog *prog);
void fz_mutate(struct fz_rng *rng, struct fz_prog *prog,
	       const struct fz_prog *other);
void fz_remove(struct fz_prog *prog, unsigned int i);

/* --- coverage: device_cover.c ------------------------------------------------ */

#define FZ_KCOV		3	/* two threads and a child */
#define FZ_KCOV_WORDS	(64U << 10)
#define FZ_EDGES	(64U << 10)

struct fz_cover {
	unsigned long text, text_size;	/* of the module */
	int fd[FZ_KCOV];
	uint64_t *trace[FZ_KCOV];
	uint8_t *site, *seen;		/* by offset in the text */
	uint8_t edge[FZ_EDGES];
	unsigned int nr_sites, nr_seen, nr_edges;
};

/* False: no KCOV here; then nothing is ever new. */
bool fz_cover_open(struct fz_cover *cover, const char *ko);
void fz_cover_enable(const struct fz_cover *cover, unsigned int who);
void fz_cover_disable(const struct fz_cover *cover, unsigned int who);
void fz_cover_reset(struct fz_cover *cover);
/* What the last program reached for the first time, in places and in edges;
 * up to @max offsets of places are noted. */
unsigned int fz_cover_take(struct fz_cover *cover, unsigned int *edges,
			   uint32_t *places, unsigned int max);
/* Did the last program reach all these? */
bool fz_cover_reached(const struct fz_cover *cover, const uint32_t *places,
		      unsigned int nr);
void fz_cover_write(const struct fz_cover *cover, const char *path);

/* --- running: device_exec.c --------------------------------------------------- */

/* Users, as which a program may JOIN; it begins as the second. */
#define FZ_USERS	3
extern const uid_t fz_users[FZ_USERS];

/* Shared by the fuzzer, its runner and the runner's children. */
struct fz_shared {
	struct fz_prog prog;
	uint64_t ep[FZ_FDS], svc[FZ_SVCS];
	uint64_t call_id[FZ_FDS][FZ_RING], call_slot[FZ_FDS][FZ_RING];
	uint64_t msg_id[FZ_FDS][FZ_RING], msg_off[FZ_FDS][FZ_RING];
	int grant[FZ_GRANTS];
	int ret[FZ_OPS];
	pid_t tid[2];
	atomic_int at[3];		/* the operation that each is in, + 1 */
	int calm;			/* longer deadlines, for what has to come about */
	atomic_bool failed;
	char verdict[512];
	uint64_t ops, good;		/* run, and of these without an error */
	uint64_t kind_ops[FZ_KINDS], kind_good[FZ_KINDS];
};

struct fz_runner {
	struct fz_shared *shared;
	struct fz_cover *cover;
	pid_t pid;
	int to, from;
	int patience;		/* ms that a program has */
	unsigned int lost, kicks;
};

enum fz_end {
	FZ_OK,
	FZ_VIOLATION,	/* see shared->verdict */
	FZ_LOST,	/* the program shot its own process: no fault of the device */
};

void fz_runner_start(struct fz_runner *runner);
void fz_runner_stop(struct fz_runner *runner);
enum fz_end fz_runner_run(struct fz_runner *runner, const struct fz_prog *prog);

/* --- rings: device_rings.c ------------------------------------------------------ */

#define FZ_RINGS	2	/* of each thread: a plain one, one that defers */

/* Submit an operation to ring @which of thread @who. False: there is no ring. */
bool fz_ring_submit(unsigned int who, unsigned int which, int fd, unsigned long cmd,
		    const void *arg, unsigned int index);
/* The next completion: what of, and its result. */
bool fz_ring_reap(unsigned int who, unsigned int which, unsigned int *index, int *ret);
void fz_ring_close(unsigned int who, unsigned int which);

/* --- those who have nothing to do with it: device_bystander.c ------------------ */

/* A call and its answer between two honest endpoints. NULL, or what is wrong. */
const char *fz_bystander_start(void);
const char *fz_bystander_check(void);

#endif
