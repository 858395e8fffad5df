// SPDX-License-Identifier: MIT
/* Peer: a unix socket pair of sequenced packets. */
#include "bench.h"

#include <err.h>
#include <sys/socket.h>
#include <unistd.h>

static int sockets[2];

static void setup(size_t size)
{
	(void)size;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets))
		err(1, "socketpair");
}

static void put(int fd, const void *body, size_t size)
{
	if (write(fd, body, size) != (ssize_t)size)
		err(1, "write");
}

static void take(int fd, size_t size)
{
	if (read(fd, bench_scratch, size) != (ssize_t)size)
		err(1, "read");
}

static void serve(size_t size)
{
	bench_serving();
	for (;;) {
		take(sockets[1], size);
		put(sockets[1], bench_answer(bench_scratch, size), size);
	}
}

static const void *call(const void *request, size_t size)
{
	put(sockets[0], request, size);
	take(sockets[0], size);
	return bench_scratch;
}

static const struct bench_peer seqpacket = {
	.name = "seqpacket",
	.setup = setup,
	.serve = serve,
	.call = call,
};

int main(void)
{
	bench_round_trips(&seqpacket);
	return 0;
}
