// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pool: the memory an endpoint receives into, and its allocator.
 *
 * The allocator is TLSF (Masmano et al., "TLSF: a new dynamic memory allocator
 * for real-time systems", ECRTS 2004): free slices are kept by size class, two
 * bitmaps find a class that fits, neighbours merge. What is freed is first set
 * aside as it is: peers in a steady exchange need the same size again and again,
 * in a batch many of it, and get it without any merging and splitting. When many
 * are set aside, or when there is no room otherwise, all of them merge. Every
 * operation takes bounded time. The bookkeeping is one struct symp_slice per
 * granule of SYMPHONY_POOL_ALIGN bytes, outside of the memory that processes
 * see; an offset from user space is looked up there and believed only if a slice
 * of the right kind begins at it.
 */
#include <linux/build_bug.h>
#include <linux/mm.h>
#include <linux/nospec.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "ledger.h"
#include "pool.h"
#include "room.h"

/* A pool is large: ENOMEM, rather than an OOM kill for the sake of it. */
#define GFP_POOL	(GFP_KERNEL_ACCOUNT | __GFP_RETRY_MAYFAIL | __GFP_NOWARN)

static_assert(sizeof(struct symphony_msg) == SYMPHONY_POOL_ALIGN);
static_assert(SYMPHONY_POOL_MAX / SYMPHONY_POOL_ALIGN < 1U << 24);

static void class_of(u32 len, u32 *fl, u32 *sl)
{
	u32 top = fls(len);

	if (top <= SYMP_SL_BITS) {
		*fl = 0;
		*sl = len;
	} else {
		*fl = top - SYMP_SL_BITS;
		*sl = (len >> (*fl - 1)) & (SYMP_SL - 1);
	}
}

static void link_free(struct symp_pool *pool, u32 i)
{
	struct symp_slice *s = &pool->slices[i];
	u32 fl, sl;

	class_of(s->len, &fl, &sl);
	s->kind = SYMP_FREE;
	s->prev = SYMP_NIL;
	s->next = pool->heads[fl][sl];
	if (s->next != SYMP_NIL)
		pool->slices[s->next].prev = i;
	pool->heads[fl][sl] = i;
	pool->fl |= 1U << fl;
	pool->sl[fl] |= 1U << sl;
}

static void unlink_free(struct symp_pool *pool, u32 i)
{
	struct symp_slice *s = &pool->slices[i];
	u32 fl, sl;

	if (s->next != SYMP_NIL)
		pool->slices[s->next].prev = s->prev;
	if (s->prev != SYMP_NIL) {
		pool->slices[s->prev].next = s->next;
		return;
	}
	class_of(s->len, &fl, &sl);
	pool->heads[fl][sl] = s->next;
	if (s->next == SYMP_NIL) {
		pool->sl[fl] &= ~(1U << sl);
		if (!pool->sl[fl])
			pool->fl &= ~(1U << fl);
	}
}

/* The slice behind the one at @i is now @len granules away from it. */
static void set_before(struct symp_pool *pool, u32 i, u32 len)
{
	if (i + len < pool->nr)
		pool->slices[i + len].before = len;
}

/*
 * A free slice of at least @len granules, from the smallest class that has one.
 * @len is the lower end of its class, so every slice in there is large enough.
 */
static u32 find_free(struct symp_pool *pool, u32 len)
{
	u32 fl, sl, map;

	class_of(len, &fl, &sl);
	map = pool->sl[fl] & (~0U << sl);
	if (!map) {
		map = fl + 1 < SYMP_FL ? pool->fl & (~0U << (fl + 1)) : 0;
		if (!map)
			return SYMP_NIL;
		fl = __ffs(map);
		map = pool->sl[fl];
	}
	return pool->heads[fl][__ffs(map)];
}

static struct symp_slice *carve(struct symp_pool *pool, u32 granules)
{
	u32 i = find_free(pool, granules);
	struct symp_slice *s, *rest;

	if (i == SYMP_NIL)
		return NULL;
	s = &pool->slices[i];
	unlink_free(pool, i);
	if (s->len > granules) {
		rest = s + granules;
		rest->len = s->len - granules;
		rest->before = granules;
		set_before(pool, i + granules, rest->len);
		link_free(pool, i + granules);
		s->len = granules;
	}
	return s;
}

/* Make the slice at @i free, as one with free neighbours. */
static void merge(struct symp_pool *pool, u32 i)
{
	struct symp_slice *s = &pool->slices[i], *other;

	if (i + s->len < pool->nr) {
		other = s + s->len;
		if (other->kind == SYMP_FREE) {
			unlink_free(pool, i + s->len);
			other->kind = SYMP_INSIDE;
			s->len += other->len;
		}
	}
	if (s->before) {
		other = s - s->before;
		if (other->kind == SYMP_FREE) {
			unlink_free(pool, i - s->before);
			s->kind = SYMP_INSIDE;
			i -= s->before;
			other->len += s->len;
			s = other;
		}
	}
	set_before(pool, i, s->len);
	link_free(pool, i);
}

/* As many as there are calls kept for reuse; see call.c. */
#define SPARE_MAX	64

static void merge_spares(struct symp_pool *pool)
{
	u32 *head = &pool->spare[0][0];
	u32 i;

	for (; pool->nr_spare; head++) {
		while (*head != SYMP_NIL) {
			i = *head;
			*head = pool->slices[i].next;
			merge(pool, i);
			pool->nr_spare--;
		}
	}
}

/* All of a class have the length that is its lower end. */
static struct symp_slice *take_spare(struct symp_pool *pool, u32 granules)
{
	struct symp_slice *s;
	u32 fl, sl;

	class_of(granules, &fl, &sl);
	if (pool->spare[fl][sl] == SYMP_NIL)
		return NULL;
	s = &pool->slices[pool->spare[fl][sl]];
	pool->spare[fl][sl] = s->next;
	pool->nr_spare--;
	return s;
}

/**
 * symp_pool_alloc() - take a slice
 * @pool: the pool; its endpoint's lock is held
 * @granules: how many granules, from symp_pool_granules()
 * @kind: what it is for
 *
 * Return: the slice's offset, held by the kernel; SYMPHONY_NO_OFFSET when there
 * is no free run of that size.
 */
u32 symp_pool_alloc(struct symp_pool *pool, u32 granules, enum symp_kind kind)
{
	struct symp_slice *s;

	if (granules > pool->free)
		return SYMPHONY_NO_OFFSET;
	s = take_spare(pool, granules) ?: carve(pool, granules);
	if (!s) {
		merge_spares(pool);
		s = carve(pool, granules);
	}
	if (!s)
		return SYMPHONY_NO_OFFSET;
	pool->free -= granules;
	s->kind = kind;
	s->kernel = 1;
	s->user = 0;
	s->owner = NULL;
	return (s - pool->slices) * SYMPHONY_POOL_ALIGN;
}

/* Give back the slice at @offset, which nobody holds. Endpoint's lock held. */
void symp_pool_free(struct symp_pool *pool, u32 offset)
{
	struct symp_slice *s = symp_pool_slice(pool, offset);
	u32 fl, sl;

	if (pool->nr_spare == SPARE_MAX)
		merge_spares(pool);
	class_of(s->len, &fl, &sl);
	s->kind = SYMP_SPARE;
	s->next = pool->spare[fl][sl];
	pool->spare[fl][sl] = offset / SYMPHONY_POOL_ALIGN;
	pool->nr_spare++;
	pool->free += s->len;
}

/**
 * symp_pool_promise() - keep a granule free, no matter which
 * @pool: the pool; its endpoint's lock is held
 *
 * What is kept so for long is nowhere, and does not part what is free in two.
 * Return: whether there is one.
 */
bool symp_pool_promise(struct symp_pool *pool)
{
	if (!pool->free)
		return false;
	pool->free--;
	return true;
}

/* Now there is one to be taken. Endpoint's lock held. */
void symp_pool_unpromise(struct symp_pool *pool)
{
	pool->free++;
}

/* Without preemption others would have to wait for the whole copy. */
int symp_pool_fill_large(void *to, const void __user *from, u32 len)
{
	unsigned long left;
	u32 part;

	for (; len; len -= part, to += part, from += part) {
		part = min_t(u32, len, SYMP_POOL_PART);
		pagefault_disable();
		left = _copy_from_user(to, from, part);
		pagefault_enable();
		if (left)
			return -EFAULT;
		cond_resched();
	}
	return 0;
}

/* Likewise from one pool to another. */
void symp_pool_copy(void *to, const void *from, u32 len)
{
	u32 part;

	for (; len; len -= part, to += part, from += part) {
		part = min_t(u32, len, SYMP_POOL_PART);
		memcpy(to, from, part);
		cond_resched();
	}
}

/* The slice behind @s, whatever it is; the first for NULL, NULL at the end. */
struct symp_slice *symp_pool_next(struct symp_pool *pool, struct symp_slice *s)
{
	s = s ? s + s->len : pool->slices;
	return s < pool->slices + pool->nr ? s : NULL;
}

/**
 * symp_pool_find() - the slice that user space means
 * @pool: the pool; its endpoint's lock is held
 * @offset: anything
 * @kind: what it has to be, or SYMP_INSIDE for any slice in use
 *
 * Return: the slice, or NULL when no such slice begins there.
 */
struct symp_slice *symp_pool_find(struct symp_pool *pool, u32 offset,
				  enum symp_kind kind)
{
	u32 i = offset / SYMPHONY_POOL_ALIGN;
	struct symp_slice *s;

	if (offset % SYMPHONY_POOL_ALIGN || i >= pool->nr)
		return NULL;
	s = &pool->slices[array_index_nospec(i, pool->nr)];
	if (kind == SYMP_INSIDE)
		return s->kind > SYMP_SPARE ? s : NULL;
	return s->kind == kind ? s : NULL;
}

static void free_pages_of(struct symp_pool *pool)
{
	u32 i;

	for (i = 0; i < pool->nr_pages; i++)
		__free_page(pool->pages[i]);
}

/**
 * symp_pool_create() - a pool, charged to the current task's memory cgroup
 * @size: bytes, a multiple of the page size within SYMPHONY_POOL_MIN and _MAX
 * @account: charged too
 * @limit: (out) with -EDQUOT
 *
 * May sleep. Return: the pool with one reference, or an ERR_PTR of -ENOMEM or
 * -EDQUOT.
 */
struct symp_pool *symp_pool_create(u32 size, struct symp_account *account,
				   enum symphony_limit *limit)
{
	struct symp_pool *pool;
	int err;

	err = symp_account_charge_patiently(account, SYMP_POOL_BYTES, size);
	if (err) {
		*limit = SYMPHONY_LIMIT_USER_POOL;
		return ERR_PTR(err);
	}
	pool = kzalloc(sizeof(*pool), GFP_POOL);
	if (!pool)
		goto err_uncharge;
	refcount_set(&pool->ref, 1);
	pool->nr = size / SYMPHONY_POOL_ALIGN;
	pool->slices = kvcalloc(pool->nr, sizeof(*pool->slices),
				GFP_POOL);
	if (!pool->slices)
		goto err_free_pool;
	pool->pages = kvcalloc(size >> PAGE_SHIFT, sizeof(*pool->pages),
			       GFP_POOL);
	if (!pool->pages)
		goto err_free_slices;
	for (; pool->nr_pages < size >> PAGE_SHIFT; pool->nr_pages++) {
		struct page *page = NULL;

		cond_resched();
		if (!fatal_signal_pending(current))
			page = alloc_page(GFP_POOL | __GFP_ZERO);
		if (!page)
			goto err_free_pages;
		pool->pages[pool->nr_pages] = page;
	}
	pool->base = vmap(pool->pages, pool->nr_pages, VM_MAP, PAGE_KERNEL);
	if (!pool->base)
		goto err_free_pages;
	memset(pool->heads, 0xff, sizeof(pool->heads));
	memset(pool->spare, 0xff, sizeof(pool->spare));
	pool->slices[0].len = pool->nr;
	pool->free = pool->nr;
	pool->account = symp_account_get(account);
	INIT_LIST_HEAD(&pool->buried);
	link_free(pool, 0);
	return pool;

err_free_pages:
	free_pages_of(pool);
	kvfree(pool->pages);
err_free_slices:
	kvfree(pool->slices);
err_free_pool:
	kfree(pool);
err_uncharge:
	symp_account_uncharge(account, SYMP_POOL_BYTES, size);
	return ERR_PTR(-ENOMEM);
}

void symp_pool_destroy(struct symp_pool *pool)
{
	struct symp_lane *lane, *next;

	list_for_each_entry_safe(lane, next, &pool->buried, sent)
		kfree(lane);
	symp_account_uncharge(pool->account, SYMP_POOL_BYTES,
			      pool->nr_pages << PAGE_SHIFT);
	symp_account_put(pool->account);
	vunmap(pool->base);
	free_pages_of(pool);
	kvfree(pool->pages);
	kvfree(pool->slices);
	kfree(pool);
}

/*
 * A mapping holds the pool: what it keeps of the pages stays charged, whoever
 * has the mapping after the endpoint died. That is a process that shares the
 * owner's memory, or a child for which the owner undid VM_DONTCOPY.
 */
static void mapping_open(struct vm_area_struct *vma)
{
	symp_pool_get(vma->vm_private_data);
}

static void mapping_close(struct vm_area_struct *vma)
{
	symp_pool_put(vma->vm_private_data);
}

static const struct vm_operations_struct mapping_ops = {
	.open = mapping_open,
	.close = mapping_close,
};

/* Map the pool into its owner, for reading only and for good. */
int symp_pool_mmap(struct symp_pool *pool, struct vm_area_struct *vma)
{
	unsigned long nr = vma_pages(vma);
	int err;

	if (vma->vm_pgoff || nr > pool->nr_pages || !(vma->vm_flags & VM_MAYSHARE))
		return -EINVAL;
	if (vma->vm_flags & (VM_WRITE | VM_EXEC))
		return -EACCES;
	vm_flags_mod(vma, VM_DONTCOPY | VM_DONTEXPAND, VM_MAYWRITE | VM_MAYEXEC);
	err = vm_insert_pages(vma, vma->vm_start, pool->pages, &nr);
	if (err)
		return err;
	vma->vm_private_data = symp_pool_get(pool);
	vma->vm_ops = &mapping_ops;
	return 0;
}
