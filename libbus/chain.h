/* SPDX-License-Identifier: MIT */
/* Calls made for other calls. */
#ifndef LIBBUS_CHAIN_H
#define LIBBUS_CHAIN_H

#include "message.h"

/* The request that this thread works on, or NULL; no reference. */
extern __thread struct sbus_message *chain_current
	__attribute__((tls_model("initial-exec"), visibility("hidden")));

/* What @request is made for, if anything, and SYMPHONY_CALL_* for it. */
struct chain {
	struct sbus_message *parent;
	uint32_t flags;
};

/* The same when it is not simply nothing: 0, or -EINVAL with @error filled. */
int chain_find(const struct sbus *bus, const struct sbus_request *request, struct chain *chain,
	       struct sbus_error *error);

static inline int chain_begin(const struct sbus *bus, const struct sbus_request *request,
			      struct chain *chain, struct sbus_error *error)
{
	*chain = (struct chain){ 0 };
	if (likely(!chain_current && !request->parent && !request->flags))
		return 0;
	return chain_find(bus, request, chain, error);
}

/* Names it in @call. */
static inline void chain_name(struct symphony_call *call, const struct sbus_message *parent)
{
	call->parent = parent->id;
	call->parent_slot = parent->offset;
}

/*
 * The kernel does not take @call's parent for a call to answer. If that is because
 * it was answered here, 0, and @call names none any more; then @parent can be NULL,
 * as it can be gone. Otherwise the status that @call ends with.
 */
int chain_broken(struct symphony_call *call, const struct sbus_message *parent);

/* The status of a call that was not sent when its parent was cancelled with @reason. */
static inline int chain_status(int reason)
{
	return reason == -ETIMEDOUT ? -ETIME : -ECANCELED;
}

#endif /* LIBBUS_CHAIN_H */
