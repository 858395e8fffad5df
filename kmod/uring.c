// SPDX-License-Identifier: GPL-2.0-only
/*
 * Uring: operations that a ring submitted and that wait.
 *
 * Only CALL and RECV wait; all others are done when they are issued, by the code
 * that the ioctls run. What waits is a command, which the core of io_uring lends
 * to us until it is completed, and it is completed in its submitter's context
 * alone (task work), under its ring's lock: never by the peer whose message or
 * answer it waited for. What we know of it stands in it, struct symp_command.
 *
 * A CALL has its outcome like a SEND, as a message in the caller's pool, but is
 * told by its completion. Whoever sets call->done owns the command: it starts the
 * task work (symp_call_settle()), or it is the issuer, who abandons the call and
 * then completes the command itself. Until it is completed the command has a
 * reference to the call.
 *
 * A RECV is on the endpoint's list of commands while nobody woke it. A message
 * wakes one and stays in the queue; the task work takes what is there then, so
 * that one completion tells of many, and nothing is lost with a task that dies.
 * When there is nothing any more the command waits again. As long as the queue is
 * not empty, either no command waits, or one was woken: a command that was woken
 * and is not to take anything wakes another. The one that waited the shortest time
 * is woken first, as among threads: its task is the likeliest to come by soon.
 *
 * A multishot RECV stays: each time it is woken it takes what one buffer of its
 * group holds, of which a completion tells, and then waits again. A buffer is got
 * and looked at first, as what was taken cannot be given back. If there turns out
 * to be no room for that completion, the last one tells of the messages, which are
 * at @offsets then, as those of a RECV that is none.
 *
 * The core comes with IO_URING_F_CANCEL, under the ring's lock, when the ring or
 * the task ends, and comes again until the command is completed: a RECV that
 * nobody woke is given up, a CALL is ended, and both go the way of task work. The
 * core marks that work when it runs for a ring or a task that is ending, perhaps
 * in a thread of the kernel: then nothing is received, and an answer that nobody
 * would see is released.
 *
 * The endpoint is there as long as the command, which holds the file.
 */
#include <linux/fs.h>

#include "call.h"
#include "compat.h"
#include "endpoint.h"
#include "limits.h"
#include "queue.h"
#include "uring.h"

/**
 * struct symp_command - what stands in a command that waits
 * @call: CALL: what it waits for, referenced; NULL until that is registered
 * @node: RECV: on the endpoint's list of those that wait, or of those that were
 *	woken, guarded by its lock, as is what follows
 * @offsets: RECV: where to write what is taken
 * @max: RECV: at most
 * @group: multishot RECV: of buffers
 * @receives: which of them
 * @answered: RECV: came with a REPLY that was done: nothing else fails
 * @woken: RECV: its task work is on the way
 * @cancelled: RECV: it was given up
 */
struct symp_command {
	union {
		struct symp_call *call;
		struct list_head node;
	};
	u32 __user *offsets;
	u16 max;
	u16 group;
	bool receives;
	bool answered;
	bool woken;
	bool cancelled;
};

static struct symp_command *command_of(struct io_uring_cmd *cmd)
{
	return io_uring_cmd_to_pdu(cmd, struct symp_command);
}

static struct io_uring_cmd *command_cmd(struct symp_command *command)
{
	return container_of((u8 (*)[sizeof_field(struct io_uring_cmd, pdu)])command,
			    struct io_uring_cmd, pdu);
}

/* The outcome stands. Return: the offset of its message, or that it is not told. */
static int call_fetch(struct symp_call *call, bool dying)
{
	struct symp_endpoint *ep = call->caller;

	guard(spinlock)(&ep->lock);
	if (ep->dead)
		return -ESHUTDOWN;
	symp_call_fetched(call);
	symp_call_put(call);
	if (!dying)
		return call->offset;
	symp_slice_release(ep, call->offset);
	return -ECANCELED;
}

