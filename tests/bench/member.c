// SPDX-License-Identifier: MIT
/* An extension for roundtrip.py to load into its Pit: methods that do next to nothing. */
#include <errno.h>
#include <symphony/extension.h>

static int count(void *self, struct sbus_invocation *inv)
{
	static uint64_t calls;
	yyjson_mut_doc *doc = sbus_result(inv);

	(void)self;
	if (!doc)
		return -ENOMEM;
	yyjson_mut_doc_set_root(doc, yyjson_mut_uint(doc, calls++));
	return 0;
}

static int echo(void *self, struct sbus_invocation *inv)
{
	(void)self;
	return sbus_answer_copy(inv, inv->params);
}

static const struct symphony_method methods[] = {
	{ .name = "count", .fn = count },
	{ .name = "echo", .fn = echo },
	{ }
};

static const struct symphony_extension member = {
	SYMPHONY_EXTENSION_INIT,
	.name = "member",
	.version = "1",
	.methods = methods,
};

SYMPHONY_EXTENSION(member);
