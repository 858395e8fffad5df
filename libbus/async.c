// SPDX-License-Identifier: MIT
/*
 * Calls whose outcome a callback gets.
 *
 * A call is sent at once. When the kernel says that there is no room, it waits
 * here, behind those for the same extension that wait already, so that order is
 * kept. It is sent again when something came: an outcome, which makes room, or the
 * kernel's notice that there is room at the receiver. Room that the user makes here,
 * or in other processes, comes without a word, so that is looked for now and then.
 * The connection's reference to a call ends with its callback, which runs once:
 * whoever makes the state DONE runs it. A call without a callback is one way: it
 * is DONE when it was sent.
 *
 * Where the connection is corked, what is not large waits here likewise, for
 * sbus_uncork(). What waits for one extension is sent several at a time.
 */
#include "async.h"

#include <sched.h>
#include <stdlib.h>

#include "chain.h"
#include "error.h"
#include "message.h"
#include "notice.h"
#include "parcel.h"
#include "pieces.h"
#include "receive.h"
#include "service.h"
#include "slot.h"

#define SEND_PART 64		/* calls that are sent at a time */
#define CORKED_MAX 16384	/* bytes of body that are copied to wait for others */
#define RETRY_NS 10000000
#define RETRY_TOLD_NS 1000000000	/* if the kernel had no memory for its notice */

static bool no_room(int r)
{
	return r == -EAGAIN || r == -ENOBUFS || r == -EDQUOT;
}

static void run(struct sbus_slot *slot, struct sbus_message *reply, int status, uint32_t needed)
{
	struct sbus_error error = SBUS_ERROR_INIT;
	const char *id = slot->service->id;

	if (unlikely(!slot->fn)) {
		slot_put(slot);
		return;
	}
	if (unlikely(!status && reply->msg->content_type & SYMPHONY_CONTENT_SEALED &&
		     parcel_open(reply, &error))) {
		error_extension(&error, id);
		slot->fn(NULL, &error, slot->userdata);
		sbus_error_clear(&error);
	} else if (likely(!status && !(reply->msg->flags & SYMPHONY_MSG_ERROR))) {
		slot->fn(reply, NULL, slot->userdata);
	} else {
		if (status && slot->id)
			error_call(&error, slot->bus, id, slot->id, status, needed);
		else if (status)
			error_refused(&error, slot->bus, id, status, slot->call.limit);
		else
			error_reply(&error, id, reply);
		if (unlikely(slot->unsure))
			error.retry_safe = false;
		slot->fn(NULL, &error, slot->userdata);
		sbus_error_clear(&error);
	}
	slot_put(slot);
}

void async_outcome(struct sbus *bus, struct sbus_message *reply)
{
	struct sbus_slot *slot = (struct sbus_slot *)(uintptr_t)reply->msg->cookie;

	bus_lock(bus);
	list_del(&slot->node);
	slot->state = SLOT_DONE;
	slot->id = reply->msg->id;
	bus_unlock(bus);
	run(slot, reply, reply->msg->status, reply->msg->needed);
}

static void cancel_sent(struct sbus *bus, uint64_t id, uint32_t kernel_slot)
{
	struct symphony_wait arg = { .size = sizeof(arg), .id = id, .slot = kernel_slot };

	bus_ioctl(bus, SYMPHONY_IOC_CANCEL, &arg);
}

/* Gives @slot an outcome that the kernel does not know of. */
static void over_locked(struct sbus_slot *slot, int status)
{
	struct sbus *bus = slot->bus;

	if (slot->state == SLOT_WAITING)
		bus->nr_waiting--;
	slot->state = SLOT_OVER;
	slot->status = status;
	list_move_tail(&slot->node, &bus->over);
	atomic_store_explicit(&bus->unsettled, true, memory_order_relaxed);
}

/* The pieces of a call's body, which are one in most. */
static const struct iovec *pieces_of(const struct symphony_call *call, struct iovec *whole,
				     unsigned int *nr)
{
	void *body = (void *)(uintptr_t)call->body;

	if (unlikely(call->flags & SYMPHONY_CALL_VECTOR)) {
		*nr = call->body_len;
		return body;
	}
	*whole = (struct iovec){ body, call->body_len };
	*nr = 1;
	return whole;
}