static void call_complete(struct io_uring_cmd *cmd, unsigned int issue_flags,
			  bool dying)
{
	struct symp_call *call = command_of(cmd)->call;

	symp_uring_done(cmd, call_fetch(call, dying), issue_flags);
	symp_call_put(call);
}

/* Return: how many, -EAGAIN when it goes on waiting, or why it received none. */
static int receive_take(struct io_uring_cmd *cmd, bool dying)
{
	struct symp_endpoint *ep = cmd->file->private_data;
	struct symp_command *command = command_of(cmd);
	const struct symp_receive how = {
		.offsets = command->offsets,
		.max = command->max,
		.dontwait = true,
	};

	spin_lock(&ep->lock);
	list_del_init(&command->node);
	command->woken = false;
	if (!dying && !command->cancelled && !ep->dead &&
	    symp_queue_is_empty(ep)) {
		list_add(&command->node, &ep->commands);
		spin_unlock(&ep->lock);
		return -EAGAIN;
	}
	ep->nr_commands--;
	if (dying || command->cancelled) {
		if (!symp_queue_is_empty(ep))
			symp_uring_wake_one(ep);
		spin_unlock(&ep->lock);
		return -ECANCELED;
	}
	return symp_queue_receive_locked(ep, &how);
}

static void receive_complete(struct io_uring_cmd *cmd, unsigned int issue_flags,
			     bool dying)
{
	int ret = receive_take(cmd, dying);

	if (ret == -EAGAIN)
		return;
	if (command_of(cmd)->answered)
		ret = max(ret, 0);
	symp_uring_done(cmd, ret, issue_flags);
}

static void wake(struct symp_endpoint *ep, struct symp_command *command);

#ifdef IORING_URING_CMD_MULTISHOT
/* A multishot RECV that was woken has no more to do: it waits. */
static bool waits_again(struct symp_endpoint *ep, struct symp_command *command)
{
	lockdep_assert_held(&ep->lock);
	if (command->cancelled || ep->dead || !symp_queue_is_empty(ep))
		return false;
	command->woken = false;
	list_move(&command->node, &ep->commands);
	return true;
}

/*
 * A round of a multishot RECV that was woken. Return: 0 after it; -EAGAIN when
 * there was nothing to do, and it waits; how many messages the last completion
 * is to tell of, or why there are none.
 */
static int multishot_round(struct io_uring_cmd *cmd, unsigned int issue_flags)
{
	struct symp_endpoint *ep = cmd->file->private_data;
	struct symp_command *command = command_of(cmd);
	struct symp_uring_buffer buffer;
	u32 got[SYMP_RECEIVE_CHUNK], max, nr;
	void __user *address;
	size_t len = SIZE_MAX;
	int err = 0;

	scoped_guard(spinlock, &ep->lock) {
		if (command->cancelled)
			return -ECANCELED;
		if (ep->dead)
			return -ESHUTDOWN;
		if (waits_again(ep, command))
			return -EAGAIN;
	}
	address = symp_uring_buffer_get(cmd, command->group, &buffer, &len,
					issue_flags);
	max = min3(len / sizeof(*got), command->max, ARRAY_SIZE(got));
	if (!address)
		err = -ENOBUFS;
	else if (!max)
		err = -EINVAL;
	else if (fault_in_writeable(address, max * sizeof(*got)))
		err = -EFAULT;
	if (err) {
		symp_uring_buffer_post(cmd, &buffer, 0, issue_flags);
		return err;
	}
	spin_lock(&ep->lock);
	/* Others can have been faster. */
	nr = symp_queue_take_locked(ep, got, ep->dead ? 0 : max);
	/* That they cannot be written any more is the process's own doing. */
	if (nr && copy_to_user(address, got, nr * sizeof(*got)))
		err = -EFAULT;
	if (symp_uring_buffer_post(cmd, &buffer,
				   err ? 0 : nr * sizeof(*got), issue_flags) ||
	    !nr)
		return err;
	if (err || copy_to_user(command->offsets, got, nr * sizeof(*got)))
		return -EFAULT;
	return nr;
}

