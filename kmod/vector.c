// SPDX-License-Identifier: GPL-2.0-only
/*
 * Vector: a body that its sender has in several pieces.
 *
 * The array that names them is read once, before anything else is done, and what
 * is summed up, checked and copied by is that copy: another thread can change the
 * array meanwhile, and the bytes, but not how many those are. The copy belongs to
 * the thread that is in the operation, which frees it when it has copied the body.
 *
 * Nothing here is told how many pieces there are: together they have at least as
 * many bytes as are asked for.
 */
#include <linux/build_bug.h>
#include <linux/err.h>
#include <linux/limits.h>
#include <linux/minmax.h>
#include <linux/overflow.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/symphony.h>

#include "vector.h"

/* What is read is no more than the smallest page. */
static_assert(SYMPHONY_VECTORS_MAX * sizeof(struct symphony_piece) <= SZ_4K);

/**
 * symp_vector_read() - read an array of pieces
 * @address: where it is
 * @len: (in/out) how many pieces; then how many bytes they have together, or
 *	U32_MAX when those are more, which is more than any pool takes
 *
 * May sleep. Return: the pieces, to be freed with symp_vector_free(); or an ERR_PTR of
 * -EINVAL (too many), -EFAULT, -ENOMEM.
 */
struct symphony_piece *symp_vector_read(u64 address, u32 *len)
{
	struct symphony_piece *pieces;
	u64 total = 0;
	u32 i;

	if (*len > SYMPHONY_VECTORS_MAX)
		return ERR_PTR(-EINVAL);
	pieces = memdup_user(u64_to_user_ptr(address), *len * sizeof(*pieces));
	if (IS_ERR(pieces))
		return pieces;
	for (i = 0; i < *len; i++)
		if (check_add_overflow(total, pieces[i].len, &total))
			total = U64_MAX;
	*len = min_t(u64, total, U32_MAX);
	return pieces;
}

/* As symp_pool_fill(): -EFAULT when not all of the @len bytes are there. */
int symp_vector_copy(void *to, const struct symphony_piece *pieces, u32 len)
{
	u32 part;
	int err;

	for (; len; len -= part, to += part, pieces++) {
		part = min_t(u64, pieces->len, len);
		err = symp_pool_fill_large(to, u64_to_user_ptr(pieces->address),
					   part);
		if (err)
			return err;
	}
	return 0;
}

/* As symp_pool_fault_in(). */
int symp_vector_fault_in(const struct symphony_piece *pieces, u32 len)
{
	u32 part;
	int err;

	for (; len; len -= part, pieces++) {
		part = min_t(u64, pieces->len, len);
		err = symp_pool_fault_in(pieces->address, part);
		if (err)
			return err;
	}
	return 0;
}
