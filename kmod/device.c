// SPDX-License-Identifier: GPL-2.0-only
/*
 * Device: /dev/symphony, where user space comes in.
 *
 * Each operation copies its structure once, checks the copy, and hands it on;
 * nothing behind this file reads a structure from user memory.
 */
#include <linux/build_bug.h>
#include <linux/fs.h>
#include <linux/io_uring/cmd.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/poll.h>
#include <linux/sched/signal.h>
#include <linux/uaccess.h>

#include "bus.h"
#include "call.h"
#include "chore.h"
#include "clock.h"
#include "compat.h"
#include "death.h"
#include "device.h"
#include "endpoint.h"
#include "files.h"
#include "grant.h"
#include "ledger.h"
#include "limits.h"
#include "owner.h"
#include "reply.h"
#include "service.h"
#include "uring.h"
#include "watch.h"

static_assert(sizeof(struct symphony_query) == 168);
static_assert(sizeof(struct symphony_join) == 72);
static_assert(sizeof(struct symphony_service) == 48);
static_assert(sizeof(struct symphony_call) == 128);
static_assert(offsetof(struct symphony_call, id) == 104);
static_assert(sizeof(struct symphony_wait) == 32);
static_assert(sizeof(struct symphony_recv) == 48);
static_assert(sizeof(struct symphony_reply) == 88);
static_assert(sizeof(struct symphony_watch) == 24);
static_assert(sizeof(struct symphony_release) == 24);
static_assert(sizeof(struct symphony_uring) == 16);
static_assert(sizeof(struct symphony_fds) == 32);

/* Names of services to reserve, in bytes. */
#define RESERVE_MAX	4096

/* Every structure begins with the size that user space knows of it. */
static __always_inline int copy_arg(void *arg, size_t size,
				    const void __user *uarg)
{
	u32 usize;

	if (get_user(usize, (const u32 __user *)uarg))
		return -EFAULT;
	if (likely(usize == size))
		return copy_from_user(arg, uarg, size) ? -EFAULT : 0;
	if (usize < size)
		return -EINVAL;
	if (usize > PAGE_SIZE)
		return -E2BIG;
	return copy_struct_from_user(arg, size, uarg, usize);
}

/* Shared memory does not make another process the owner: it has another pid. */
static bool is_owner(struct symp_endpoint *ep)
{
	return ep->mm == current->mm && task_tgid(current) == ep->pid;
}

/* The endpoint of @file, if the current process may use it. */
static struct symp_endpoint *endpoint_of(struct file *file)
{
	/* Pairs with the release in do_join(). */
	struct symp_endpoint *ep = smp_load_acquire(&file->private_data);

	if (!ep)
		return ERR_PTR(-ENOTCONN);
	if (!is_owner(ep))
		return ERR_PTR(-EPERM);
	return ep;
}

/*
 * Release what an operation's array names. The count in user memory is written
 * before anything that can sleep or be restarted, so that nothing is released
 * twice.
 */
static int release_offsets(struct symp_endpoint *ep, u64 address, u32 nr,
			   u32 __user *unr)
{
	const u32 __user *uoffsets = u64_to_user_ptr(address);
	u32 offset, done;
	int err = 0;

	if (nr > SYMPHONY_BATCH_MAX)
		return -EINVAL;
	for (done = 0; done < nr; done++) {
		if (get_user(offset, uoffsets + done)) {
			err = -EFAULT;
			break;
		}
		spin_lock(&ep->lock);
		err = ep->dead ? -ESHUTDOWN : symp_slice_release(ep, offset);
		spin_unlock(&ep->lock);
		if (err)
			break;
	}
	if (put_user(nr - done, unr))
		return -EFAULT;
	return err;
}

/* What a RECV asks for. */
static int receive_init(struct symp_receive *how, u64 offsets, u32 max,
			u64 deadline, bool dontwait)
{
	how->offsets = u64_to_user_ptr(offsets);
	how->max = max;
	how->deadline = symp_clock_to_host(deadline);
	how->dontwait = dontwait;
	return max && max <= SYMPHONY_BATCH_MAX ? 0 : -EINVAL;
}

