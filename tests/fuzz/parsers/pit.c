// SPDX-License-Identifier: MIT
/*
 * The Pit as other processes reach it: pool_manager and dag_tracker on a bus, with
 * bodies from anybody, deaths, cancellations and time. The input is text, a line for
 * each step; what comes first says which:
 *
 *	1..7 BODY	a request to pool_manager from that process
 *	A..G BODY	the same to dag_tracker
 *	0 BODY, @ BODY	from within the process
 *	t MS		so much time passes
 *	x N		the process N dies; another takes its place
 *	c N		nobody waits for the N-th owed answer any more
 *	! N		the next N answers do not arrive
 *	p		what was sent is received later, with the next
 *
 * After each, what the two keep has to fit together.
 */
#include <ctype.h>

#include "../../../libbus/bus.h"
#include "../../../libbus/pit.h"
#include "../../../pit/dag.h"
#include "../../../pit/pool.h"
#include "kernel.h"
#include "script.h"

#define PROCESSES 8
#define MAX_MS (1ULL << 42)

static struct {
	struct sbus *bus;
	struct sbus_pit *pit;
	struct sbus_member *pool, *dag;
	uint64_t endpoints[PROCESSES];
	bool watched[64 * PROCESSES];
	bool later;
	unsigned int lost;		/* answers that will not arrive */
	size_t nr_calls, nr_told;	/* within the process */
} w;

/* --- invariants ------------------------------------------------------------- */

static size_t length(const struct pit_list *list)
{
	const struct pit_list *pos;
	size_t n = 0;

	pit_list_for_each(pos, list)
		n++;
	return n;
}

static uint64_t check_models(const struct pm_pool *pool)
{
	uint64_t used = 0, idle = 0, cooling = 0, states[PM_N_STATES] = { 0 };
	const struct pit_list *pos;

	pit_list_for_each(pos, &pool->models) {
		const struct pm_model *model =
			pit_container_of(pos, const struct pm_model, in_pool);

		CHECK(model->pool == pool && pm_model_find(pool->pm, model->name) == model);
		states[model->state]++;
		if (pm_model_resident(model))
			used += model->size;
		if (!pit_list_empty(&model->idle)) {
			CHECK(model->state == PM_HOT && !model->n_leases);
			idle += model->size;
		}
		if (model->state == PM_COOLING) {
			CHECK(!model->n_leases);
			cooling += model->size;
		}
		CHECK(model->state != PM_WARMING || model->n_leases);
		CHECK(pit_list_empty(&model->hot_waiters) || model->state == PM_WARMING);
	}
	CHECK(idle == pool->idle && cooling == pool->cooling);
	for (int i = 0; i < PM_N_STATES; i++)
		CHECK(states[i] == pool->n_models[i]);
	return used;
}

static void check_pool(const struct pm_pool *pool)
{
	uint64_t used = check_models(pool);
	const struct pit_list *pos, *hot;

	pit_list_for_each(pos, &pool->leases) {
		const struct pm_lease *lease = pit_container_of(pos, const struct pm_lease, in_pool);

		CHECK(lease->state == PM_LEASE_HELD && !lease->completion);
		CHECK(lease->held.holder && pm_lease_find(pool->pm, lease->id) == lease);
		used += lease->units;
	}
	pit_list_for_each(pos, &pool->models) {
		const struct pm_model *model =
			pit_container_of(pos, const struct pm_model, in_pool);

		pit_list_for_each(hot, &model->hot_waiters) {
			const struct pm_lease *lease =
				pit_container_of(hot, const struct pm_lease, in_model);

			CHECK(lease->state == PM_LEASE_AWAITS_HOT && lease->completion);
			used += lease->units;
		}
	}
	pit_list_for_each(pos, &pool->queue) {
		const struct pm_lease *lease = pit_container_of(pos, const struct pm_lease, in_pool);

		CHECK(lease->state == PM_LEASE_QUEUED && lease->completion);
	}
	CHECK(used == pool->used);
	CHECK(length(&pool->leases) == pool->n_leases && length(&pool->queue) == pool->n_waiting);
	/* Nobody waits who could have been granted. */
	if (!pit_list_empty(&pool->queue)) {
		const struct pm_lease *first =
			pit_container_of(pool->queue.next, const struct pm_lease, in_pool);

		CHECK(pm_lease_needs(first) > pm_pool_room(pool) ||
		      (first->model && first->model->state == PM_COOLING));
	}
}

