// SPDX-License-Identifier: MIT
/*
 * A connection whose peers and whose kernel say anything: outcomes of calls,
 * requests, notices, in any order. The input is a program of one-byte operations.
 */
#include "../../../libbus/bus.h"
#include "../../../libbus/error.h"
#include "../../../libbus/message.h"
#include "kernel.h"
#include "script.h"

#define KEPT 16
#define SLOTS 16

static struct {
	struct sbus *bus;
	struct script script;
	struct sbus_message *kept[KEPT];
	struct sbus_slot *slots[SLOTS];
	struct kernel_outcome next;
	char *body;			/* of @next */
	unsigned int handling;		/* what the next request's handler does */
	unsigned int depth;
	size_t nr_sent, nr_told;
} w;

static const int results[] = {
	0, 0, 0, -EAGAIN, -ENOBUFS, -EDQUOT, -ESRCH, -ECONNREFUSED, -ENOENT, -EMSGSIZE,
	-ETIME, -EINTR, -ENOMEM, -EPERM, -ESHUTDOWN, -EFAULT,
};
static const int statuses[] = {
	0, 0, 0, 0, -ECONNRESET, -ECONNABORTED, -ETIMEDOUT, -ETIME, -ECANCELED, -EMSGSIZE,
	-ECONNREFUSED, -ESHUTDOWN, -1, -4095,
};

#define CHOOSE(list, n) ((list)[(n) % (sizeof(list) / sizeof(*(list)))])

static void plan(struct script *script)
{
	free(w.body);
	w.next = (struct kernel_outcome){
		.result = CHOOSE(results, script_byte(script)),
		.status = CHOOSE(statuses, script_byte(script)),
		.flags = script_byte(script),
		.content = script_byte(script) % 3,
		.needed = script_byte(script),
	};
	w.body = script_body(script, &w.next.len);
	w.next.body = w.body;
}

static void on_call(const struct symphony_call *call, bool waits, struct kernel_outcome *outcome)
{
	(void)waits;
	if (!call->handle) {
		outcome->result = CHOOSE(((const int[]){ -ENOENT, -ESRCH, 0 }),
					 script_byte(&w.script));
		return;
	}
	*outcome = w.next;
	/* A signal comes once, and the module's parent is gone once. */
	if (w.next.result == -EINTR || w.next.result == -ESRCH)
		w.next.result = 0;
}

static void parse_error(const char *body, size_t len)
{
	yyjson_doc *doc = yyjson_read(body, len, 0);

	CHECK(yyjson_is_obj(yyjson_doc_get_root(doc)));
	CHECK(yyjson_is_int(yyjson_obj_get(yyjson_doc_get_root(doc), "code")));
	CHECK(yyjson_is_str(yyjson_obj_get(yyjson_doc_get_root(doc), "message")));
	yyjson_doc_free(doc);
}

static int on_reply(uint64_t id, uint32_t flags, uint32_t content, const void *body, size_t len)
{
	(void)id;
	if (flags & SYMPHONY_REPLY_ERROR) {
		CHECK(content == SBUS_JSON);
		parse_error(body, len);
	}
	return CHOOSE(((const int[]){ 0, 0, 0, -ESRCH, -ENOMEM, -EMSGSIZE }),
		      script_byte(&w.script));
}

static int on_watch(uint64_t endpoint, bool remove)
{
	return remove || endpoint % 4 ? 0 : -ESRCH;
}

/* All that a user can ask of a message. */
static void use(struct sbus_message *message)
{
	struct sbus_error error = SBUS_ERROR_INIT;
	volatile uint8_t sum = 0;
	const uint8_t *body;
	yyjson_val *root;
	char *text;
	size_t len;
	int r;

	body = sbus_message_body(message, &len);
	for (size_t i = 0; i < len; i++)
		sum += body[i];
	sum += sbus_message_sender(message) + sbus_message_pid(message) +
	       sbus_message_uid(message) + sbus_message_gid(message) +
	       sbus_message_method(message) + sbus_message_key(message) +
	       sbus_message_deadline(message) + sbus_message_id(message);
	CHECK(sbus_message_extension(message) != NULL);
	CHECK(sbus_message_bus(message) == w.bus);
	r = sbus_message_json(message, &root, &error);
	CHECK(r == error.error);
	if (r) {
		CHECK(r == -EBADMSG || r == -EMEDIUMTYPE);
		CHECK(*sbus_error_message(&error));
	} else {
		CHECK(sbus_message_content(message) == SBUS_JSON);
		text = yyjson_val_write(root, 0, &len);
		CHECK(text);
		free(text);
	}
	sbus_error_clear(&error);
}

