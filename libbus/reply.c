// SPDX-License-Identifier: MIT
/*
 * Answering requests. In the thread that handles the request the answer waits
 * for the next receive (receive.h); anywhere else it is sent at once, or, if the
 * connection is corked, with all the others when it is no more.
 */
#include "reply.h"

#include <stdio.h>
#include <stdlib.h>

#include "async.h"
#include "engine.h"
#include "error.h"
#include "held.h"
#include "json.h"
#include "notice.h"
#include "parcel.h"
#include "pieces.h"
#include "receive.h"

struct answer {
	uint32_t flags;
	uint32_t content_type;
	const void *data;
	size_t len;
	bool stays;			/* @data does, until @destroy */
	bool last;			/* the request's last reference goes */
	void (*destroy)(void *data);
};

/* Nobody waits for an answer, and it can have none. */
static bool is_one_way(const struct sbus_message *request)
{
	return request->msg->flags & SYMPHONY_MSG_ONEWAY;
}

/* Who has an answer may count on what was sent before it; see also sbus_uncork(). */
static void calls_first(struct sbus *bus)
{
	if (unlikely(atomic_load_explicit(&bus->corked, memory_order_relaxed) == SBUS_CALLS))
		async_uncork(bus);
}

/* An error reply has none, so that it can be made when they cannot be sent. */
static uint32_t nr_pushed(const struct sbus_message *request, uint32_t flags)
{
	return likely(!request->attached || flags & SYMPHONY_REPLY_ERROR) ?
		0 : request->attached->nr_pushed;
}

static bool is_packed(const struct sbus_message *request, const struct answer *answer)
{
	return unlikely(nr_pushed(request, answer->flags) ||
			(answer->len >= request->bus->sealed_answer_min &&
			 request->bus->may_seal));
}

static int reply_until_over(const struct sbus *bus, struct symphony_reply *arg)
{
	int r;

	do
		r = bus_ioctl(bus, SYMPHONY_IOC_REPLY, arg);
	while (r == -EINTR);
	return r;
}

/* Names what is in @parcel in @arg. */
static void name_parcel(struct symphony_reply *arg, struct parcel *parcel)
{
	arg->fds = (uintptr_t)parcel->fds;
	arg->nr_fds = parcel->nr;
	if (!parcel->is_sealed)
		return;
	arg->flags &= ~(SYMPHONY_REPLY_VECTOR | SYMPHONY_REPLY_TRY);
	arg->body = (uintptr_t)&parcel->sealed;
	arg->body_len = sizeof(parcel->sealed);
	arg->content_type |= SYMPHONY_CONTENT_SEALED;
}

/*
 * REPLY with the @nr files at @fds. The body, which is at @iov, is in a file too if it
 * is to be, or if the caller has no room for it.
 */
static int reply_packed(const struct sbus *bus, struct symphony_reply *arg,
			const struct iovec *iov, unsigned int nr_iov, const int *fds,
			uint32_t nr, bool in_file)
{
	struct symphony_reply plain = *arg;
	struct parcel parcel;
	int r;

	plain.flags &= ~SYMPHONY_REPLY_TRY;
	r = parcel_pack(&parcel, fds, nr);
	if (r)
		return r;
	if (in_file)
		parcel_seal(&parcel, iov, nr_iov);
	name_parcel(arg, &parcel);
	r = reply_until_over(bus, arg);
	if (r == -EMSGSIZE && arg->flags & SYMPHONY_REPLY_TRY) {
		arg->flags &= ~SYMPHONY_REPLY_TRY;
		parcel_seal(&parcel, iov, nr_iov);
		name_parcel(arg, &parcel);
		r = reply_until_over(bus, arg);
	}
	/* It is not the user who wanted a file. */
	if (r == -EDQUOT && parcel.is_sealed && !nr)
		r = reply_until_over(bus, &plain);
	parcel_empty(&parcel);
	return r;
}

int reply_in_file(const struct sbus *bus, struct symphony_reply *reply)
{
	const struct iovec whole = { (void *)(uintptr_t)reply->body, reply->body_len };

	if (!(reply->flags & SYMPHONY_REPLY_TRY))
		return -EMSGSIZE;
	reply->flags &= ~(SYMPHONY_REPLY_RECV | SYMPHONY_REPLY_DONTWAIT);
	reply->nr_release = 0;
	return reply_packed(bus, reply, &whole, 1, NULL, 0, true);
}

/* REPLY at once, the answer being at @iov. */
static int reply_at_once(struct sbus_message *request, const struct answer *answer,
			 struct symphony_reply *arg, const struct iovec *iov, unsigned int nr_iov)
{
	uint32_t nr = nr_pushed(request, arg->flags);
	const struct sbus *bus = request->bus;
	int r;

