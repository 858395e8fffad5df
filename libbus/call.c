// SPDX-License-Identifier: MIT
/* Calling an extension and waiting for its answer. */
#include <stdlib.h>

#include "bus.h"
#include "cancel.h"
#include "chain.h"
#include "error.h"
#include "json.h"
#include "message.h"
#include "parcel.h"
#include "pieces.h"
#include "receive.h"
#include "service.h"

/* The call is given up: ends it and fetches the outcome, so that nothing is owed. */
static void give_up(struct sbus *bus, struct symphony_call *call)
{
	struct symphony_wait arg = {
		.size = sizeof(arg),
		.id = call->id,
		.slot = call->slot,
	};

	bus_ioctl(bus, SYMPHONY_IOC_CANCEL, &arg);
	while (bus_ioctl(bus, SYMPHONY_IOC_WAIT, &arg) == -EINTR)
		;
	if (!arg.status && arg.offset != SYMPHONY_NO_OFFSET)
		release_offset(bus, arg.offset);
}

/*
 * Ask the user whether to go on. While the kernel has no call, sbus_cancel_trigger()
 * has nothing to wait for: the user can be the one that triggers.
 */
static int interrupted(struct sbus *bus, const struct sbus_request *request,
		       struct symphony_call *call)
{
	bool none = request->cancel && !call->id;
	int stop;

	if (none)
		cancel_leave(request->cancel);
	stop = request->interrupted(request->interrupted_data);
	return none && !stop ? cancel_enter(request->cancel, bus, call) : stop;
}

/* CALL until there is an outcome (0, in @call) or a reason why there is none. */
static int call_until_over(struct sbus *bus, const struct sbus_request *request,
			   const struct sbus_message *parent, struct symphony_call *call)
{
	int r, stop;

	for (;;) {
		r = bus_ioctl(bus, SYMPHONY_IOC_CALL, call);
		if (unlikely(r == -ESRCH && call->parent)) {
			r = chain_broken(call, parent);
			if (r)
				return r;
			continue;
		}
		if (likely(r != -EINTR))
			return r;
		if (request->cancel && cancel_triggered(request->cancel))
			stop = -ECANCELED;
		else if (request->interrupted)
			stop = interrupted(bus, request, call);
		else
			stop = 0;
		if (stop) {
			if (call->id)
				give_up(bus, call);
			return stop;
		}
	}
}

static bool is_body_too_large(const struct symphony_call *call, int r)
{
	return r == -EMSGSIZE && !call->id && call->limit == SYMPHONY_LIMIT_BODY;
}

/* The same, with files, and the body in one if it is to be, or no pool holds it. */
static int call_packed(struct sbus *bus, const struct sbus_request *request,
		       const struct sbus_message *parent, struct symphony_call *call,
		       bool in_file)
{
	struct parcel parcel;
	int r;

	r = parcel_pack(&parcel, request->fds, request->nr_fds);
	if (r)
		return r;
	if (in_file)
		pieces_seal(request, &parcel);
	parcel_name(&parcel, call);
	r = call_until_over(bus, request, parent, call);
	if (is_body_too_large(call, r) && bus->may_seal && pieces_seal(request, &parcel)) {
		parcel_name(&parcel, call);
		r = call_until_over(bus, request, parent, call);
	}
	parcel_empty(&parcel);
	return r;
}

static inline int call_make(struct sbus *bus, const struct sbus_request *request,
			    const struct sbus_message *parent, struct symphony_call *call,
			    size_t len)
{
	bool in_file = len >= bus->sealed_min && bus->may_seal;
	int r;

	if (unlikely(in_file || request->nr_fds))
		return call_packed(bus, request, parent, call, in_file);
	r = call_until_over(bus, request, parent, call);
	if (unlikely(is_body_too_large(call, r)) && bus->may_seal)
		r = call_packed(bus, request, parent, call, true);
	return r;
}

static int outcome(struct sbus *bus, const struct service *service,
		   const struct symphony_call *call, struct sbus_message **spare,
		   struct sbus_message **reply, struct sbus_error *error)
{
	struct sbus_message *message = *spare;

	if (unlikely(call->status))
		return error_call(error, bus, service->id, call->id, call->status, call->needed);
	*spare = NULL;
	message_set(message, bus, call->offset);
	if (unlikely(message->msg->content_type & SYMPHONY_CONTENT_SEALED)) {
		int r = parcel_open(message, error);

		if (r) {
			error_extension(error, service->id);
			sbus_message_unref(message);
			return r;
		}
	}
	if (unlikely(message->msg->flags & SYMPHONY_MSG_ERROR)) {
		int r = error_reply(error, service->id, message);

		sbus_message_unref(message);
		return r;
	}
	if (reply)
		*reply = message;
	else
		sbus_message_unref(message);
	return 0;
}

static void call_failed(struct sbus *bus, const struct service *service,
			const struct symphony_call *call, int r, struct sbus_error *error)
{
	/* With an id there was one, which was given up. */
	if (call->id)
		error_call(error, bus, service->id, call->id, r, 0);
	else
		error_refused(error, bus, service->id, r, call->limit);
}

SBUS_API int sbus_call(struct sbus *bus, const struct sbus_request *request,
		       struct sbus_message **reply, struct sbus_error *error)
{
	struct sbus_message *spare;
	struct symphony_call call;
	struct service *service;
	struct release release;
	struct chain chain;
	size_t len;
	int r;