static void use_error(const struct sbus_error *error)
{
	struct sbus_error copy = SBUS_ERROR_INIT;
	char *text;

	CHECK(error->error < 0 && *sbus_error_message(error));
	CHECK(sbus_error_copy(&copy, error) == error->error);
	CHECK(copy.error == error->error && copy.code == error->code);
	CHECK(!strcmp(sbus_error_message(&copy), sbus_error_message(error)));
	CHECK(!copy.data == !error->data);
	if (copy.data) {
		CHECK(yyjson_equals(yyjson_doc_get_root(copy.data), yyjson_doc_get_root(error->data)));
		text = yyjson_write(copy.data, 0, NULL);
		CHECK(text);
		free(text);
	}
	sbus_error_clear(&copy);
}

static void keep(struct sbus_message *message, unsigned int n)
{
	sbus_message_unref(w.kept[n % KEPT]);
	w.kept[n % KEPT] = sbus_message_ref(message);
}

static void on_outcome(struct sbus_message *reply, const struct sbus_error *error, void *userdata)
{
	CHECK(userdata == &w && !reply != !error);
	w.nr_told++;
	if (error) {
		use_error(error);
		return;
	}
	use(reply);
	if (script_byte(&w.script) & 1)
		keep(reply, script_byte(&w.script));
}

static const char *name(struct script *script)
{
	static char text[128];
	static const char *const known[] = { "a", "b", "svc" };
	size_t len;
	char *body;

	if (script_byte(script) & 3)
		return CHOOSE(known, script_byte(script));
	body = script_body(script, &len);
	snprintf(text, sizeof(text), "%.*s", (int)(len < 100 ? len : 100), body ? body : "");
	free(body);
	return text;
}

static void call(struct script *script, bool waits)
{
	struct sbus_request request = { .size = sizeof(request) };
	struct sbus_error error = SBUS_ERROR_INIT;
	struct sbus_message *reply = NULL;
	unsigned int n = script_byte(script);
	struct sbus_slot *slot = NULL;
	char *body;
	int r;

	/* A call in a handler, and that is all. */
	if (w.depth > 1)
		return;
	plan(script);
	request.extension = name(script);
	request.content_type = script_byte(script) & 1;
	request.deadline = script_byte(script) & 1 ? sbus_now() + script_number(script, 2) : 0;
	body = script_body(script, &request.body_len);
	request.body = body;
	if (waits) {
		r = sbus_call(w.bus, &request, &reply, &error);
	} else {
		r = sbus_call_async(w.bus, &request, on_outcome, &w, n & 1 ? &slot : NULL, &error);
		if (!r)
			w.nr_sent++;
		if (slot) {
			sbus_slot_unref(w.slots[n % SLOTS]);
			w.slots[n % SLOTS] = slot;
		}
	}
	CHECK(r == error.error);
	if (r)
		use_error(&error);
	if (reply) {
		use(reply);
		keep(reply, n);
		sbus_message_unref(reply);
	}
	sbus_error_clear(&error);
	free(body);
}

static void answer(struct sbus_message *request, unsigned int how)
{
	yyjson_val *root = NULL;
	struct sbus_error error = SBUS_ERROR_INIT;
	static const char text[] = "[1]";

	sbus_message_json(request, &root, NULL);
	switch (how % 7) {
	case 0:
		sbus_reply_val(request, root);
		break;
	case 1:
		sbus_reply_error(request, 7, NULL, "%s", yyjson_get_str(root) ?: "no");
		break;
	case 2:
		error_reply(&error, "a", request);
		sbus_reply_errorv(request, &error);
		sbus_error_clear(&error);
		break;
	case 3:
		sbus_reply_raw(request, text, sizeof(text));
		break;
	case 4:
		sbus_reply_take(request, SBUS_JSON, strdup(text), 3, free);
		break;
	case 5:
		sbus_reply_json(request, text, 3);
		CHECK(sbus_reply_json(request, text, 3) != 0);
		break;
	case 6:
		sbus_message_cancelled(request);
		break;
	}
}

static int on_request(struct sbus_message *request, void *userdata)
{
	unsigned int how = script_byte(&w.script);

	CHECK(userdata == &w);
	w.depth++;
	use(request);
	if (how & 8)
		keep(request, how >> 4);
	if (how & 16)
		call(&w.script, true);
	if (how & 32)
		call(&w.script, false);
	if (how & 64)
		answer(request, script_byte(&w.script));
	w.depth--;
	return how & 128 ? CHOOSE(((const int[]){ -EIO, -EOPNOTSUPP, -4095 }), how) : 0;
}

static void on_notice(const struct sbus_notice *notice, void *userdata)
{
	CHECK(userdata == &w && notice->extension);
}

