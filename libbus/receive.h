/* SPDX-License-Identifier: MIT */
/*
 * Receiving and handling messages: what a thread in sbus_process() or
 * sbus_serve() is. An answer given by a handler waits here, and goes out in
 * the system call that receives the next message.
 */
#ifndef LIBBUS_RECEIVE_H
#define LIBBUS_RECEIVE_H

#include "bus.h"
#include "message.h"

#define RECEIVE_BATCH 64

struct held_answers;

struct receiver {
	struct sbus *bus;
	struct list node;		/* on the connection's list; its lock */
	struct cancelled cancelled;	/* a request handled here; its lock */
	struct receiver *outer;		/* the one this thread was before */
	uint32_t max;			/* messages to take at a time */
	uint32_t nr, next;		/* taken, and the first of them not handled */
	struct sbus_message *spare;
	struct sbus_message *current;	/* the request being handled */
	_Atomic uint64_t current_id;	/* its id, or that of an earlier one */

	struct sbus_message *answering;	/* the request whose answer waits, or NULL */
	struct symphony_reply reply;
	void (*destroy)(void *data);
	void *destroy_data;
	char *copy;			/* room for an answer that had to be copied */
	struct held_answers *held;	/* those before it in the batch: held.h */

	struct release release;
	uint32_t offsets[RECEIVE_BATCH];
};

#define RECEIVE_COPY_MAX 8192

/* The innermost one that is handling messages in this thread. */
extern __thread struct receiver *receiver_innermost
	__attribute__((tls_model("initial-exec"), visibility("hidden")));

/* The one of that connection that is handling messages in this thread. */
static inline struct receiver *receiver_current(const struct sbus *bus)
{
	struct receiver *receiver = receiver_innermost;

	while (unlikely(receiver && receiver->bus != bus))
		receiver = receiver->outer;
	return receiver;
}

void receiver_init(struct receiver *receiver, struct sbus *bus, uint32_t max);
void receiver_deinit(struct receiver *receiver);

/*
 * Sends the answer that waits and takes messages. Returns how many, 0 for
 * none, or -errno; -EINTR only when @wait.
 */
int receiver_fetch(struct receiver *receiver, bool wait);
/* Handles what was taken: 0, or -ENOMEM with some left for another time. */
int receiver_dispatch(struct receiver *receiver);
/*
 * A request whose answer is about to be sent is let go. Does nobody else hold it?
 * Then its room can go back with the answer, and the object serves another one.
 */
bool receiver_let_go(struct receiver *receiver, struct sbus_message *message);
/* An operation took what is to be released along, but the last @left of it. */
void receiver_released(struct receiver *receiver, uint32_t left);
/* Releases the message at @offset with the next operation. */
void receiver_release(struct receiver *receiver, uint32_t offset);
/* Sends the answers that wait, now. */
void receiver_flush(struct receiver *receiver);

/* Sends what waits in any receiver of this thread. */
static inline void receiver_flush_answer(void)
{
	struct receiver *receiver;

	for (receiver = receiver_innermost; unlikely(receiver != NULL); receiver = receiver->outer)
		receiver_flush(receiver);
}

#endif /* LIBBUS_RECEIVE_H */
