/* SPDX-License-Identifier: GPL-2.0-only */
/* Vector: a body that its sender has in several pieces. */
#ifndef SYMP_VECTOR_H
#define SYMP_VECTOR_H

#include <linux/slab.h>

#include "pool.h"

struct symphony_piece *symp_vector_read(u64 address, u32 *len);
int symp_vector_copy(void *to, const struct symphony_piece *pieces, u32 len);
int symp_vector_fault_in(const struct symphony_piece *pieces, u32 len);

/* Where there are none, and that is known, the allocator is not asked. */
static __always_inline void symp_vector_free(struct symphony_piece *pieces)
{
	if (!ZERO_OR_NULL_PTR(pieces))
		kfree(pieces);
}

/*
 * What pool.h does with a body, for one that is in @pieces, or at @address when
 * those are NULL.
 */
static __always_inline int symp_body_fill(struct symp_pool *pool, u32 offset,
					  const struct symphony_piece *pieces,
					  u64 address, u32 len)
{
	if (pieces)
		return symp_vector_copy(symp_pool_msg(pool, offset) + 1, pieces,
					len);
	return symp_pool_fill(pool, offset, address, len);
}

/* The first @len bytes, into memory that no slice is. */
static inline int symp_body_peek(void *to, const struct symphony_piece *pieces,
				 u64 address, u32 len)
{
	if (pieces)
		return symp_vector_copy(to, pieces, len);
	return symp_pool_fill_large(to, u64_to_user_ptr(address), len);
}

static __always_inline int
symp_body_fault_in(const struct symphony_piece *pieces, u64 address, u32 len)
{
	if (pieces)
		return symp_vector_fault_in(pieces, len);
	return symp_pool_fault_in(address, len);
}

#endif
