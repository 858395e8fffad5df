// SPDX-License-Identifier: GPL-2.0-only
/*
 * Files: what is sent with a message, beside its bytes.
 *
 * The sender's files are opened before anything is reserved. From then on they
 * have one holder at a time, and who lets go of a message closes them:
 *  - the thread that makes the call or the reply; or, while a request moves, the
 *    move (call->files): whoever has a request that is attached nowhere.
 *  - the tree of the endpoint that the message is for, by the message's offset,
 *    from when it is attached or settled until its slice is free (@files of
 *    struct symp_slice). The endpoint's lock guards the tree, and what is in
 *    there but the files. A dead endpoint's tree is cleared by the kill.
 *  - a thread that claims them has a reference of its own, as the message can
 *    be released by another one while it installs them. It keeps the owner and
 *    the endpoint's file, so that no kill comes in between.
 *
 * What was claimed, or whose message was released, leaves the tree. But the
 * request of a call that may be done twice stays until that has its outcome:
 * its files then wait for another replica, and nobody can claim them here.
 *
 * All of this is on the sender's account until the last reference goes. A file
 * of the device is refused, since it would keep the endpoint that keeps it. One
 * can hide in another file, as in the queue of a socket: then the owner's death
 * ends it, as that kills the endpoint whoever has its file.
 */
#include <linux/err.h>
#include <linux/fdtable.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <linux/rbtree.h>
#include <linux/refcount.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "call.h"
#include "device.h"
#include "endpoint.h"
#include "files.h"
#include "ledger.h"

/**
 * struct symp_files - the files of a message
 * @node: in the endpoint's tree, or cleared
 * @ref: who has them, and a thread that installs them
 * @offset: of the message
 * @busy: a thread installs them
 * @kept: the process had them, and another replica may get them
 * @account: charged for them, referenced
 * @nr: how many
 * @file: each referenced
 */
struct symp_files {
	struct rb_node node;
	refcount_t ref;
	u32 offset;
	bool busy;
	bool kept;
	struct symp_account *account;
	u32 nr;
	struct file *file[] __counted_by(nr);
};

/* A ring has references to files, and is no more sent here than over sockets. */
static bool is_ring(const struct file *file)
{
	return file_inode(file)->i_sb->s_magic == ANON_INODE_FS_MAGIC &&
	       !strcmp(file->f_path.dentry->d_name.name, "[io_uring]");
}

static struct file *open_one(int fd)
{
	struct file *file = fget_raw(fd);
	int err;

	if (!file)
		return ERR_PTR(-EBADF);
	if (symp_device_is(file))
		err = -ELOOP;
	else if (is_ring(file))
		err = -EINVAL;
	else
		return file;
	fput(file);
	return ERR_PTR(err);
}

/* Closes what it is the last of. Does not sleep: what that starts runs later. */
void symp_files_put(struct symp_files *files)
{
	u32 i;

	if (!files || !refcount_dec_and_test(&files->ref))
		return;
	for (i = 0; i < files->nr; i++)
		if (files->file[i])
			fput(files->file[i]);
	symp_account_uncharge(files->account, SYMP_FILES, files->nr);
	symp_account_put(files->account);
	kfree(files);
}

/**
 * symp_files_open() - the files that the current process wants to send
 * @ep: its endpoint, charged for them
 * @address: of the descriptors in user memory
 * @nr: how many
 *
 * May sleep. Return: the files, to be placed or put; or an ERR_PTR of -EINVAL,
 * -EFAULT, -ENOMEM, -EDQUOT, -EBADF, -ELOOP.
 */
struct symp_files *symp_files_open(struct symp_endpoint *ep, u64 address, u32 nr)
{
	int fds[SYMPHONY_FDS_MAX], err;
	struct symp_files *files;
	u32 i;

	if (nr > SYMPHONY_FDS_MAX)
		return ERR_PTR(-EINVAL);
	if (copy_from_user(fds, u64_to_user_ptr(address), nr * sizeof(*fds)))
		return ERR_PTR(-EFAULT);
	files = kzalloc(struct_size(files, file, nr), GFP_KERNEL_ACCOUNT);
	if (!files)
		return ERR_PTR(-ENOMEM);
	err = symp_account_charge(ep->account, SYMP_FILES, nr);
	if (err) {
		kfree(files);
		return ERR_PTR(err);
	}
	RB_CLEAR_NODE(&files->node);
	refcount_set(&files->ref, 1);
	files->account = symp_account_get(ep->account);
	files->nr = nr;
	for (i = 0; i < nr; i++) {
		struct file *file = open_one(fds[i]);

		if (IS_ERR(file)) {
			symp_files_put(files);
			return ERR_CAST(file);
		}
		files->file[i] = file;
	}
	return files;
}

