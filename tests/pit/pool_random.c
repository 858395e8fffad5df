// SPDX-License-Identifier: MIT
/*
 * pool_manager against a model that is too simple to be wrong: arrays that are
 * walked from the start for every question. Random calls, deaths, timeouts and
 * answers that nobody gets; after each, every outcome and every sum has to be
 * the model's.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <kselftest_harness.h>

#include "sim.h"

#define N_MODELS 6
#define N_SENDERS 3
#define STEPS 300
#define SEEDS 30

enum model_state { COLD, WARMING, HOT, FAILED };
static const char *const state_names[] = { "cold", "warming", "hot", "failed" };

enum ask_state { QUEUED, AWAITS_HOT, HELD, OVER };

struct ask {
	struct sim_call *call;
	enum ask_state state;
	int model;			/* -1: none */
	uint64_t units, sender, expires;
	bool wait_hot, loader, unheard;
	int64_t code;			/* OVER before it was HELD */
	bool was_held;
	uint64_t room_at;		/* order of grants */
};

struct world {
	struct sim *sim;
	unsigned int seed;
	uint64_t now, capacity, tick;
	struct {
		enum model_state state;
		uint64_t size, idle_since;
		int loader;		/* index of an ask, or -1 */
	} models[N_MODELS];
	struct ask asks[STEPS];
	int n_asks;
	uint64_t senders[N_SENDERS], last_sender;
};

static unsigned int rnd(struct world *w, unsigned int n)
{
	return rand_r(&w->seed) % n;
}

static bool resident(const struct world *w, int m)
{
	return w->models[m].state == WARMING || w->models[m].state == HOT;
}

static int leases_on(const struct world *w, int m)
{
	int n = 0;

	for (int i = 0; i < w->n_asks; i++)
		n += w->asks[i].model == m && (w->asks[i].state == AWAITS_HOT ||
					       w->asks[i].state == HELD);
	return n;
}

static uint64_t used(const struct world *w)
{
	uint64_t sum = 0;

	for (int m = 0; m < N_MODELS; m++)
		sum += resident(w, m) ? w->models[m].size : 0;
	for (int i = 0; i < w->n_asks; i++)
		if (w->asks[i].state == AWAITS_HOT || w->asks[i].state == HELD)
			sum += w->asks[i].units;
	return sum;
}

static bool is_idle(const struct world *w, int m)
{
	return w->models[m].state == HOT && !leases_on(w, m);
}

static uint64_t idle(const struct world *w, int spared)
{
	uint64_t sum = 0;

	for (int m = 0; m < N_MODELS; m++)
		sum += m != spared && is_idle(w, m) ? w->models[m].size : 0;
	return sum;
}

static void evict_until(struct world *w, uint64_t need, int spared)
{
	while (used(w) + need > w->capacity) {
		int oldest = -1;

		for (int m = 0; m < N_MODELS; m++)
			if (m != spared && is_idle(w, m) &&
			    (oldest < 0 || w->models[m].idle_since <
					   w->models[oldest].idle_since))
				oldest = m;
		if (oldest < 0)
			break;
		w->models[oldest].state = COLD;
	}
}

static void end(struct world *w, int i, int64_t code)
{
	struct ask *a = &w->asks[i];
	bool had_room = a->state != QUEUED;

	a->was_held = a->state == HELD;
	a->state = OVER;
	a->code = code;
	if (a->model < 0 || !had_room)
		return;
	if (w->models[a->model].loader == i)
		w->models[a->model].loader = -1;
	if (leases_on(w, a->model))
		return;
	if (w->models[a->model].state == WARMING)
		w->models[a->model].state = COLD;
	w->models[a->model].idle_since = ++w->tick;
}

static void tell(struct world *w, int i)
{
	if (w->asks[i].unheard)
		end(w, i, ECANCELED);
	else
		w->asks[i].state = HELD;
}