/*
 * Nothing is taken that could not be told. After the release array was read,
 * which may be the same: this writes. The array is shorter than a page, so that
 * its two ends are in all the pages that it is in.
 */
static int receive_prepare(const struct symp_receive *how, u32 __user *unr)
{
	static_assert(SYMPHONY_BATCH_MAX * sizeof(*how->offsets) <= PAGE_SIZE);

	if (put_user(0, unr) || put_user(0, how->offsets))
		return -EFAULT;
	if (how->max > 1 && put_user(0, how->offsets + how->max - 1))
		return -EFAULT;
	return 0;
}

static long do_query(void __user *uarg)
{
	struct symp_account *account;
	struct symphony_query arg;
	int err = copy_arg(&arg, sizeof(arg), uarg);

	if (err)
		return err;
	if (arg.flags)
		return -EINVAL;
	account = symp_account_open(current_cred());
	if (!account)
		return -ENOMEM;
	/* What the dead held counts no more, if it is given back at once. */
	symp_chores_settle(account->chores);
	arg = (struct symphony_query){
		.size = sizeof(arg),
		.abi_version = SYMPHONY_ABI_VERSION,
		.pool_default = symp_pool_default,
		.features = SYMPHONY_FEATURE_CALL | SYMPHONY_FEATURE_TENANTS |
			    SYMPHONY_FEATURE_URING | SYMPHONY_FEATURE_FDS |
			    SYMPHONY_FEATURE_VECTOR,
		.pool_max = symp_pool_max,
		.calls_max = READ_ONCE(symp_calls_max),
		.queue_max = READ_ONCE(symp_queue_max),
		.share_max = SYMP_SHARE_MAX,
		.user_buses = symp_account_use(account, SYMP_BUSES),
		.user_endpoints = symp_account_use(account, SYMP_ENDPOINTS),
		.user_pool = symp_account_use(account, SYMP_POOL_BYTES),
		.user_calls = symp_account_use(account, SYMP_CALLS),
		.user_services = symp_account_use(account, SYMP_SERVICES),
		.user_files = symp_account_use(account, SYMP_FILES),
		.user_claims = symp_account_use(account, SYMP_CLAIMS),
		.user_records = symp_account_use(account, SYMP_RECORDS),
	};
	symp_account_put(account);
	return copy_to_user(uarg, &arg, sizeof(arg)) ? -EFAULT : 0;
}

/*
 * The names of services, each with a NUL behind it, as an array of buffers.
 * NULL when there are none.
 */
static char *names_from_user(u64 address, u32 len, u32 *size)
{
	char *names, *text __free(kfree) = NULL;
	u32 nr = 0, i, at;
	int err;

	*size = 0;
	if (!len)
		return address ? ERR_PTR(-EINVAL) : NULL;
	if (len > RESERVE_MAX)
		return ERR_PTR(-E2BIG);
	text = memdup_user(u64_to_user_ptr(address), len);
	if (IS_ERR(text))
		return text;
	for (i = 0; i < len; i++)
		nr += !text[i];
	if (text[len - 1])
		return ERR_PTR(-EINVAL);
	names = kcalloc(nr, SYMPHONY_NAME_MAX + 1, GFP_KERNEL_ACCOUNT);
	if (!names)
		return ERR_PTR(-ENOMEM);
	*size = nr * (SYMPHONY_NAME_MAX + 1);
	for (i = 0, at = 0; i < *size; i += SYMPHONY_NAME_MAX + 1) {
		err = symp_name_check(names + i, text + at);
		if (err) {
			kfree(names);
			return ERR_PTR(err);
		}
		at += strlen(text + at) + 1;
	}
	return names;
}

/*
 * Tell @ep, which joined it, what its bus is. Of a bus nothing of this changes; and
 * it is there as long as @ep is.
 */
