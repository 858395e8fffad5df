// SPDX-License-Identifier: MIT
/* Peer: two pipes. */
#include "bench.h"

#include <err.h>
#include <fcntl.h>
#include <unistd.h>

static int requests[2], answers[2];

static void put(int fd, const unsigned char *body, size_t size)
{
	while (size) {
		ssize_t n = write(fd, body, size);

		if (n <= 0)
			err(1, "write");
		body += n;
		size -= n;
	}
}

static void take(int fd, size_t size)
{
	unsigned char *to = bench_scratch;

	while (size) {
		ssize_t n = read(fd, to, size);

		if (n <= 0)
			err(1, "read");
		to += n;
		size -= n;
	}
}

static void setup(size_t size)
{
	(void)size;
	if (pipe2(requests, O_CLOEXEC) || pipe2(answers, O_CLOEXEC))
		err(1, "pipe2");
}

static void serve(size_t size)
{
	bench_serving();
	for (;;) {
		take(requests[0], size);
		put(answers[1], bench_answer(bench_scratch, size), size);
	}
}

static const void *call(const void *request, size_t size)
{
	put(requests[1], request, size);
	take(answers[0], size);
	return bench_scratch;
}

static const struct bench_peer pipes = {
	.name = "pipe",
	.setup = setup,
	.serve = serve,
	.call = call,
};

int main(void)
{
	bench_round_trips(&pipes);
	return 0;
}
