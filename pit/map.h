/* SPDX-License-Identifier: MIT */
/*
 * map: an intrusive hash map from a byte string to the object that holds the
 * entry. Hashes are keyed with a secret of the process: names come from other
 * programs, and none of them may choose names that share one bucket.
 */
#ifndef PIT_MAP_H
#define PIT_MAP_H

#include <stddef.h>
#include <stdint.h>

/* The key's bytes belong to the object that embeds the entry. */
struct pit_map_entry {
	struct pit_map_entry *next;
	const void *key;
	size_t len;
	uint64_t hash;
};

struct pit_map {
	struct pit_map_entry **buckets;
	size_t mask;
	size_t count;
	uint64_t secret[2];
};

/**
 * pit_map_init() - make an empty map with room for @hint entries
 *
 * Return: 0, -ENOMEM, or the error of getrandom(2).
 */
int pit_map_init(struct pit_map *map, size_t hint);

/**
 * pit_map_deinit() - give the map's own memory back; entries are the caller's
 */
void pit_map_deinit(struct pit_map *map);

/**
 * pit_map_find() - the entry of a key, or NULL; O(1)
 */
struct pit_map_entry *pit_map_find(const struct pit_map *map, const void *key,
				   size_t len);

/**
 * pit_map_link() - add an entry; cannot fail
 *
 * The caller has made sure that the key is not in the map. Amortised O(1): when
 * there is no memory to grow, the chains grow instead.
 */
void pit_map_link(struct pit_map *map, struct pit_map_entry *entry,
		  const void *key, size_t len);

/**
 * pit_map_unlink() - remove an entry that is in the map; O(1)
 */
void pit_map_unlink(struct pit_map *map, struct pit_map_entry *entry);

#endif
