/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Fault points: laid over the module's sources, this is read in front of each of
 * them and takes the place of every function they call that can fail for lack of
 * memory or for what user memory is like. Each call is a place of its own: it is
 * counted, and one can be told to fail, in whatever context it runs.
 *
 * The headers come first, so that only the module's own calls are changed.
 */
#ifndef SYMP_FAULT_H
#define SYMP_FAULT_H

#include <linux/anon_inodes.h>
#include <linux/bpf.h>
#include <linux/btf.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/gfp.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/percpu.h>
#include <linux/rhashtable.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>
#include <net/genetlink.h>

struct symp_fault_point {
	const char *file;
	const char *what;
	u32 line;
	atomic_t hits;
	atomic_t failed;
};

bool symp_fault(struct symp_fault_point *point);
void symp_fault_show(void);
void symp_fault_hide(void);

#ifndef SYMP_NO_FAULTS

#define SYMP_FAULT(name)						\
({									\
	static struct symp_fault_point point_ = {			\
		.file = __FILE__, .line = __LINE__, .what = name,	\
	};								\
	static struct symp_fault_point *at_				\
		__used __section("symp_faults") = &point_;		\
									\
	symp_fault(at_);						\
})

/*
 * What is a macro in one of the kernels cannot be named in a macro of the same
 * name: it is called from a function.
 */
static inline void *fault_kmalloc(size_t size, gfp_t gfp)
{
	return kmalloc(size, gfp);
}

static inline void *fault_kzalloc(size_t size, gfp_t gfp)
{
	return kzalloc(size, gfp);
}

static inline void *fault_kcalloc(size_t nr, size_t size, gfp_t gfp)
{
	return kcalloc(nr, size, gfp);
}

static inline void *fault_kvcalloc(size_t nr, size_t size, gfp_t gfp)
{
	return kvcalloc(nr, size, gfp);
}

static inline void *fault_cache_alloc(struct kmem_cache *cache, gfp_t gfp)
{
	return kmem_cache_alloc(cache, gfp);
}

static inline struct page *fault_alloc_page(gfp_t gfp)
{
	return alloc_page(gfp);
}

static inline void *fault_memdup_user(const void __user *from, size_t len)
{
	return memdup_user(from, len);
}

static inline int fault_rhashtable_init(struct rhashtable *table,
					const struct rhashtable_params *params)
{
	return rhashtable_init(table, params);
}

static inline struct workqueue_struct *
fault_alloc_workqueue(const char *name, unsigned int flags, int max)
{
	return alloc_workqueue("%s", flags, max, name);
}

static inline int fault_get_user(u32 *to, const u32 __user *from)
{
	return get_user(*to, from);
}

static inline int fault_put_user(u64 value, void __user *to, size_t size)
{
	return size == sizeof(u64) ? put_user(value, (u64 __user *)to) :
				     put_user((u32)value, (u32 __user *)to);
}

static inline bool fault_write_begin(void __user *to, size_t size)
{
	return user_write_access_begin(to, size);
}

static inline int fault_unsafe_put_user(u32 value, u32 __user *to)
{
	unsafe_put_user(value, to, err_fault);
	return 0;

err_fault:
	return -EFAULT;
}

static inline int fault_unsafe_put_user64(u64 value, u64 __user *to)
{
	unsafe_put_user(value, to, err_fault);
	return 0;

err_fault:
	return -EFAULT;
}

/* A copy that fails does so in its middle. */
static inline unsigned long fault_copy_from(void *to, const void __user *from,
					    unsigned long len)
{
	unsigned long left = len - len / 2 + _copy_from_user(to, from, len / 2);

	memset(to + len - left, 0, left);
	return left;
}

