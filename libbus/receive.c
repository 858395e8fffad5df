// SPDX-License-Identifier: MIT
/* Receiving and handling messages: see receive.h. */
#include "receive.h"

#include <stdlib.h>

#include "async.h"
#include "chain.h"
#include "held.h"
#include "notice.h"
#include "parcel.h"
#include "reply.h"

__thread struct receiver *receiver_innermost
	__attribute__((tls_model("initial-exec"), visibility("hidden")));

void receiver_init(struct receiver *receiver, struct sbus *bus, uint32_t max)
{
	memset(receiver, 0, offsetof(struct receiver, offsets));
	receiver->bus = bus;
	receiver->max = max;
	bus_lock(bus);
	list_add_tail(&receiver->node, &bus->receivers);
	bus_unlock(bus);
}

void receiver_deinit(struct receiver *receiver)
{
	bus_lock(receiver->bus);
	list_del(&receiver->node);
	bus_unlock(receiver->bus);
	free(receiver->spare);
	free(receiver->copy);
	free(receiver->held);
}

/* The answer was sent, or could not be: forgets it. */
static void answer_over(struct receiver *receiver)
{
	receiver->answering = NULL;
	if (receiver->destroy)
		receiver->destroy(receiver->destroy_data);
	receiver->destroy = NULL;
}

bool receiver_let_go(struct receiver *receiver, struct sbus_message *message)
{
	if (atomic_load_explicit(&message->refs, memory_order_acquire) != 1) {
		sbus_message_unref(message);
		return false;
	}
	message_reset(message);
	if (receiver->spare)
		message_give(receiver->bus, message);
	else
		receiver->spare = message;
	return true;
}

void receiver_released(struct receiver *receiver, uint32_t left)
{
	struct release *release = &receiver->release;

	if (unlikely(left)) {
		memmove(release->offsets, release->offsets + release->nr - left,
			left * sizeof(*release->offsets));
		release->nr = left;
		return;
	}
	release_init(release);
}

void receiver_release(struct receiver *receiver, uint32_t offset)
{
	if (receiver->release.nr == RELEASE_BATCH)
		release_now(receiver->bus, &receiver->release);
	receiver->release.offsets[receiver->release.nr++] = offset;
}

/*
 * Sends the answer that waits and, with RECV in @flags, takes messages. Returns
 * how many, -EINTR when a signal came instead, -ESRCH when nothing was received
 * because the answer could not be sent (nobody waits for it any more, or it is too
 * large for who does), or not with that system call.
 */
static int reply_and_receive(struct receiver *receiver, uint32_t flags)
{
	struct symphony_reply *reply = &receiver->reply;
	uint32_t offset = receiver->answering->offset;
	bool sole = receiver_let_go(receiver, receiver->answering);
	int r;

	reply->flags |= flags | (sole ? SYMPHONY_REPLY_RELEASE : 0);
	reply->release = (uintptr_t)receiver->release.offsets;
	reply->nr_release = receiver->release.nr;
	reply->offsets = (uintptr_t)receiver->offsets;
	reply->max = receiver->max;
	reply->nr = 0;
	do
		r = bus_ioctl(receiver->bus, SYMPHONY_IOC_REPLY, reply);
	while (unlikely(r == -EINTR));
	receiver_released(receiver, reply->nr_release);
	if (unlikely(r == -EMSGSIZE) && !reply_in_file(receiver->bus, reply)) {
		answer_over(receiver);
		return -ESRCH;
	}
	answer_over(receiver);
	if (likely(!r)) {
		r = reply->nr;
		if (unlikely(!r && (flags & SYMPHONY_REPLY_RECV) &&
			     !(flags & SYMPHONY_REPLY_DONTWAIT)))
			r = -EINTR;
		return r;
	}
	if (sole)
		receiver_release(receiver, offset);
	return r == -ESHUTDOWN || r == -EPERM ? r : -ESRCH;
}

void receiver_flush(struct receiver *receiver)
{
	/* A child that a handler forked, and that uses a connection of its own. */
	if (unlikely(bus_is_foreign(receiver->bus)))
		return;
	if (held_any(receiver))
		held_send(receiver);
	if (!receiver->answering)
		return;
	/* Still being handled: the handler's reference is not ours to use. */
	if (receiver->answering == receiver->current)
		sbus_message_ref(receiver->current);
	reply_and_receive(receiver, 0);
}