/* There is no pool for the body of @slot: is there a file? No lock held. */
static bool seal(const struct sbus *bus, struct sbus_slot *slot)
{
	struct symphony_call *call = &slot->call;
	const struct iovec *iov;
	struct iovec whole;
	unsigned int nr;

	iov = pieces_of(call, &whole, &nr);
	if (call->limit != SYMPHONY_LIMIT_BODY || !bus->may_seal ||
	    (!slot->parcel && parcel_new(&slot->parcel, NULL, 0)) ||
	    !parcel_seal(slot->parcel, iov, nr))
		return false;
	parcel_name(slot->parcel, call);
	return true;
}

/* @slot was sent; the caller has a reference. The lock can be dropped meanwhile. */
static void sent_locked(struct sbus *bus, struct sbus_slot *slot)
{
	/* The outcome can have been faster, or sbus_close(). */
	if (slot->state != SLOT_SENDING) {
		if (unlikely(atomic_load(&bus->closed) && slot->fn)) {
			bus_unlock(bus);
			cancel_sent(bus, slot->call.id, slot->call.slot);
			bus_lock(bus);
		}
		return;
	}
	if (!slot->fn) {
		list_del(&slot->node);
		slot->state = SLOT_DONE;
		slot_put(slot);
		return;
	}
	slot->id = slot->call.id;
	slot->state = SLOT_SENT;
	list_move_tail(&slot->node, &bus->calls);
	if (unlikely(slot->cancelled)) {
		bus_unlock(bus);
		cancel_sent(bus, slot->call.id, slot->call.slot);
		bus_lock(bus);
	}
}

/* SEND, the lock dropped meanwhile; the caller has a reference. */
static int send_locked(struct sbus *bus, struct sbus_slot *slot)
{
	struct symphony_call *call = &slot->call;
	struct release release;
	int r;

	slot->state = SLOT_SENDING;
	release_take_locked(bus, &release);
	bus_unlock(bus);
	call->release = (uintptr_t)release.offsets;
	call->nr_release = release.nr;
	do
		r = bus_ioctl(bus, SYMPHONY_IOC_SEND, call);
	while (r == -EINTR || (unlikely(r == -EMSGSIZE) && seal(bus, slot)));
	if (unlikely(slot->parcel && !r)) {
		parcel_free(slot->parcel);
		slot->parcel = NULL;
	}
	bus_lock(bus);
	if (unlikely(call->nr_release))
		release_untake_locked(bus, &release, call->nr_release);
	if (!r)
		sent_locked(bus, slot);
	return r;
}

/* The same for a call with a parent: NULL, or one that the caller has a reference to. */
static int send_chained_locked(struct sbus *bus, struct sbus_slot *slot,
			       const struct sbus_message *parent)
{
	int r = send_locked(bus, slot);

	if (likely(r != -ESRCH || !slot->call.parent || slot->state == SLOT_DONE))
		return r;
	if (!parent)
		parent = idmap_get(&bus->entered, slot->call.parent);
	r = chain_broken(&slot->call, parent);
	return r ? r : send_locked(bus, slot);
}

/* There was no room, as @r says: when to try again. */
static void schedule_locked(struct sbus *bus, int r)
{
	uint64_t when = sbus_now() + (r == -EAGAIN ? RETRY_TOLD_NS : RETRY_NS);

	if (when < bus->retry_at)
		bus->retry_at = when;
}

/* The thread that looks after waiting calls while threads serve has to know. */
static void kick(struct sbus *bus)
{
	if (atomic_load(&bus->serving))
		sem_post(&bus->wake);
}

/* @slot has to wait, and is found by @parent's id when that is over. */
static int follow_locked(struct sbus_slot *slot, struct sbus_message *parent)
{
	uint64_t deadline = parent->msg->deadline;

	if (notice_enter_locked(parent))
		return -ENOMEM;
	if (deadline && (!slot->call.deadline || deadline < slot->call.deadline))
		slot->call.deadline = deadline;
	return parent->cancelled ? chain_status(parent->cancelled) : 0;
}

