/* SPDX-License-Identifier: MIT */
/* A call of a member, on the stack of who makes it. */
#ifndef LIBBUS_INVOCATION_H
#define LIBBUS_INVOCATION_H

#include "arena.h"
#include "completion.h"

struct invocation {
	struct sbus_invocation inv;
	struct sink sink;
	yyjson_mut_doc *result;
	struct sbus_completion *completion;
	bool failed;
	struct sbus_error error;	/* with @failed only */
	struct arena arena;
};

/* What is not set by the caller: @inv's identity and deadline, and @sink, are. */
static inline void invocation_init(struct invocation *call, struct sbus_member *member)
{
	call->result = NULL;
	call->completion = NULL;
	call->failed = false;
	call->inv.member = member;
	call->inv.host = call;
}

/*
 * Calls the member. 0: the outcome was delivered. SBUS_PENDING: it is owed, and
 * @call->completion is a reference (if it is not NULL: it was given up at once).
 * -ESHUTDOWN: not started.
 */
int invocation_call(struct invocation *call, yyjson_val *message);

#endif /* LIBBUS_INVOCATION_H */
