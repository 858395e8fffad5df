// SPDX-License-Identifier: MIT
/*
 * dag_tracker against a model that is too simple to be wrong: it asks for every
 * node, every time, whether all before it are done. Random graphs, outcomes,
 * pauses, deaths and cancellations; after each step every node has to be as in
 * the model, and the ready ones in its order.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <kselftest_harness.h>

#include "sim.h"

#define MAX_NODES 14
#define STEPS 120
#define SEEDS 100
#define MAX_TAKERS STEPS

enum state { PENDING, READY, RUNNING, BACKOFF, DONE, FAILED, CANCELLED };
static const char *const state_names[] = {
	"pending", "ready", "running", "backoff", "done", "failed", "cancelled"
};

struct taker {
	struct sim_call *call;
	uint64_t sender;
	unsigned int limit, got;
	bool over, unheard;
};

struct world {
	struct sim *sim;
	unsigned int seed;
	uint64_t now, tick, last_sender, sender;
	int n;
	bool edge[MAX_NODES][MAX_NODES];
	struct {
		enum state state;
		unsigned int attempts, max_attempts;
		uint64_t since, until, sender;	/* order of states; BACKOFF; RUNNING */
	} nodes[MAX_NODES];
	struct taker takers[MAX_TAKERS];
	int n_takers;
};

static unsigned int rnd(struct world *w, unsigned int n)
{
	return rand_r(&w->seed) % n;
}

static bool final(enum state s)
{
	return s >= DONE;
}

static bool all_final(const struct world *w)
{
	for (int i = 0; i < w->n; i++)
		if (!final(w->nodes[i].state))
			return false;
	return true;
}

static void refresh(struct world *w)
{
	bool changed;

	do {
		changed = false;
		for (int i = 0; i < w->n; i++) {
			bool all = true, never = false;

			if (w->nodes[i].state != PENDING)
				continue;
			for (int p = 0; p < w->n; p++) {
				if (!w->edge[p][i])
					continue;
				all &= w->nodes[p].state == DONE;
				never |= w->nodes[p].state == FAILED ||
					 w->nodes[p].state == CANCELLED;
			}
			if (!all && !never)
				continue;
			w->nodes[i].state = never ? CANCELLED : READY;
			w->nodes[i].since = ++w->tick;
			changed = true;
		}
	} while (changed);
}

static int first_ready(const struct world *w)
{
	int first = -1;

	for (int i = 0; i < w->n; i++)
		if (w->nodes[i].state == READY &&
		    (first < 0 || w->nodes[i].since < w->nodes[first].since))
			first = i;
	return first;
}

static unsigned int take(struct world *w, unsigned int limit, uint64_t sender)
{
	unsigned int got = 0;
	int i;

	while (got < limit && (i = first_ready(w)) >= 0) {
		w->nodes[i].state = RUNNING;
		w->nodes[i].since = ++w->tick;
		w->nodes[i].attempts++;
		w->nodes[i].sender = sender;
		got++;
	}
	return got;
}

static void settle(struct world *w)
{
	refresh(w);
	for (int i = 0; i < w->n_takers; i++) {
		struct taker *t = &w->takers[i];

		if (t->over || (first_ready(w) < 0 && !all_final(w)))
			continue;
		t->over = true;
		/* What nobody hears of changes nothing. */
		if (!t->unheard)
			t->got = take(w, t->limit, t->sender);
	}
}

static void fail(struct world *w, int i, bool again)
{
	unsigned int pause = 5;

	if (!again || w->nodes[i].attempts >= w->nodes[i].max_attempts) {
		w->nodes[i].state = FAILED;
		return;
	}
	for (unsigned int k = 1; k < w->nodes[i].attempts; k++)
		pause *= 2;
	w->nodes[i].state = BACKOFF;
	w->nodes[i].since = ++w->tick;
	w->nodes[i].until = w->now + (pause < 17 ? pause : 17);
}

static void create(struct world *w)
{
	char json[4096];
	int n = 0;

	w->n = 1 + rnd(w, MAX_NODES);
	n += snprintf(json, sizeof(json), "{'workflow':'w','backoff_ms':5,"
		      "'backoff_max_ms':17,'nodes':[");
	for (int i = 0; i < w->n; i++) {
		w->nodes[i].max_attempts = 1 + rnd(w, 4);
		n += snprintf(json + n, sizeof(json) - n,
			      "%s{'id':'n%d','max_attempts':%u}", i ? "," : "",
			      i, w->nodes[i].max_attempts);
	}
	n += snprintf(json + n, sizeof(json) - n, "],'edges':[");
	/* Against the order of the numbers as often as with it. */
	for (int i = 0, any = 0, back = rnd(w, 2); i < w->n; i++)
		for (int j = i + 1; j < w->n; j++) {
			int from = back ? j : i, to = back ? i : j;

			if (rnd(w, 3))
				continue;
			w->edge[from][to] = true;
			n += snprintf(json + n, sizeof(json) - n,
				      "%s['n%d','n%d']", any++ ? "," : "", from,
				      to);
		}
	snprintf(json + n, sizeof(json) - n, "]}");
	sim_call(w->sim, 0, "create", "%s", json);
	settle(w);
}

static void ask_to_take(struct world *w)
{
	struct taker *t = &w->takers[w->n_takers++];

	t->limit = 1 + rnd(w, 3);
	t->sender = rnd(w, 2) ? w->sender : 0;
	t->call = sim_call(w->sim, t->sender, "take",
			   "{'workflow':'w','wait':true,'limit':%u}", t->limit);
	settle(w);
}