/* @slot has to wait, as @why says, or to be uncorked: 0 or -errno, and then there is no call. */
static int queue_locked(struct sbus *bus, struct sbus_slot *slot, struct sbus_message *parent,
			int why)
{
	struct service *service = slot->service;
	const struct iovec *iov;
	struct iovec whole;
	void *body = NULL;
	unsigned int nr;
	size_t len;
	int r;

	if (bus->nr_waiting >= bus->queue_max) {
		slot->call.limit = SYMPHONY_LIMIT_NONE;
		return -ENOBUFS;
	}
	if (slot->call.parent) {
		r = follow_locked(slot, parent);
		if (r)
			return r;
	}
	iov = pieces_of(&slot->call, &whole, &nr);
	len = pieces_len(iov, nr);
	if (len) {
		body = malloc(len);
		if (!body)
			return -ENOMEM;
		pieces_copy(body, iov, nr);
	}
	slot->body = body;
	slot->call.flags &= ~SYMPHONY_CALL_VECTOR;
	slot->call.body = (uintptr_t)body;
	slot->call.body_len = len;
	if (slot->cancelled) {
		over_locked(slot, -ECANCELED);
		return 0;
	}
	slot->state = SLOT_WAITING;
	bus->nr_waiting++;
	list_move_tail(&slot->node, &service->waiting);
	if (list_empty(&service->blocked))
		list_add_tail(&service->blocked, &bus->blocked);
	atomic_store_explicit(&bus->unsettled, true, memory_order_relaxed);
	if (slot->call.deadline && slot->call.deadline < bus->first_deadline)
		bus->first_deadline = slot->call.deadline;
	if (why)
		schedule_locked(bus, why);
	return 0;
}

/* @slot was being sent and has to wait again; what it is made for can be over. */
static void waits_again_locked(struct sbus *bus, struct sbus_slot *slot)
{
	const struct sbus_message *parent = NULL;

	slot->state = SLOT_WAITING;
	if (slot->call.parent)
		parent = idmap_get(&bus->entered, slot->call.parent);
	if (parent && parent->cancelled)
		over_locked(slot, chain_status(parent->cancelled));
}

/* @slot, which was being sent, waits no more. */
static void left_locked(struct sbus *bus, struct sbus_slot *slot)
{
	bus->nr_waiting--;
	free(slot->body);
	slot->body = NULL;
}

/*
 * Sends the first calls that wait for @service, which are more than one: how many.
 * The lock is dropped meanwhile.
 */
static unsigned int send_several_locked(struct sbus *bus, struct service *service)
{
	struct symphony_call calls[SEND_PART];
	struct sbus_slot *slots[SEND_PART];
	struct symphony_send_batch batch = {
		.size = sizeof(batch),
		.calls = (uintptr_t)calls,
		.stride = sizeof(calls[0]),
	};
	struct release release;
	unsigned int nr = 0;
	struct list *node;

	for (node = service->waiting.next; node != &service->waiting && nr < SEND_PART;
	     node = node->next) {
		struct sbus_slot *slot = container_of(node, struct sbus_slot, node);

		if (unlikely(slot->parcel))
			break;
		atomic_fetch_add(&slot->refs, 1);
		slot->state = SLOT_SENDING;
		slots[nr] = slot;
		calls[nr++] = slot->call;
	}
	if (!nr)
		return 0;
	release_take_locked(bus, &release);
	bus_unlock(bus);
	calls[0].release = (uintptr_t)release.offsets;
	calls[0].nr_release = release.nr;
	batch.nr = nr;
	if (bus_ioctl(bus, SYMPHONY_IOC_SEND_BATCH, &batch))
		batch.nr = 0;
	bus_lock(bus);
	if (unlikely(calls[0].nr_release))
		release_untake_locked(bus, &release, calls[0].nr_release);
	for (unsigned int i = 0; i < nr; i++) {
		struct sbus_slot *slot = slots[i];

		if (likely(i < batch.nr)) {
			left_locked(bus, slot);
			slot->call.id = calls[i].id;
			slot->call.slot = calls[i].slot;
			sent_locked(bus, slot);
		} else if (slot->state == SLOT_SENDING && slot->cancelled) {
			left_locked(bus, slot);
			over_locked(slot, -ECANCELED);
		} else if (slot->state == SLOT_SENDING) {
			waits_again_locked(bus, slot);
		}
	}
	bus_unlock(bus);
	for (unsigned int i = 0; i < nr; i++)
		slot_put(slots[i]);
	bus_lock(bus);
	return batch.nr;
}