static void multishot_receive(struct io_uring_cmd *cmd,
			      unsigned int issue_flags, bool dying)
{
	struct symp_endpoint *ep = cmd->file->private_data;
	struct symp_command *command = command_of(cmd);
	int ret = dying ? -ECANCELED : multishot_round(cmd, issue_flags);

	if (ret == -EAGAIN)
		return;
	scoped_guard(spinlock, &ep->lock) {
		if (!ret) {
			if (!waits_again(ep, command))
				wake(ep, command);
			return;
		}
		list_del_init(&command->node);
		ep->nr_commands--;
		if (!symp_queue_is_empty(ep))
			symp_uring_wake_one(ep);
	}
	symp_uring_done(cmd, ret, issue_flags);
}
#else
static void multishot_receive(struct io_uring_cmd *cmd,
			      unsigned int issue_flags, bool dying)
{
}
#endif

static void command_end(struct io_uring_cmd *cmd, unsigned int issue_flags, bool dying)
{
	if (symp_uring_is_multishot(cmd))
		multishot_receive(cmd, issue_flags, dying);
	else if (command_of(cmd)->receives)
		receive_complete(cmd, issue_flags, dying);
	else
		call_complete(cmd, issue_flags, dying);
}

SYMP_TASK_WORK(command_end_in_task, command_end)

static void wake(struct symp_endpoint *ep, struct symp_command *command)
{
	lockdep_assert_held(&ep->lock);
	command->woken = true;
	list_move_tail(&command->node, &ep->woken);
	/* Not lazily: what it was woken for waits for it alone. */
	io_uring_cmd_complete_in_task(command_cmd(command), command_end_in_task);
}

/*
 * The call of @cmd has an outcome. From here on the command can be gone. A task
 * that waits for many is woken when it has them.
 */
void symp_uring_complete(struct io_uring_cmd *cmd)
{
	io_uring_cmd_do_in_task_lazy(cmd, command_end_in_task);
}

/* There is something to receive on @ep, the lock of which is held. */
void symp_uring_wake_one(struct symp_endpoint *ep)
{
	struct symp_command *command;

	command = list_first_entry_or_null(&ep->commands, struct symp_command, node);
	if (command)
		wake(ep, command);
}

/* @ep dies. Its lock is held. */
void symp_uring_wake_all(struct symp_endpoint *ep)
{
	while (!list_empty(&ep->commands))
		symp_uring_wake_one(ep);
}

/**
 * symp_uring_end() - an operation that did not wait is done
 * @cmd: the command, not marked as one that can be cancelled
 * @ret: its result
 * @issue_flags: as the core passed them
 *
 * Return: for the core, to which -EAGAIN would mean: again, in a thread.
 */
int symp_uring_end(struct io_uring_cmd *cmd, int ret, unsigned int issue_flags)
{
	if (ret == -ERESTARTSYS)
		return -EINTR;
	if (ret != -EAGAIN)
		return ret;
	symp_uring_done(cmd, ret, issue_flags);
	return -EIOCBQUEUED;
}

/* Before a CALL is made: from then on its outcome can come at any time. */
void symp_uring_begin_call(struct io_uring_cmd *cmd, unsigned int issue_flags)
{
	*command_of(cmd) = (struct symp_command){ };
	io_uring_cmd_mark_cancelable(cmd, issue_flags);
}

/*
 * @call is registered, its caller's lock is held: the core's cancelling, which
 * in a thread of the ring can come before, finds it from now on.
 */
void symp_uring_bind(struct io_uring_cmd *cmd, struct symp_call *call)
{
	/* Pairs with the acquire in symp_uring_cancel(). */
	smp_store_release(&command_of(cmd)->call, symp_call_get(call));
}

