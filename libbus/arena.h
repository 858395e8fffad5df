/* SPDX-License-Identifier: MIT */
/* Memory for one answer: on the stack as long as it suffices, then malloc(). */
#ifndef LIBBUS_ARENA_H
#define LIBBUS_ARENA_H

#include <stddef.h>
#include <yyjson.h>

#define ARENA_SIZE 1536

struct arena {
	yyjson_alc alc;
	size_t used;
	_Alignas(16) char memory[ARENA_SIZE];
};

/* Makes @arena->alc an allocator for one thread. */
void arena_init(struct arena *arena);

#endif /* LIBBUS_ARENA_H */