static int pick(struct world *w, enum state state)
{
	for (int tries = 0; tries < 30; tries++) {
		int i = rnd(w, w->n);

		if (w->nodes[i].state == state)
			return i;
	}
	return -1;
}

static void complete(struct world *w)
{
	int i = pick(w, RUNNING);

	if (i < 0)
		return;
	sim_call(w->sim, 0, "complete", "{'workflow':'w','node':'n%d'}", i);
	w->nodes[i].state = DONE;
	settle(w);
}

static void give_up(struct world *w)
{
	for (int i = 0; i < w->n_takers; i++) {
		struct taker *t = &w->takers[i];

		if (t->over || t->unheard || rnd(w, 2))
			continue;
		t->unheard = true;
		if (rnd(w, 2)) {
			sim_abandon(t->call);
		} else {
			sim_cancel(t->call);
			t->over = true;
		}
		break;
	}
	settle(w);
}

static void die(struct world *w)
{
	if (w->last_sender == 63)
		return;
	for (int i = 0; i < w->n_takers; i++)
		if (!w->takers[i].over && w->takers[i].sender == w->sender)
			w->takers[i].unheard = true;
	sim_die(w->sim, w->sender);
	for (;;) {
		int first = -1;

		for (int i = 0; i < w->n; i++)
			if (w->nodes[i].state == RUNNING &&
			    w->nodes[i].sender == w->sender &&
			    (first < 0 ||
			     w->nodes[i].since < w->nodes[first].since))
				first = i;
		if (first < 0)
			break;
		fail(w, first, true);
		settle(w);
	}
	for (int i = 0; i < w->n_takers; i++)
		if (w->takers[i].sender == w->sender)
			w->takers[i].over = true;
	w->sender = ++w->last_sender;
	settle(w);
}

static void advance(struct world *w)
{
	uint64_t until = w->now + rnd(w, 12);

	sim_advance(w->sim, until - w->now);
	for (;;) {
		int first = -1;

		for (int i = 0; i < w->n; i++)
			if (w->nodes[i].state == BACKOFF &&
			    w->nodes[i].until <= until &&
			    (first < 0 ||
			     w->nodes[i].until < w->nodes[first].until ||
			     (w->nodes[i].until == w->nodes[first].until &&
			      w->nodes[i].since < w->nodes[first].since)))
				first = i;
		if (first < 0)
			break;
		w->nodes[first].state = READY;
		w->nodes[first].since = ++w->tick;
		settle(w);
	}
	w->now = until;
}

static void report_failure(struct world *w, int i, bool again)
{
	sim_call(w->sim, 0, "fail",
		 "{'workflow':'w','node':'n%d','retry':%s}", i,
		 again ? "true" : "false");
	fail(w, i, again);
	settle(w);
}

static void step(struct world *w)
{
	int i;

	switch (rnd(w, 12)) {
	case 0 ... 3:
		ask_to_take(w);
		break;
	case 4 ... 6:
		complete(w);
		break;
	case 7 ... 8:
		i = pick(w, RUNNING);
		if (i >= 0)
			report_failure(w, i, rnd(w, 6));
		break;
	case 9:
		advance(w);
		break;
	case 10:
		give_up(w);
		break;
	default:
		if (rnd(w, 4)) {
			die(w);
			break;
		}
		i = rnd(w, w->n);
		if (final(w->nodes[i].state))
			break;
		sim_call(w->sim, 0, "cancel", "{'workflow':'w','node':'n%d'}", i);
		w->nodes[i].state = CANCELLED;
		settle(w);
	}
}

static int differs(struct __test_metadata *_metadata, const struct world *w)
{
	for (int i = 0; i < w->n; i++) {
		struct sim_call *c = sim_call(w->sim, 0, "node",
					      "{'workflow':'w','node':'n%d'}", i);

		if (strcmp(sim_str(c, "/state"),
			   state_names[w->nodes[i].state]) ||
		    sim_uint(c, "/attempts") != w->nodes[i].attempts) {
			TH_LOG("n%d is %s after %llu attempts, in the model %s after %u",
			       i, sim_str(c, "/state"),
			       (unsigned long long)sim_uint(c, "/attempts"),
			       state_names[w->nodes[i].state],
			       w->nodes[i].attempts);
			return 1;
		}
	}
	for (int i = 0; i < w->n_takers; i++) {
		const struct taker *t = &w->takers[i];

		if (t->unheard)
			continue;
		if (t->call->done != t->over ||
		    (t->over && sim_size(t->call, "/nodes") != t->got)) {
			TH_LOG("take %d: done %d, in the model %d with %u nodes",
			       i, t->call->done, t->over, t->got);
			return 1;
		}
	}
	return sim_bool(sim_call(w->sim, 0, "progress", "{'workflow':'w'}"),
			"/done") != all_final(w);
}

TEST(random_workflows_advance_as_a_simple_model_does)
{
	static struct world w;

	for (unsigned int seed = 1; seed <= SEEDS; seed++) {
		w = (struct world){ .seed = seed, .sender = 1, .last_sender = 1 };
		w.sim = sim_new("dag_tracker", NULL);
		ASSERT_NE(NULL, w.sim);
		create(&w);
		for (int i = 0; i < STEPS; i++) {
			step(&w);
			ASSERT_EQ(0, differs(_metadata, &w))
				TH_LOG("seed %u, step %d", seed, i);
		}
		sim_free(w.sim);
	}
}

TEST_HARNESS_MAIN