#undef kmalloc
#undef kzalloc
#undef kcalloc
#undef kvcalloc
#undef kmem_cache_alloc
#undef alloc_page
#undef alloc_percpu_gfp
#undef memdup_user
#undef rhashtable_init
#undef alloc_workqueue
#undef KMEM_CACHE
#undef vmap
#undef get_user
#undef put_user
#undef user_write_access_begin
#undef unsafe_put_user
#undef copy_from_user
#undef copy_to_user
#undef _copy_from_user
#undef xa_alloc

#define kmalloc(size, gfp)						\
	(SYMP_FAULT("kmalloc") ? NULL : fault_kmalloc(size, gfp))
#define kzalloc(size, gfp)						\
	(SYMP_FAULT("kzalloc") ? NULL : fault_kzalloc(size, gfp))
#define kcalloc(nr, size, gfp)						\
	(SYMP_FAULT("kcalloc") ? NULL : fault_kcalloc(nr, size, gfp))
#define kvcalloc(nr, size, gfp)						\
	(SYMP_FAULT("kvcalloc") ? NULL : fault_kvcalloc(nr, size, gfp))
#define kmem_cache_alloc(cache, gfp)					\
	(SYMP_FAULT("kmem_cache_alloc") ? NULL : fault_cache_alloc(cache, gfp))
#define alloc_page(gfp)							\
	(SYMP_FAULT("alloc_page") ? NULL : fault_alloc_page(gfp))
#define alloc_percpu_gfp(type, gfp)					\
	(SYMP_FAULT("alloc_percpu_gfp") ? NULL :			\
	 (type __percpu *)__alloc_percpu_gfp(sizeof(type), __alignof__(type), gfp))
#define vmap(pages, nr, flags, prot)					\
	(SYMP_FAULT("vmap") ? NULL : (vmap)(pages, nr, flags, prot))
#define memdup_user(from, len)						\
	(SYMP_FAULT("memdup_user's memory") ? ERR_PTR(-ENOMEM) :	\
	 SYMP_FAULT("memdup_user's copy") ? ERR_PTR(-EFAULT) :		\
	 fault_memdup_user(from, len))
#define xa_insert(xa, index, entry, gfp)				\
	(SYMP_FAULT("xa_insert") ? -ENOMEM : (xa_insert)(xa, index, entry, gfp))
#define xa_alloc(xa, id, entry, limit, gfp)				\
	(SYMP_FAULT("xa_alloc") ? -ENOMEM : (xa_alloc)(xa, id, entry, limit, gfp))
#define xa_reserve(xa, index, gfp)					\
	(SYMP_FAULT("xa_reserve") ? -ENOMEM : (xa_reserve)(xa, index, gfp))
#define xa_store(xa, index, entry, gfp)					\
	(SYMP_FAULT("xa_store") ? (void *)XA_ERROR(-ENOMEM) :		\
	 (xa_store)(xa, index, entry, gfp))
#define rhashtable_init(table, params)					\
	(SYMP_FAULT("rhashtable_init") ? -ENOMEM :			\
	 fault_rhashtable_init(table, params))
#define rhashtable_lookup_insert_fast(table, node, params)		\
	(SYMP_FAULT("rhashtable_lookup_insert_fast") ? -ENOMEM :	\
	 (rhashtable_lookup_insert_fast)(table, node, params))
#define anon_inode_getfile(name, fops, priv, flags)			\
	(SYMP_FAULT("anon_inode_getfile") ? ERR_PTR(-ENOMEM) :		\
	 (anon_inode_getfile)(name, fops, priv, flags))
#define get_unused_fd_flags(flags)					\
	(SYMP_FAULT("get_unused_fd_flags") ? -EMFILE :			\
	 (get_unused_fd_flags)(flags))
#define receive_fd(file, ufd, flags)					\
	(SYMP_FAULT("receive_fd") ? -EMFILE : (receive_fd)(file, ufd, flags))
#define vm_insert_pages(vma, addr, pages, nr)				\
	(SYMP_FAULT("vm_insert_pages") ? -ENOMEM :			\
	 (vm_insert_pages)(vma, addr, pages, nr))