/* Sends what waits for one extension: why some still has to wait, or 0. */
static int send_waiting_locked(struct sbus *bus, struct service *service)
{
	int r = 0;

	while (!list_empty(&service->waiting) && !no_room(r) && !atomic_load(&bus->closed)) {
		struct sbus_slot *slot = container_of(service->waiting.next, struct sbus_slot, node);

		/* If there is something against the first it is sent alone, to tell. */
		if (slot->node.next != &service->waiting && send_several_locked(bus, service))
			continue;
		if (list_empty(&service->waiting))
			break;
		slot = container_of(service->waiting.next, struct sbus_slot, node);
		atomic_fetch_add(&slot->refs, 1);
		r = send_chained_locked(bus, slot, NULL);
		if (no_room(r) && !slot->cancelled) {
			waits_again_locked(bus, slot);
		} else {
			left_locked(bus, slot);
			if (r)
				over_locked(slot, slot->cancelled ? -ECANCELED : r);
		}
		bus_unlock(bus);
		slot_put(slot);
		bus_lock(bus);
	}
	return list_empty(&service->waiting) ? 0 : r ? r : -EAGAIN;
}

/* Ends the waiting calls whose deadline passed, and finds the next one. */
static void expire_locked(struct sbus *bus, struct service *service, uint64_t now)
{
	struct list *node, *next;

	for (node = service->waiting.next; node != &service->waiting; node = next) {
		struct sbus_slot *slot = container_of(node, struct sbus_slot, node);
		uint64_t deadline = slot->call.deadline;

		next = node->next;
		if (deadline && deadline <= now)
			over_locked(slot, -ETIME);
		else if (deadline && deadline < bus->first_deadline)
			bus->first_deadline = deadline;
	}
}

static void flush_locked(struct sbus *bus, bool now)
{
	uint64_t time = sbus_now();
	struct list todo;
	bool expired;
	int r;

	/* The calls that wait can be many: they are looked through only then. */
	expired = time >= bus->first_deadline;
	if (bus->flushing || (!now && time < bus->retry_at && !expired))
		return;
	bus->flushing = true;
	bus->retry_at = UINT64_MAX;
	if (expired)
		bus->first_deadline = UINT64_MAX;
	list_init(&todo);
	while (!list_empty(&bus->blocked))
		list_move_tail(bus->blocked.next, &todo);
	while (!list_empty(&todo)) {
		struct list *node = list_pop(&todo);
		struct service *service = container_of(node, struct service, blocked);

		if (expired)
			expire_locked(bus, service, time);
		r = send_waiting_locked(bus, service);
		if (!r)
			continue;
		if (list_empty(&service->blocked))
			list_add_tail(&service->blocked, &bus->blocked);
		schedule_locked(bus, r);
	}
	bus->flushing = false;
}

/* @len bytes of body, in however many pieces. */
static int start_locked(struct sbus *bus, struct sbus_slot *slot, struct sbus_message *parent,
			size_t len)
{
	bool corked = atomic_load_explicit(&bus->corked, memory_order_relaxed) & SBUS_CALLS;
	int r = -EAGAIN;

	/* Of what is held from here on, closing would not know. */
	if (unlikely(atomic_load_explicit(&bus->closed, memory_order_relaxed))) {
		slot->state = SLOT_DONE;
		return -ESHUTDOWN;
	}
	if (unlikely(corked && (len > CORKED_MAX || slot->parcel ||
				bus->nr_waiting >= bus->queue_max))) {
		flush_locked(bus, true);
		corked = false;
	}
	if (likely(list_empty(&slot->service->waiting) && !corked)) {
		list_add_tail(&slot->node, &bus->calls);
		r = send_chained_locked(bus, slot, parent);
		/* Closing can have told its callback meanwhile. */
		if (unlikely(r && slot->state == SLOT_DONE))
			return 0;
	}
	if (unlikely(no_room(r)))
		r = queue_locked(bus, slot, parent, corked ? 0 : r);
	if (unlikely(r)) {
		list_del(&slot->node);
		slot->state = SLOT_DONE;
	}
	return r;
}

