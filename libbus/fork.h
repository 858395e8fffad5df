/* SPDX-License-Identifier: MIT */
/*
 * Objects in a forked child.
 *
 * An object belongs to the process that made it. A child inherits a copy of its
 * memory, but not its receive pool, not its endpoint, and not the threads that may
 * have been changing it: no lock of the object may be taken in the child, and no list
 * of it walked. So in a child every object is inert. A function that is given one
 * fails with -EPERM or does nothing, before it looks at anything but the object's
 * mark. What the object holds stays as it is until the child calls exec or exits.
 *
 * An object's mark is the value of a word in a page that the kernel wipes in every
 * child (MADV_WIPEONFORK): also where clone() is called directly and no handler of
 * pthread_atfork() runs. A process that shares the parent's memory (vfork) is refused
 * by the kernel, which looks at the process too.
 */
#ifndef LIBBUS_FORK_H
#define LIBBUS_FORK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* There once an object has a mark. */
extern _Atomic uint64_t *fork_word __attribute__((visibility("hidden")));

/* This process's mark, for an object that it makes: 0, or -errno. */
int fork_mark(uint64_t *mark);

/* Did another process make the object with that mark? */
static inline bool fork_is_foreign(uint64_t mark)
{
	return __builtin_expect(atomic_load_explicit(fork_word, memory_order_relaxed) != mark,
				0);
}

#endif /* LIBBUS_FORK_H */
