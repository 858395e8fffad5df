// SPDX-License-Identifier: MIT
/*
 * Watching endpoints: any number of watches here are one in the kernel. A GONE
 * message is looked up by the endpoint's id, as it can come after its watch was
 * removed.
 */
#include "watch.h"

#include <stdlib.h>

#include "slot.h"

struct watch {
	uint64_t endpoint;
	struct list slots;
};

static int set_in_kernel(struct sbus *bus, uint64_t endpoint, uint32_t flags)
{
	struct symphony_watch arg = {
		.size = sizeof(arg),
		.flags = flags,
		.endpoint = endpoint,
	};

	return bus_ioctl(bus, SYMPHONY_IOC_WATCH, &arg);
}

static int get_locked(struct sbus *bus, uint64_t endpoint, struct watch **ret)
{
	struct watch *watch = idmap_get(&bus->watched, endpoint);
	int r;

	if (!watch) {
		watch = malloc(sizeof(*watch));
		if (!watch)
			return -ENOMEM;
		watch->endpoint = endpoint;
		list_init(&watch->slots);
		r = idmap_set(&bus->watched, endpoint, watch);
		if (r) {
			free(watch);
			return r;
		}
		r = set_in_kernel(bus, endpoint, 0);
		if (r) {
			idmap_remove(&bus->watched, endpoint);
			free(watch);
			return r;
		}
	}
	*ret = watch;
	return 0;
}

/* Ends a watch that has no slot, unless its callbacks run: it is freed after them. */
static void put_locked(struct sbus *bus, struct watch *watch)
{
	if (!list_empty(&watch->slots) || idmap_get(&bus->watched, watch->endpoint) != watch)
		return;
	idmap_remove(&bus->watched, watch->endpoint);
	set_in_kernel(bus, watch->endpoint, SYMPHONY_WATCH_REMOVE);
	free(watch);
}

SBUS_API int sbus_watch(struct sbus *bus, uint64_t endpoint, sbus_gone_fn fn, void *userdata,
			struct sbus_slot **ret)
{
	struct sbus_slot *slot = NULL;
	struct watch *watch;
	int r;

	r = bus_state(bus);
	if (r)
		return r;
	if (!endpoint)
		return -ESRCH;
	bus_lock(bus);
	r = get_locked(bus, endpoint, &watch);
	if (!r) {
		slot = slot_take_locked(bus, SLOT_WATCH, ret);
		if (!slot) {
			put_locked(bus, watch);
			r = -ENOMEM;
		}
	}
	if (slot) {
		slot->gone = fn;
		slot->userdata = userdata;
		slot->watch = watch;
		slot->state = SLOT_SENT;
		list_add_tail(&slot->node, &watch->slots);
	}
	bus_unlock(bus);
	if (r)
		return r;
	if (ret)
		*ret = slot;
	return 0;
}

int watch_cancel(struct sbus_slot *slot)
{
	struct sbus *bus = slot->bus;

	bus_lock(bus);
	if (slot->state == SLOT_DONE) {
		bus_unlock(bus);
		return -EALREADY;
	}
	slot->state = SLOT_DONE;
	list_del(&slot->node);
	put_locked(bus, slot->watch);
	bus_unlock(bus);
	slot_put(slot);
	return 0;
}

void watch_gone(struct sbus *bus, uint64_t endpoint)
{
	struct watch *watch;
	struct list *node;

	bus_lock(bus);
	watch = idmap_remove(&bus->watched, endpoint);
	while (watch && (node = list_pop(&watch->slots))) {
		struct sbus_slot *slot = container_of(node, struct sbus_slot, node);

		slot->state = SLOT_DONE;
		bus_unlock(bus);
		slot->gone(endpoint, slot->userdata);
		slot_put(slot);
		bus_lock(bus);
	}
	bus_unlock(bus);
	free(watch);
}

void watch_forget_all(struct sbus *bus)
{
	struct list *node, all;

	list_init(&all);
	bus_lock(bus);
	idmap_for_each(entry, &bus->watched) {
		struct watch *watch = entry->value;

		while ((node = list_pop(&watch->slots))) {
			container_of(node, struct sbus_slot, node)->state = SLOT_DONE;
			list_add_tail(node, &all);
		}
		free(watch);
	}
	idmap_deinit(&bus->watched);
	bus_unlock(bus);
	while ((node = list_pop(&all)))
		slot_put(container_of(node, struct sbus_slot, node));
}

void watch_deinit(struct sbus *bus)
{
	idmap_for_each(entry, &bus->watched)
		free(entry->value);
	idmap_deinit(&bus->watched);
}
