// SPDX-License-Identifier: MIT
/*
 * Serving: threads that wait in the kernel for requests, each answering in the
 * system call that takes the next.
 *
 * Beside them a clock thread sends what waits for room (async.c), which nobody
 * else would do while all of them sleep.
 *
 * sbus_stop() sets a flag for the threads that are busy and stops receiving in the
 * kernel for those that sleep, or are about to. The kernel's state lasts until the
 * last thread is back, so none can miss it; a thread that finds it ends, whatever
 * the flag says.
 */
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "async.h"
#include "bus.h"
#include "error.h"
#include "receive.h"

struct server {
	struct sbus *bus;
	const struct sbus_serve_params *params;
	atomic_int result;		/* why they stop, 0 for sbus_stop() */
};

struct worker {
	struct server *server;
	pthread_t thread;
	struct receiver receiver;
	bool interruptible;
};

SBUS_API void sbus_set_handler(struct sbus *bus, sbus_request_fn fn, void *userdata)
{
	bus->handler = fn;
	bus->handler_data = userdata;
}

static void stop_receiving(struct sbus *bus, uint32_t flag)
{
	struct symphony_wait arg = { .size = sizeof(arg), .flags = flag };

	bus_ioctl(bus, SYMPHONY_IOC_CANCEL, &arg);
}

SBUS_API void sbus_stop(struct sbus *bus)
{
	if (bus_is_foreign(bus))
		return;
	atomic_store(&bus->stopping, true);
	stop_receiving(bus, SYMPHONY_CANCEL_RECEIVERS);
	sem_post(&bus->wake);
}

static void fail(struct server *server, int result)
{
	int none = 0;

	atomic_compare_exchange_strong(&server->result, &none, result);
	sbus_stop(server->bus);
}

static void work(struct worker *worker)
{
	const struct sbus_serve_params *params = worker->server->params;
	struct sbus *bus = worker->server->bus;
	static const struct timespec pause = { .tv_nsec = 1000000 };
	struct receiver *receiver = &worker->receiver;
	int r;

	while (!atomic_load_explicit(&bus->stopping, memory_order_acquire)) {
		r = receiver_fetch(receiver, true);
		if (r == -ECANCELED) {
			break;
		} else if (r == -EINTR) {
			r = worker->interruptible && params->interrupted ?
				    params->interrupted(params->interrupted_data) : 0;
			if (!r)
				continue;
		} else if (r >= 0) {
			r = receiver_dispatch(receiver);
		}
		if (r == -ENOMEM) {
			/* What was received is still there. */
			nanosleep(&pause, NULL);
		} else if (r) {
			fail(worker->server, r);
			break;
		}
		async_process(bus, true);
	}
	receiver_flush(receiver);
	release_now(bus, &receiver->release);
}

static void *worker_main(void *arg)
{
	work(arg);
	return NULL;
}

static void *clock_main(void *arg)
{
	struct server *server = arg;
	struct sbus *bus = server->bus;
	struct timespec until;
	uint64_t when;

	while (!atomic_load(&bus->stopping)) {
		when = async_timeout(bus);
		until.tv_sec = when / 1000000000;
		until.tv_nsec = when % 1000000000;
		if (when == UINT64_MAX)
			sem_wait(&bus->wake);
		else
			sem_clockwait(&bus->wake, CLOCK_MONOTONIC, &until);
		if (!atomic_load(&bus->stopping))
			async_process(bus, false);
	}
	return NULL;
}

static int start_thread(pthread_t *thread, void *(*fn)(void *), void *arg)
{
	sigset_t all, old;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = -pthread_create(thread, NULL, fn, arg);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return r;
}

static int serve(struct server *server, struct worker *workers, unsigned int nr)
{
	unsigned int started = 0;
	pthread_t clock;
	int r;

	r = start_thread(&clock, clock_main, server);
	if (r)
		return r;
	for (unsigned int i = 1; i < nr && !r; i++) {
		r = start_thread(&workers[i].thread, worker_main, &workers[i]);
		if (!r)
			started = i;
	}
	if (r)
		fail(server, r);
	workers[0].interruptible = true;
	work(&workers[0]);
	/* A handler forked, and returned in the child: its threads are not here. */
	if (bus_is_foreign(server->bus))
		return -EPERM;
	for (unsigned int i = 1; i <= started; i++)
		pthread_join(workers[i].thread, NULL);
	sbus_stop(server->bus);
	pthread_join(clock, NULL);
	return server->result;
}

SBUS_API int sbus_serve(struct sbus *bus, const struct sbus_serve_params *params,
			struct sbus_error *error)
{
	static const struct sbus_serve_params defaults = { .size = sizeof(defaults) };
	struct server server = { .bus = bus };
	struct worker *workers;
	unsigned int nr;
	int r;

	if (!params)
		params = &defaults;
	if (params->size < sizeof(*params))
		return sbus_error_set(error, -EINVAL, "sbus_serve: the size of the parameters is not set");
	if (params->batch > RECEIVE_BATCH)
		return sbus_error_set(error, -EINVAL, "sbus_serve: a batch of %u is more than %d",
				      params->batch, RECEIVE_BATCH);
	if (bus_is_foreign(bus))
		return error_foreign(error, bus->name);
	if (atomic_load(&bus->closed))
		return sbus_error_set(error, -ESHUTDOWN, "the connection to bus \"%s\" is closed",
				      bus->name);
	if (!bus->handler && atomic_load(&bus->claims))
		return sbus_error_set(error, -EINVAL, "sbus_serve: no handler was set, and something is claimed");
	nr = params->threads ? params->threads : 1;
	workers = calloc(nr, sizeof(*workers));
	if (!workers)
		return sbus_error_set(error, -ENOMEM, "out of memory for %u threads", nr);
	if (atomic_exchange(&bus->processed, true)) {
		free(workers);
		return sbus_error_set(error, -EBUSY, "the connection to bus \"%s\" is served or processed already",
				      bus->name);
	}
	server.params = params;
	for (unsigned int i = 0; i < nr; i++) {
		workers[i].server = &server;
		receiver_init(&workers[i].receiver, bus, params->batch ? params->batch : 1);
	}
	sbus_ref(bus);
	atomic_store(&bus->serving, true);
	r = serve(&server, workers, nr);
	if (bus_is_foreign(bus))
		return error_foreign(error, bus->name);
	atomic_store(&bus->serving, false);
	stop_receiving(bus, SYMPHONY_CANCEL_RESUME);
	atomic_store(&bus->stopping, false);
	while (!sem_trywait(&bus->wake))
		;
	for (unsigned int i = 0; i < nr; i++)
		receiver_deinit(&workers[i].receiver);
	free(workers);
	atomic_store(&bus->processed, false);
	sbus_unref(bus);
	return r ? sbus_error_set(error, r, "serving on bus \"%s\" ended: %s", bus->name,
				  error_text(r)) : 0;
}
