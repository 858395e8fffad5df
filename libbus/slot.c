// SPDX-License-Identifier: MIT
/* Slots: their life. They are recycled, as calls come by the thousand. */
#include "slot.h"

#include <stdlib.h>

#include "async.h"
#include "parcel.h"

#define SPARES_MAX 1024

struct sbus_slot *slot_take_locked(struct sbus *bus, enum slot_kind kind, bool user)
{
	struct sbus_slot *slot = NULL;

	if (bus->spare_slots) {
		slot = bus->spare_slots;
		bus->spare_slots = slot->userdata;
		bus->nr_spare_slots--;
	} else {
		slot = malloc(sizeof(*slot));
	}
	if (!slot)
		return NULL;
	_Static_assert(offsetof(struct sbus_slot, call) + sizeof(slot->call) == sizeof(*slot), "");
	memset(slot, 0, offsetof(struct sbus_slot, call));
	slot->kind = kind;
	slot->bus = bus;
	slot->refs = user ? 2 : 1;
	slot->user_refs = user ? 1 : 0;
	list_init(&slot->node);
	if (user)
		sbus_ref(bus);
	return slot;
}

void slot_put(struct sbus_slot *slot)
{
	struct sbus *bus = slot->bus;

	if (atomic_fetch_sub(&slot->refs, 1) != 1)
		return;
	if (unlikely(slot->parcel))
		parcel_free(slot->parcel);
	bus_lock(bus);
	if (bus->nr_spare_slots < SPARES_MAX) {
		slot->userdata = bus->spare_slots;
		bus->spare_slots = slot;
		bus->nr_spare_slots++;
		slot = NULL;
	}
	bus_unlock(bus);
	free(slot);
}

void async_spares_free(struct sbus *bus)
{
	struct sbus_slot *slot;

	while ((slot = bus->spare_slots)) {
		bus->spare_slots = slot->userdata;
		free(slot);
	}
}

SBUS_API struct sbus_slot *sbus_slot_ref(struct sbus_slot *slot)
{
	if (slot) {
		atomic_fetch_add(&slot->refs, 1);
		atomic_fetch_add(&slot->user_refs, 1);
	}
	return slot;
}

SBUS_API struct sbus_slot *sbus_slot_unref(struct sbus_slot *slot)
{
	struct sbus *bus;
	bool last;

	if (!slot || bus_is_foreign(slot->bus))
		return NULL;
	bus = slot->bus;
	last = atomic_fetch_sub(&slot->user_refs, 1) == 1;
	slot_put(slot);
	if (last)
		sbus_unref(bus);
	return NULL;
}

SBUS_API int sbus_slot_cancel(struct sbus_slot *slot)
{
	if (bus_is_foreign(slot->bus))
		return -EPERM;
	return slot->kind == SLOT_CALL ? async_cancel(slot) : watch_cancel(slot);
}