static int first_awaiting(const struct world *w, int m)
{
	int first = -1;

	for (int i = 0; i < w->n_asks; i++)
		if (w->asks[i].state == AWAITS_HOT && w->asks[i].model == m &&
		    (first < 0 || w->asks[i].room_at < w->asks[first].room_at))
			first = i;
	return first;
}

static void settle_models(struct world *w)
{
	for (int m = 0; m < N_MODELS; m++) {
		int i;

		while ((i = first_awaiting(w, m)) >= 0) {
			if (w->models[m].state == WARMING) {
				if (w->models[m].loader >= 0)
					break;
				w->models[m].loader = i;
				w->asks[i].loader = true;
			}
			tell(w, i);
		}
	}
}

static bool grant_head(struct world *w)
{
	struct ask *a;
	uint64_t need;
	int i = 0, m;

	while (i < w->n_asks && w->asks[i].state != QUEUED)
		i++;
	if (i == w->n_asks)
		return false;
	a = &w->asks[i];
	m = a->model;
	need = a->units + (m >= 0 && !resident(w, m) ? w->models[m].size : 0);
	/* What needs no room fits, even in a pool that was made too small. */
	if (need && used(w) - idle(w, m) + need > w->capacity)
		return false;
	if (need)
		evict_until(w, need, m);
	a->state = AWAITS_HOT;
	a->room_at = ++w->tick;
	if (m >= 0 && !resident(w, m))
		w->models[m].state = WARMING;
	if (m >= 0 && w->models[m].state == WARMING && w->models[m].loader < 0) {
		w->models[m].loader = i;
		a->loader = true;
	}
	if (m < 0 || w->models[m].state == HOT || !a->wait_hot || a->loader)
		tell(w, i);
	return true;
}

static void settle(struct world *w)
{
	do {
		settle_models(w);
	} while (grant_head(w));
}

/* --- steps --------------------------------------------------------------------- */

static void acquire(struct world *w)
{
	struct ask *a = &w->asks[w->n_asks];
	bool timed = rnd(w, 3) == 0;
	char params[200];
	uint64_t timeout = 0, most;
	int n;

	a->model = (int)rnd(w, N_MODELS + 2) - 2;
	a->model = a->model < 0 ? -1 : a->model;
	a->units = a->model < 0 ? 1 + rnd(w, 12) : rnd(w, 4);
	a->wait_hot = rnd(w, 2);
	a->sender = rnd(w, 2) ? 0 : w->senders[rnd(w, N_SENDERS)];
	a->expires = UINT64_MAX;
	while (timed) {
		/* No two at the same time: their order would be anybody's. */
		timeout = 1 + rnd(w, 400);
		a->expires = w->now + timeout;
		timed = false;
		for (int i = 0; i < w->n_asks; i++)
			timed |= w->asks[i].expires == a->expires;
	}
	n = snprintf(params, sizeof(params), "{'units':%llu,'wait_hot':%s",
		     (unsigned long long)a->units, a->wait_hot ? "true" : "false");
	if (a->model >= 0)
		n += snprintf(params + n, sizeof(params) - n, ",'model':'m%d'",
			      a->model);
	if (timeout)
		n += snprintf(params + n, sizeof(params) - n,
			      ",'timeout_ms':%llu", (unsigned long long)timeout);
	snprintf(params + n, sizeof(params) - n, "}");
	a->call = sim_call(w->sim, a->sender, "acquire", "%s", params);

	w->n_asks++;
	most = a->units + (a->model >= 0 ? w->models[a->model].size : 0);
	a->state = QUEUED;
	if (a->model >= 0 && w->models[a->model].state == FAILED)
		end(w, w->n_asks - 1, EIO);
	else if (most > w->capacity)
		end(w, w->n_asks - 1, ERANGE);
	settle(w);
}

