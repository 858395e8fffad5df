/* SPDX-License-Identifier: MIT */
/* Objects in a child that was forked after they were made. */
#ifndef SYMPHONY_PY_FORK_H
#define SYMPHONY_PY_FORK_H

#include "state.h"
#include <stdbool.h>

/* How many forks lie between this process and the one that imported the module. */
extern unsigned int fork_count;

/* 0, or -1 with an exception set. */
int fork_watch(void);

/* Was an object made in another process, when fork_count was @then? */
static inline bool fork_since(unsigned int then)
{
	return then != fork_count;
}

/* Raises NotPermitted for such an object; returns NULL. */
PyObject *fork_raise(struct state *st, const char *extension);

#endif