	if (is_packed(request, answer)) {
		r = reply_packed(bus, arg, iov, nr_iov, nr ? request->attached->pushed : NULL, nr,
				 answer->len >= bus->sealed_answer_min && bus->may_seal);
		if (!r && nr)
			attached_sent(request->attached);
	} else {
		r = reply_until_over(bus, arg);
		if (unlikely(r == -EMSGSIZE && arg->flags & SYMPHONY_REPLY_TRY))
			r = reply_packed(bus, arg, iov, nr_iov, NULL, 0, true);
	}
	return r;
}

static inline void reply_fill(struct symphony_reply *reply, const struct sbus_message *request,
			      const struct answer *answer, uint32_t flags)
{
	*reply = (struct symphony_reply){
		.size = sizeof(*reply),
		.flags = answer->flags | flags | request->bus->reply_flags,
		.id = request->msg->id,
		.slot = request->offset,
		.content_type = answer->content_type,
		.body = (uintptr_t)answer->data,
		.body_len = answer->len,
	};
}

/* What came of a REPLY: perhaps it was not answered, and can still be. */
static void replied(struct sbus_message *request, int r)
{
	if (unlikely(r == -EFAULT || r == -ENOMEM || r == -EDQUOT || r == -EBADF ||
		     r == -ELOOP || r == -EINVAL))
		atomic_store(&request->answered, false);
}

static int send_now(struct sbus_message *request, const struct answer *answer)
{
	const struct iovec whole = { (void *)answer->data, answer->len };
	struct symphony_reply arg;
	int r;

	reply_fill(&arg, request, answer, 0);
	r = reply_at_once(request, answer, &arg, &whole, 1);
	replied(request, r);
	return r;
}

/* @answer is at @iov. */
static int send_pieces(struct sbus_message *request, const struct answer *answer,
		       const struct iovec *iov, unsigned int nr)
{
	struct symphony_reply arg;
	int r;

	reply_fill(&arg, request, answer, SYMPHONY_REPLY_VECTOR);
	arg.body = (uintptr_t)iov;
	arg.body_len = nr;
	r = reply_at_once(request, answer, &arg, iov, nr);
	replied(request, r);
	return r;
}

/*
 * Can the answer wait for the next receive of this thread, or for the others of
 * its batch? What stays does so only until the next request is handled.
 */
static struct receiver *can_wait(struct sbus_message *request, const struct answer *answer)
{
	struct receiver *receiver = receiver_innermost;
	bool last, stays;

	if (!receiver || receiver->current != request || receiver->answering ||
	    is_packed(request, answer))
		return NULL;
	last = receiver->next == receiver->nr;
	stays = answer->stays && (last || answer->destroy);
	return stays || answer->len <= RECEIVE_COPY_MAX ? receiver : NULL;
}

static bool keep(struct receiver *receiver, struct sbus_message *request,
		 const struct answer *answer)
{
	const void *data = answer->data;

	if (unlikely(receiver->next < receiver->nr)) {
		struct symphony_reply reply;

		reply_fill(&reply, request, answer, 0);
		return held_add(receiver, &reply, answer->destroy, (void *)data);
	}
	if (!answer->stays) {
		if (!receiver->copy)
			receiver->copy = malloc(RECEIVE_COPY_MAX);
		if (!receiver->copy)
			return false;
		data = answer->len ? memcpy(receiver->copy, data, answer->len) : NULL;
	}
	receiver->answering = request;
	receiver->destroy = answer->destroy;
	receiver->destroy_data = (void *)answer->data;
	reply_fill(&receiver->reply, request, answer, 0);
	receiver->reply.body = (uintptr_t)data;
	return true;
}

/* Answers that sbus_uncork() sends at a time. */
#define CORKED_PART 64

/* An answer that sbus_uncork() is to send. */
struct corked {
	struct list node;
	struct sbus_message *request;	/* referenced */
	struct answer answer;
	char copy[];
};

/* Takes the answer, if answers are held back. */
static bool hold(struct sbus_message *request, const struct answer *answer)
{
	size_t room = answer->destroy ? 0 : answer->len;
	struct sbus *bus = request->bus;
	struct corked *corked;
	bool held;

	if (likely(!(atomic_load_explicit(&bus->corked, memory_order_relaxed) & SBUS_ANSWERS)) ||
	    answer->last ||
	    is_packed(request, answer))
		return false;
	corked = malloc(sizeof(*corked) + room);
	if (!corked)
		return false;
	corked->request = sbus_message_ref(request);
	corked->answer = *answer;
	if (room)
		corked->answer.data = memcpy(corked->copy, answer->data, room);
	bus_lock(bus);
	held = atomic_load_explicit(&bus->corked, memory_order_relaxed) & SBUS_ANSWERS;
	if (held)
		list_add_tail(&corked->node, &bus->answers);
	bus_unlock(bus);
	if (held)
		return true;
	sbus_message_unref(corked->request);
	free(corked);
	return false;
}

