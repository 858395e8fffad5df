/* SPDX-License-Identifier: MIT */
/* Calls whose outcome a callback gets. */
#ifndef LIBBUS_ASYNC_H
#define LIBBUS_ASYNC_H

#include "bus.h"

struct sbus_message;

/* Runs the callback of the call that @reply is the outcome of. */
void async_outcome(struct sbus *bus, struct sbus_message *reply);
/*
 * Sends what waits for room, if it is time (or @now), and runs the callbacks of
 * calls whose outcome was made here. Returns how many callbacks ran.
 */
int async_process(struct sbus *bus, bool now);
/* Sends what waits, whatever for. */
void async_uncork(struct sbus *bus);
/* There is room again where a call found none. */
void async_room(struct sbus *bus);
/* A request has an outcome: so have the calls made for it that wait here. */
void async_parent_over_locked(struct sbus *bus, uint64_t id, int reason);
/* By when to call that: UINT64_MAX for never, 0 for now. */
uint64_t async_timeout(struct sbus *bus);
/* The outcome of every call that has none is -ESHUTDOWN. */
void async_give_up_all(struct sbus *bus, bool cancel);
void async_spares_free(struct sbus *bus);

#endif /* LIBBUS_ASYNC_H */
