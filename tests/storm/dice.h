/* SPDX-License-Identifier: MIT */
/*
 * Decisions, and bodies of calls, as functions of a key alone.
 *
 * What a participant does as its n-th step comes from the seed, its number and n;
 * what a server does with a request, from the seed and the request's tag. Nothing
 * that happened before is in it, so that a seed gives the same decisions again,
 * whatever the processors do.
 */
#ifndef SYMPHONY_STORM_DICE_H
#define SYMPHONY_STORM_DICE_H

#include <stddef.h>
#include <string.h>

#include <linux/types.h>

static inline __u64 mix(__u64 x)
{
	x += 0x9e3779b97f4a7c15ULL;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
	return x ^ (x >> 31);
}

struct dice {
	__u64 key, rolls;
};

static inline struct dice dice_of(__u64 seed, __u64 who, __u64 nr)
{
	return (struct dice){ .key = mix(seed ^ mix(who ^ mix(nr))) };
}

/* 0 to @sides - 1. */
static inline __u32 roll(struct dice *dice, __u32 sides)
{
	return (mix(dice->key + dice->rolls++) >> 32) % sides;
}

/* Once in @times. */
static inline int once(struct dice *dice, __u32 times)
{
	return !roll(dice, times);
}

/* What file @i of a message of the endpoint @maker's about @tag says. */
static inline __u64 file_key(__u64 tag, __u64 maker, int i)
{
	return mix(tag ^ mix(maker ^ mix(i)));
}

static inline __u64 files_hash(__u64 hash, __u64 key)
{
	return mix(hash ^ key);
}

static inline void body_fill(void *body, size_t len, __u64 key)
{
	unsigned char *at = body;
	__u64 word = mix(key) | 1;

	for (; len; at += 8) {
		word ^= word << 13;
		word ^= word >> 7;
		word ^= word << 17;
		memcpy(at, &word, len < 8 ? len : 8);
		len -= len < 8 ? len : 8;
	}
}

static inline __u64 body_hash(const void *body, size_t len)
{
	const unsigned char *at = body;
	__u64 hash = len, word;

	for (; len; at += 8) {
		word = 0;
		memcpy(&word, at, len < 8 ? len : 8);
		len -= len < 8 ? len : 8;
		hash = (hash ^ word) * 0x9e3779b97f4a7c15ULL;
		hash ^= hash >> 29;
	}
	return hash;
}

#endif