/* Any ask in the given state, or -1. */
static int pick(struct world *w, enum ask_state state)
{
	for (int tries = 0; w->n_asks && tries < 30; tries++) {
		int i = rnd(w, w->n_asks);

		if (w->asks[i].state == state && !w->asks[i].unheard)
			return i;
	}
	return -1;
}

static void release(struct world *w, int i)
{
	sim_call(w->sim, 0, "release", "{'lease':%llu}",
		 (unsigned long long)sim_uint(w->asks[i].call, "/lease"));
	end(w, i, 0);
	settle(w);
}

static void report(struct world *w)
{
	int m = rnd(w, N_MODELS);
	enum model_state to = rnd(w, 10) ? (rnd(w, 3) ? HOT : COLD) : FAILED;

	sim_call(w->sim, 0, "report", "{'model':'m%d','state':'%s'}", m,
		 state_names[to]);
	switch (to) {
	case HOT:
		if (w->models[m].state != WARMING)
			break;
		w->models[m].state = HOT;
		w->models[m].loader = -1;
		break;
	case COLD:
		if (w->models[m].state != WARMING &&
		    (w->models[m].state != HOT || is_idle(w, m)))
			w->models[m].state = COLD;
		break;
	default:
		if (!resident(w, m))
			break;
		w->models[m].state = FAILED;
		w->models[m].loader = -1;
		for (int i = 0; i < w->n_asks; i++)
			if (w->asks[i].model == m && w->asks[i].state < HELD)
				end(w, i, EIO);
	}
	settle(w);
}

static void give_up(struct world *w, bool heard)
{
	int i = pick(w, rnd(w, 2) ? QUEUED : AWAITS_HOT);

	if (i < 0)
		return;
	if (!heard) {
		sim_abandon(w->asks[i].call);
		w->asks[i].unheard = true;
		return;
	}
	sim_cancel(w->asks[i].call);
	end(w, i, ECANCELED);
	settle(w);
}

static void die(struct world *w)
{
	int s = rnd(w, N_SENDERS);
	uint64_t sender = w->senders[s];

	if (w->last_sender == 63)
		return;
	sim_die(w->sim, sender);
	w->senders[s] = ++w->last_sender;
	for (int i = 0; i < w->n_asks; i++)
		if (w->asks[i].sender == sender && w->asks[i].state < HELD)
			w->asks[i].unheard = true;
	for (int i = 0; i < w->n_asks; i++)
		if (w->asks[i].sender == sender && w->asks[i].state != OVER) {
			end(w, i, ECONNRESET);
			settle(w);
		}
}

static void advance(struct world *w)
{
	uint64_t until = w->now + rnd(w, 60);

	sim_advance(w->sim, until - w->now);
	for (;;) {
		int first = -1;

		for (int i = 0; i < w->n_asks; i++)
			if (w->asks[i].state < HELD &&
			    w->asks[i].expires <= until &&
			    (first < 0 ||
			     w->asks[i].expires < w->asks[first].expires))
				first = i;
		if (first < 0)
			break;
		end(w, first, ETIMEDOUT);
		settle(w);
	}
	w->now = until;
}

static void resize(struct world *w)
{
	w->capacity = 8 + rnd(w, 10);
	sim_call(w->sim, 0, "resize_pool", "{'pool':'default','capacity':%llu}",
		 (unsigned long long)w->capacity);
	for (int i = 0; i < w->n_asks; i++) {
		const struct ask *a = &w->asks[i];
		uint64_t most = a->units + (a->model >= 0 ?
					    w->models[a->model].size : 0);

		if (a->state == QUEUED && most > w->capacity)
			end(w, i, ERANGE);
	}
	evict_until(w, 0, -1);
	settle(w);
}

