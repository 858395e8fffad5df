/* SPDX-License-Identifier: MIT */
/* cleanup: ownership carried by scope; success sets the local to NULL. */
#ifndef PIT_CLEANUP_H
#define PIT_CLEANUP_H

#include <stdlib.h>

static inline void pit_freep(void *p)
{
	free(*(void **)p);
}

#define pit_free __attribute__((cleanup(pit_freep)))

#endif
