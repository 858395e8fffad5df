/* SPDX-License-Identifier: MIT */
/* A map from a 64-bit id that is not 0 to a pointer that is not NULL. */
#ifndef LIBBUS_IDMAP_H
#define LIBBUS_IDMAP_H

#include <stddef.h>
#include <stdint.h>

/* All zero is an empty map. */
struct idmap {
	struct idmap_slot {
		uint64_t id;
		void *value;
	} *slots;
	size_t mask;
	size_t used;
};

/* 0 or -ENOMEM; an id that is there gets the new value. */
int idmap_set(struct idmap *map, uint64_t id, void *value);
void *idmap_get(const struct idmap *map, uint64_t id);
/* Returns what was there. */
void *idmap_remove(struct idmap *map, uint64_t id);
void idmap_deinit(struct idmap *map);

/* Visits every entry; the map must not change meanwhile. */
#define idmap_for_each(slot, map)						\
	for (struct idmap_slot *slot = (map)->slots;				\
	     slot && slot <= (map)->slots + (map)->mask; slot++)		\
		if (slot->id)

#endif /* LIBBUS_IDMAP_H */