SBUS_API int sbus_call_async(struct sbus *bus, const struct sbus_request *request, sbus_reply_fn fn,
			     void *userdata, struct sbus_slot **ret, struct sbus_error *error)
{
	struct parcel *parcel = NULL;
	struct service *service;
	struct sbus_slot *slot;
	struct chain chain;
	bool waits, in_file;
	size_t len;
	int r;

	r = bus_state(bus);
	if (unlikely(r))
		return error_call(error, bus, request->extension, 0, r, 0);
	if (!fn && (ret || request->reply_max || request->parent))
		return sbus_error_set(error, -EINVAL, "sbus_call_async: a call that is one way has no answer, no slot and no parent");
	if (request->size < sizeof(*request) || !request->extension || request->cancel ||
	    request->interrupted)
		return sbus_error_set(error, -EINVAL, "sbus_call_async: size or extension of the request is not set, or cancel or interrupted is");
	len = request->body_len;
	if (unlikely(request->nr_iov)) {
		r = pieces_check(request, &len, error);
		if (r)
			return r;
	}
	if (len > UINT32_MAX)
		return error_refused(error, bus, request->extension, -EMSGSIZE,
				     SYMPHONY_LIMIT_BODY);
	r = chain_begin(bus, request, &chain, error);
	if (r)
		return r;
	in_file = len >= bus->sealed_min && bus->may_seal;
	if (unlikely(in_file || request->nr_fds)) {
		r = parcel_new(&parcel, request->fds, request->nr_fds);
		if (r)
			return error_refused(error, bus, request->extension, r, SYMPHONY_LIMIT_NONE);
		if (in_file)
			pieces_seal(request, parcel);
	}

	bus_lock(bus);
	service = service_find_locked(bus, request->extension);
	if (unlikely(!service)) {
		bus_unlock(bus);
		r = service_resolve(bus, request->extension, &service, error);
		if (r) {
			parcel_free(parcel);
			return r;
		}
		bus_lock(bus);
	}
	slot = slot_take_locked(bus, SLOT_CALL, ret);
	if (!slot) {
		bus_unlock(bus);
		parcel_free(parcel);
		return sbus_error_set(error, -ENOMEM, "out of memory");
	}
	slot->fn = fn;
	slot->userdata = userdata;
	slot->service = service;
	slot->call = (struct symphony_call){
		.size = sizeof(slot->call),
		.flags = chain.flags | SYMPHONY_CALL_NOTIFY,
		.handle = service->handle,
		.method = request->method,
		.key = request->key,
		.body = (uintptr_t)request->body,
		.body_len = request->body_len,
		.content_type = request->content_type,
		.reply_max = request->reply_max,
		.deadline = bus_deadline(request->deadline, request->timeout),
		.cookie = (uintptr_t)slot,
	};
	if (unlikely(request->nr_iov))
		pieces_name(request, &slot->call);
	if (unlikely(parcel)) {
		slot->parcel = parcel;
		parcel_name(parcel, &slot->call);
	}
	if (!fn)
		slot->call.flags |= SYMPHONY_CALL_ONEWAY;
	else if (chain.parent)
		chain_name(&slot->call, chain.parent);
	/* For this function: the outcome can be faster. */
	atomic_fetch_add(&slot->refs, 1);
	r = start_locked(bus, slot, chain.parent, len);
	waits = (slot->state == SLOT_WAITING || slot->state == SLOT_OVER) &&
		!(atomic_load_explicit(&bus->corked, memory_order_relaxed) & SBUS_CALLS);
	bus_unlock(bus);
	slot_put(slot);
	if (unlikely(r)) {
		error_refused(error, bus, service->id, r, slot->call.limit);
		slot_put(slot);
		if (ret)
			sbus_slot_unref(slot);
		return r;
	}
	if (unlikely(waits))
		kick(bus);
	if (ret)
		*ret = slot;
	return 0;
}

int async_cancel(struct sbus_slot *slot)
{
	struct sbus *bus = slot->bus;
	enum slot_state state;
	uint32_t kernel_slot;
	uint64_t id;

	bus_lock(bus);
	state = slot->state;
	id = slot->id;
	kernel_slot = slot->call.slot;
	if (state == SLOT_WAITING)
		over_locked(slot, -ECANCELED);
	else
		slot->cancelled = true;
	bus_unlock(bus);
	switch (state) {
	case SLOT_WAITING:
		kick(bus);
		return 0;
	case SLOT_SENDING:
		return 0;
	case SLOT_SENT:
		cancel_sent(bus, id, kernel_slot);
		return 0;
	default:
		return -EALREADY;
	}
}

