// SPDX-License-Identifier: MIT
/* map: chained buckets, doubled as they fill, over SipHash-1-3. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "map.h"

#define MIN_BUCKETS 16

static inline uint64_t rotl(uint64_t x, unsigned int b)
{
	return (x << b) | (x >> (64 - b));
}

static inline void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rotl(v[1], 13) ^ v[0];
	v[0] = rotl(v[0], 32);
	v[2] += v[3];
	v[3] = rotl(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotl(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotl(v[1], 17) ^ v[2];
	v[2] = rotl(v[2], 32);
}

static uint64_t siphash(const uint64_t secret[2], const void *key, size_t len)
{
	uint64_t v[4] = {
		secret[0] ^ 0x736f6d6570736575ULL,
		secret[1] ^ 0x646f72616e646f6dULL,
		secret[0] ^ 0x6c7967656e657261ULL,
		secret[1] ^ 0x7465646279746573ULL,
	};
	const unsigned char *p = key;
	size_t left = len;
	uint64_t word;

	for (; left >= 8; left -= 8, p += 8) {
		memcpy(&word, p, 8);
		v[3] ^= word;
		sip_round(v);
		v[0] ^= word;
	}
	word = 0;
	memcpy(&word, p, left);
	word |= (uint64_t)len << 56;
	v[3] ^= word;
	sip_round(v);
	v[0] ^= word;
	v[2] ^= 0xff;
	for (int i = 0; i < 3; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

int pit_map_init(struct pit_map *map, size_t hint)
{
	size_t size = MIN_BUCKETS;

	while (size < hint)
		size *= 2;
	*map = (struct pit_map){ .mask = size - 1 };
	if (getrandom(map->secret, sizeof(map->secret), 0) < 0)
		return -errno;
	map->buckets = calloc(size, sizeof(*map->buckets));
	return map->buckets ? 0 : -ENOMEM;
}

void pit_map_deinit(struct pit_map *map)
{
	free(map->buckets);
	*map = (struct pit_map){};
}

struct pit_map_entry *pit_map_find(const struct pit_map *map, const void *key,
				   size_t len)
{
	uint64_t hash = siphash(map->secret, key, len);
	struct pit_map_entry *e;

	for (e = map->buckets[hash & map->mask]; e; e = e->next)
		if (e->hash == hash && e->len == len &&
		    !memcmp(e->key, key, len))
			return e;
	return NULL;
}

static void grow(struct pit_map *map)
{
	size_t size = (map->mask + 1) * 2;
	struct pit_map_entry **buckets = calloc(size, sizeof(*buckets));
	struct pit_map_entry *e, *next;

	if (!buckets)
		return;
	for (size_t i = 0; i <= map->mask; i++) {
		for (e = map->buckets[i]; e; e = next) {
			next = e->next;
			e->next = buckets[e->hash & (size - 1)];
			buckets[e->hash & (size - 1)] = e;
		}
	}
	free(map->buckets);
	map->buckets = buckets;
	map->mask = size - 1;
}

void pit_map_link(struct pit_map *map, struct pit_map_entry *entry,
		  const void *key, size_t len)
{
	struct pit_map_entry **bucket;

	if (map->count > map->mask)
		grow(map);
	entry->key = key;
	entry->len = len;
	entry->hash = siphash(map->secret, key, len);
	bucket = &map->buckets[entry->hash & map->mask];
	entry->next = *bucket;
	*bucket = entry;
	map->count++;
}

void pit_map_unlink(struct pit_map *map, struct pit_map_entry *entry)
{
	struct pit_map_entry **p = &map->buckets[entry->hash & map->mask];

	while (*p != entry)
		p = &(*p)->next;
	*p = entry->next;
	map->count--;
}
