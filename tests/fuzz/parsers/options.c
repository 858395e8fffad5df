// SPDX-License-Identifier: MIT
/*
 * The command line of an extension's process, and what of its environment it reads.
 * The input: $SYMPHONY_GRANT, a newline, $SYMPHONY_BUS, a newline, and arguments
 * between NULs. Whatever they are, it ends with a status it documents.
 */
#include <symphony/extension.h>
#include <unistd.h>

#include "kernel.h"
#include "script.h"

#define ARGS 32

static int fn(void *self, struct sbus_invocation *inv)
{
	(void)self;
	return sbus_answer_copy(inv, inv->params);
}


static void set(const char *variable, const uint8_t *text, size_t len)
{
	char *value = strndup((const char *)text, len);

	if (len)
		setenv(variable, value, 1);
	else
		unsetenv(variable);
	free(value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct symphony_method methods[] = { { .name = "m", .fn = fn }, {} };
	static const struct symphony_extension extension = {
		SYMPHONY_EXTENSION_INIT, .name = "options", .methods = methods,
	};
	const uint8_t *at = data, *end = data + size, *next;
	char *args[ARGS + 2] = { strdup("options") };
	int nr = 1, r;

	for (int i = 0; i < 2; i++) {
		next = memchr(at, '\n', end - at) ?: end;
		set(i ? "SYMPHONY_BUS" : "SYMPHONY_GRANT", at, next - at);
		at = next < end ? next + 1 : end;
	}
	for (; at < end && nr < ARGS; at = next + 1) {
		size_t len;
		char *text;

		next = memchr(at, '\0', end - at) ?: end;
		text = expand(at, next - at, &len);
		args[nr++] = strndup(len ? text : "", len);
		free(text);
	}
	/* There is no device, so that this ends. */
	r = sbus_extension_main(&extension, nr, args);
	CHECK(r >= 0 && r <= 2);
	CHECK(!getenv("SYMPHONY_GRANT") || r == 2);
	for (int i = 0; i < nr; i++)
		free(args[i]);
	return 0;
}
