// SPDX-License-Identifier: MIT
/*
 * What the kernel tells a connection beside requests and outcomes.
 *
 * That nobody waits for an answer any more is told by the call's id, to whichever
 * thread receives it. Where is the request then?
 *
 * - Its handler returned, and somebody keeps it: it is on @bus->entered.
 * - Its handler runs in another thread: that thread's receiver has its id. The
 *   request itself is not touched, as it can be gone any moment; the notice is
 *   left with the receiver, where it is looked up by the id.
 * - The other thread received it and has not come further: then the notice is
 *   kept among the last strays. There are as many as threads can be so slow.
 * - It is gone: the notice became a stray for nothing.
 *
 * Handlers that do not care for cancelling pay nothing but the storing of the id.
 */
#include "notice.h"

#include "async.h"
#include "chain.h"
#include "receive.h"
#include "service.h"
#include "watch.h"

static int reason_of(int status)
{
	return status == -ESHUTDOWN ? -ECONNRESET : status;
}

static void leave_behind_locked(struct sbus *bus, uint64_t id, int reason)
{
	struct cancelled *at = NULL;
	struct list *node;

	for (node = bus->receivers.next; node != &bus->receivers && !at; node = node->next) {
		struct receiver *receiver = container_of(node, struct receiver, node);

		if (atomic_load_explicit(&receiver->current_id, memory_order_relaxed) == id)
			at = &receiver->cancelled;
	}
	if (!at)
		at = &bus->strays[bus->nr_strays++ % STRAYS];
	*at = (struct cancelled){ .id = id, .reason = reason };
}

static int look_up_locked(const struct sbus *bus, uint64_t id)
{
	struct list *node;

	for (node = bus->receivers.next; node != &bus->receivers; node = node->next) {
		struct receiver *receiver = container_of(node, struct receiver, node);

		if (receiver->cancelled.id == id)
			return receiver->cancelled.reason;
	}
	for (int i = 0; i < STRAYS; i++)
		if (bus->strays[i].id == id)
			return bus->strays[i].reason;
	return 0;
}

int notice_enter_locked(struct sbus_message *request)
{
	struct sbus *bus = request->bus;

	if (request->entered)
		return 0;
	if (idmap_set(&bus->entered, request->id, request))
		return -ENOMEM;
	request->entered = true;
	request->cancelled = look_up_locked(bus, request->id);
	return 0;
}

void notice_enter(struct sbus_message *request)
{
	struct sbus *bus = request->bus;

	bus_lock(bus);
	notice_enter_locked(request);
	bus_unlock(bus);
}

void notice_leave(struct sbus_message *request)
{
	struct sbus *bus = request->bus;

	bus_lock(bus);
	idmap_remove(&bus->entered, request->id);
	bus_unlock(bus);
	request->entered = false;
}

int notice_cancelled(const struct sbus_message *request)
{
	struct sbus *bus = request->bus;
	int reason;

	bus_lock(bus);
	reason = request->entered ? request->cancelled : look_up_locked(bus, request->id);
	bus_unlock(bus);
	return reason;
}

/*
 * A handler that asks may be all that would receive the notice. The kernel knows: it
 * looks at the parent of a call first, and no service has the handle of this one.
 */
SBUS_API int sbus_message_cancelled(const struct sbus_message *request)
{
	struct symphony_call call = { .size = sizeof(call) };
	uint64_t deadline;
	int reason, r;

	if (message_is_foreign(request))
		return -EPERM;
	reason = notice_cancelled(request);
	if (reason || atomic_load(&request->answered) ||
	    request->msg->flags & SYMPHONY_MSG_ONEWAY)
		return reason;
	deadline = request->msg->deadline;
	if (deadline && deadline <= sbus_now())
		return -ETIMEDOUT;
	chain_name(&call, request);
	r = bus_ioctl(request->bus, SYMPHONY_IOC_CALL, &call);
	if (r == -ESRCH)
		r = chain_broken(&call, request);
	else
		/* 0: the parent's end came in between, and is the outcome. */
		r = r ? 0 : call.status;
	/* Of the call that was not sent it is ETIME. */
	return r == -ETIME ? -ETIMEDOUT : r;
}

SBUS_API void sbus_set_notice_handler(struct sbus *bus, sbus_notice_fn fn, void *userdata)
{
	bus->notice = fn;
	bus->notice_data = userdata;
}

static void tell(struct sbus *bus, struct sbus_notice notice, uint64_t handle)
{
	struct service *service;

	if (!bus->notice)
		return;
	service = service_by_handle(bus, handle);
	notice.size = sizeof(notice);
	notice.extension = service ? service->id : "";
	bus->notice(&notice, bus->notice_data);
}

static void cancelled(struct sbus *bus, const struct symphony_msg *msg)
{
	int reason = reason_of(msg->status);
	struct sbus_message *request;

	bus_lock(bus);
	request = idmap_get(&bus->entered, msg->id);
	if (request)
		request->cancelled = reason;
	else
		leave_behind_locked(bus, msg->id, reason);
	async_parent_over_locked(bus, msg->id, reason);
	bus_unlock(bus);
	tell(bus, (struct sbus_notice){
		.type = SBUS_NOTICE_CANCELLED, .reason = reason, .call = msg->id }, msg->handle);
}

void notice_take(struct sbus *bus, const struct symphony_msg *msg)
{
	switch (msg->type) {
	case SYMPHONY_MSG_GONE:
		watch_gone(bus, msg->sender);
		break;
	case SYMPHONY_MSG_ROOM:
		async_room(bus);
		break;
	case SYMPHONY_MSG_CANCELLED:
		cancelled(bus, msg);
		break;
	case SYMPHONY_MSG_TAKEOVER:
		atomic_fetch_sub(&bus->claims, 1);
		tell(bus, (struct sbus_notice){
			.type = SBUS_NOTICE_TAKEOVER, .endpoint = msg->sender }, msg->handle);
		break;
	case SYMPHONY_MSG_ACTIVATE:
		tell(bus, (struct sbus_notice){ .type = SBUS_NOTICE_ACTIVATE }, msg->handle);
		break;
	}
}
