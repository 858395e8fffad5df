// SPDX-License-Identifier: MIT
/* An extension in a shared object, for load.c. */
#include <symphony/extension.h>

static int answer(void *self, struct sbus_invocation *inv)
{
	(void)self;
	return sbus_answer_copy(inv, inv->message);
}

static const struct symphony_extension plugin = {
	SYMPHONY_EXTENSION_INIT,
	.name = "plugin",
	.version = "1",
	.call = answer,
};

SYMPHONY_EXTENSION(plugin);
