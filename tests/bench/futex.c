// SPDX-License-Identifier: MIT
/* Peer: two futexes and two buffers in shared memory, copied in and out. */
#include "bench.h"

#include <err.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

struct channel {
	_Atomic uint32_t full;
	unsigned char body[BENCH_SIZE_MAX];
};

static struct channel *requests, *answers;

static void put(struct channel *to, const void *body, size_t size)
{
	memcpy(to->body, body, size);
	atomic_store_explicit(&to->full, 1, memory_order_release);
	if (syscall(SYS_futex, &to->full, FUTEX_WAKE, 1, NULL, NULL, 0) < 0)
		err(1, "futex wake");
}

static void take(struct channel *from, size_t size)
{
	while (!atomic_load_explicit(&from->full, memory_order_acquire))
		syscall(SYS_futex, &from->full, FUTEX_WAIT, 0, NULL, NULL, 0);
	memcpy(bench_scratch, from->body, size);
	atomic_store_explicit(&from->full, 0, memory_order_relaxed);
}

static void setup(size_t size)
{
	(void)size;
	requests = mmap(NULL, 2 * sizeof(*requests), PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (requests == MAP_FAILED)
		err(1, "mmap");
	answers = requests + 1;
}

static void serve(size_t size)
{
	bench_serving();
	for (;;) {
		take(requests, size);
		put(answers, bench_answer(bench_scratch, size), size);
	}
}

static const void *call(const void *request, size_t size)
{
	put(requests, request, size);
	take(answers, size);
	return bench_scratch;
}

static const struct bench_peer futex = {
	.name = "futex",
	.setup = setup,
	.serve = serve,
	.call = call,
};

int main(void)
{
	bench_round_trips(&futex);
	return 0;
}