/* The CALL was made (@ret is 0), and @cmd can be gone; or it was not. */
int symp_uring_end_call(struct io_uring_cmd *cmd, int ret,
			unsigned int issue_flags)
{
	struct symp_call *call;

	if (!ret)
		return -EIOCBQUEUED;
	call = command_of(cmd)->call;
	symp_uring_done(cmd, ret == -ERESTARTSYS ? -EINTR : ret, issue_flags);
	if (call)
		symp_call_put(call);
	return -EIOCBQUEUED;
}

/**
 * symp_uring_receive() - RECV
 * @cmd: the command
 * @ep: the current process's endpoint
 * @how: how many, where to
 * @answered: this comes with a REPLY, which was done
 * @issue_flags: as the core passed them
 *
 * A multishot one has its completions by task work only. Return: for the core.
 */
int symp_uring_receive(struct io_uring_cmd *cmd, struct symp_endpoint *ep,
		       const struct symp_receive *how, bool answered,
		       unsigned int issue_flags)
{
	struct symp_command *command = command_of(cmd);
	const struct symp_receive now = {
		.offsets = how->offsets,
		.max = how->max,
		.dontwait = true,
	};
	int ret;

	if (!symp_uring_is_multishot(cmd)) {
		spin_lock(&ep->lock);
		ret = symp_queue_receive_locked(ep, &now);
		if (ret != -EAGAIN || how->dontwait)
			return symp_uring_end(cmd, answered ? max(ret, 0) : ret,
					      issue_flags);
	}
	*command = (struct symp_command){
		.offsets = how->offsets,
		.max = how->max,
		.group = READ_ONCE(cmd->sqe->buf_group),
		.receives = true,
		.answered = answered,
	};
	INIT_LIST_HEAD(&command->node);
	io_uring_cmd_mark_cancelable(cmd, issue_flags);
	spin_lock(&ep->lock);
	if (ep->nr_commands >= READ_ONCE(symp_calls_max)) {
		spin_unlock(&ep->lock);
		symp_uring_done(cmd, answered ? 0 : -EDQUOT, issue_flags);
		return -EIOCBQUEUED;
	}
	ep->nr_commands++;
	if (ep->dead || !symp_queue_is_empty(ep))
		wake(ep, command);
	else
		list_add(&command->node, &ep->commands);
	spin_unlock(&ep->lock);
	return -EIOCBQUEUED;
}

static void give_up(struct symp_endpoint *ep, struct symp_command *command)
{
	command->cancelled = true;
	if (!command->woken)
		wake(ep, command);
}

/* User space gives up the RECVs that would write to @offsets. 0 or -ESRCH. */
int symp_uring_cancel_receive(struct symp_endpoint *ep, u64 offsets)
{
	struct symp_command *command, *next;
	int err = -ESRCH;

	guard(spinlock)(&ep->lock);
	/* Those that are woken here stand at the end of the other list. */
	list_for_each_entry_safe(command, next, &ep->commands, node) {
		if (command->offsets == u64_to_user_ptr(offsets))
			give_up(ep, command);
	}
	list_for_each_entry(command, &ep->woken, node) {
		if (command->offsets == u64_to_user_ptr(offsets)) {
			give_up(ep, command);
			err = 0;
		}
	}
	return err;
}

/* The core cancels @cmd, under the lock of its ring. Return: for the core. */
int symp_uring_cancel(struct io_uring_cmd *cmd)
{
	struct symp_endpoint *ep = cmd->file->private_data;
	struct symp_command *command = command_of(cmd);
	struct symp_call *call;

	if (!command->receives) {
		/* Pairs with the release in symp_uring_bind(). */
		call = smp_load_acquire(&command->call);
		if (call)
			symp_call_finish(call, -ECANCELED, 0);
		return 0;
	}
	guard(spinlock)(&ep->lock);
	/* Not yet on a list: a worker of the ring is about to put it there. */
	if (!list_empty(&command->node))
		give_up(ep, command);
	return 0;
}