static int put_bus(struct symphony_join __user *uarg,
		   const struct symp_endpoint *ep,
		   const struct symp_bus_args *args)
{
	struct user_namespace *ns = ep->cred->user_ns;
	struct symp_bus *bus = ep->bus;
	bool reserved = args->reserve;
	u32 flags, at;

	for (at = 0; at < args->reserve_len; at += SYMPHONY_NAME_MAX + 1)
		reserved &= bus->grants ||
			    symp_service_is_reserved(bus, args->reserve + at);
	flags = (uid_eq(bus->uid, ep->cred->euid) ? SYMPHONY_BUS_MINE : 0) |
		(bus->id == ep->id ? SYMPHONY_BUS_CREATED : 0) |
		(bus->grants ? SYMPHONY_BUS_GRANTS : 0) |
		(reserved ? SYMPHONY_BUS_RESERVED : 0);
	return put_user(flags, &uarg->bus_flags) ?:
	       put_user(from_kuid(ns, bus->uid), &uarg->bus_uid) ?:
	       put_user(from_kgid(ns, bus->gid), &uarg->bus_gid) ?:
	       put_user(bus->mode, &uarg->bus_mode);
}

/* What can be asked of a bus that is created, and of one that is there. */
static bool join_flags_are_valid(const struct symphony_join *arg)
{
	bool names = arg->reserve || arg->reserve_len;
	u32 flags = arg->flags;

	if (flags & ~(SYMPHONY_JOIN_CREATE | SYMPHONY_JOIN_EXCL |
		      SYMPHONY_JOIN_GRANTS | SYMPHONY_JOIN_INHERIT |
		      SYMPHONY_JOIN_RESERVED))
		return false;
	if (flags & SYMPHONY_JOIN_EXCL && !(flags & SYMPHONY_JOIN_CREATE))
		return false;
	if (flags & (SYMPHONY_JOIN_INHERIT | SYMPHONY_JOIN_RESERVED) &&
	    flags & SYMPHONY_JOIN_CREATE)
		return false;
	if (flags & SYMPHONY_JOIN_GRANTS && !(flags & SYMPHONY_JOIN_EXCL))
		return false;
	if (flags & SYMPHONY_JOIN_RESERVED)
		return names;
	return !names || flags & SYMPHONY_JOIN_EXCL;
}

static long do_join(struct file *file, struct symphony_join __user *uarg)
{
	char *reserve __free(kfree) = NULL;
	kuid_t uid = INVALID_UID;
	enum symphony_limit limit = SYMPHONY_LIMIT_NONE;
	char name[SYMPHONY_NAME_MAX + 1];
	struct symp_bus_args args;
	struct symphony_join arg;
	struct symp_endpoint *ep;
	int err;

	err = copy_arg(&arg, sizeof(arg), uarg);
	if (err)
		return err;
	if (READ_ONCE(file->private_data))
		return -EISCONN;
	if (!join_flags_are_valid(&arg) || arg.reserved || arg.mode & ~0666)
		return -EINVAL;
	arg.mode = arg.mode ?: 0600;
	arg.pool_size = arg.pool_size ?: symp_pool_default;
	if (!PAGE_ALIGNED(arg.pool_size) || arg.pool_size < SYMPHONY_POOL_MIN ||
	    arg.pool_size > symp_pool_max)
		return -EINVAL;
	err = symp_name_from_user(name, arg.name, arg.name_len);
	if (err)
		return err;
	args = (struct symp_bus_args){
		.name = name,
		.flags = arg.flags,
		.mode = arg.mode,
		.uid = &uid,
	};
	reserve = names_from_user(arg.reserve, arg.reserve_len,
				  &args.reserve_len);
	if (IS_ERR(reserve))
		return PTR_ERR(reserve);
	args.reserve = reserve;
	ep = symp_endpoint_join(&args, arg.pool_size, &limit);
	if (IS_ERR(ep)) {
		if (limit && put_user(limit, &uarg->limit))
			return -EFAULT;
		if (uid_valid(uid) &&
		    put_user(from_kuid(current_user_ns(), uid), &uarg->bus_uid))
			return -EFAULT;
		return PTR_ERR(ep);
	}
	err = put_user(arg.pool_size, &uarg->pool_size) ?:
	      put_user(ep->id, &uarg->endpoint) ?:
	      put_bus(uarg, ep, &args);
	if (!err && cmpxchg_release(&file->private_data, NULL, ep))
		err = -EISCONN;
	if (err)
		symp_endpoint_release(ep);
	return err;
}