/* What a part of the answers that were held back needs until it was sent. */
struct part {
	struct corked *corked[CORKED_PART];
	struct symphony_reply replies[CORKED_PART];
	struct operation operations[CORKED_PART];
	unsigned int nr;
};

/*
 * If nobody else holds the request, its room goes back with the answer. It is on no
 * list then, so that nobody comes to hold it meanwhile.
 */
static void part_add(struct part *part, struct corked *corked)
{
	struct sbus_message *request = corked->request;
	struct symphony_reply *reply = &part->replies[part->nr];
	bool sole = atomic_load_explicit(&request->refs, memory_order_acquire) == 1;

	if (sole && request->entered)
		notice_leave(request);
	reply_fill(reply, request, &corked->answer, sole ? SYMPHONY_REPLY_RELEASE : 0);
	part->corked[part->nr] = corked;
	part->operations[part->nr++] = (struct operation){
		.code = SYMPHONY_IOC_REPLY,
		.arg = reply,
	};
}

static void part_send(struct sbus *bus, struct part *part)
{
	engine_run(bus, part->operations, part->nr);
	for (unsigned int i = 0; i < part->nr; i++) {
		struct corked *corked = part->corked[i];
		struct sbus_message *request = corked->request;
		int r = part->operations[i].result;

		if (unlikely(r == -EMSGSIZE))
			r = reply_in_file(bus, &part->replies[i]);
		replied(request, r);
		if (corked->answer.destroy)
			corked->answer.destroy((void *)corked->answer.data);
		if (likely(!r && part->replies[i].flags & SYMPHONY_REPLY_RELEASE)) {
			message_reset(request);
			message_give(bus, request);
		} else {
			sbus_message_unref(request);
		}
		free(corked);
	}
	part->nr = 0;
}

SBUS_API void sbus_cork(struct sbus *bus, unsigned int what)
{
	if (!bus_is_foreign(bus))
		atomic_fetch_or_explicit(&bus->corked, what, memory_order_relaxed);
}

SBUS_API void sbus_uncork(struct sbus *bus, unsigned int what)
{
	struct list answers, *node;
	struct part part;

	if (bus_is_foreign(bus))
		return;
	part.nr = 0;
	list_init(&answers);
	sbus_ref(bus);
	bus_lock(bus);
	atomic_fetch_and_explicit(&bus->corked, ~what, memory_order_relaxed);
	while (what & SBUS_ANSWERS && (node = list_pop(&bus->answers)))
		list_add_tail(node, &answers);
	bus_unlock(bus);
	/* First: who has an answer may count on what was sent before it. */
	async_uncork(bus);
	while ((node = list_pop(&answers))) {
		part_add(&part, container_of(node, struct corked, node));
		if (part.nr == CORKED_PART)
			part_send(bus, &part);
	}
	if (part.nr)
		part_send(bus, &part);
	sbus_unref(bus);
}

static int send_answer(struct sbus_message *request, const struct answer *answer)
{
	struct receiver *receiver;
	int r = 0;

	if (unlikely(message_is_foreign(request))) {
		r = -EPERM;
		goto out;
	}
	if (unlikely(atomic_exchange(&request->answered, true))) {
		r = -EALREADY;
		goto out;
	}
	if (unlikely(answer->len > UINT32_MAX)) {
		atomic_store(&request->answered, false);
		r = -EMSGSIZE;
		goto out;
	}
	if (unlikely(is_one_way(request)))
		goto out;
	calls_first(request->bus);
	receiver = can_wait(request, answer);
	if (likely(receiver && keep(receiver, request, answer)))
		return 0;
	if (hold(request, answer))
		return 0;
	r = send_now(request, answer);
out:
	if (answer->destroy)
		answer->destroy((void *)answer->data);
	return r;
}

SBUS_API int sbus_reply_raw(struct sbus_message *request, const void *data, size_t len)
{
	return send_answer(request, &(struct answer){
		.content_type = SBUS_RAW, .data = data, .len = len });
}

SBUS_API int sbus_reply_json(struct sbus_message *request, const char *json, size_t len)
{
	return send_answer(request, &(struct answer){
		.content_type = SBUS_JSON, .data = json, .len = len });
}

