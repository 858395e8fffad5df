// SPDX-License-Identifier: MIT
/* Several operations at a time: see engine.h. */
#include "engine.h"

#include <liburing.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "bus.h"

#define ENTRIES 64

enum state { UNTRIED, READY, WITHOUT };

struct engine {
	pthread_mutex_t lock;
	/* lock */
	enum state state;
	struct io_uring ring;
};

struct engine *engine_new(void)
{
	struct engine *engine = calloc(1, sizeof(*engine));

	if (engine)
		pthread_mutex_init(&engine->lock, NULL);
	return engine;
}

void engine_free(struct engine *engine)
{
	if (!engine)
		return;
	if (engine->state == READY)
		io_uring_queue_exit(&engine->ring);
	pthread_mutex_destroy(&engine->lock);
	free(engine);
}

/* Once in a process. */
static void say_without(int r)
{
	static atomic_bool said;

	if (atomic_exchange(&said, true))
		return;
	fprintf(stderr, "libsymphony: io_uring cannot be used (%s): operations are system calls of their own; `symphony doctor` says more, SYMPHONY_ENGINE=ioctl silences this\n",
		strerror(-r));
}

static enum state begin(const struct sbus *bus, struct io_uring *ring)
{
	struct io_uring_params params = {
		.flags = IORING_SETUP_SUBMIT_ALL | IORING_SETUP_COOP_TASKRUN,
	};
	const char *wanted = getenv("SYMPHONY_ENGINE");
	struct symphony_query query = { .size = sizeof(query) };
	int r;

	if (wanted && !strcmp(wanted, "ioctl"))
		return WITHOUT;
	if (bus_ioctl(bus, SYMPHONY_IOC_QUERY, &query) || !(query.features & SYMPHONY_FEATURE_URING))
		return WITHOUT;
	r = io_uring_queue_init_params(ENTRIES, ring, &params);
	if (!r)
		return READY;
	say_without(r);
	return WITHOUT;
}

/* The ring is of no use any more: what was not done is done without. */
static void end(struct engine *engine)
{
	io_uring_queue_exit(&engine->ring);
	engine->state = WITHOUT;
}

/* They waited for nobody: all @nr that were submitted have completed. */
static void reap(struct engine *engine, struct operation *operations, unsigned int nr)
{
	struct io_uring_cqe *cqe;
	unsigned int head, seen = 0;

	io_uring_for_each_cqe(&engine->ring, head, cqe) {
		operations[io_uring_cqe_get_data64(cqe)].result = cqe->res;
		if (++seen == nr)
			break;
	}
	io_uring_cq_advance(&engine->ring, seen);
}

/* Up to ENTRIES of them; returns how many were done. */
static unsigned int submit(struct engine *engine, int fd, struct operation *operations,
			   unsigned int nr)
{
	unsigned int i, done = 0;
	int r;

	for (i = 0; i < nr; i++) {
		struct io_uring_sqe *sqe = io_uring_get_sqe(&engine->ring);
		struct symphony_uring *command;

		io_uring_prep_rw(IORING_OP_URING_CMD, sqe, fd, NULL, 0, 0);
		sqe->cmd_op = operations[i].code;
		command = (struct symphony_uring *)sqe->cmd;
		*command = (struct symphony_uring){ .arg = (uintptr_t)operations[i].arg };
		io_uring_sqe_set_data64(sqe, i);
	}
	while (done < nr) {
		r = io_uring_submit(&engine->ring);
		if (unlikely(r <= 0 && r != -EINTR))
			break;
		done += r > 0 ? r : 0;
	}
	reap(engine, operations, done);
	if (unlikely(done < nr))
		end(engine);
	return done;
}

static unsigned int run_by_ring(struct sbus *bus, struct operation *operations, unsigned int nr)
{
	struct engine *engine = bus->engine;
	unsigned int done = 0;

	pthread_mutex_lock(&engine->lock);
	if (unlikely(engine->state == UNTRIED))
		engine->state = begin(bus, &engine->ring);
	if (likely(engine->state == READY)) {
		while (done < nr && engine->state == READY)
			done += submit(engine, bus->fd, operations + done,
				       nr - done < ENTRIES ? nr - done : ENTRIES);
	}
	pthread_mutex_unlock(&engine->lock);
	return done;
}

void engine_run(struct sbus *bus, struct operation *operations, unsigned int nr)
{
	unsigned int i = nr > 1 ? run_by_ring(bus, operations, nr) : 0;

	for (; i < nr; i++) {
		struct operation *operation = &operations[i];

		do
			operation->result = bus_ioctl(bus, operation->code, operation->arg);
		while (unlikely(operation->result == -EINTR));
	}
}
