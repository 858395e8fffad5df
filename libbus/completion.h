/* SPDX-License-Identifier: MIT */
/* Answers that are owed. */
#ifndef LIBBUS_COMPLETION_H
#define LIBBUS_COMPLETION_H

#include "message.h"
#include "pit.h"

/* Where an outcome goes: to a caller in this process, or as a reply. */
struct sink {
	sbus_sink_fn fn;
	void *userdata;
	struct sbus_message *request;	/* instead of @fn; referenced when owed */
};

/* 0, or -errno when a reply could not be sent. */
int sink_deliver(const struct sink *sink, yyjson_mut_val *result, const struct sbus_error *error);

/*
 * The state is changed once: from OWED to ANSWERED by the extension, or to a
 * negative errno by the host; who changes it delivers the outcome.
 */
enum { COMPLETION_OWED = 0, COMPLETION_ANSWERED = 1 };

/*
 * References: the extension's, until it completed; the host's, while on the
 * member's list of what is owed; the call's, handed on as a struct sbus_pending.
 */
struct sbus_completion {
	atomic_uint refs;
	atomic_int state;
	struct sbus_member *member;	/* whose host is referenced */
	void *userdata;
	struct sink sink;
	uint64_t sender;
	uint64_t id;
	struct list owed;		/* the member's owed_lock */
	struct sbus_timer deadline;	/* of a caller in this process */

	/* the member's lock */
	bool completed;			/* too late: cancelled() must not see it */
	struct list ready;
	yyjson_mut_doc *doc;
	struct sbus_error error;
};

struct sbus_pending {
	struct sbus_completion completion;
};

int completion_new(struct sbus_member *member, const struct sbus_invocation *inv,
		   const struct sink *sink, void *userdata, struct sbus_completion **completion);
void completion_put(struct sbus_completion *completion);
/* Ends it with @reason and tells the extension: 0, or -EALREADY. No locks held. */
int completion_cancel(struct sbus_completion *completion, int reason);
/* The method answers at once after all: true if nobody ended it before. */
bool completion_withdraw(struct sbus_completion *completion);
/* Ends all that a member owes, or owes to @sender if that is not 0. */
void completion_cancel_all(struct sbus_member *member, uint64_t sender, int reason);
/* Ends the one for the call @id of another process, if it is owed. */
void completion_cancel_call(struct sbus_member *member, uint64_t id, int reason);

static inline struct sbus_completion *completion_get(struct sbus_completion *completion)
{
	atomic_fetch_add_explicit(&completion->refs, 1, memory_order_relaxed);
	return completion;
}

#endif /* LIBBUS_COMPLETION_H */
