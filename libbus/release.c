// SPDX-License-Identifier: MIT
/* Giving room in the receive pool back: see release.h. */
#include "bus.h"
#include "receive.h"

static void push(struct release *release, uint32_t offset, uint32_t bytes)
{
	release->offsets[release->nr++] = offset;
	release->bytes += bytes;
}

/* So much lying idle is too much. */
static bool full(const struct sbus *bus, const struct release *release)
{
	return release->nr == RELEASE_BATCH || release->bytes > bus->pool_size / 8;
}

void release_now(struct sbus *bus, struct release *release)
{
	struct symphony_release arg = {
		.size = sizeof(arg),
		.release = (uintptr_t)release->offsets,
		.nr_release = release->nr,
	};

	if (release->nr && !bus_is_foreign(bus))
		bus_ioctl(bus, SYMPHONY_IOC_RELEASE, &arg);
	release_init(release);
}

void release_take_locked(struct sbus *bus, struct release *to)
{
	struct release *from = &bus->release;

	to->nr = from->nr;
	to->bytes = from->bytes;
	for (uint32_t i = 0; i < from->nr; i++)
		to->offsets[i] = from->offsets[i];
	release_init(from);
}

void release_untake_locked(struct sbus *bus, struct release *release, uint32_t left)
{
	struct release *to = &bus->release;

	/* What they hold is not looked at: after fork the pool is not mapped. */
	for (uint32_t i = release->nr - left; i < release->nr; i++) {
		if (to->nr == RELEASE_BATCH)
			release_now(bus, to);
		push(to, release->offsets[i], release->bytes / release->nr);
	}
}

void release_keep_locked(struct sbus *bus, uint32_t offset, struct release *batch)
{
	const struct symphony_msg *msg = bus_message(bus, offset);

	push(&bus->release, offset, msg->header_len + msg->body_len);
	if (full(bus, &bus->release))
		release_take_locked(bus, batch);
}

void release_offset(struct sbus *bus, uint32_t offset)
{
	const struct symphony_msg *msg = bus_message(bus, offset);
	struct receiver *receiver = receiver_current(bus);
	struct release batch;

	if (receiver) {
		push(&receiver->release, offset, msg->header_len + msg->body_len);
		if (full(bus, &receiver->release))
			release_now(bus, &receiver->release);
		return;
	}
	release_init(&batch);
	if (atomic_load_explicit(&bus->claims, memory_order_relaxed)) {
		push(&batch, offset, 0);
	} else {
		bus_lock(bus);
		release_keep_locked(bus, offset, &batch);
		bus_unlock(bus);
	}
	release_now(bus, &batch);
}
