// SPDX-License-Identifier: MIT
/*
 * Calls made for other calls. The kernel ends a call with the one it is made for,
 * as long as that is to be answered; so a request is named only until it was
 * answered here. An answer in another thread can still be faster than the call.
 */
#include "chain.h"

__thread struct sbus_message *chain_current
	__attribute__((tls_model("initial-exec"), visibility("hidden")));

SBUS_API struct sbus_message *sbus_set_current(struct sbus_message *request)
{
	struct sbus_message *former = chain_current;

	chain_current = request;
	return former;
}

SBUS_API struct sbus_message *sbus_current(void)
{
	return chain_current;
}

int chain_find(const struct sbus *bus, const struct sbus_request *request, struct chain *chain,
	       struct sbus_error *error)
{
	struct sbus_message *parent = request->parent;

	if (request->flags & ~(SBUS_CALL_DETACHED | SBUS_CALL_IDEMPOTENT) ||
	    (parent && (parent->bus != bus || request->flags & SBUS_CALL_DETACHED)))
		return sbus_error_set(error, -EINVAL, "the parent of a request came by another connection, or its flags are not possible");
	if (request->flags & SBUS_CALL_IDEMPOTENT)
		chain->flags = SYMPHONY_CALL_IDEMPOTENT;
	if (!parent && !(request->flags & SBUS_CALL_DETACHED))
		parent = chain_current;
	if (parent && parent->bus == bus && !(parent->msg->flags & SYMPHONY_MSG_ONEWAY) &&
	    !atomic_load(&parent->answered))
		chain->parent = parent;
	return 0;
}

int chain_broken(struct symphony_call *call, const struct sbus_message *parent)
{
	uint64_t deadline;

	if (!parent || atomic_load(&parent->answered)) {
		call->parent = 0;
		call->parent_slot = 0;
		return 0;
	}
	deadline = parent->msg->deadline;
	return deadline && deadline <= sbus_now() ? -ETIME : -ECANCELED;
}
