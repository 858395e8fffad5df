// SPDX-License-Identifier: MIT
/* dag_graph: compressed successor lists; repeated edges and cycles refused. */
#include <errno.h>
#include <stdlib.h>

#include "cleanup.h"
#include "dag_graph.h"

#define NO_EDGE UINT32_MAX

void dag_graph_deinit(struct dag_graph *graph)
{
	free(graph->first);
	free(graph->succ);
	*graph = (struct dag_graph){};
}

void dag_fault_deinit(struct dag_fault *fault)
{
	free(fault->cycle);
	*fault = (struct dag_fault){};
}

/* A counting sort by source, which keeps the order of the list. */
static int sort_edges(struct dag_graph *g, const struct dag_edge *edges,
		      uint32_t *place)
{
	pit_free uint32_t *fill = calloc(g->n_nodes + 1UL, sizeof(*fill));

	if (!fill)
		return -ENOMEM;
	for (uint32_t i = 0; i < g->n_edges; i++)
		g->first[edges[i].from + 1]++;
	for (uint32_t i = 0; i < g->n_nodes; i++) {
		g->first[i + 1] += g->first[i];
		fill[i + 1] = g->first[i + 1];
	}
	for (uint32_t i = 0; i < g->n_edges; i++) {
		uint32_t at = fill[edges[i].from]++;

		g->succ[at] = edges[i].to;
		place[at] = i;
	}
	return 0;
}

static int find_repeated(const struct dag_graph *g, const uint32_t *place,
			 struct dag_fault *fault)
{
	/* Where the source at hand was last seen to lead to each node. */
	pit_free uint32_t *seen = malloc((g->n_nodes + 1UL) * sizeof(*seen));

	if (!seen)
		return -ENOMEM;
	for (uint32_t i = 0; i < g->n_nodes; i++)
		seen[i] = NO_EDGE;
	for (uint32_t from = 0; from < g->n_nodes; from++) {
		for (uint32_t k = g->first[from]; k < g->first[from + 1]; k++) {
			uint32_t to = g->succ[k];

			if (seen[to] != NO_EDGE && seen[to] >= g->first[from]) {
				fault->kind = DAG_FAULT_REPEATED;
				fault->edge = place[k];
				fault->earlier = place[seen[to]];
				return -EINVAL;
			}
			seen[to] = k;
		}
	}
	return 0;
}

/*
 * Every node that is left has a predecessor that is left, so walking back from
 * any of them must meet a node twice; what lies between is the cycle.
 */
static int tell_cycle(const struct dag_graph *g, const uint32_t *waits_for,
		      struct dag_fault *fault)
{
	pit_free uint32_t *back = malloc(g->n_nodes * sizeof(*back));
	pit_free uint32_t *step = calloc(g->n_nodes, sizeof(*step));
	uint32_t at = 0, len = 0, lowest = 0;

	if (!back || !step)
		return -ENOMEM;
	for (uint32_t i = g->n_nodes; i-- > 0;) {
		if (!waits_for[i])
			continue;
		at = i;
		for (uint32_t k = g->first[i]; k < g->first[i + 1]; k++)
			back[g->succ[k]] = i;
	}
	while (!step[at]) {
		step[at] = ++len;
		at = back[at];
	}
	len = len - step[at] + 1;

	fault->cycle = malloc(len * sizeof(*fault->cycle));
	if (!fault->cycle)
		return -ENOMEM;
	fault->kind = DAG_FAULT_CYCLE;
	fault->cycle_len = len;
	/* The same cycle reads the same whichever node the walk met first. */
	for (uint32_t i = 0, node = at; i < len; i++, node = back[node])
		if (!i || node < lowest)
			lowest = node;
	for (uint32_t i = len, node = back[lowest]; i-- > 0; node = back[node])
		fault->cycle[i] = node;
	return -EINVAL;
}

static int find_cycle(const struct dag_graph *g, struct dag_fault *fault)
{
	pit_free uint32_t *waits_for = calloc(g->n_nodes + 1UL,
					      sizeof(*waits_for));
	pit_free uint32_t *queue = malloc((g->n_nodes + 1UL) * sizeof(*queue));
	uint32_t head = 0, tail = 0;

	if (!waits_for || !queue)
		return -ENOMEM;
	for (uint32_t i = 0; i < g->n_edges; i++)
		waits_for[g->succ[i]]++;
	for (uint32_t i = 0; i < g->n_nodes; i++)
		if (!waits_for[i])
			queue[tail++] = i;
	while (head < tail) {
		uint32_t from = queue[head++];

		for (uint32_t k = g->first[from]; k < g->first[from + 1]; k++)
			if (!--waits_for[g->succ[k]])
				queue[tail++] = g->succ[k];
	}
	return tail == g->n_nodes ? 0 : tell_cycle(g, waits_for, fault);
}

int dag_graph_init(struct dag_graph *graph, uint32_t n_nodes,
		   const struct dag_edge *edges, uint32_t n_edges,
		   struct dag_fault *fault)
{
	pit_free uint32_t *place = malloc((n_edges + 1UL) * sizeof(*place));
	struct dag_graph g = {
		.n_nodes = n_nodes,
		.n_edges = n_edges,
		.first = calloc(n_nodes + 1UL, sizeof(*g.first)),
		.succ = malloc((n_edges + 1UL) * sizeof(*g.succ)),
	};
	int ret = -ENOMEM;

	*fault = (struct dag_fault){};
	if (place && g.first && g.succ)
		ret = sort_edges(&g, edges, place);
	if (!ret)
		ret = find_repeated(&g, place, fault);
	if (!ret)
		ret = find_cycle(&g, fault);
	if (ret)
		dag_graph_deinit(&g);
	*graph = g;
	return ret;
}
