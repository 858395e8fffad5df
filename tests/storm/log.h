/* SPDX-License-Identifier: MIT */
/*
 * The log of a storm: what each participant did and saw, in memory that all
 * share and that outlives whoever is killed.
 *
 * A thread writes with its own pen into chunks of its own. What was to be done is
 * written before it is done, what came of it afterwards. The first word of a
 * record goes last: one that a SIGKILL cut in two is none.
 */
#ifndef SYMPHONY_STORM_LOG_H
#define SYMPHONY_STORM_LOG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include <linux/types.h>

#define SERVICES	18
#define USERS		3
/* Its replicas, of which there is always one, live to the end; see peer.h. */
#define IS_KEPT(service)	((service) / USERS == 1)
#define SLOTS_MAX	256	/* participants at a time */
#define CHUNK_RECORDS	256

/*
 * What a record tells. @tag names a call: its maker's number and a count. @own is
 * the endpoint of the writer.
 */
enum record_type {
	R_NONE,
	R_ENDPOINT,	/* own was JOINed: id process, pid, aux uid */
	R_END,		/* own will be closed, or lost by exec; flags */
	R_KILL,		/* process id will be killed */
	R_MADE,		/* tag will be called: len, files, hash; id service; aux parent's tag; flags */
	R_REFUSED,	/* there is no call tag: err */
	R_SENT,		/* SEND gave the id */
	R_OUTCOME,	/* of tag, id: err status, len, files, hash, ep sender, flags */
	R_RECEIVED,	/* the request tag, id: len, files, hash, ep sender, pid, aux uid */
	R_ANSWER,	/* tag, id will be answered: len, files, hash, flags */
	R_ANSWERED,	/* and that gave err */
	R_CANCELLING,	/* id will be cancelled */
	R_CANCEL,	/* and that gave err */
	R_CANCELLED,	/* the notice for id: err status */
	R_WATCH,	/* of ep, with cookie id: err */
	R_UNWATCH,	/* err */
	R_GONE,		/* the notice: ep, id cookie */
	R_ROOM,		/* the notice: tag */
	R_CLAIMED,	/* the files of tag, id: of ep sender, err, hash of what they say; flags */
	R_NOTICE,	/* another: aux type */
	R_FAULT,	/* the writer saw what must not be: len line, aux, err */
	R_TYPES,
};

/* record.flags */
#define F_SEND		0x01	/* MADE */
#define F_DEADLINE	0x02	/* MADE */
#define F_PARENT	0x04	/* MADE */
#define F_TWICE		0x08	/* MADE: idempotent, and the service reissues */
#define F_ROOM		0x10	/* MADE: with NOTIFY */
#define F_ERROR		0x20	/* OUTCOME, ANSWER: an error reply */
#define F_FINAL		0x40	/* END: the storm is over, all has come */
#define F_ONEWAY	0x80	/* MADE; with SEND */
#define F_ANSWER	0x01	/* CLAIMED: of the answer, not of the request */

struct record {
	__u8 type;
	__u8 flags;
	__s16 err;
	__u32 len : 24;
	__u32 files : 8;
	__u64 tag;
	__u64 id;
	__u64 hash;
	__u64 ep;
	__u64 own;
	__u64 aux;
	__u32 who;
	__u32 pid;
};

_Static_assert(sizeof(struct record) == 64, "records are compact");

struct chunk {
	struct record records[CHUNK_RECORDS];
};

enum storm_phase {
	STORMING,
	CALMING,	/* nothing new; what is under way gets its outcome */
	OVER,
};

/* The beginning of the shared memory: what the participants have in common. */
struct storm {
	__u64 seed;
	int fd;			/* of this memory */
	int slow;		/* factor on times */
	__u32 peers, fools;
	char bus[64];
	int grants[SERVICES];
	int pipe;		/* an end to write; see parcel.c */
	int open;		/* files that a participant begins with */
	bool rings;		/* io_uring is not forbidden */
	_Atomic int phase;
	_Atomic int quiet;	/* peers whose every call has its outcome */
	_Atomic int faults;
	_Atomic __u64 outcomes;	/* so far */
	_Atomic int children;	/* that hold a file of their parent's */
	/* The endpoint and the lives of each slot. */
	_Atomic __u64 endpoints[SLOTS_MAX];
	_Atomic __u32 lives[SLOTS_MAX];
	_Atomic __u64 last_id;	/* of a call: something for fools to forge */

	__u32 nr_chunks;
	_Atomic __u32 used;
	struct chunk chunks[];
};

struct pen {
	struct record *next, *end;
	__u32 who;
};

extern struct storm *storm;

int log_create(__u32 nr_chunks);
int log_attach(int fd);
bool log_is_filling(void);
/* The calling thread is @who from now on. */
void log_begin(__u32 who);
void log_write(struct record record);
/* Something that must not be; told at once, too. */
void log_fault(const char *what, int line, long err, __u64 aux);
#define FAULT(what, err, aux)	log_fault(what, __LINE__, err, aux)

#endif
