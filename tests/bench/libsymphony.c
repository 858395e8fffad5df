// SPDX-License-Identifier: MIT
/* The bus, through libsymphony: a blocking call against a serve loop. */
#include "bench.h"

#include <err.h>
#include <symphony/bus.h>

static struct sbus *bus;
static struct sbus_message *reply;

static struct sbus *open_bus(unsigned int flags)
{
	struct sbus_error error = SBUS_ERROR_INIT;
	struct sbus_params params = {
		.size = sizeof(params),
		.flags = flags,
		.bus = "bench",
		.pool_size = 1U << 20,
	};
	struct sbus *opened;

	if (sbus_open(&opened, &params, &error))
		errx(1, "%s", sbus_error_message(&error));
	return opened;
}

static const void *body(const struct sbus_message *message, size_t size)
{
	size_t len;
	const void *bytes = sbus_message_body(message, &len);

	if (len != size)
		errx(1, "%zu bytes instead of %zu", len, size);
	return bytes;
}

static int handle(struct sbus_message *request, void *userdata)
{
	size_t size = *(size_t *)userdata;

	return sbus_reply_raw(request, bench_answer(body(request, size), size), size);
}

static void serve(size_t size)
{
	struct sbus_error error = SBUS_ERROR_INIT;

	bus = open_bus(SBUS_OPEN_CREATE);
	sbus_set_handler(bus, handle, &size);
	if (sbus_claim(bus, "echo", &error))
		errx(1, "%s", sbus_error_message(&error));
	bench_serving();
	if (sbus_serve(bus, NULL, &error))
		errx(1, "%s", sbus_error_message(&error));
}

static void connect_caller(size_t size)
{
	(void)size;
	bus = open_bus(0);
}

static const void *call(const void *request, size_t size)
{
	struct sbus_error error = SBUS_ERROR_INIT;
	struct sbus_request params = SBUS_REQUEST_INIT("echo");

	params.body = request;
	params.body_len = size;
	params.reply_max = size;
	sbus_message_unref(reply);
	if (sbus_call(bus, &params, &reply, &error))
		errx(1, "%s", sbus_error_message(&error));
	return body(reply, size);
}

static const struct bench_peer libsymphony = {
	.name = "libsymphony",
	.serve = serve,
	.connect = connect_caller,
	.call = call,
};

int main(void)
{
	bench_round_trips(&libsymphony);
	return 0;
}
