/* SPDX-License-Identifier: MIT */
/*
 * Giving room in the receive pool back. Offsets that are no longer needed ride
 * on the next operation. That is only right where the next operation is sure
 * to come or nobody else waits for the room:
 *
 * - in a thread that is handling messages, with its own next receive;
 * - on a connection that claims nothing, with its next call: its pool takes
 *   only answers, for each of which room was set aside.
 *
 * Anywhere else a caller could wait for room that lies idle here: the offset
 * is released at once.
 */
#ifndef LIBBUS_RELEASE_H
#define LIBBUS_RELEASE_H

#include <stdint.h>

#define RELEASE_BATCH 64

struct sbus;

struct release {
	uint32_t nr;
	uint32_t bytes;
	uint32_t offsets[RELEASE_BATCH];
};

static inline void release_init(struct release *release)
{
	release->nr = 0;
	release->bytes = 0;
}

/* Releases the message at @offset now or later, as above. */
void release_offset(struct sbus *bus, uint32_t offset);
/*
 * Keeps the message at @offset for the connection's next call. When too much
 * is kept, @batch, which is empty, gets it all, for release_now().
 */
void release_keep_locked(struct sbus *bus, uint32_t offset, struct release *batch);
/* Releases what is in @release now, and empties it. */
void release_now(struct sbus *bus, struct release *release);
/* Moves what the connection has kept to @to, which is empty or not initialised. */
void release_take_locked(struct sbus *bus, struct release *to);
/* An operation left the last @left of @release alone. */
void release_untake_locked(struct sbus *bus, struct release *release, uint32_t left);

#endif /* LIBBUS_RELEASE_H */