int receiver_fetch(struct receiver *receiver, bool wait)
{
	struct symphony_recv recv;
	int r;

	if (unlikely(bus_is_foreign(receiver->bus)))
		return -EPERM;
	if (unlikely(receiver->next < receiver->nr))
		return receiver->nr - receiver->next;
	receiver->next = receiver->nr = 0;
	if (held_any(receiver))
		held_send(receiver);
	if (likely(receiver->answering)) {
		r = reply_and_receive(receiver, wait ? SYMPHONY_REPLY_RECV :
				      SYMPHONY_REPLY_RECV | SYMPHONY_REPLY_DONTWAIT);
		if (likely(r > 0))
			return receiver->nr = r;
		if (r != -ESRCH)
			return r;
	}
	recv = (struct symphony_recv){
		.size = sizeof(recv),
		.flags = wait ? 0 : SYMPHONY_RECV_DONTWAIT,
		.offsets = (uintptr_t)receiver->offsets,
		.max = receiver->max,
		.release = (uintptr_t)receiver->release.offsets,
		.nr_release = receiver->release.nr,
	};
	r = bus_ioctl(receiver->bus, SYMPHONY_IOC_RECV, &recv);
	receiver_released(receiver, recv.nr_release);
	if (r)
		return r == -EAGAIN ? 0 : r;
	return receiver->nr = recv.nr;
}

/* Its body is in a file: is it? Otherwise its caller is told so. */
static bool open_body(struct sbus_message *message)
{
	struct sbus_error error = SBUS_ERROR_INIT;
	bool is = !parcel_open(message, &error);

	if (!is)
		sbus_reply_errorv(message, &error);
	sbus_error_clear(&error);
	return is;
}

static void handle_request(struct receiver *receiver, struct sbus_message *message)
{
	struct sbus_message *former = chain_current;
	struct sbus *bus = receiver->bus;
	int r = -EOPNOTSUPP;

	receiver->current = message;
	atomic_store_explicit(&receiver->current_id, message->id, memory_order_relaxed);
	chain_current = message;
	if (unlikely(message->msg->content_type & SYMPHONY_CONTENT_SEALED) && !open_body(message))
		r = 0;
	else if (likely(bus->handler))
		r = bus->handler(message, bus->handler_data);
	if (unlikely(r < 0))
		reply_failure(message, r);
	receiver->current = NULL;
	chain_current = former;
	if (unlikely(bus_is_foreign(bus)))
		return;
	/* With an answer that waits, the reference goes when that is sent. */
	if (likely(receiver->answering == message) || held_last(receiver, message))
		return;
	if (!atomic_load_explicit(&message->answered, memory_order_relaxed))
		notice_enter(message);
	sbus_message_unref(message);
}

int receiver_dispatch(struct receiver *receiver)
{
	struct sbus *bus = receiver->bus;
	int r = 0;

	receiver->outer = receiver_innermost;
	receiver_innermost = receiver;
	while (receiver->next < receiver->nr) {
		const struct symphony_msg *msg;
		struct sbus_message *message;
		uint32_t offset;

		/* A handler forked, and returned in the child. */
		if (unlikely(bus_is_foreign(bus))) {
			r = -EPERM;
			break;
		}
		if (!receiver->spare)
			receiver->spare = message_take(bus);
		if (!receiver->spare) {
			if (held_any(receiver))
				held_send(receiver);
			r = -ENOMEM;
			break;
		}
		offset = receiver->offsets[receiver->next++];
		msg = bus_message(bus, offset);
		message = receiver->spare;
		if (unlikely(msg->type != SYMPHONY_MSG_CALL && msg->type != SYMPHONY_MSG_REPLY)) {
			notice_take(bus, msg);
			release_offset(bus, offset);
			continue;
		}
		receiver->spare = NULL;
		message_set(message, bus, offset);
		if (likely(msg->type == SYMPHONY_MSG_CALL)) {
			handle_request(receiver, message);
			held_expire(receiver);
		} else {
			async_outcome(bus, message);
			sbus_message_unref(message);
		}
	}
	receiver_innermost = receiver->outer;
	return r;
}
