// SPDX-License-Identifier: MIT
/*
 * One text, everywhere where libsymphony reads or writes JSON: what is read and
 * written again says the same.
 */
#include <math.h>
#include <symphony/pit.h>

#include "../../../libbus/error.h"
#include "../../../libbus/json.h"
#include "../../../libbus/message.h"
#include "kernel.h"
#include "script.h"

static const char *text;		/* the input, in memory of its length */
static size_t text_len;
static yyjson_doc *read_back;		/* the last answer */
static bool read_error;

static void on_call(const struct symphony_call *call, bool waits, struct kernel_outcome *outcome)
{
	yyjson_doc *doc = yyjson_read((void *)(uintptr_t)call->body, call->body_len,
				      YYJSON_READ_BIGNUM_AS_RAW);
	yyjson_val *method = yyjson_obj_get(yyjson_doc_get_root(doc), "method");
	const char *name = yyjson_get_str(method);

	/* What is sent is JSON, and routed by the method that it names. */
	CHECK(waits && doc && call->content_type == SBUS_JSON);
	CHECK(call->method == (name ? sbus_method_id_n(name, yyjson_get_len(method)) : 0));
	yyjson_doc_free(doc);
	outcome->content = SBUS_JSON;
	outcome->flags = SYMPHONY_MSG_ERROR;
	outcome->body = text;
	outcome->len = text_len;
}

static int on_reply(uint64_t id, uint32_t flags, uint32_t content, const void *body, size_t len)
{
	(void)id;
	CHECK(content == SBUS_JSON);
	yyjson_doc_free(read_back);
	read_back = yyjson_read(body, len, YYJSON_READ_BIGNUM_AS_RAW);
	CHECK(read_back);
	read_error = flags & SYMPHONY_REPLY_ERROR;
	return 0;
}

static bool same(yyjson_val *a, yyjson_val *b)
{
	char *x = yyjson_val_write(a, 0, NULL), *y = yyjson_val_write(b, 0, NULL);
	bool equal = x && y && !strcmp(x, y);

	free(x);
	free(y);
	return equal;
}

/* --- bodies and answers ---------------------------------------------------- */

static int on_request(struct sbus_message *request, void *userdata)
{
	struct sbus_error error = SBUS_ERROR_INIT;
	yyjson_val *root;
	int r = sbus_message_json(request, &root, &error);

	*(bool *)userdata = !r;
	if (r) {
		CHECK(r == -EBADMSG && *sbus_error_message(&error));
		sbus_error_clear(&error);
		return -EBADMSG;
	}
	CHECK(!sbus_reply_val(request, root));
	return 0;
}

static bool echo(struct sbus *bus)
{
	struct symphony_msg msg = { .type = SYMPHONY_MSG_CALL, .content_type = SBUS_JSON };
	yyjson_doc *doc = yyjson_read(text, text_len, YYJSON_READ_BIGNUM_AS_RAW);
	bool parsed = false;

	sbus_set_handler(bus, on_request, &parsed);
	CHECK(kernel_post(msg, text, text_len));
	CHECK(sbus_process(bus) == 1);
	CHECK(read_error == !parsed && (doc || !parsed));
	if (parsed)
		CHECK(same(yyjson_doc_get_root(doc), yyjson_doc_get_root(read_back)));
	yyjson_doc_free(doc);
	return parsed;
}

static int on_request_error(struct sbus_message *request, void *userdata)
{
	CHECK(!sbus_reply_errorv(request, userdata));
	return 0;
}

/* The text is what a call is answered with: as an error it is told on. */
static void errors(struct sbus *bus, bool parsed)
{
	struct symphony_msg msg = { .type = SYMPHONY_MSG_CALL };
	struct sbus_error error = SBUS_ERROR_INIT, copy = SBUS_ERROR_INIT;
	yyjson_val *root;

	CHECK(sbus_call_json(bus, "svc", "{}", 2, 0, NULL, &error) == -EREMOTEIO);
	CHECK(error.error == -EREMOTEIO && error.call && !strcmp(error.extension, "svc"));
	CHECK(parsed || error.code == SBUS_CODE_INTERNAL);
	CHECK(sbus_error_copy(&copy, &error) == -EREMOTEIO);
	CHECK(!error.data == !copy.data);
	sbus_set_handler(bus, on_request_error, &copy);
	CHECK(kernel_post(msg, NULL, 0));
	CHECK(sbus_process(bus) == 1 && read_error);
	root = yyjson_doc_get_root(read_back);
	CHECK(yyjson_get_sint(yyjson_obj_get(root, "code")) == (error.code ?: EREMOTEIO));
	CHECK(!strcmp(yyjson_get_str(yyjson_obj_get(root, "message")),
		      sbus_error_message(&error)));
	CHECK(!yyjson_obj_get(root, "data") == !error.data);
	if (error.data)
		CHECK(same(yyjson_obj_get(root, "data"), yyjson_doc_get_root(error.data)));
	sbus_error_clear(&copy);
	sbus_error_clear(&error);
}