SBUS_API int sbus_reply_take(struct sbus_message *request, uint32_t content_type, const void *data,
			     size_t len, void (*destroy)(void *data))
{
	return send_answer(request, &(struct answer){
		.content_type = content_type, .data = data, .len = len, .stays = true,
		.destroy = destroy });
}

SBUS_API int sbus_reply_iov(struct sbus_message *request, uint32_t content_type,
			    const struct iovec *iov, unsigned int nr_iov)
{
	struct answer answer = { .content_type = content_type };
	void *data;

	if (message_is_foreign(request))
		return -EPERM;
	if (nr_iov > SBUS_IOV_MAX)
		return -EINVAL;
	answer.len = pieces_len(iov, nr_iov);
	if (answer.len <= RECEIVE_COPY_MAX) {
		data = malloc(answer.len ?: 1);
		if (!data)
			return -ENOMEM;
		pieces_copy(data, iov, nr_iov);
		return sbus_reply_take(request, content_type, data, answer.len, free);
	}
	if (answer.len > UINT32_MAX)
		return -EMSGSIZE;
	if (atomic_exchange(&request->answered, true))
		return -EALREADY;
	if (is_one_way(request))
		return 0;
	calls_first(request->bus);
	return send_pieces(request, &answer, iov, nr_iov);
}

int reply_text(struct sbus_message *request, uint32_t flags, int r, char *text, size_t len)
{
	if (r)
		return r;
	return send_answer(request, &(struct answer){
		.flags = flags, .content_type = SBUS_JSON, .data = text, .len = len,
		.stays = true, .destroy = free });
}

SBUS_API int sbus_reply_val(struct sbus_message *request, const yyjson_val *value)
{
	char *text = NULL;
	size_t len = 0;
	int r;

	if (!value)
		return sbus_reply_json(request, "null", 4);
	r = json_val(value, &text, &len);
	return reply_text(request, 0, r, text, len);
}

SBUS_API int sbus_reply_mut(struct sbus_message *request, const yyjson_mut_val *value)
{
	char *text = NULL;
	size_t len = 0;
	int r;

	if (!value)
		return sbus_reply_json(request, "null", 4);
	r = json_mut(value, &text, &len);
	return reply_text(request, 0, r, text, len);
}

static int reply_error(struct sbus_message *request, int64_t code, const yyjson_mut_val *data,
		       const char *message)
{
	char *text = NULL;
	size_t len = 0;
	int r = json_error(code, message, data, &text, &len);

	/* An error whose data cannot travel is better than none. */
	if (r == -EILSEQ && data)
		r = json_error(code, message, NULL, &text, &len);
	return reply_text(request, SYMPHONY_REPLY_ERROR, r, text, len);
}

SBUS_API int sbus_reply_error(struct sbus_message *request, int64_t code, const yyjson_mut_val *data,
			      const char *format, ...)
{
	char *message;
	va_list args;
	int r;

	va_start(args, format);
	message = error_format(format, args);
	va_end(args);
	if (!message)
		return -ENOMEM;
	r = reply_error(request, code, data, message);
	free(message);
	return r;
}

SBUS_API int sbus_reply_errorv(struct sbus_message *request, const struct sbus_error *error)
{
	yyjson_mut_doc *data = error->data ? yyjson_doc_mut_copy(error->data, NULL) : NULL;
	int r;

	r = reply_error(request, error->code ? error->code : -error->error,
			yyjson_mut_doc_get_root(data), sbus_error_message(error));
	yyjson_mut_doc_free(data);
	return r;
}

void reply_abandoned(struct sbus_message *request)
{
	static const char text[] =
		"{\"code\":-32603,\"message\":\"the extension dropped the request without an answer\"}";
	uint64_t deadline = request->msg->deadline;

	/* The kernel's answer, a timeout, is as good as there. */
	if (deadline && deadline <= sbus_now())
		return;
	send_answer(request, &(struct answer){
		.flags = SYMPHONY_REPLY_ERROR, .content_type = SBUS_JSON, .data = text,
		.len = sizeof(text) - 1, .last = true });
}

void reply_needless(struct sbus_message *request)
{
	atomic_store(&request->answered, true);
}

void reply_failure(struct sbus_message *request, int err)
{
	if (atomic_load(&request->answered))
		return;
	sbus_reply_error(request, err == -EOPNOTSUPP ? SBUS_CODE_METHOD_NOT_FOUND : -err, NULL,
			 "%s", err == -EOPNOTSUPP ? "this connection handles no requests" :
			 error_text(err));
}