static void step(struct world *w)
{
	int i;

	switch (rnd(w, 20)) {
	case 0 ... 6:
		acquire(w);
		break;
	case 7 ... 12:
		i = pick(w, HELD);
		if (i >= 0)
			release(w, i);
		break;
	case 13 ... 15:
		report(w);
		break;
	case 16:
		give_up(w, true);
		break;
	case 17:
		give_up(w, false);
		break;
	case 18:
		advance(w);
		break;
	default:
		if (rnd(w, 3))
			resize(w);
		else
			die(w);
	}
}

/* --- comparison ------------------------------------------------------------------ */

static int outcomes_differ(struct __test_metadata *_metadata,
			   const struct world *w)
{
	for (int i = 0; i < w->n_asks; i++) {
		const struct ask *a = &w->asks[i];
		bool held = a->state == HELD || (a->state == OVER && a->was_held);

		if (a->unheard)
			continue;
		if (a->call->done != (a->state >= HELD) ||
		    a->call->failed != (a->state == OVER && !held) ||
		    (a->call->failed && a->call->code != a->code) ||
		    (held && a->model >= 0 &&
		     sim_bool(a->call, "/loader") != a->loader)) {
			TH_LOG("ask %d: done %d failed %d code %lld, model: state %d code %lld",
			       i, a->call->done, a->call->failed,
			       (long long)a->call->code, a->state,
			       (long long)a->code);
			return 1;
		}
	}
	return 0;
}

static int sums_differ(struct __test_metadata *_metadata, const struct world *w)
{
	struct sim_call *stat = sim_call(w->sim, 0, "stat", "{}");
	uint64_t waiting = 0, leases = 0;

	for (int i = 0; i < w->n_asks; i++) {
		waiting += w->asks[i].state == QUEUED;
		leases += w->asks[i].state == HELD;
	}
	if (sim_uint(stat, "/used") != used(w) ||
	    sim_uint(stat, "/idle") != idle(w, -1) ||
	    sim_uint(stat, "/waiting") != waiting ||
	    sim_uint(stat, "/leases") != leases) {
		TH_LOG("used %llu idle %llu waiting %llu leases %llu, model: %llu %llu %llu %llu",
		       (unsigned long long)sim_uint(stat, "/used"),
		       (unsigned long long)sim_uint(stat, "/idle"),
		       (unsigned long long)sim_uint(stat, "/waiting"),
		       (unsigned long long)sim_uint(stat, "/leases"),
		       (unsigned long long)used(w),
		       (unsigned long long)idle(w, -1),
		       (unsigned long long)waiting, (unsigned long long)leases);
		return 1;
	}
	for (int m = 0; m < N_MODELS; m++) {
		struct sim_call *c = sim_call(w->sim, 0, "stat_model",
					      "{'model':'m%d'}", m);

		if (strcmp(sim_str(c, "/state"), state_names[w->models[m].state])) {
			TH_LOG("m%d is %s, in the model %s", m,
			       sim_str(c, "/state"),
			       state_names[w->models[m].state]);
			return 1;
		}
	}
	return 0;
}

TEST(random_calls_have_the_outcomes_of_a_simple_model)
{
	static struct world w;

	for (unsigned int seed = 1; seed <= SEEDS; seed++) {
		w = (struct world){ .seed = seed, .capacity = 12 };
		w.sim = sim_new("pool_manager", "{\"capacity\":12}");
		ASSERT_NE(NULL, w.sim);
		for (int s = 0; s < N_SENDERS; s++)
			w.senders[s] = ++w.last_sender;
		for (int m = 0; m < N_MODELS; m++) {
			w.models[m].size = m + 1;
			w.models[m].loader = -1;
			sim_call(w.sim, 0, "define_model",
				 "{'model':'m%d','size':%d}", m, m + 1);
		}
		for (int i = 0; i < STEPS; i++) {
			step(&w);
			ASSERT_EQ(0, outcomes_differ(_metadata, &w) ||
				     sums_differ(_metadata, &w))
				TH_LOG("seed %u, step %d", seed, i);
		}
		sim_free(w.sim);
	}
}

TEST_HARNESS_MAIN