static long do_claim(struct symp_endpoint *ep,
		     struct symphony_service __user *uarg,
		     struct symphony_service *arg, const char *name)
{
	enum symphony_limit limit = SYMPHONY_LIMIT_NONE;
	struct symp_claim_args args = {
		.name = name,
		.flags = arg->flags,
		.target = arg->endpoint,
		.granted = arg->flags & SYMPHONY_CLAIM_GRANT,
	};
	int err;

	if (!ep->may_claim)
		return -EACCES;
	if (args.granted) {
		err = symp_grant_check(arg->grant, ep->bus, name);
		if (err)
			return err;
	}
	err = symp_service_claim(ep, &args, &arg->handle, &limit);
	if (limit && put_user(limit, &uarg->limit))
		return -EFAULT;
	return err;
}

static bool claim_flags_are_valid(const struct symphony_service *arg)
{
	u32 flags = arg->flags;

	if (flags & ~(SYMPHONY_CLAIM_REQUEUE | SYMPHONY_CLAIM_REISSUE |
		      SYMPHONY_CLAIM_TAKEOVER | SYMPHONY_CLAIM_ACTIVATOR |
		      SYMPHONY_CLAIM_NOTIFY | SYMPHONY_CLAIM_GRANT))
		return false;
	if (flags & SYMPHONY_CLAIM_REISSUE && !(flags & SYMPHONY_CLAIM_REQUEUE))
		return false;
	if (flags & SYMPHONY_CLAIM_ACTIVATOR &&
	    flags & ~(SYMPHONY_CLAIM_ACTIVATOR | SYMPHONY_CLAIM_GRANT))
		return false;
	if (arg->endpoint && !(flags & SYMPHONY_CLAIM_TAKEOVER))
		return false;
	return !arg->grant || flags & SYMPHONY_CLAIM_GRANT;
}

static long do_service(struct symp_endpoint *ep, unsigned int cmd,
		       struct symphony_service __user *uarg)
{
	char name[SYMPHONY_NAME_MAX + 1];
	struct symphony_service arg;
	int err;

	err = copy_arg(&arg, sizeof(arg), uarg);
	if (err)
		return err;
	if (arg.reserved)
		return -EINVAL;
	if (cmd == SYMPHONY_IOC_CLAIM ? !claim_flags_are_valid(&arg) :
					arg.endpoint ||
					(arg.grant && cmd != SYMPHONY_IOC_GRANT))
		return -EINVAL;
	if (cmd == SYMPHONY_IOC_DRAIN) {
		if (arg.flags & ~SYMPHONY_DRAIN_RESUME)
			return -EINVAL;
		return symp_service_drain(ep, arg.handle, arg.flags);
	}
	if (cmd != SYMPHONY_IOC_CLAIM && arg.flags)
		return -EINVAL;
	if (cmd == SYMPHONY_IOC_UNCLAIM)
		return symp_service_unclaim(ep, arg.handle);
	err = symp_name_from_user(name, arg.name, arg.name_len);
	if (err)
		return err;
	if (cmd == SYMPHONY_IOC_GRANT)
		return symp_bus_is_creator(ep->bus, ep) ?
			symp_grant_open(ep->bus, name, &uarg->grant) : -EPERM;
	/* Before there is something to undo. */
	if (put_user(0, &uarg->handle))
		return -EFAULT;
	err = cmd == SYMPHONY_IOC_CLAIM ?
		do_claim(ep, uarg, &arg, name) :
		symp_service_resolve(ep->bus, name, &arg.handle);
	return err ?: put_user(arg.handle, &uarg->handle);
}

/* The three stand one behind the other in each structure that has them. */
static int put_outcome(__s32 __user *ustatus, s32 status, u32 offset, u32 needed)
{
	u32 __user *to = (u32 __user *)ustatus;

	static_assert(offsetof(struct symphony_call, needed) ==
		      offsetof(struct symphony_call, status) + 2 * sizeof(*to));
	static_assert(offsetof(struct symphony_wait, needed) ==
		      offsetof(struct symphony_wait, status) + 2 * sizeof(*to));

	if (!user_write_access_begin(to, 3 * sizeof(*to)))
		return -EFAULT;
	unsafe_put_user(status, to, err_fault);
	unsafe_put_user(offset, to + 1, err_fault);
	unsafe_put_user(needed, to + 2, err_fault);
	user_write_access_end();
	return 0;

err_fault:
	user_write_access_end();
	return -EFAULT;
}

