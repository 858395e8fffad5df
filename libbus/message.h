/* SPDX-License-Identifier: MIT */
/* A message in the receive pool. */
#ifndef LIBBUS_MESSAGE_H
#define LIBBUS_MESSAGE_H

#include "bus.h"

struct sbus_message {
	atomic_uint refs;
	uint32_t offset;
	uint64_t id;
	const struct symphony_msg *msg;
	struct sbus *bus;		/* referenced */
	yyjson_doc *doc;
	struct attached *attached;	/* what came beside the bytes in the pool, or NULL */
	atomic_bool answered;		/* only a request that is not can be answered */
	bool entered;			/* on @bus->entered; false in a spare one */
	struct sbus_message *next_spare;

	/* the connection's lock, if @entered */
	int cancelled;
};

/* Did another process receive it? Then it has no body here: fork.h. */
static inline bool message_is_foreign(const struct sbus_message *message)
{
	return bus_is_foreign(message->bus);
}

/*
 * Messages are recycled: taking one is a pointer and never a malloc() in the
 * long run. Taken before the operation that may need it, so that nothing can
 * fail once a message is there.
 */
struct sbus_message *message_take_locked(struct sbus *bus);
struct sbus_message *message_take(struct sbus *bus);
void message_give_locked(struct sbus *bus, struct sbus_message *message);
void message_give(struct sbus *bus, struct sbus_message *message);
void message_spares_free(struct sbus *bus);

/* The object stands for the message at @offset, with one reference. */
static inline void message_set(struct sbus_message *message, struct sbus *bus, uint32_t offset)
{
	message->bus = sbus_ref(bus);
	message->offset = offset;
	message->msg = bus_message(bus, offset);
	message->id = message->msg->id;
	atomic_store_explicit(&message->answered, message->msg->type != SYMPHONY_MSG_CALL,
			      memory_order_relaxed);
	atomic_store_explicit(&message->refs, 1, memory_order_relaxed);
}

/* Its last reference is the caller's, and the room was given back. */
void message_reset(struct sbus_message *message);

#endif /* LIBBUS_MESSAGE_H */
