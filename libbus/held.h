/* SPDX-License-Identifier: MIT */
/*
 * Answers to the requests of one batch, which a thread took together: they wait for
 * each other, and go out in one system call (engine.h) before the thread takes
 * more, or when it has been at the batch for a while.
 */
#ifndef LIBBUS_HELD_H
#define LIBBUS_HELD_H

#include "receive.h"

#define HELD_COPIES	(64U << 10)
#define HELD_NS		200000

struct held {
	struct sbus_message *request;
	struct symphony_reply reply;
	bool sole;			/* the request's room goes back with the answer */
	void (*destroy)(void *data);
	void *data;
};

struct held_answers {
	unsigned int nr;
	uint64_t since;			/* when the first came */
	uint32_t copied;
	struct held held[RECEIVE_BATCH];
	char copies[HELD_COPIES];
};

/*
 * Takes the answer to @receiver->current: @reply, whose body goes to @destroy when
 * it was sent, or without that is copied. False: send it some other way.
 */
bool held_add(struct receiver *receiver, const struct symphony_reply *reply,
	      void (*destroy)(void *data), void *data);
/* Sends them. */
void held_send(struct receiver *receiver);

static inline bool held_any(const struct receiver *receiver)
{
	return receiver->held && receiver->held->nr;
}

/* Is this the answer that was taken last? */
static inline bool held_last(const struct receiver *receiver, const struct sbus_message *request)
{
	return held_any(receiver) && receiver->held->held[receiver->held->nr - 1].request == request;
}

/* Sends them if they have waited long enough. */
static inline void held_expire(struct receiver *receiver)
{
	if (held_any(receiver) && sbus_now() - receiver->held->since >= HELD_NS)
		held_send(receiver);
}

#endif /* LIBBUS_HELD_H */