static void calls(struct sbus *bus, yyjson_val *root)
{
	yyjson_mut_doc *copy = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *value = yyjson_val_mut_copy(copy, root);

	CHECK(sbus_call_val(bus, "svc", root, 0, NULL, NULL) == -EREMOTEIO);
	CHECK(sbus_call_mut(bus, "svc", value, 0, NULL, NULL) == -EREMOTEIO);
	CHECK(sbus_call_method(bus, "svc", yyjson_is_str(root) ? yyjson_get_str(root) : "m",
			       value, 0, NULL, NULL) == -EREMOTEIO);
	yyjson_mut_doc_free(copy);
}

/* --- members ----------------------------------------------------------------- */

static int check_params(void *self, struct sbus_invocation *inv)
{
	yyjson_val *value = NULL, *there = yyjson_obj_get(inv->params, "p");
	bool object = !inv->params || yyjson_is_obj(inv->params);
	const char *str = NULL;
	uint64_t number = 0;
	bool yes;
	int r;

	(void)self;
	if (yyjson_is_null(there)) {
		r = sbus_param_u64(inv, "p", SBUS_OPTIONAL, 1, 2, &number);
		CHECK(!r && !number);
		there = NULL;
	}
	r = sbus_param_val(inv, "p", YYJSON_TYPE_NONE, SBUS_OPTIONAL, &value);
	CHECK(r == (object ? 0 : -EREMOTEIO) && (r || value == there));
	r = sbus_param_u64(inv, "p", 0, 3, 1ULL << 40, &number);
	CHECK(!r == (there && yyjson_is_uint(there) && yyjson_get_uint(there) >= 3 &&
		     yyjson_get_uint(there) <= 1ULL << 40));
	CHECK(r || number == yyjson_get_uint(there));
	r = sbus_param_str(inv, "p", 0, &str);
	CHECK(!r == (yyjson_is_str(there) && strlen(yyjson_get_str(there)) == yyjson_get_len(there)));
	CHECK(r || str == yyjson_get_str(there));
	r = sbus_param_bool(inv, "p", 0, &yes);
	CHECK(!r == yyjson_is_bool(there));
	for (int type = YYJSON_TYPE_NULL; type <= YYJSON_TYPE_OBJ; type++) {
		r = sbus_param_val(inv, "p", type, 0, &value);
		CHECK(r || value == yyjson_obj_get(inv->params, "p"));
	}
	return sbus_answer_copy(inv, inv->message);
}

static int whole(void *self, struct sbus_invocation *inv)
{
	check_params(self, inv);
	return sbus_fail_data(inv, 5, NULL, "method %s", inv->method ? inv->method : "none");
}

static yyjson_val *configured;

static int init(struct sbus_member *member, yyjson_val *config, void **self,
		struct sbus_error *error)
{
	(void)member;
	(void)self;
	(void)error;
	CHECK(same(config, configured));
	return 0;
}

static void sink(yyjson_mut_val *result, const struct sbus_error *error, void *userdata)
{
	char *answer;

	++*(int *)userdata;
	if (error) {
		CHECK(error->error == -EREMOTEIO && *sbus_error_message(error));
		return;
	}
	answer = yyjson_mut_val_write(result, 0, NULL);
	CHECK(answer);
	free(answer);
}

static void call_member(struct sbus_member *member, yyjson_val *message)
{
	int told = 0;

	CHECK(!sbus_pit_call(member, message, 0, sink, &told, NULL) && told == 1);
}

/* The text as a schema, as a configuration and as a message. */
static void members(yyjson_val *root)
{
	char *schema = strndup(text, text_len);
	const struct symphony_method methods[] = {
		{ .name = "check", .fn = check_params, .params = schema, .result = schema },
		{}
	};
	const struct symphony_extension extension = {
		SYMPHONY_EXTENSION_INIT, .name = "json", .methods = methods, .call = whole,
		.init = root ? init : NULL,
	};
	yyjson_doc *doc = yyjson_read(schema, strlen(schema), 0);
	yyjson_doc *describe = yyjson_read("{\"method\":\"describe\"}", 21, 0);
	struct sbus_member *member;
	struct sbus_pit *pit;
	int r;

	configured = root;
	CHECK(!sbus_pit_new(&pit));
	r = sbus_pit_add(pit, &extension, root, NULL);
	CHECK(!r == yyjson_is_obj(yyjson_doc_get_root(doc)));
	if (!r) {
		CHECK(!sbus_pit_start(pit, NULL, NULL));
		member = sbus_pit_next(pit, NULL);
		call_member(member, yyjson_doc_get_root(describe));
		call_member(member, root);
	}
	sbus_pit_unref(pit);
	yyjson_doc_free(describe);
	yyjson_doc_free(doc);
	free(schema);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct kernel_hooks hooks = { .call = on_call, .reply = on_reply };
	char *input = expand(data, size, &text_len);
	struct sbus *bus = kernel_open(&hooks);
	yyjson_doc *doc = NULL;
	bool parsed;

	text = input;
	parsed = echo(bus);
	errors(bus, parsed);
	if (parsed) {
		doc = yyjson_read(text, text_len, YYJSON_READ_BIGNUM_AS_RAW);
		calls(bus, yyjson_doc_get_root(doc));
		members(yyjson_doc_get_root(doc));
	}
	kernel_close(bus);
	yyjson_doc_free(doc);
	yyjson_doc_free(read_back);
	read_back = NULL;
	free(input);
	return 0;
}
