// SPDX-License-Identifier: MIT
/* Memory for one answer. What is freed on the stack is not used again. */
#include "arena.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static bool inside(const struct arena *arena, const void *memory)
{
	return (uintptr_t)memory - (uintptr_t)arena->memory < ARENA_SIZE;
}

static void *arena_malloc(void *ctx, size_t size)
{
	struct arena *arena = ctx;
	void *memory = arena->memory + arena->used;

	if (size > ARENA_SIZE - arena->used)
		return malloc(size);
	arena->used += (size + 15) & ~(size_t)15;
	return memory;
}

static void *arena_realloc(void *ctx, void *memory, size_t old_size, size_t size)
{
	struct arena *arena = ctx;
	void *larger;

	if (!inside(arena, memory))
		return realloc(memory, size);
	larger = arena_malloc(arena, size);
	if (larger)
		memcpy(larger, memory, old_size < size ? old_size : size);
	return larger;
}

static void arena_free(void *ctx, void *memory)
{
	if (!inside(ctx, memory))
		free(memory);
}

void arena_init(struct arena *arena)
{
	arena->alc = (yyjson_alc){
		.malloc = arena_malloc,
		.realloc = arena_realloc,
		.free = arena_free,
		.ctx = arena,
	};
	arena->used = 0;
}
