// SPDX-License-Identifier: MIT
/*
 * Large bodies there and back, through libsymphony: through the pools, and in files.
 * Both sides write each body and look at every page of it.
 */
#include "bench.h"

#include <err.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <symphony/bus.h>
#include <unistd.h>

#define ROUNDS 20
#define LARGEST (8U << 20)

static char *body;

static struct sbus *open_bus(unsigned int flags, uint32_t sealed_min)
{
	struct sbus_error error = SBUS_ERROR_INIT;
	struct sbus_params params = {
		.size = sizeof(params), .flags = flags, .bus = "large",
		.pool_size = 64U << 20, .sealed_min = sealed_min,
	};
	struct sbus *bus;

	if (sbus_open(&bus, &params, &error))
		errx(1, "%s", sbus_error_message(&error));
	return bus;
}

static void look(const struct sbus_message *message, size_t size)
{
	size_t len;
	const volatile char *bytes = sbus_message_body(message, &len);

	if (len != size)
		errx(1, "%zu bytes instead of %zu", len, size);
	for (size_t i = 0; i < len; i += 4096)
		(void)bytes[i];
}

static int handle(struct sbus_message *request, void *userdata)
{
	size_t size = *(size_t *)userdata;

	look(request, size);
	memset(body, size >> 12, size);
	return sbus_reply_raw(request, body, size);
}

static void serve(size_t size, uint32_t sealed_min, int ready)
{
	struct sbus *bus = open_bus(SBUS_OPEN_CREATE, sealed_min);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sbus_set_handler(bus, handle, &size);
	if (sbus_claim(bus, "echo", NULL) || write(ready, "x", 1) != 1)
		errx(1, "cannot serve");
	sbus_serve(bus, NULL, NULL);
}

static void measure(const char *name, size_t size, uint32_t sealed_min)
{
	struct sbus_request request = SBUS_REQUEST_INIT("echo");
	struct sbus_error error = SBUS_ERROR_INIT;
	struct sbus_message *reply;
	char text[16], byte;
	int ready[2];
	struct sbus *bus;
	pid_t pid;

	if (pipe(ready))
		err(1, "pipe");
	pid = fork();
	if (!pid) {
		serve(size, sealed_min, ready[1]);
		_exit(1);
	}
	if (pid < 0 || read(ready[0], &byte, 1) != 1)
		errx(1, "no server");
	bus = open_bus(0, sealed_min);
	request.body = body;
	request.body_len = size;
	request.reply_max = size;
	for (int i = 0; i < 2 * ROUNDS; i++) {
		if (i == ROUNDS)
			bench_begin();
		memset(body, i, size);
		if (sbus_call(bus, &request, &reply, &error))
			errx(1, "%s", sbus_error_message(&error));
		look(reply, size);
		sbus_message_unref(reply);
	}
	snprintf(text, sizeof(text), "%zu", size);
	bench_print(name, text, bench_end(), ROUNDS);
	sbus_unref(bus);
	kill(pid, SIGKILL);
	close(ready[0]);
	close(ready[1]);
}

int main(void)
{
	bench_pin();
	body = malloc(LARGEST);
	for (size_t size = 32U << 10; body && size <= LARGEST; size *= 2) {
		measure("large-pool", size, UINT32_MAX);
		measure("large-file", size, 1);
	}
	return !body;
}
