// SPDX-License-Identifier: MIT
/* A call of a member: finding the method, running it, delivering what it says. */
#include "invocation.h"

#include "error.h"

static struct invocation *of(struct sbus_invocation *inv)
{
	return inv->host;
}

/* Finds "method" and "params", once through the message; returns the method's length. */
static size_t parse(struct sbus_invocation *inv)
{
	yyjson_val *message = inv->message, *key, *value;
	size_t left, len = 0;

	inv->method = NULL;
	inv->params = NULL;
	if (unlikely(!yyjson_is_obj(message)))
		return 0;
	key = unsafe_yyjson_get_first(message);
	for (left = unsafe_yyjson_get_len(message); left; left--) {
		value = key + 1;
		if (unsafe_yyjson_get_len(key) == 6) {
			const char *name = unsafe_yyjson_get_str(key);

			if (!memcmp(name, "method", 6) && unsafe_yyjson_is_str(value)) {
				inv->method = unsafe_yyjson_get_str(value);
				len = unsafe_yyjson_get_len(value);
			} else if (!memcmp(name, "params", 6)) {
				inv->params = value;
			}
		}
		key = unsafe_yyjson_get_next(value);
	}
	return len;
}

static int no_method(struct sbus_member *member, struct sbus_invocation *inv)
{
	if (!inv->method)
		return sbus_fail(inv, SBUS_CODE_INVALID_REQUEST,
				 "\"%s\" takes {\"method\": NAME, \"params\": {...}}; its method \"describe\" tells the names",
				 member->id);
	return sbus_fail(inv, SBUS_CODE_METHOD_NOT_FOUND,
			 "\"%s\" has no method \"%s\"; its method \"describe\" tells which it has",
			 member->id, inv->method);
}

static int run_locked(struct sbus_member *member, struct sbus_invocation *inv, size_t len)
{
	const struct symphony_method *method = NULL;

	if (likely(inv->method))
		method = member_method(member, inv->method, len);
	if (likely(method))
		return method->fn(member->self, inv);
	/* Cut at the NUL it would be another name. */
	if (inv->method && strlen(inv->method) != len)
		return sbus_fail(inv, SBUS_CODE_INVALID_REQUEST,
				 "\"%s\": the name of a method has no NUL character", member->id);
	if (member->extension.call)
		return member->extension.call(member->self, inv);
	return no_method(member, inv);
}

/* A completion was made: is the answer owed, or has it become @r after all? */
static int settle_locked(struct invocation *call, int r)
{
	if (r == SBUS_PENDING)
		return r;
	if (completion_withdraw(call->completion)) {
		completion_put(call->completion);
		call->completion = NULL;
		return r;
	}
	return SBUS_PENDING;
}

static void deliver(struct invocation *call, int r)
{
	struct sbus_member *member = call->inv.member;
	yyjson_mut_val *result = call->result ? call->result->root : NULL;

	if (likely(!r && call->sink.fn)) {
		call->sink.fn(result, NULL, call->sink.userdata);
		return;
	}
	if (r == SBUS_PENDING)
		sbus_fail(&call->inv, SBUS_CODE_INTERNAL,
			  "\"%s\" promised an answer without sbus_defer()", member->id);
	else if (r && !call->failed)
		sbus_fail(&call->inv, -r, "%s", error_text(r));
	sink_deliver(&call->sink, result, r ? &call->error : NULL);
}

int invocation_call(struct invocation *call, yyjson_val *message)
{
	struct sbus_member *member = call->inv.member;
	size_t len;
	int r;

	call->inv.message = message;
	len = parse(&call->inv);
	member_enter(member);
	if (unlikely(!member->started)) {
		member_leave(member);
		return -ESHUTDOWN;
	}
	r = run_locked(member, &call->inv, len);
	if (unlikely(call->completion))
		r = settle_locked(call, r);
	member_leave(member);

	if (call->completion) {
		r = SBUS_PENDING;
	} else {
		deliver(call, r);
		r = 0;
	}
	if (call->result)
		yyjson_mut_doc_free(call->result);
	if (unlikely(call->failed))
		sbus_error_clear(&call->error);
	return r;
}

SBUS_API yyjson_mut_doc *sbus_result(struct sbus_invocation *inv)
{
	struct invocation *call = of(inv);

	if (!call->result) {
		arena_init(&call->arena);
		call->result = yyjson_mut_doc_new(&call->arena.alc);
	}
	return call->result;
}

SBUS_API int sbus_answer(struct sbus_invocation *inv, yyjson_mut_doc *doc)
{
	struct invocation *call = of(inv);

	yyjson_mut_doc_free(call->result);
	call->result = doc;
	return 0;
}

SBUS_API int sbus_answer_copy(struct sbus_invocation *inv, yyjson_val *value)
{
	yyjson_mut_doc *doc = sbus_result(inv);
	yyjson_mut_val *copy;

	if (!doc)
		return -ENOMEM;
	if (!value)
		return 0;
	copy = yyjson_val_mut_copy(doc, value);
	yyjson_mut_doc_set_root(doc, copy);
	return copy ? 0 : -ENOMEM;
}

static int fail(struct sbus_invocation *inv, int64_t code, yyjson_mut_doc *data,
		const char *format, va_list args)
{
	struct invocation *call = of(inv);

	if (!call->failed)
		memset(&call->error, 0, sizeof(call->error));
	call->failed = true;
	error_remote(&call->error, inv->member->id, code, data, format, args);
	call->error.call = inv->id;
	return -EREMOTEIO;
}

SBUS_API int sbus_fail(struct sbus_invocation *inv, int64_t code, const char *format, ...)
{
	va_list args;
	int r;

	va_start(args, format);
	r = fail(inv, code, NULL, format, args);
	va_end(args);
	return r;
}

SBUS_API int sbus_fail_data(struct sbus_invocation *inv, int64_t code, yyjson_mut_doc *data,
			    const char *format, ...)
{
	va_list args;
	int r;

	va_start(args, format);
	r = fail(inv, code, data, format, args);
	va_end(args);
	return r;
}

SBUS_API struct sbus_completion *sbus_defer(struct sbus_invocation *inv, void *userdata)
{
	struct invocation *call = of(inv);

	if (call->completion)
		return call->completion;
	if (completion_new(inv->member, inv, &call->sink, userdata, &call->completion))
		return NULL;
	return call->completion;
}

SBUS_API int sbus_pit_call(struct sbus_member *member, yyjson_val *message, uint64_t deadline,
			   sbus_sink_fn sink, void *userdata, struct sbus_pending **pending)
{
	struct invocation call;
	int r;

	if (unlikely(pit_is_foreign(member->pit)))
		return -EPERM;
	invocation_init(&call, member);
	call.inv.sender = 0;
	call.inv.pid = 0;
	call.inv.uid = 0;
	call.inv.gid = 0;
	call.inv.deadline = deadline;
	call.inv.id = 0;
	call.sink.fn = sink;
	call.sink.userdata = userdata;
	call.sink.request = NULL;
	r = invocation_call(&call, message);
	if (likely(r <= 0))
		return r;
	if (pending)
		*pending = container_of(call.completion, struct sbus_pending, completion);
	else
		completion_put(call.completion);
	return r;
}
