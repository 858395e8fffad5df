// SPDX-License-Identifier: MIT
/*
 * The Pit's timers: a heap, and a thread that is started for the first of them.
 *
 * A member's timer is armed, disarmed and freed with the member's mutex held,
 * which the thread takes before it looks at the heap again and takes the timer
 * off: so a timer that was disarmed does not run, and one that runs is there.
 */
#include "clock.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "completion.h"
#include "pit.h"

static void put(struct clock *clock, size_t place, struct sbus_timer *timer)
{
	clock->heap[place] = timer;
	timer->place = place;
}

static void sift_up(struct clock *clock, size_t place, struct sbus_timer *timer)
{
	while (place > 1 && clock->heap[place / 2]->when > timer->when) {
		put(clock, place, clock->heap[place / 2]);
		place /= 2;
	}
	put(clock, place, timer);
}

static void sift_down(struct clock *clock, size_t place, struct sbus_timer *timer)
{
	size_t child;

	while ((child = 2 * place) <= clock->nr) {
		if (child < clock->nr &&
		    clock->heap[child + 1]->when < clock->heap[child]->when)
			child++;
		if (clock->heap[child]->when >= timer->when)
			break;
		put(clock, place, clock->heap[child]);
		place = child;
	}
	put(clock, place, timer);
}

static void remove_locked(struct clock *clock, struct sbus_timer *timer)
{
	struct sbus_timer *last;
	size_t place = timer->place;

	if (!place)
		return;
	timer->place = 0;
	last = clock->heap[clock->nr--];
	if (last == timer)
		return;
	if (place > 1 && clock->heap[place / 2]->when > last->when)
		sift_up(clock, place, last);
	else
		sift_down(clock, place, last);
}

static struct sbus_timer *due_locked(struct clock *clock)
{
	if (!clock->nr || clock->heap[1]->when > sbus_now())
		return NULL;
	return clock->heap[1];
}

static void wait_locked(struct clock *clock)
{
	struct timespec until;

	if (!clock->nr) {
		pthread_cond_wait(&clock->changed, &clock->lock);
		return;
	}
	until.tv_sec = clock->heap[1]->when / 1000000000;
	until.tv_nsec = clock->heap[1]->when % 1000000000;
	pthread_cond_clockwait(&clock->changed, &clock->lock, CLOCK_MONOTONIC, &until);
}

/* A deadline passed: the reference keeps the completion after its timer is off. */
static void expire_locked(struct clock *clock, struct sbus_timer *timer)
{
	struct sbus_completion *completion = completion_get(timer->completion);

	remove_locked(clock, timer);
	pthread_mutex_unlock(&clock->lock);
	completion_cancel(completion, -ETIMEDOUT);
	completion_put(completion);
	pthread_mutex_lock(&clock->lock);
}

static void run_locked(struct clock *clock, struct sbus_member *member)
{
	void (*fn)(void *self, void *arg) = NULL;
	struct sbus_timer *timer;
	void *arg = NULL;

	pthread_mutex_unlock(&clock->lock);
	member_enter(member);
	pthread_mutex_lock(&clock->lock);
	timer = due_locked(clock);
	if (timer && timer->member == member && !timer->completion) {
		remove_locked(clock, timer);
		fn = timer->fn;
		arg = timer->arg;
	}
	pthread_mutex_unlock(&clock->lock);
	if (fn)
		fn(member->self, arg);
	member_leave(member);
	pthread_mutex_lock(&clock->lock);
}

static void *clock_main(void *arg)
{
	struct clock *clock = arg;
	struct sbus_timer *timer;

	pthread_mutex_lock(&clock->lock);
	while (!clock->stopping) {
		timer = due_locked(clock);
		if (!timer)
			wait_locked(clock);
		else if (timer->completion)
			expire_locked(clock, timer);
		else
			run_locked(clock, timer->member);
	}
	pthread_mutex_unlock(&clock->lock);
	return NULL;
}

static int start_locked(struct clock *clock)
{
	sigset_t all, old;
	int r;

	if (clock->running)
		return 0;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = -pthread_create(&clock->thread, NULL, clock_main, clock);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	clock->running = !r;
	return r;
}

static int reserve_locked(struct clock *clock)
{
	size_t size = clock->size ? 2 * clock->size : 16;
	struct sbus_timer **heap;

	if (clock->nr + 1 < clock->size)
		return 0;
	heap = realloc(clock->heap, size * sizeof(*heap));
	if (!heap)
		return -ENOMEM;
	clock->heap = heap;
	clock->size = size;
	return 0;
}

int clock_set(struct clock *clock, struct sbus_timer *timer, uint64_t when)
{
	int r;

	pthread_mutex_lock(&clock->lock);
	remove_locked(clock, timer);
	r = start_locked(clock);
	if (!r)
		r = reserve_locked(clock);
	if (!r) {
		timer->when = when;
		sift_up(clock, ++clock->nr, timer);
		if (timer->place == 1)
			pthread_cond_signal(&clock->changed);
	}
	pthread_mutex_unlock(&clock->lock);
	return r;
}

void clock_clear(struct clock *clock, struct sbus_timer *timer)
{
	pthread_mutex_lock(&clock->lock);
	remove_locked(clock, timer);
	pthread_mutex_unlock(&clock->lock);
}

void clock_init(struct clock *clock)
{
	pthread_mutex_init(&clock->lock, NULL);
	pthread_cond_init(&clock->changed, NULL);
}

void clock_stop(struct clock *clock)
{
	if (!clock->running)
		return;
	pthread_mutex_lock(&clock->lock);
	clock->stopping = true;
	pthread_cond_signal(&clock->changed);
	pthread_mutex_unlock(&clock->lock);
	pthread_join(clock->thread, NULL);
	clock->running = clock->stopping = false;
}

void clock_deinit(struct clock *clock)
{
	free(clock->heap);
	pthread_cond_destroy(&clock->changed);
	pthread_mutex_destroy(&clock->lock);
}

SBUS_API int sbus_timer_new(struct sbus_member *member, void (*fn)(void *self, void *arg),
			    void *arg, struct sbus_timer **ret)
{
	struct sbus_timer *timer;

	if (pit_is_foreign(member->pit))
		return -EPERM;
	timer = calloc(1, sizeof(*timer));
	if (!timer)
		return -ENOMEM;
	timer->member = member;
	timer->fn = fn;
	timer->arg = arg;
	list_add_tail(&timer->node, &member->timers);
	*ret = timer;
	return 0;
}

SBUS_API int sbus_timer_set(struct sbus_timer *timer, uint64_t when)
{
	if (pit_is_foreign(timer->member->pit))
		return -EPERM;
	if (when)
		return clock_set(&timer->member->pit->clock, timer, when);
	clock_clear(&timer->member->pit->clock, timer);
	return 0;
}

SBUS_API void sbus_timer_free(struct sbus_timer *timer)
{
	if (!timer || pit_is_foreign(timer->member->pit))
		return;
	clock_clear(&timer->member->pit->clock, timer);
	list_del(&timer->node);
	free(timer);
}