static bool is_before(struct rb_node *a, const struct rb_node *b)
{
	return rb_entry(a, struct symp_files, node)->offset <
	       rb_entry(b, struct symp_files, node)->offset;
}

static int compare(const void *offset, const struct rb_node *node)
{
	u32 a = *(const u32 *)offset;
	u32 b = rb_entry(node, struct symp_files, node)->offset;

	return a < b ? -1 : a > b;
}

static struct symp_files *find(struct symp_endpoint *ep, u32 offset)
{
	lockdep_assert_held(&ep->lock);
	return rb_entry_safe(rb_find(&offset, &ep->files, compare),
			     struct symp_files, node);
}

/* The message at @offset, filled, is on its way to @ep, with @files. */
void symp_files_place(struct symp_endpoint *ep, u32 offset,
		      struct symp_files *files)
{
	lockdep_assert_held(&ep->lock);
	files->offset = offset;
	rb_add(&files->node, &ep->files, is_before);
	symp_pool_slice(ep->pool, offset)->files = 1;
	symp_pool_msg(ep->pool, offset)->nr_fds = files->nr;
}

/* The message goes to another endpoint: so do its files. */
struct symp_files *symp_files_take(struct symp_endpoint *ep, u32 offset)
{
	struct symp_files *files = find(ep, offset);

	rb_erase(&files->node, &ep->files);
	RB_CLEAR_NODE(&files->node);
	symp_pool_slice(ep->pool, offset)->files = 0;
	files->kept = false;
	return files;
}

static void drop(struct symp_endpoint *ep, u32 offset)
{
	symp_files_put(symp_files_take(ep, offset));
}

/* Could the request at @offset go to another replica? */
static bool may_move(struct symp_endpoint *ep, u32 offset)
{
	struct symp_slice *s = symp_pool_slice(ep->pool, offset);
	const struct symp_call *call = s->owner;

	return s->kind == SYMP_REQUEST && s->kernel && call->idempotent;
}

/* The process gave the message back, or has its files. */
static void leave(struct symp_endpoint *ep, struct symp_files *files)
{
	if (may_move(ep, files->offset))
		files->kept = true;
	else
		drop(ep, files->offset);
}

/* The process released the message, which the kernel may hold still. */
void symp_files_released(struct symp_endpoint *ep, u32 offset)
{
	leave(ep, find(ep, offset));
}

/* The kernel lets go of the message, which the process may hold still. */
void symp_files_settled(struct symp_endpoint *ep, u32 offset)
{
	if (!symp_pool_slice(ep->pool, offset)->user || find(ep, offset)->kept)
		drop(ep, offset);
}

/* What a dead endpoint had. No lock held. */
void symp_files_clear(struct rb_root *root)
{
	struct symp_files *files, *next;

	rbtree_postorder_for_each_entry_safe(files, next, root, node) {
		symp_files_put(files);
		cond_resched();
	}
}

/* All of them in the current process's table, or none. */
static int install(struct symp_files *files, int __user *ufds)
{
	int fds[SYMPHONY_FDS_MAX], err;
	u32 i;

	for (i = 0; i < files->nr; i++) {
		err = receive_fd(files->file[i], ufds + i, O_CLOEXEC);
		if (err < 0)
			goto err_close;
		fds[i] = err;
	}
	return 0;

err_close:
	/* Whatever these numbers are now: nobody was told that they are there. */
	while (i--)
		close_fd(fds[i]);
	return err;
}

/**
 * symp_files_claim() - FDS
 * @ep: the current process's endpoint
 * @arg: the message, and where the descriptors go
 *
 * May sleep. Return: 0, -ESHUTDOWN, -ESRCH, -ENOENT, -EBUSY, -ERANGE, -EFAULT,
 * or why one cannot be installed.
 */
int symp_files_claim(struct symp_endpoint *ep, const struct symphony_fds *arg)
{
	struct symp_files *files;
	struct symp_slice *s;
	int err;

	scoped_guard(spinlock, &ep->lock) {
		if (ep->dead)
			return -ESHUTDOWN;
		s = symp_pool_find(ep->pool, arg->offset, SYMP_INSIDE);
		if (!s || !s->user ||
		    symp_pool_msg(ep->pool, arg->offset)->id != arg->id)
			return -ESRCH;
		files = s->files ? find(ep, arg->offset) : NULL;
		if (!files || files->kept)
			return -ENOENT;
		if (files->busy)
			return -EBUSY;
		if (arg->nr < files->nr)
			return -ERANGE;
		files->busy = true;
		refcount_inc(&files->ref);
	}
	err = install(files, u64_to_user_ptr(arg->fds));
	scoped_guard(spinlock, &ep->lock) {
		files->busy = false;
		if (!err && !ep->dead && !RB_EMPTY_NODE(&files->node))
			leave(ep, files);
	}
	symp_files_put(files);
	return err;
}