static long do_wait(struct symp_endpoint *ep, struct symphony_wait __user *uarg)
{
	struct symphony_wait arg;
	int err;

	err = copy_arg(&arg, sizeof(arg), uarg);
	if (err)
		return err;
	if (arg.flags & ~SYMPHONY_WAIT_DONTWAIT)
		return -EINVAL;
	/* Writable, before an outcome is fetched that could not be told. */
	if (put_outcome(&uarg->status, 0, SYMPHONY_NO_OFFSET, 0))
		return -EFAULT;
	err = symp_call_wait(ep, &arg, arg.flags & SYMPHONY_WAIT_DONTWAIT);
	if (err)
		return err;
	return put_outcome(&uarg->status, arg.status, arg.offset, arg.needed);
}

static long do_cancel(struct symp_endpoint *ep, void __user *uarg)
{
	struct symphony_wait arg;
	int err;

	err = copy_arg(&arg, sizeof(arg), uarg);
	if (err)
		return err;
	switch (arg.flags) {
	case 0:
		return symp_call_cancel(ep, arg.id, arg.slot);
	case SYMPHONY_CANCEL_RECV:
		return symp_uring_cancel_receive(ep, arg.id);
	case SYMPHONY_CANCEL_RECEIVERS:
	case SYMPHONY_CANCEL_RESUME:
		if (arg.id || arg.slot)
			return -EINVAL;
		return symp_queue_stop(ep, arg.flags ==
					   SYMPHONY_CANCEL_RECEIVERS);
	default:
		return -EINVAL;
	}
}

static long do_call(struct symp_endpoint *ep, struct symphony_call __user *uarg,
		    bool async, bool nonblock, struct io_uring_cmd *cmd,
		    unsigned int issue_flags)
{
	struct symphony_call arg;
	int err;

	err = copy_arg(&arg, sizeof(arg), uarg);
	if (err)
		return err;
	if (arg.flags & ~(SYMPHONY_CALL_DONTWAIT | SYMPHONY_CALL_NOTIFY |
			  SYMPHONY_CALL_IDEMPOTENT | SYMPHONY_CALL_ONEWAY |
			  SYMPHONY_CALL_VECTOR))
		return -EINVAL;
	if ((arg.parent_slot && !arg.parent) ||
	    (arg.flags & SYMPHONY_CALL_NOTIFY && !async))
		return -EINVAL;
	if (arg.flags & SYMPHONY_CALL_ONEWAY &&
	    (!async || cmd || arg.parent || arg.reply_max))
		return -EINVAL;
	if (arg.nr_release) {
		err = release_offsets(ep, arg.release, arg.nr_release,
				      &uarg->nr_release);
		if (err)
			return err;
	}
	arg.limit = SYMPHONY_LIMIT_NONE;
	if (arg.id) {
		struct symphony_wait wait = { .id = arg.id, .slot = arg.slot };

		if (async)
			return -EINVAL;
		/* As in WAIT. */
		if (put_outcome(&uarg->status, 0, SYMPHONY_NO_OFFSET, 0))
			return -EFAULT;
		err = symp_call_wait(ep, &wait, false);
		arg.status = wait.status;
		arg.offset = wait.offset;
		arg.needed = wait.needed;
	} else {
		nonblock |= arg.flags & SYMPHONY_CALL_DONTWAIT;
		if (cmd)
			symp_uring_begin_call(cmd, issue_flags);
		err = symp_call_make(ep, uarg, &arg, async, nonblock, cmd);
	}
	if (unlikely(err && arg.limit) && put_user(arg.limit, &uarg->limit))
		err = -EFAULT;
	if (cmd)
		return symp_uring_end_call(cmd, err, issue_flags);
	if (err || async)
		return err;
	return put_outcome(&uarg->status, arg.status, arg.offset, arg.needed);
}

/* Messages made without a chance for others to run; see SYMP_POOL_PART. */
#define SEND_CHUNK	32

static long do_send_batch(struct symp_endpoint *ep,
			  struct symphony_send_batch __user *uarg)
{
	struct symphony_send_batch arg;
	u32 done = 0;
	int err;