static void check_pools(const struct pm *pm)
{
	const struct pit_list *pos;
	size_t leases = 0, models = 0;

	pit_list_for_each(pos, &pm->pool_list) {
		const struct pm_pool *pool = pit_container_of(pos, const struct pm_pool, link);

		check_pool(pool);
		leases += pool->n_leases;
		models += length(&pool->models);
	}
	CHECK(length(&pm->pool_list) == pm->pools.count);
	CHECK(leases == pm->leases.count && models == pm->models.count);
}

static void check_workflow(const struct dag_workflow *flow)
{
	const struct dag_graph *g = &flow->graph;
	uint64_t counts[DAG_N_STATES] = { 0 };
	uint32_t *waits = calloc(g->n_nodes + 1, sizeof(*waits));
	bool *never = calloc(g->n_nodes + 1, sizeof(*never));

	for (uint32_t i = 0; i < g->n_nodes; i++) {
		const struct dag_node *node = &flow->nodes[i];

		counts[node->state]++;
		CHECK((node->state == DAG_RUNNING) == (node->held.holder != NULL));
		CHECK(node->state == DAG_BACKOFF || !node->timer);
		CHECK((node->state == DAG_READY) == !pit_list_empty(&node->link));
		CHECK(node->attempts <= node->retry.max_attempts);
		for (uint32_t k = g->first[i]; k < g->first[i + 1]; k++) {
			waits[g->succ[k]] += node->state != DAG_DONE;
			never[g->succ[k]] |= node->state == DAG_FAILED ||
					     node->state == DAG_CANCELLED;
		}
	}
	for (uint32_t i = 0; i < g->n_nodes; i++) {
		const struct dag_node *node = &flow->nodes[i];

		CHECK(waits[i] == node->waits_for);
		CHECK(node->state != DAG_PENDING || waits[i]);
		CHECK(!waits[i] || node->state == DAG_PENDING || node->state == DAG_CANCELLED);
		CHECK(!never[i] || node->state == DAG_CANCELLED);
	}
	for (int i = 0; i < DAG_N_STATES; i++)
		CHECK(counts[i] == flow->counts[i]);
	CHECK(length(&flow->ready) == counts[DAG_READY]);
	if (!pit_list_empty(&flow->takers))
		CHECK(!counts[DAG_READY] && !dag_workflow_over(flow));
	if (!pit_list_empty(&flow->watchers))
		CHECK(!dag_workflow_over(flow));
	free(waits);
	free(never);
}

static void check(void)
{
	const struct dag_tracker *tracker = sbus_member_self(w.dag);
	const struct pit_list *pos;

	check_pools(sbus_member_self(w.pool));
	pit_list_for_each(pos, &tracker->workflow_list)
		check_workflow(pit_container_of(pos, const struct dag_workflow, link));
	CHECK(length(&tracker->workflow_list) == tracker->workflows.count);
}

/* --- the world --------------------------------------------------------------- */

static void on_call(const struct symphony_call *call, bool waits, struct kernel_outcome *outcome)
{
	(void)call;
	(void)waits;
	outcome->result = -ENOENT;
}

static int on_reply(uint64_t id, uint32_t flags, uint32_t content, const void *body, size_t len)
{
	yyjson_doc *doc = yyjson_read(body, len, 0);
	yyjson_val *root = yyjson_doc_get_root(doc);

	(void)id;
	CHECK(doc && content == SBUS_JSON);
	if (flags & SYMPHONY_REPLY_ERROR) {
		CHECK(yyjson_is_int(yyjson_obj_get(root, "code")));
		CHECK(yyjson_get_int(yyjson_obj_get(root, "code")));
		CHECK(yyjson_get_len(yyjson_obj_get(root, "message")));
		CHECK(yyjson_get_int(yyjson_obj_get(root, "code")) != SBUS_CODE_INTERNAL);
	}
	yyjson_doc_free(doc);
	if (!w.lost)
		return 0;
	w.lost--;
	return -ESRCH;
}

static bool dead(uint64_t endpoint)
{
	return w.endpoints[endpoint % PROCESSES] != endpoint;
}

static int on_watch(uint64_t endpoint, bool remove)
{
	CHECK(endpoint < sizeof(w.watched));
	if (!remove && dead(endpoint))
		return -ESRCH;
	w.watched[endpoint] = !remove;
	return 0;
}

static void on_told(yyjson_mut_val *result, const struct sbus_error *error, void *userdata)
{
	char *text;

	CHECK(userdata == &w);
	w.nr_told++;
	if (error) {
		CHECK(error->error && *sbus_error_message(error));
		return;
	}
	text = yyjson_mut_val_write(result, 0, NULL);
	CHECK(text);
	free(text);
}

