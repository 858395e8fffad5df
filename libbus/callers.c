// SPDX-License-Identifier: MIT
/*
 * The endpoints that call members, watched from the first time it matters until
 * they die. A watch keeps the host's memory: its callback can be on its way
 * while the host stops.
 */
#include "completion.h"
#include "pit.h"

static void gone(uint64_t endpoint, void *userdata)
{
	struct sbus_pit *pit = userdata;
	struct sbus_member *member;
	struct sbus_slot *slot;
	bool watched;

	pthread_mutex_lock(&pit->lock);
	slot = idmap_remove(&pit->watched, endpoint);
	pthread_mutex_unlock(&pit->lock);
	sbus_slot_unref(slot);
	for (member = slot ? pit->first : NULL; member; member = member->next) {
		completion_cancel_all(member, endpoint, -ECONNRESET);
		member_enter(member);
		watched = idmap_remove(&member->watches, endpoint);
		if (watched && member->started && member->extension.gone)
			member->extension.gone(member->self, endpoint);
		member_leave(member);
	}
	pit_put(pit);
}

/* Watches @endpoint, with a reference to the host that gone() drops. */
static int begin_locked(struct sbus_pit *pit, struct sbus *bus, uint64_t endpoint)
{
	struct sbus_slot *slot;
	int r;

	pit_get(pit);
	r = sbus_watch(bus, endpoint, gone, pit, &slot);
	if (r) {
		pit_put(pit);
		return r;
	}
	r = idmap_set(&pit->watched, endpoint, slot);
	if (!r)
		return 0;
	/* If it cannot be cancelled any more, gone() is on its way. */
	if (!sbus_slot_cancel(slot))
		pit_put(pit);
	sbus_slot_unref(slot);
	return r;
}

static int watch(struct sbus_pit *pit, uint64_t endpoint)
{
	struct sbus *bus;
	int r = 0;

	pthread_mutex_lock(&pit->lock);
	bus = pit->served ? pit->served : pit->bus;
	if (!bus)
		r = -ENODEV;
	else if (!idmap_get(&pit->watched, endpoint))
		r = begin_locked(pit, bus, endpoint);
	pthread_mutex_unlock(&pit->lock);
	return r;
}

void callers_forget(struct sbus_pit *pit)
{
	struct idmap watched;

	pthread_mutex_lock(&pit->lock);
	watched = pit->watched;
	pit->watched = (struct idmap){ 0 };
	pthread_mutex_unlock(&pit->lock);
	idmap_for_each(entry, &watched) {
		if (!sbus_slot_cancel(entry->value))
			pit_put(pit);
		sbus_slot_unref(entry->value);
	}
	idmap_deinit(&watched);
}

SBUS_API int sbus_member_watch(struct sbus_member *member, uint64_t endpoint)
{
	int r;

	if (pit_is_foreign(member->pit))
		return -EPERM;
	if (!endpoint)
		return 0;
	/* First, so that a death that comes now finds it. */
	r = idmap_set(&member->watches, endpoint, member);
	if (r)
		return r;
	r = watch(member->pit, endpoint);
	if (r)
		idmap_remove(&member->watches, endpoint);
	return r;
}

SBUS_API void sbus_member_unwatch(struct sbus_member *member, uint64_t endpoint)
{
	if (endpoint && !pit_is_foreign(member->pit))
		idmap_remove(&member->watches, endpoint);
}
