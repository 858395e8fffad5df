// SPDX-License-Identifier: MIT
/* The connection in somebody else's event loop. */
#include <poll.h>

#include "async.h"
#include "bus.h"
#include "receive.h"

#define BATCHES 4			/* of RECEIVE_BATCH, then the loop's others have a turn */

SBUS_API int sbus_get_fd(const struct sbus *bus)
{
	return bus_is_foreign(bus) ? -EPERM : bus->fd;
}

SBUS_API int sbus_get_events(const struct sbus *bus)
{
	(void)bus;
	return POLLIN;
}

SBUS_API uint64_t sbus_get_timeout(struct sbus *bus)
{
	return bus_is_foreign(bus) ? UINT64_MAX : async_timeout(bus);
}

/*
 * What is released after the last receive rides on the next call; but on a
 * connection with callers of its own nobody knows when that is.
 */
static void leave(struct receiver *receiver)
{
	struct release *release = &receiver->release, batch;
	struct sbus *bus = receiver->bus;

	receiver_flush(receiver);
	if (!release->nr)
		return;
	if (atomic_load(&bus->claims)) {
		release_now(bus, release);
		return;
	}
	release_init(&batch);
	bus_lock(bus);
	while (release->nr && !batch.nr)
		release_keep_locked(bus, release->offsets[--release->nr], &batch);
	bus_unlock(bus);
	release_now(bus, &batch);
	release_now(bus, release);
}

/* Receives and handles: how many messages, or -errno. */
static int receive(struct receiver *receiver)
{
	int nr = 0, r;

	for (int i = 0; i < BATCHES; i++) {
		r = receiver_fetch(receiver, false);
		if (r <= 0)
			return nr ? nr : r;
		nr += r;
		r = receiver_dispatch(receiver);
		if (r)
			return r;
		/* The queue is empty, and no answer waits to be sent. */
		if (receiver->nr < receiver->max && !receiver->answering)
			break;
	}
	return nr;
}

SBUS_API int sbus_process(struct sbus *bus)
{
	struct receiver *receiver = bus->receiver;
	int nr, over;

	nr = bus_state(bus);
	if (unlikely(nr))
		return nr;
	if (atomic_exchange(&bus->processed, true))
		return -EBUSY;
	sbus_ref(bus);
	over = async_process(bus, false);
	nr = receive(receiver);
	/* A handler forked, and returned in the child. */
	if (unlikely(bus_is_foreign(bus)))
		return -EPERM;
	leave(receiver);
	/* Outcomes make room. */
	if (nr > 0)
		over += async_process(bus, true);
	atomic_store(&bus->processed, false);
	sbus_unref(bus);
	return nr < 0 && !over ? nr : (nr < 0 ? 0 : nr) + over;
}

SBUS_API int sbus_wait(struct sbus *bus, uint64_t deadline)
{
	struct pollfd pollfd = { .fd = bus->fd, .events = POLLIN };
	struct timespec timeout;
	uint64_t until, now;
	int r;

	if (bus_is_foreign(bus))
		return -EPERM;
	until = async_timeout(bus);
	if (deadline && deadline < until)
		until = deadline;
	now = sbus_now();
	if (until != UINT64_MAX) {
		until = until > now ? until - now : 0;
		timeout.tv_sec = until / 1000000000;
		timeout.tv_nsec = until % 1000000000;
	}
	r = ppoll(&pollfd, 1, until == UINT64_MAX ? NULL : &timeout, NULL);
	if (r < 0)
		return -errno;
	return r > 0 || async_timeout(bus) <= sbus_now();
}