void async_room(struct sbus *bus)
{
	bool flushing;

	bus_lock(bus);
	/* Also for a call that is just about to wait. */
	bus->retry_at = 0;
	flushing = bus->flushing;
	bus_unlock(bus);
	/* Otherwise this thread is going to flush. */
	if (flushing)
		kick(bus);
}

void async_parent_over_locked(struct sbus *bus, uint64_t id, int reason)
{
	if (!bus->nr_waiting)
		return;
	idmap_for_each(entry, &bus->by_handle) {
		struct service *service = entry->value;
		struct list *node, *next;

		for (node = service->waiting.next; node != &service->waiting; node = next) {
			struct sbus_slot *slot = container_of(node, struct sbus_slot, node);

			next = node->next;
			if (slot->call.parent == id && slot->state == SLOT_WAITING)
				over_locked(slot, chain_status(reason));
		}
	}
}

int async_process(struct sbus *bus, bool now)
{
	struct list *node;
	int nr = 0;

	if (likely(!atomic_load_explicit(&bus->unsettled, memory_order_relaxed)))
		return 0;
	bus_lock(bus);
	if (!list_empty(&bus->blocked))
		flush_locked(bus, now);
	while ((node = list_pop(&bus->over))) {
		struct sbus_slot *slot = container_of(node, struct sbus_slot, node);

		slot->state = SLOT_DONE;
		bus_unlock(bus);
		free(slot->body);
		run(slot, NULL, slot->status, 0);
		nr++;
		bus_lock(bus);
	}
	atomic_store_explicit(&bus->unsettled, bus->flushing || !list_empty(&bus->blocked),
			      memory_order_relaxed);
	bus_unlock(bus);
	return nr;
}

void async_uncork(struct sbus *bus)
{
	bool more;

	bus_lock(bus);
	if (bus->flushing)
		bus->retry_at = 0;
	else if (!list_empty(&bus->blocked))
		flush_locked(bus, true);
	more = bus->flushing || !list_empty(&bus->blocked) || !list_empty(&bus->over);
	bus_unlock(bus);
	if (unlikely(more))
		kick(bus);
}

uint64_t async_timeout(struct sbus *bus)
{
	uint64_t timeout;

	if (likely(!atomic_load_explicit(&bus->unsettled, memory_order_relaxed)))
		return UINT64_MAX;
	bus_lock(bus);
	timeout = bus->retry_at < bus->first_deadline ? bus->retry_at : bus->first_deadline;
	if (!list_empty(&bus->over))
		timeout = 0;
	bus_unlock(bus);
	return timeout;
}

void async_give_up_all(struct sbus *bus, bool cancel)
{
	struct list *node, all;

	list_init(&all);
	bus_lock(bus);
	/* Who sends what waits stops, and puts it back: it runs no callback meanwhile. */
	while (bus->flushing) {
		bus_unlock(bus);
		sched_yield();
		bus_lock(bus);
	}
	while ((node = list_pop(&bus->calls)))
		list_add_tail(node, &all);
	while ((node = list_pop(&bus->over)))
		list_add_tail(node, &all);
	while ((node = list_pop(&bus->blocked))) {
		struct service *service = container_of(node, struct service, blocked);

		while ((node = list_pop(&service->waiting))) {
			/* Callbacks can cancel those that are still to be told. */
			container_of(node, struct sbus_slot, node)->state = SLOT_OVER;
			list_add_tail(node, &all);
		}
	}
	bus->nr_waiting = 0;
	bus->retry_at = bus->first_deadline = UINT64_MAX;
	while ((node = list_pop(&all))) {
		struct sbus_slot *slot = container_of(node, struct sbus_slot, node);
		bool sent = slot->state == SLOT_SENT;

		slot->unsure = slot->state == SLOT_SENDING;
		slot->state = SLOT_DONE;
		bus_unlock(bus);
		if (sent && cancel)
			cancel_sent(bus, slot->id, slot->call.slot);
		free(slot->body);
		slot->body = NULL;
		run(slot, NULL, -ESHUTDOWN, 0);
		bus_lock(bus);
	}
	bus_unlock(bus);
}
