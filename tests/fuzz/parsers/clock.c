// SPDX-License-Identifier: MIT
/* The Pit's timers without a thread: in the place of libbus/clock.c, they run when told. */
#include <stdlib.h>

#include "../../../libbus/completion.h"
#include "../../../libbus/pit.h"
#include "kernel.h"

static struct sbus_timer *armed[4096];
static size_t nr_armed;

void clock_init(struct clock *clock)
{
	clock->nr = 0;
}

void clock_stop(struct clock *clock)
{
	CHECK(!clock->nr);
}

void clock_deinit(struct clock *clock)
{
	CHECK(!clock->nr);
}

void clock_clear(struct clock *clock, struct sbus_timer *timer)
{
	for (size_t i = 0; i < nr_armed; i++) {
		if (armed[i] != timer)
			continue;
		/* Among equals, the first that was set is the first to run. */
		for (nr_armed--; i < nr_armed; i++)
			armed[i] = armed[i + 1];
		clock->nr--;
		break;
	}
	timer->place = 0;
}

int clock_set(struct clock *clock, struct sbus_timer *timer, uint64_t when)
{
	clock_clear(clock, timer);
	if (nr_armed == sizeof(armed) / sizeof(*armed))
		return -EAGAIN;
	timer->when = when;
	timer->place = 1;
	armed[nr_armed++] = timer;
	clock->nr++;
	return 0;
}

static struct sbus_timer *due(uint64_t now)
{
	struct sbus_timer *first = NULL;

	for (size_t i = 0; i < nr_armed; i++)
		if (armed[i]->when <= now && (!first || armed[i]->when < first->when))
			first = armed[i];
	return first;
}

void clock_run(uint64_t now)
{
	struct sbus_timer *timer;

	/* One that arms itself for now, always, would be the extension's fault. */
	for (int i = 0; (timer = due(now)); i++) {
		struct sbus_member *member = timer->member;

		CHECK(i < 100000);
		clock_clear(&member->pit->clock, timer);
		if (timer->completion) {
			struct sbus_completion *completion = completion_get(timer->completion);

			completion_cancel(completion, -ETIMEDOUT);
			completion_put(completion);
			continue;
		}
		member_enter(member);
		timer->fn(member->self, timer->arg);
		member_leave(member);
	}
}

int sbus_timer_new(struct sbus_member *member, void (*fn)(void *self, void *arg), void *arg,
		   struct sbus_timer **ret)
{
	struct sbus_timer *timer = calloc(1, sizeof(*timer));

	if (!timer)
		return -ENOMEM;
	timer->member = member;
	timer->fn = fn;
	timer->arg = arg;
	list_add_tail(&timer->node, &member->timers);
	*ret = timer;
	return 0;
}

int sbus_timer_set(struct sbus_timer *timer, uint64_t when)
{
	if (when)
		return clock_set(&timer->member->pit->clock, timer, when);
	clock_clear(&timer->member->pit->clock, timer);
	return 0;
}

void sbus_timer_free(struct sbus_timer *timer)
{
	if (!timer)
		return;
	clock_clear(&timer->member->pit->clock, timer);
	list_del(&timer->node);
	free(timer);
}