	err = copy_arg(&arg, sizeof(arg), uarg);
	if (err)
		return err;
	if (arg.flags || !arg.nr || arg.nr > SYMPHONY_BATCH_MAX ||
	    !arg.stride || arg.stride % sizeof(u64))
		return -EINVAL;
	/* Writable, before something is made that could not be told. */
	if (put_user(arg.nr, &uarg->nr))
		return -EFAULT;
	do {
		err = do_call(ep, u64_to_user_ptr(arg.calls), true, true, NULL,
			      0);
		if (err)
			break;
		arg.calls += arg.stride;
		done++;
		/* Rather than at each one: who reads them runs less often. */
		if (done % SEND_CHUNK == 0)
			cond_resched();
	} while (done < arg.nr && !task_sigpending(current));
	/* Entered again with the same structure. */
	if (err == -ERESTARTSYS && !done)
		return err;
	if (put_user(done, &uarg->nr))
		return -EFAULT;
	return done ? 0 : err;
}

static long do_recv(struct symp_endpoint *ep, struct symphony_recv __user *uarg,
		    bool nonblock, struct io_uring_cmd *cmd,
		    unsigned int issue_flags)
{
	struct symphony_recv arg;
	struct symp_receive how;
	int ret;

	ret = copy_arg(&arg, sizeof(arg), uarg);
	if (ret)
		return ret;
	if (arg.flags & ~SYMPHONY_RECV_DONTWAIT || arg.reserved ||
	    (cmd && arg.deadline) ||
	    (cmd && arg.flags && symp_uring_is_multishot(cmd)))
		return -EINVAL;
	ret = receive_init(&how, arg.offsets, arg.max, arg.deadline,
			   nonblock || arg.flags & SYMPHONY_RECV_DONTWAIT);
	if (ret)
		return ret;
	if (arg.nr_release) {
		ret = release_offsets(ep, arg.release, arg.nr_release,
				      &uarg->nr_release);
		if (ret)
			return ret;
	}
	ret = receive_prepare(&how, &uarg->nr);
	if (ret)
		return ret;
	if (cmd)
		return symp_uring_receive(cmd, ep, &how, false, issue_flags);
	spin_lock(&ep->lock);
	ret = symp_queue_receive_locked(ep, &how);
	return ret < 0 ? ret : put_user(ret, &uarg->nr);
}

static long do_reply(struct symp_endpoint *ep, struct symphony_reply __user *uarg,
		     bool nonblock, struct io_uring_cmd *cmd,
		     unsigned int issue_flags)
{
	struct symp_receive how, *next = NULL;
	struct symphony_reply arg;
	int ret;

	ret = copy_arg(&arg, sizeof(arg), uarg);
	if (ret)
		return ret;
	if (arg.flags & ~(SYMPHONY_REPLY_ERROR | SYMPHONY_REPLY_RELEASE |
			  SYMPHONY_REPLY_RECV | SYMPHONY_REPLY_DONTWAIT |
			  SYMPHONY_REPLY_VECTOR | SYMPHONY_REPLY_TRY) ||
	    (cmd && arg.deadline))
		return -EINVAL;
	if (arg.flags & SYMPHONY_REPLY_RECV) {
		next = &how;
		ret = receive_init(next, arg.offsets, arg.max, arg.deadline,
				   nonblock ||
				   arg.flags & SYMPHONY_REPLY_DONTWAIT);
		if (ret)
			return ret;
	}
	if (arg.nr_release) {
		ret = release_offsets(ep, arg.release, arg.nr_release,
				      &uarg->nr_release);
		if (ret)
			return ret;
	}
	if (next) {
		ret = receive_prepare(next, &uarg->nr);
		if (ret)
			return ret;
	}
	ret = symp_reply(ep, &arg, cmd ? NULL : next);
	if (unlikely(ret == -EDQUOT) && put_user(arg.limit, &uarg->limit))
		return -EFAULT;
	if (cmd && next && !ret)
		return symp_uring_receive(cmd, ep, next, true, issue_flags);
	return ret <= 0 ? ret : put_user(ret, &uarg->nr);
}

