// SPDX-License-Identifier: MIT
/* Open addressing with linear probing; removal moves followers back. */
#include "idmap.h"

#include <errno.h>
#include <stdlib.h>

static size_t home(const struct idmap *map, uint64_t id)
{
	return (size_t)((id * 0x9e3779b97f4a7c15ULL) >> 32) & map->mask;
}

static struct idmap_slot *find(const struct idmap *map, uint64_t id)
{
	size_t i = home(map, id);

	while (map->slots[i].id && map->slots[i].id != id)
		i = (i + 1) & map->mask;
	return &map->slots[i];
}

static int grow(struct idmap *map)
{
	size_t size = map->slots ? 2 * (map->mask + 1) : 16;
	struct idmap larger = { .mask = size - 1, .used = map->used };

	larger.slots = calloc(size, sizeof(*larger.slots));
	if (!larger.slots)
		return -ENOMEM;
	idmap_for_each(slot, map)
		*find(&larger, slot->id) = *slot;
	free(map->slots);
	*map = larger;
	return 0;
}

int idmap_set(struct idmap *map, uint64_t id, void *value)
{
	struct idmap_slot *slot;
	int r;

	if (!map->slots || map->used * 4 >= (map->mask + 1) * 3) {
		r = grow(map);
		if (r)
			return r;
	}
	slot = find(map, id);
	map->used += !slot->id;
	slot->id = id;
	slot->value = value;
	return 0;
}

void *idmap_get(const struct idmap *map, uint64_t id)
{
	return map->slots ? find(map, id)->value : NULL;
}

void *idmap_remove(struct idmap *map, uint64_t id)
{
	struct idmap_slot *hole, *slot;
	void *value;
	size_t i;

	if (!map->slots)
		return NULL;
	hole = find(map, id);
	if (!hole->id)
		return NULL;
	value = hole->value;
	map->used--;
	for (i = hole - map->slots;;) {
		size_t from_home, from_hole;

		i = (i + 1) & map->mask;
		slot = &map->slots[i];
		if (!slot->id)
			break;
		from_home = (i - home(map, slot->id)) & map->mask;
		from_hole = (i - (size_t)(hole - map->slots)) & map->mask;
		if (from_home >= from_hole) {
			*hole = *slot;
			hole = slot;
		}
	}
	*hole = (struct idmap_slot){ 0 };
	return value;
}

void idmap_deinit(struct idmap *map)
{
	free(map->slots);
	*map = (struct idmap){ 0 };
}