	r = bus_state(bus);
	if (unlikely(r))
		return error_call(error, bus, request->extension, 0, r, 0);
	if (unlikely(request->size < sizeof(*request) || !request->extension))
		return sbus_error_set(error, -EINVAL, "sbus_call: size or extension of the request is not set");
	len = request->body_len;
	if (unlikely(request->nr_iov)) {
		r = pieces_check(request, &len, error);
		if (r)
			return r;
	}
	if (unlikely(len > UINT32_MAX))
		return error_refused(error, bus, request->extension, -EMSGSIZE,
				     SYMPHONY_LIMIT_BODY);
	/* What this thread owes goes out first: the call may depend on it. */
	receiver_flush_answer();
	r = chain_begin(bus, request, &chain, error);
	if (unlikely(r))
		return r;

	bus_lock(bus);
	service = service_find_locked(bus, request->extension);
	if (unlikely(!service)) {
		bus_unlock(bus);
		r = service_resolve(bus, request->extension, &service, error);
		if (r)
			return r;
		bus_lock(bus);
	}
	spare = message_take_locked(bus);
	release_take_locked(bus, &release);
	bus_unlock(bus);
	if (unlikely(!spare)) {
		release_now(bus, &release);
		return sbus_error_set(error, -ENOMEM, "out of memory");
	}

	call = (struct symphony_call){
		.size = sizeof(call),
		.flags = chain.flags,
		.handle = service->handle,
		.method = request->method,
		.key = request->key,
		.body = (uintptr_t)request->body,
		.body_len = request->body_len,
		.content_type = request->content_type,
		.reply_max = request->reply_max,
		.nr_release = release.nr,
		.release = (uintptr_t)release.offsets,
		.deadline = bus_deadline(request->deadline, request->timeout),
	};
	if (unlikely(request->nr_iov))
		pieces_name(request, &call);
	if (unlikely(chain.parent))
		chain_name(&call, chain.parent);
	if (unlikely(request->cancel))
		r = cancel_enter(request->cancel, bus, &call);
	if (likely(!r)) {
		r = call_make(bus, request, chain.parent, &call, len);
		if (unlikely(request->cancel))
			cancel_leave(request->cancel);
	}
	if (unlikely(r))
		call_failed(bus, service, &call, r, error);
	else
		r = outcome(bus, service, &call, &spare, reply, error);
	if (unlikely(spare || call.nr_release)) {
		bus_lock(bus);
		if (spare)
			message_give_locked(bus, spare);
		release_untake_locked(bus, &release, call.nr_release);
		bus_unlock(bus);
	}
	return r;
}

static int call_bytes(struct sbus *bus, const char *extension, uint32_t content_type,
		      const void *body, size_t len, uint64_t method, uint64_t timeout,
		      struct sbus_message **reply, struct sbus_error *error)
{
	struct sbus_request request = {
		.size = sizeof(request),
		.extension = extension,
		.body = body,
		.body_len = len,
		.content_type = content_type,
		.method = method,
		.timeout = timeout,
	};

	return sbus_call(bus, &request, reply, error);
}

SBUS_API int sbus_call_raw(struct sbus *bus, const char *extension, const void *data, size_t len,
			   uint64_t timeout, struct sbus_message **reply, struct sbus_error *error)
{
	return call_bytes(bus, extension, SBUS_RAW, data, len, 0, timeout, reply, error);
}

SBUS_API int sbus_call_json(struct sbus *bus, const char *extension, const char *json, size_t len,
			    uint64_t timeout, struct sbus_message **reply, struct sbus_error *error)
{
	return call_bytes(bus, extension, SBUS_JSON, json, len, 0, timeout, reply, error);
}

/* Sends @text and frees it; @r is why there is none. */
static int call_text(struct sbus *bus, const char *extension, int r, char *text, size_t len,
		     uint64_t method, uint64_t timeout, struct sbus_message **reply,
		     struct sbus_error *error)
{
	if (r == -EILSEQ)
		return sbus_error_set(error, r, "the message for \"%s\" is no JSON: a string that is not UTF-8, or a number that is not finite",
				      extension);
	if (r)
		return sbus_error_set(error, r, "out of memory");
	r = call_bytes(bus, extension, SBUS_JSON, text, len, method, timeout, reply, error);
	free(text);
	return r;
}

SBUS_API int sbus_call_val(struct sbus *bus, const char *extension, const yyjson_val *value,
			   uint64_t timeout, struct sbus_message **reply, struct sbus_error *error)
{
	yyjson_val *method = yyjson_obj_get((yyjson_val *)value, "method");
	char *text = NULL;
	size_t len = 0;
	int r = json_val(value, &text, &len);

	return call_text(bus, extension, r, text, len,
			 sbus_method_id_n(yyjson_get_str(method), yyjson_get_len(method)), timeout,
			 reply, error);
}

SBUS_API int sbus_call_mut(struct sbus *bus, const char *extension, const yyjson_mut_val *value,
			   uint64_t timeout, struct sbus_message **reply, struct sbus_error *error)
{
	yyjson_mut_val *method = yyjson_mut_obj_get((yyjson_mut_val *)value, "method");
	char *text = NULL;
	size_t len = 0;
	int r = json_mut(value, &text, &len);

	return call_text(bus, extension, r, text, len,
			 sbus_method_id_n(yyjson_mut_get_str(method), yyjson_mut_get_len(method)),
			 timeout, reply, error);
}

SBUS_API int sbus_call_method(struct sbus *bus, const char *extension, const char *method,
			      const yyjson_mut_val *params, uint64_t timeout,
			      struct sbus_message **reply, struct sbus_error *error)
{
	char *text = NULL;
	size_t len = 0;
	int r = json_method(method, params, &text, &len);

	return call_text(bus, extension, r, text, len, sbus_method_id(method), timeout, reply,
			 error);
}