static long do_watch(struct symp_endpoint *ep, void __user *uarg)
{
	struct symphony_watch arg;
	int err;

	err = copy_arg(&arg, sizeof(arg), uarg);
	if (err)
		return err;
	if (arg.flags & ~SYMPHONY_WATCH_REMOVE)
		return -EINVAL;
	if (arg.flags & SYMPHONY_WATCH_REMOVE)
		return symp_watch_remove(ep, arg.endpoint);
	return symp_watch_add(ep, arg.endpoint, arg.cookie);
}

static long do_release(struct symp_endpoint *ep,
		       struct symphony_release __user *uarg)
{
	struct symphony_release arg;
	int err;

	err = copy_arg(&arg, sizeof(arg), uarg);
	if (err)
		return err;
	if (arg.flags || arg.reserved)
		return -EINVAL;
	return release_offsets(ep, arg.release, arg.nr_release,
			       &uarg->nr_release);
}

static long do_fds(struct symp_endpoint *ep, void __user *uarg)
{
	struct symphony_fds arg;
	int err;

	err = copy_arg(&arg, sizeof(arg), uarg);
	if (err)
		return err;
	return arg.flags ? -EINVAL : symp_files_claim(ep, &arg);
}

/* All operations but QUERY and JOIN, which need no endpoint. */
static bool needs_endpoint(unsigned int cmd)
{
	return (cmd >= SYMPHONY_IOC_CLAIM && cmd <= SYMPHONY_IOC_RELEASE) ||
	       (cmd >= SYMPHONY_IOC_DRAIN && cmd <= SYMPHONY_IOC_SEND_BATCH);
}

static long device_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	bool nonblock = file->f_flags & O_NONBLOCK;
	void __user *uarg = (void __user *)arg;
	struct symp_endpoint *ep = endpoint_of(file);

	if (IS_ERR(ep) && needs_endpoint(cmd))
		return PTR_ERR(ep);

	switch (cmd) {
	case SYMPHONY_IOC_CALL:
		return do_call(ep, uarg, false, nonblock, NULL, 0);
	case SYMPHONY_IOC_SEND:
		return do_call(ep, uarg, true, true, NULL, 0);
	case SYMPHONY_IOC_SEND_BATCH:
		return do_send_batch(ep, uarg);
	case SYMPHONY_IOC_RECV:
		return do_recv(ep, uarg, nonblock, NULL, 0);
	case SYMPHONY_IOC_REPLY:
		return do_reply(ep, uarg, nonblock, NULL, 0);
	case SYMPHONY_IOC_WAIT:
		return do_wait(ep, uarg);
	case SYMPHONY_IOC_CANCEL:
		return do_cancel(ep, uarg);
	case SYMPHONY_IOC_RELEASE:
		return do_release(ep, uarg);
	case SYMPHONY_IOC_FDS:
		return do_fds(ep, uarg);
	case SYMPHONY_IOC_WATCH:
		return do_watch(ep, uarg);
	case SYMPHONY_IOC_CLAIM:
	case SYMPHONY_IOC_UNCLAIM:
	case SYMPHONY_IOC_RESOLVE:
	case SYMPHONY_IOC_DRAIN:
	case SYMPHONY_IOC_GRANT:
		return do_service(ep, cmd, uarg);
	case SYMPHONY_IOC_QUERY:
		return do_query(uarg);
	case SYMPHONY_IOC_JOIN:
		return do_join(file, uarg);
	default:
		return -ENOTTY;
	}
}

static long uring_operation(struct symp_endpoint *ep, struct io_uring_cmd *cmd,
			    void __user *uarg, unsigned int issue_flags)
{
	switch (cmd->cmd_op) {
	case SYMPHONY_IOC_CALL:
		return do_call(ep, uarg, true, true, cmd, issue_flags);
	case SYMPHONY_IOC_SEND:
		return do_call(ep, uarg, true, true, NULL, 0);
	case SYMPHONY_IOC_SEND_BATCH:
		return do_send_batch(ep, uarg);
	case SYMPHONY_IOC_RECV:
		return do_recv(ep, uarg, false, cmd, issue_flags);
	case SYMPHONY_IOC_REPLY:
		return do_reply(ep, uarg, false, cmd, issue_flags);
	case SYMPHONY_IOC_CANCEL:
		return do_cancel(ep, uarg);
	case SYMPHONY_IOC_RELEASE:
		return do_release(ep, uarg);
	default:
		return -EOPNOTSUPP;
	}
}