static void on_gone(uint64_t endpoint, void *userdata)
{
	CHECK(endpoint && userdata == &w);
}

static void post(struct script *script, bool request)
{
	/* A request for nobody's service is as good as any. */
	struct symphony_msg msg = {
		.type = SYMPHONY_MSG_CALL,
		.flags = script_byte(script),
		.header_len = script_byte(script),
		.sender = script_byte(script),
		.handle = script_byte(script),
		.method = script_number(script, 8),
		.key = script_byte(script),
		.deadline = script_byte(script) & 1 ? sbus_now() + script_byte(script) : 0,
		.content_type = script_byte(script) % 3,
		.status = CHOOSE(statuses, script_byte(script)),
		.pid = script_byte(script),
	};
	char *body;
	size_t len;

	if (!request) {
		msg.type = script_byte(script);
		msg.id = script_byte(script) & 1 ? kernel_request(script_byte(script), NULL) :
						   script_number(script, 8);
		msg.cookie = script_number(script, 8);
		/* With a cookie that is none, an outcome is a kernel's own fault. */
		if (msg.type == SYMPHONY_MSG_CALL || msg.type == SYMPHONY_MSG_REPLY)
			return;
		/* A takeover is told once, of what was claimed. */
		if (msg.type == SYMPHONY_MSG_TAKEOVER && !atomic_load(&w.bus->claims))
			return;
	}
	body = script_body(script, &len);
	kernel_post(msg, body, len);
	free(body);
}

static void answer_send(struct script *script)
{
	struct symphony_msg msg = {
		.flags = script_byte(script),
		.header_len = script_byte(script),
		.content_type = script_byte(script) % 3,
		.status = CHOOSE(statuses, script_byte(script)),
		.needed = script_byte(script),
		.sender = script_byte(script),
		.handle = script_byte(script),
	};
	size_t n = script_byte(script), len;
	char *body = script_body(script, &len);

	/* What the kernel made has no body. */
	kernel_answer(n, msg, body, msg.status ? 0 : len);
	free(body);
}

static void operate(struct script *script)
{
	struct sbus_error error = SBUS_ERROR_INIT;
	struct sbus_slot *slot = NULL;
	unsigned int n;

	switch (script_byte(script) % 12) {
	case 0:
		call(script, true);
		break;
	case 1:
	case 2:
		call(script, false);
		break;
	case 3:
		answer_send(script);
		break;
	case 4:
		post(script, true);
		break;
	case 5:
		post(script, false);
		break;
	case 6:
	case 7:
		plan(script);
		sbus_process(w.bus);
		break;
	case 8:
		n = script_byte(script) % KEPT;
		if (!w.kept[n])
			break;
		/* What is kept is whole, whatever came after it. */
		use(w.kept[n]);
		if (script_byte(script) & 1)
			answer(w.kept[n], script_byte(script));
		w.kept[n] = sbus_message_unref(w.kept[n]);
		break;
	case 9:
		n = script_byte(script) % SLOTS;
		if (!w.slots[n])
			break;
		sbus_slot_cancel(w.slots[n]);
		w.slots[n] = sbus_slot_unref(w.slots[n]);
		break;
	case 10:
		n = script_byte(script);
		if (!sbus_watch(w.bus, n, on_gone, &w, n & 1 ? &slot : NULL) && slot) {
			sbus_slot_unref(w.slots[n % SLOTS]);
			w.slots[n % SLOTS] = slot;
		}
		break;
	case 11:
		if (script_byte(script) & 1)
			kernel_advance(script_number(script, 4));
		else if (sbus_claim(w.bus, name(script), &error))
			use_error(&error);
		sbus_error_clear(&error);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct kernel_hooks hooks = {
		.call = on_call, .reply = on_reply, .watch = on_watch,
	};

	memset(&w, 0, sizeof(w));
	w.script = (struct script){ data, data + size };
	w.bus = kernel_open(&hooks);
	sbus_set_handler(w.bus, on_request, &w);
	sbus_set_notice_handler(w.bus, on_notice, &w);
	while (w.script.at < w.script.end)
		operate(&w.script);
	plan(&w.script);
	sbus_process(w.bus);
	for (int i = 0; i < KEPT; i++) {
		if (w.kept[i])
			use(w.kept[i]);
		w.kept[i] = sbus_message_unref(w.kept[i]);
	}
	for (int i = 0; i < SLOTS; i++)
		w.slots[i] = sbus_slot_unref(w.slots[i]);
	sbus_close(w.bus);
	/* A call has one outcome, and has it by now. */
	CHECK(w.nr_told == w.nr_sent);
	kernel_check_released(w.bus);
	kernel_close(w.bus);
	free(w.body);
	return 0;
}
