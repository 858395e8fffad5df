// SPDX-License-Identifier: MIT
/* A member of the Pit for tests: answers at once, later, never, or with an error. */
#include <errno.h>
#include <symphony/extension.h>

/* Answers that are owed, in the order they were asked for. */
#define OWED_MAX 4096

struct owed {
	struct sbus_completion *completion;
	yyjson_mut_doc *doc;
	uint64_t when;
};

static struct {
	struct sbus_timer *timer;
	struct owed owed[OWED_MAX];
	unsigned int nr;
	unsigned int cancelled;
} state;

static void arm(void)
{
	uint64_t first = 0;

	for (unsigned int i = 0; i < state.nr; i++)
		if (state.owed[i].when && (!first || state.owed[i].when < first))
			first = state.owed[i].when;
	sbus_timer_set(state.timer, first);
}

static struct owed take(unsigned int i)
{
	struct owed owed = state.owed[i];

	for (state.nr--; i < state.nr; i++)
		state.owed[i] = state.owed[i + 1];
	return owed;
}

static void on_timer(void *self, void *arg)
{
	uint64_t now = sbus_now();

	(void)self;
	(void)arg;
	for (unsigned int i = 0; i < state.nr;) {
		if (state.owed[i].when && state.owed[i].when <= now) {
			struct owed owed = take(i);

			sbus_complete(owed.completion, owed.doc);
		} else {
			i++;
		}
	}
	arm();
}

static int owe(struct sbus_invocation *inv, yyjson_val *value, uint64_t when)
{
	struct owed *owed = &state.owed[state.nr];

	if (state.nr == OWED_MAX)
		return -ENOBUFS;
	owed->doc = yyjson_mut_doc_new(NULL);
	if (!owed->doc)
		return -ENOMEM;
	if (value)
		yyjson_mut_doc_set_root(owed->doc, yyjson_val_mut_copy(owed->doc, value));
	owed->completion = sbus_defer(inv, NULL);
	if (!owed->completion) {
		yyjson_mut_doc_free(owed->doc);
		return -ENOMEM;
	}
	owed->when = when;
	state.nr++;
	arm();
	return SBUS_PENDING;
}

static int later(void *self, struct sbus_invocation *inv)
{
	yyjson_val *value = NULL;
	uint64_t ms = 0;
	int r;

	(void)self;
	r = sbus_param_u64(inv, "ms", 0, 0, 60000, &ms);
	if (r == 0)
		r = sbus_param_val(inv, "value", YYJSON_TYPE_NONE, SBUS_OPTIONAL, &value);
	return r < 0 ? r : owe(inv, value, sbus_now() + ms * 1000000 + 1);
}

static int never(void *self, struct sbus_invocation *inv)
{
	(void)self;
	return owe(inv, NULL, 0);
}

static int fail(void *self, struct sbus_invocation *inv)
{
	uint64_t code = 7, levels = 0;
	yyjson_mut_doc *data;
	yyjson_mut_val *root;
	int r;

	(void)self;
	r = sbus_param_u64(inv, "code", SBUS_OPTIONAL, 1, 1000000, &code);
	if (!r)
		r = sbus_param_u64(inv, "levels", SBUS_OPTIONAL, 0, 2000, &levels);
	if (r < 0)
		return r;
	data = yyjson_mut_doc_new(NULL);
	root = yyjson_val_mut_copy(data, inv->params);
	while (levels--) {
		yyjson_mut_val *outer = yyjson_mut_arr(data);

		yyjson_mut_arr_append(outer, root);
		root = outer;
	}
	yyjson_mut_doc_set_root(data, root);
	return sbus_fail_data(inv, code, data, "failed as asked");
}

static int state_of(void *self, struct sbus_invocation *inv)
{
	yyjson_mut_doc *doc = sbus_result(inv);
	yyjson_mut_val *root;

	(void)self;
	if (!doc)
		return -ENOMEM;
	root = yyjson_mut_obj(doc);
	yyjson_mut_doc_set_root(doc, root);
	yyjson_mut_obj_add_uint(doc, root, "owed", state.nr);
	yyjson_mut_obj_add_uint(doc, root, "cancelled", state.cancelled);
	return 0;
}

static int ping(void *self, struct sbus_invocation *inv)
{
	(void)self;
	(void)inv;
	return 0;
}

static int echo(void *self, struct sbus_invocation *inv)
{
	(void)self;
	return sbus_answer_copy(inv, inv->message);
}

static int init(struct sbus_member *member, yyjson_val *config, void **self,
		struct sbus_error *error)
{
	(void)config;
	(void)self;
	(void)error;
	state.cancelled = 0;
	return sbus_timer_new(member, on_timer, NULL, &state.timer);
}

static void cancelled(void *self, struct sbus_completion *completion, int reason)
{
	(void)self;
	(void)reason;
	for (unsigned int i = 0; i < state.nr; i++) {
		struct owed owed;

		if (state.owed[i].completion != completion)
			continue;
		owed = take(i);
		state.cancelled++;
		sbus_complete(owed.completion, owed.doc);
		break;
	}
}

static const struct symphony_method methods[] = {
	{ .name = "ping", .summary = "null", .fn = ping },
	{ .name = "later", .summary = "value, ms milliseconds later", .fn = later },
	{ .name = "never", .summary = "no answer until it is cancelled", .fn = never },
	{ .name = "fail", .summary = "an error reply, with params in so many levels", .fn = fail },
	{ .name = "state", .summary = "what is owed and was cancelled", .fn = state_of },
	{ }
};

static const struct symphony_extension extension = {
	SYMPHONY_EXTENSION_INIT,
	.name = "pit_echo",
	.version = "1",
	.methods = methods,
	.init = init,
	.call = echo,
	.cancelled = cancelled,
};

SYMPHONY_EXTENSION(extension);
