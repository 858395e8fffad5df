/* SPDX-License-Identifier: MIT */
/*
 * dag_graph: the fixed shape of a workflow. Nodes are numbers from 0; the
 * successors of node i are succ[first[i]] .. succ[first[i + 1] - 1].
 */
#ifndef PIT_DAG_GRAPH_H
#define PIT_DAG_GRAPH_H

#include <stdint.h>

struct dag_edge {
	uint32_t from;
	uint32_t to;
};

struct dag_graph {
	uint32_t n_nodes;
	uint32_t n_edges;
	uint32_t *first;
	uint32_t *succ;
};

/*
 * Why a graph was refused. A repeated edge is told by the two places in the
 * list of edges. A cycle is told by its nodes in the direction of the edges;
 * the last one leads back to the first.
 */
struct dag_fault {
	enum {
		DAG_FAULT_NONE,
		DAG_FAULT_REPEATED,
		DAG_FAULT_CYCLE,
	} kind;
	uint32_t edge;
	uint32_t earlier;
	uint32_t *cycle;
	uint32_t cycle_len;
};

/**
 * dag_graph_init() - build a graph from edges between nodes 0 .. @n_nodes - 1
 * @fault: set when the edges are refused; give it back with dag_fault_deinit()
 *
 * O(nodes + edges). Every edge's ends are below @n_nodes.
 *
 * Return: 0, -ENOMEM, or -EINVAL when @fault says why.
 */
int dag_graph_init(struct dag_graph *graph, uint32_t n_nodes,
		   const struct dag_edge *edges, uint32_t n_edges,
		   struct dag_fault *fault);

void dag_graph_deinit(struct dag_graph *graph);
void dag_fault_deinit(struct dag_fault *fault);

#endif
