/* SPDX-License-Identifier: MIT */
/* Calls made for other calls. */
#ifndef LIBBUS_CHAIN_H
#define LIBBUS_CHAIN_H

#include "message.h"

/* The request that this thread works on, or NULL; no reference. */
extern __thread struct sbus_message *chain_current
	__attribute__((tls_model("initial-exec"), visibility("hidden")));

/* Are @request's parent and flags possible on @bus? */
static inline bool chain_is_valid(const struct sbus *bus, const struct sbus_request *request)
{
	const struct sbus_message *parent = request->parent;

	if (likely(!parent && !request->flags))
		return true;
	return !(request->flags & ~(SBUS_CALL_DETACHED | SBUS_CALL_IDEMPOTENT)) &&
	       (!parent || (parent->bus == bus && !(request->flags & SBUS_CALL_DETACHED)));
}

/* What @request is made for, or NULL. */
static inline struct sbus_message *chain_parent(const struct sbus *bus,
						const struct sbus_request *request)
{
	struct sbus_message *parent = request->parent ? request->parent : chain_current;

	if (likely(!parent))
		return NULL;
	if (parent->bus != bus || request->flags & SBUS_CALL_DETACHED ||
	    atomic_load_explicit(&parent->answered, memory_order_relaxed))
		return NULL;
	return parent;
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

/* The status of a call whose parent was cancelled with @reason. */
static inline int chain_status(int reason)
{
	return reason == -ETIMEDOUT ? reason : -ECANCELED;
}

#endif /* LIBBUS_CHAIN_H */