static void call_inside(struct sbus_member *member, const char *body, size_t len)
{
	yyjson_doc *doc = yyjson_read(body, len, 0);
	int r;

	if (!doc)
		return;
	w.nr_calls++;
	r = sbus_pit_call(member, yyjson_doc_get_root(doc), 0, on_told, &w, NULL);
	CHECK(r == 0 || r == SBUS_PENDING);
	yyjson_doc_free(doc);
}

static void process(void)
{
	while (sbus_process(w.bus) > 0)
		;
}

static void call_from(struct sbus_member *member, unsigned int process, const char *body,
		      size_t len)
{
	struct symphony_msg msg = {
		.type = SYMPHONY_MSG_CALL, .content_type = SBUS_JSON, .handle = member->handle,
		.sender = w.endpoints[process], .pid = 100 + process,
	};

	kernel_post(msg, body, len);
}

static void cancel(uint64_t id, int status)
{
	struct symphony_msg msg = {
		.type = SYMPHONY_MSG_CANCELLED, .id = id, .status = status,
		.handle = w.pool->handle,
	};

	/* Each member looks for its own. */
	kernel_forget(id);
	kernel_post(msg, NULL, 0);
	msg.handle = w.dag->handle;
	kernel_post(msg, NULL, 0);
}

static void die(unsigned int process)
{
	uint64_t endpoint = w.endpoints[process], id, sender;
	struct symphony_msg msg = { .type = SYMPHONY_MSG_GONE, .sender = endpoint };

	if (endpoint + 2 * PROCESSES >= sizeof(w.watched))
		return;
	w.endpoints[process] += PROCESSES;
	for (size_t n = 0; (id = kernel_request(n, &sender)) && n < 1024; n++) {
		if (sender != endpoint)
			continue;
		cancel(id, -ESHUTDOWN);
		n = -1;
	}
	if (w.watched[endpoint])
		kernel_post(msg, NULL, 0);
	w.watched[endpoint] = false;
}

static void step(const uint8_t *line, size_t len)
{
	uint8_t what = line[0];
	uint64_t number;
	uint64_t id;
	char text[24];
	char *body;

	snprintf(text, sizeof(text), "%.*s", (int)len - 1, line + 1);
	number = strtoull(text, NULL, 10);
	body = expand(line + 1, len - 1, &len);
	if (what == '0')
		call_inside(w.pool, body, len);
	else if (what == '@')
		call_inside(w.dag, body, len);
	else if (what >= '1' && what < '0' + PROCESSES)
		call_from(w.pool, what - '0', body, len);
	else if (what > '@' && what < '@' + PROCESSES)
		call_from(w.dag, what - '@', body, len);
	else if (what == 't')
		kernel_advance(number % MAX_MS * 1000000);
	else if (what == 'x')
		die(number % (PROCESSES - 1) + 1);
	else if (what == 'c' && (id = kernel_request(number, NULL)))
		cancel(id, -ECANCELED);
	else if (what == '!')
		w.lost = number % 8;
	else if (what == 'p')
		w.later = true;
	free(body);
	if (what == 'p')
		return;
	if (!w.later)
		process();
	w.later = false;
	check();
}

static void begin(void)
{
	static const struct kernel_hooks hooks = {
		.call = on_call, .reply = on_reply, .watch = on_watch,
	};
	static const char config[] = "{\"pool_manager\":{\"capacity\":100}}";
	yyjson_doc *doc = yyjson_read(config, sizeof(config) - 1, 0);

	memset(&w, 0, sizeof(w));
	for (int i = 0; i < PROCESSES; i++)
		w.endpoints[i] = PROCESSES + i;
	w.bus = kernel_open(&hooks);
	CHECK(!sbus_pit_new(&w.pit));
	CHECK(!sbus_pit_add_builtin(w.pit, yyjson_doc_get_root(doc), NULL));
	yyjson_doc_free(doc);
	CHECK(!sbus_pit_start(w.pit, NULL, NULL));
	CHECK(!pit_serve_begin(w.pit, w.bus, NULL, NULL));
	w.pool = sbus_pit_lookup(w.pit, "pool_manager");
	w.dag = sbus_pit_lookup(w.pit, "dag_tracker");
	CHECK(w.pool && w.dag);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *at = data, *end = data + size, *next;

	begin();
	for (; at < end; at = next + 1) {
		next = memchr(at, '\n', end - at) ?: end;
		if (next > at)
			step(at, next - at);
	}
	w.lost = 0;
	process();
	pit_serve_end(w.pit);
	sbus_pit_stop(w.pit);
	CHECK(w.nr_told == w.nr_calls);
	CHECK(!kernel_request(0, NULL));
	sbus_pit_unref(w.pit);
	kernel_check_released(w.bus);
	kernel_close(w.bus);
	return 0;
}