#define alloc_workqueue(name, flags, max)				\
	(SYMP_FAULT("alloc_workqueue") ? NULL :				\
	 fault_alloc_workqueue(name, flags, max))
#define KMEM_CACHE(type, flags)						\
	(SYMP_FAULT("KMEM_CACHE") ? NULL :				\
	 kmem_cache_create(#type, sizeof(struct type),			\
			   __alignof__(struct type), flags, NULL))
#define genlmsg_new(size, gfp)						\
	(SYMP_FAULT("genlmsg_new") ? NULL : (genlmsg_new)(size, gfp))
#define genl_register_family(family)					\
	(SYMP_FAULT("genl_register_family") ? -ENOMEM :			\
	 (genl_register_family)(family))
#define __register_bpf_struct_ops(ops)					\
	(SYMP_FAULT("register_bpf_struct_ops") ? -ENOMEM :		\
	 (__register_bpf_struct_ops)(ops))
#define register_btf_kfunc_id_set(type, set)				\
	(SYMP_FAULT("register_btf_kfunc_id_set") ? -ENOMEM :		\
	 (register_btf_kfunc_id_set)(type, set))
#define misc_register(dev)						\
({									\
	int err_ = SYMP_FAULT("misc_register") ? -ENOMEM :		\
						 (misc_register)(dev);	\
									\
	if (!err_)							\
		symp_fault_show();					\
	err_;								\
})
#define misc_deregister(dev)						\
({									\
	symp_fault_hide();						\
	(misc_deregister)(dev);						\
})

#define get_user(x, from)						\
	(SYMP_FAULT("get_user") ? -EFAULT : fault_get_user(&(x), from))
#define put_user(x, to)							\
	(SYMP_FAULT("put_user") ? -EFAULT :				\
	 fault_put_user((u64)(x), to, sizeof(*(to))))
#define copy_from_user(to, from, len)					\
({									\
	typeof(len) len_ = (len);					\
									\
	len_ && SYMP_FAULT("copy_from_user") ?				\
		fault_copy_from(to, from, len_) :			\
		(copy_from_user)(to, from, len_);			\
})
#define _copy_from_user(to, from, len)					\
({									\
	typeof(len) len_ = (len);					\
									\
	len_ && SYMP_FAULT("_copy_from_user") ?				\
		fault_copy_from(to, from, len_) :			\
		(_copy_from_user)(to, from, len_);			\
})
#define copy_to_user(to, from, len)					\
	(SYMP_FAULT("copy_to_user") ?					\
	 (len) - (len) / 2 + (copy_to_user)(to, from, (len) / 2) :	\
	 (copy_to_user)(to, from, len))
#define copy_struct_from_user(to, size, from, usize)			\
	(SYMP_FAULT("copy_struct_from_user") ? -EFAULT :		\
	 (copy_struct_from_user)(to, size, from, usize))
#define fault_in_readable(from, len)					\
	(SYMP_FAULT("fault_in_readable") ? (len) :			\
	 (fault_in_readable)(from, len))
#define user_write_access_begin(to, size)				\
	(!SYMP_FAULT("user_write_access_begin") && fault_write_begin(to, size))
/* User memory is open here: not for what is no copy. */
#define unsafe_put_user(x, to, label)					\
do {									\
	unsigned long open_ = user_access_save();			\
	bool fails_ = SYMP_FAULT("unsafe_put_user");			\
									\
	user_access_restore(open_);					\
	if (fails_ ||							\
	    (sizeof(*(to)) == sizeof(u64) ?				\
	     fault_unsafe_put_user64((u64)(x), (u64 __user *)(to)) :	\
	     fault_unsafe_put_user((u32)(x), (u32 __user *)(to))))	\
		goto label;						\
} while (0)

#endif /* SYMP_NO_FAULTS */
#endif
