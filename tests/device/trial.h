/* SPDX-License-Identifier: MIT */
/*
 * A trial: some endpoints on a bus of their own, an operation of one of them in
 * which something fails, and the proof that nothing is left of that.
 */
#ifndef SYMPHONY_TESTS_TRIAL_H
#define SYMPHONY_TESTS_TRIAL_H

#include "claim.h"

struct gate;
struct nl_sock;

/* The largest body for the smallest pool, and the room for it: half of it. */
#define TRIAL_LARGEST	(SYMPHONY_POOL_MIN / 2 - SYMPHONY_POOL_ALIGN)
#define TRIAL_NOTICES	8	/* enum symphony_msg_type */

struct trial {
	/* @sink serves "sink", where what is sent stays. */
	struct ep server, client, other, sink;
	__u64 svc, sink_svc;
	struct symphony_query before;
	int ret;	/* what the operation gave */
	bool failed;	/* something did */
	bool strict;	/* an error means that nothing was done, whatever TRIAL_LATE says */

	/* What @client sent, and what came of it. */
	unsigned int owed, answered, refused;
	unsigned int told[TRIAL_NOTICES];

	/* For the operation. */
	struct symphony_join join;
	struct symphony_service service;
	struct symphony_call call;
	struct symphony_wait wait;
	struct symphony_recv recv;
	struct symphony_reply reply;
	struct symphony_release release;
	const struct symphony_msg *msg;
	struct caller caller;
	struct echo echo;
	bool echoes;
	int file;
	int fds[6];	/* three of it that are sent, and what was claimed */
	struct nl_sock *netlink;
	struct gate *gates[2];
	int link;		/* of a program of theirs */
	const char *limit;	/* a parameter that trial_limit() changed, */
	long limit_was;
	__u32 offsets[64];
	char *body;
	char text[80];
};

/*
 * @limit is 0, and this is a user who cannot exceed it, until trial_unlimit() or
 * the end. Not while something is to fail: that could be the way back.
 */
int trial_limit(struct trial *t, const char *limit);
void trial_unlimit(struct trial *t);

enum trial_flags {
	TRIAL_BARE = 1,		/* no endpoints */
	TRIAL_WORKERS = 2,	/* what fails does in a kernel thread */
	TRIAL_LATE = 4,		/* EFAULT can come when all is done; see below */
	TRIAL_POINTS = 8,	/* not by the kernel's injection */
};

/*
 * The last thing an operation does is to tell what came of it, into memory that
 * was written before to see that it is there. If that went away meanwhile, the
 * operation says EFAULT (or nothing) and has been done (TRIAL_LATE).
 */
struct operation {
	const char *name;
	unsigned int flags;
	/* Its return value when nothing fails. */
	int ends_with;
	/* What may come in the place of ENOMEM and EFAULT. */
	int error;
	int (*prepare)(struct trial *t);
	/* Only what is to fail. */
	int (*run)(struct trial *t);
	/* What is wrong, or NULL. */
	const char *(*verify)(struct trial *t);
};

/* Each ends with one that has no name. */
extern const struct operation life_operations[], call_operations[], ring_operations[];

int trial_begin(struct trial *t, const struct operation *op);
/* Serve and take everything until each call has its outcome; what is wrong. */
const char *trial_settle(struct trial *t);
/* Give back what an endpoint received and was not told of. */
void trial_scour(struct ep *ep);
/* All of each pool is free, no call counts, and each calls and is called. */
const char *trial_is_sound(struct trial *t);
void trial_end(struct trial *t);
/* Files to send, in @fds. */
int trial_files(struct trial *t);
/* FDS of @ep's message @msg: they have to be three. */
int trial_claim(struct trial *t, struct ep *ep, const struct symphony_msg *msg);
/* All can be claimed, or were, and are no more; what is wrong. */
const char *trial_claimed(struct trial *t, struct ep *ep, const struct symphony_msg *msg,
			  bool before);
/* One more SEND of @client to @svc. */
int trial_send(struct trial *t, __u64 svc, __u32 len);
bool trial_same_use(const struct symphony_query *a, const struct symphony_query *b,
		    bool calls);

#endif
