/* SPDX-License-Identifier: GPL-2.0-only */
/* Pool: the memory an endpoint receives into, and its allocator. */
#ifndef SYMP_POOL_H
#define SYMP_POOL_H

#include <linux/bitops.h>
#include <linux/math.h>
#include <linux/pagemap.h>
#include <linux/refcount.h>
#include <linux/sizes.h>
#include <linux/types.h>
#include <linux/uaccess.h>
#include <linux/symphony.h>

struct symp_account;
struct vm_area_struct;

enum symp_kind {
	SYMP_INSIDE = 0,	/* not the first granule of anything */
	SYMP_FREE,
	SYMP_SPARE,
	SYMP_REQUEST,
	SYMP_ANSWER,
	SYMP_NOTICE,
	SYMP_CANCELLED,
};

/**
 * struct symp_slice - a run of granules, described at its first one
 * @len: granules
 * @kind: enum symp_kind
 * @before: granules of the slice in front of it; 0 for the first of the pool
 * @kernel: the kernel holds it: a call stands on it or a copier writes it
 * @user: the process holds it: it was received and not yet released
 * @files: some came with the message; see files.c
 * @next: SYMP_FREE, SYMP_SPARE: next one of its size class, SYMP_NIL for none
 * @prev: SYMP_FREE: previous one
 * @owner: while @kernel: the struct symp_call; afterwards the struct symp_lane
 *	that is charged for it, or NULL
 *
 * A slice in use has two holders and is free when neither holds it any more.
 * These descriptions live beside the pool, where no process can reach them.
 */
struct symp_slice {
	u32 len:24;
	u32 kind:8;
	u32 before:24;
	u32 kernel:1;
	u32 user:1;
	u32 files:1;
	union {
		struct {
			u32 next;
			u32 prev;
		};
		void *owner;
	};
};

#define SYMP_NIL	(~0U)
#define SYMP_SL_BITS	3
#define SYMP_SL		BIT(SYMP_SL_BITS)
#define SYMP_FL		(25 - SYMP_SL_BITS)

/**
 * struct symp_pool - pages, mapped for the kernel, and what is in them
 * @ref: the endpoint while it lives, every copier, and every mapping
 * @base: the kernel's mapping
 * @pages: the pages
 * @nr_pages: how many
 * @account: charged for them, referenced
 * @slices: one per granule
 * @nr: how many granules
 * @free: how many of them are in use by nobody and promised to nobody
 * @fl: which first-level classes have a free slice
 * @sl: likewise second-level classes
 * @heads: the free slices of each class
 * @spare: of each class the slices freed last, kept whole for the next of their
 *	size
 * @nr_spare: how many
 * @buried: of struct symp_lane: those of the dead endpoint
 *
 * All but @ref and the bytes are guarded by the endpoint's lock.
 */
struct symp_pool {
	refcount_t ref;
	void *base;
	struct page **pages;
	u32 nr_pages;
	struct symp_account *account;
	struct symp_slice *slices;
	u32 nr;
	u32 free;
	u32 fl;
	u32 sl[SYMP_FL];
	u32 heads[SYMP_FL][SYMP_SL];
	u32 spare[SYMP_FL][SYMP_SL];
	u32 nr_spare;
	struct list_head buried;
};

struct symp_pool *symp_pool_create(u32 size, struct symp_account *account,
				   enum symphony_limit *limit);
void symp_pool_destroy(struct symp_pool *pool);
int symp_pool_mmap(struct symp_pool *pool, struct vm_area_struct *vma);
u32 symp_pool_alloc(struct symp_pool *pool, u32 granules, enum symp_kind kind);
void symp_pool_free(struct symp_pool *pool, u32 offset);
bool symp_pool_promise(struct symp_pool *pool);
void symp_pool_unpromise(struct symp_pool *pool);
struct symp_slice *symp_pool_next(struct symp_pool *pool, struct symp_slice *s);
struct symp_slice *symp_pool_find(struct symp_pool *pool, u32 offset,
				  enum symp_kind kind);

static inline struct symp_pool *symp_pool_get(struct symp_pool *pool)
{
	refcount_inc(&pool->ref);
	return pool;
}

/* Drop a reference. May sleep when it is the last. */
static inline void symp_pool_put(struct symp_pool *pool)
{
	if (refcount_dec_and_test(&pool->ref))
		symp_pool_destroy(pool);
}

static inline struct symp_slice *symp_pool_slice(struct symp_pool *pool,
						 u32 offset)
{
	return &pool->slices[offset / SYMPHONY_POOL_ALIGN];
}

static inline struct symphony_msg *symp_pool_msg(struct symp_pool *pool,
						 u32 offset)
{
	return pool->base + offset;
}

int symp_pool_fill_large(void *to, const void __user *from, u32 len);
void symp_pool_copy(void *to, const void *from, u32 len);

/* Bytes copied without a chance for others to run. */
#define SYMP_POOL_PART	SZ_64K

/*
 * How often memory is faulted in for a copy, which can lose it again before it
 * is read: when it is reclaimed, or made to.
 */
#define SYMP_FILL_TRIES	8

/*
 * Copy a body of @len bytes into the slice at @offset, which was reserved for
 * that, if it is all there. Otherwise -EFAULT: let go of the slice, fault the
 * body in, and try again. Waiting for memory that can be FUSE's or userfaultfd's
 * holds nothing so. Not copy_from_user(): its object check would look up the
 * pool in the tree of vmapped areas, to find what the allocator vouches for.
 */
static inline int symp_pool_fill(struct symp_pool *pool, u32 offset,
				 u64 address, u32 len)
{
	const void __user *from = u64_to_user_ptr(address);
	void *to = symp_pool_msg(pool, offset) + 1;

	unsigned long left;

	if (unlikely(len > SYMP_POOL_PART))
		return symp_pool_fill_large(to, from, len);
	pagefault_disable();
	left = _copy_from_user(to, from, len);
	pagefault_enable();
	return left ? -EFAULT : 0;
}

/* Wait for the body's memory, without bound. Return: 0 or -EFAULT. */
static inline int symp_pool_fault_in(u64 address, u32 len)
{
	return fault_in_readable(u64_to_user_ptr(address), len) ? -EFAULT : 0;
}

/*
 * Granules of a message with a body of @len bytes, which can be anything. Sizes
 * are rounded up to the lower end of a class of the allocator, by less than an
 * eighth, so that what was freed is found again for the same size.
 */
static inline u32 symp_pool_granules(u32 len)
{
	u32 nr = 1 + len / SYMPHONY_POOL_ALIGN + !!(len % SYMPHONY_POOL_ALIGN);

	return nr < SYMP_SL ? nr :
		round_up(nr, 1U << (fls(nr) - 1 - SYMP_SL_BITS));
}

#endif
