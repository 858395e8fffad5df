// SPDX-License-Identifier: MIT
/*
 * Serving: threads that wait in the kernel for requests, each answering in the
 * system call that takes the next.
 *
 * Beside them a clock thread sends what waits for room (async.c), which nobody
 * else would do while all of them sleep. It also ends their sleep when
 * sbus_stop() wants that. The kernel wakes a receiver for a message only, so
 * it makes one: it joins the bus, has this connection watch that endpoint, and
 * lets it die. A file that a forked child holds too would not die; so the clock
 * thread first takes a table of descriptors of its own, which no fork copies.
 */
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "async.h"
#include "bus.h"
#include "error.h"
#include "receive.h"

#define WAKE_AGAIN_NS 20000000

struct server {
	struct sbus *bus;
	const struct sbus_serve_params *params;
	pthread_mutex_t lock;
	pthread_cond_t left;
	/* lock */
	unsigned int inside;		/* threads that receive */
	int result;			/* why they stop, 0 for sbus_stop() */
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

SBUS_API void sbus_stop(struct sbus *bus)
{
	atomic_store(&bus->stopping, true);
	sem_post(&bus->wake);
}

static void fail(struct server *server, int result)
{
	pthread_mutex_lock(&server->lock);
	if (!server->result)
		server->result = result;
	pthread_mutex_unlock(&server->lock);
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
		if (r == -EINTR) {
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

static void finish(struct worker *worker)
{
	struct server *server = worker->server;

	pthread_mutex_lock(&server->lock);
	server->inside--;
	pthread_cond_signal(&server->left);
	pthread_mutex_unlock(&server->lock);
}

static void *worker_main(void *arg)
{
	work(arg);
	finish(arg);
	return NULL;
}

/* Has one receiver of @bus wake up with a message: 0 or -errno. */
static int wake_one(struct sbus *bus)
{
	struct symphony_join join = { .pool_size = SYMPHONY_POOL_MIN };
	struct symphony_watch watch = { .size = sizeof(watch) };
	int fd, r;

	fd = bus_join(bus->device, bus->name, &join, NULL);
	if (fd < 0)
		return fd;
	watch.endpoint = join.endpoint;
	r = bus_ioctl(bus, SYMPHONY_IOC_WATCH, &watch);
	close(fd);
	return r;
}

static bool own_descriptors(int keep)
{
	if (close_range(keep + 1, ~0U, CLOSE_RANGE_UNSHARE))
		return false;
	if (keep)
		close_range(0, keep - 1, 0);
	return true;
}

static void wake_all(struct server *server)
{
	struct sbus *bus = server->bus;
	struct timespec until;
	unsigned int inside;
	uint64_t when;

	pthread_mutex_lock(&server->lock);
	while ((inside = server->inside)) {
		pthread_mutex_unlock(&server->lock);
		wake_one(bus);
		when = sbus_now() + WAKE_AGAIN_NS;
		until.tv_sec = when / 1000000000;
		until.tv_nsec = when % 1000000000;
		pthread_mutex_lock(&server->lock);
		while (server->inside == inside &&
		       !pthread_cond_clockwait(&server->left, &server->lock, CLOCK_MONOTONIC,
					       &until))
			;
	}
	pthread_mutex_unlock(&server->lock);
}

static void *clock_main(void *arg)
{
	struct server *server = arg;
	struct sbus *bus = server->bus;
	struct timespec until;
	uint64_t when;
	bool own;

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
	own = own_descriptors(bus->fd);
	wake_all(server);
	/* A thread's table goes only after pthread_join() has returned. */
	if (own)
		close(bus->fd);
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
	server->inside = 1;
	for (unsigned int i = 1; i < nr && !r; i++) {
		pthread_mutex_lock(&server->lock);
		server->inside++;
		pthread_mutex_unlock(&server->lock);
		r = start_thread(&workers[i].thread, worker_main, &workers[i]);
		if (r)
			finish(&workers[i]);
		else
			started = i;
	}
	if (r)
		fail(server, r);
	workers[0].interruptible = true;
	worker_main(&workers[0]);
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
	pthread_mutex_init(&server.lock, NULL);
	pthread_cond_init(&server.left, NULL);
	for (unsigned int i = 0; i < nr; i++) {
		workers[i].server = &server;
		receiver_init(&workers[i].receiver, bus, params->batch ? params->batch : 1);
	}
	sbus_ref(bus);
	atomic_store(&bus->serving, true);
	r = serve(&server, workers, nr);
	atomic_store(&bus->serving, false);
	atomic_store(&bus->stopping, false);
	while (!sem_trywait(&bus->wake))
		;
	for (unsigned int i = 0; i < nr; i++)
		receiver_deinit(&workers[i].receiver);
	free(workers);
	pthread_cond_destroy(&server.left);
	pthread_mutex_destroy(&server.lock);
	atomic_store(&bus->processed, false);
	sbus_unref(bus);
	return r ? sbus_error_set(error, r, "serving on bus \"%s\" ended: %s", bus->name,
				  error_text(r)) : 0;
}