/*
 * A ring's task, its workers and its polling thread are threads of one process:
 * of the owner, or what they ask for is refused.
 */
static int device_uring_cmd(struct io_uring_cmd *cmd, unsigned int issue_flags)
{
	const struct symphony_uring *sqe;
	struct symp_endpoint *ep;
	void __user *uarg;

	if (issue_flags & IO_URING_F_CANCEL)
		return symp_uring_cancel(cmd);
	/* Its endpoint can be dead any moment: see all_threads_exit(). */
	if (current->flags & (PF_POSTCOREDUMP | PF_EXITING))
		return -ECANCELED;
	if (cmd->flags & IORING_URING_CMD_FIXED ||
	    (symp_uring_is_multishot(cmd) && cmd->cmd_op != SYMPHONY_IOC_RECV))
		return -EINVAL;
	ep = endpoint_of(cmd->file);
	if (IS_ERR(ep))
		return PTR_ERR(ep);
	sqe = (const void *)cmd->sqe->cmd;
	uarg = u64_to_user_ptr(READ_ONCE(sqe->arg));
	if (READ_ONCE(sqe->reserved))
		return -EINVAL;
	return symp_uring_end(cmd, uring_operation(ep, cmd, uarg, issue_flags),
			      issue_flags);
}

/* Whoever holds the file sees the endpoint die; the rest is the owner's. */
static __poll_t device_poll(struct file *file, poll_table *wait)
{
	/* Pairs with the release in do_join(). */
	struct symp_endpoint *ep = smp_load_acquire(&file->private_data);

	if (!ep)
		return EPOLLERR;
	poll_wait(file, &ep->poll, wait);
	guard(spinlock)(&ep->lock);
	if (ep->dead)
		return EPOLLHUP | EPOLLERR;
	if (is_owner(ep) && !symp_queue_is_empty(ep))
		return EPOLLIN | EPOLLRDNORM;
	return 0;
}

static int device_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct symp_endpoint *ep = endpoint_of(file);
	struct symp_pool *pool = NULL;
	int err;

	if (IS_ERR(ep))
		return PTR_ERR(ep);
	scoped_guard(spinlock, &ep->lock)
		if (!ep->dead)
			pool = symp_pool_get(ep->pool);
	if (!pool)
		return -ESHUTDOWN;
	err = symp_pool_mmap(pool, vma);
	symp_pool_put(pool);
	return err;
}

/*
 * The owner's last thread closes its files, or an exec does. Its memory went, and
 * with it the endpoint (see owner.c), unless somebody else keeps that memory.
 */
static int device_flush(struct file *file, fl_owner_t id)
{
	/* Pairs with the release in do_join(). */
	struct symp_endpoint *ep = smp_load_acquire(&file->private_data);

	if (ep && symp_owner_left(ep))
		symp_endpoint_kill(ep);
	return 0;
}

static int device_release(struct inode *inode, struct file *file)
{
	if (file->private_data)
		symp_endpoint_release(file->private_data);
	return 0;
}

/* misc_open() left the miscdevice here; JOIN puts the endpoint. */
static int device_open(struct inode *inode, struct file *file)
{
	file->private_data = NULL;
	return nonseekable_open(inode, file);
}

static const struct file_operations device_fops = {
	.owner = THIS_MODULE,
	.open = device_open,
	.flush = device_flush,
	.release = device_release,
	.unlocked_ioctl = device_ioctl,
	.uring_cmd = device_uring_cmd,
	.compat_ioctl = compat_ptr_ioctl,
	.poll = device_poll,
	.mmap = device_mmap,
};

static struct miscdevice device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "symphony",
	.fops = &device_fops,
	.mode = 0666,
};

/* Is @file one of this device, JOINed or not? */
bool symp_device_is(const struct file *file)
{
	return file->f_op == &device_fops;
}

int symp_device_init(void)
{
	return misc_register(&device);
}

void symp_device_exit(void)
{
	misc_deregister(&device);
}
