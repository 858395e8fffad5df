// SPDX-License-Identifier: MIT
/* Which process made an object: see fork.h. */
#include "fork.h"

#include <errno.h>
#include <stddef.h>
#include <sys/mman.h>

_Atomic uint64_t *fork_word;

static int make_word(void)
{
	_Atomic uint64_t *word, *none = NULL;
	int r = 0;

	word = mmap(NULL, sizeof(*word), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		    -1, 0);
	if (word == MAP_FAILED)
		return -errno;
	if (madvise(word, sizeof(*word), MADV_WIPEONFORK))
		r = -errno;
	if (r || !__atomic_compare_exchange_n(&fork_word, &none, word, false, __ATOMIC_ACQ_REL,
					      __ATOMIC_ACQUIRE))
		munmap((void *)word, sizeof(*word));
	return r;
}

int fork_mark(uint64_t *mark)
{
	/* Copied to a child, so that no child's mark is one of its ancestors'. */
	static _Atomic uint64_t last;
	uint64_t now = 0, next;
	int saved = errno, r;

	if (!__atomic_load_n(&fork_word, __ATOMIC_ACQUIRE)) {
		r = make_word();
		errno = saved;
		if (r)
			return r;
	}
	next = atomic_fetch_add(&last, 1) + 1;
	if (atomic_compare_exchange_strong(fork_word, &now, next))
		now = next;
	*mark = now;
	return 0;
}
