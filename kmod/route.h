/* SPDX-License-Identifier: GPL-2.0-only */
/* Route: programs that choose among the replicas of a service. */
#ifndef SYMP_ROUTE_H
#define SYMP_ROUTE_H

#include "program.h"

struct symp_bus;
struct symp_call;
struct symp_claim;
struct symp_endpoint;
struct symp_replicas;
struct symp_service;
struct symphony_call;

/**
 * struct symp_route_args - what a replica is chosen for
 * @call: the call, without a server
 * @arg: what its sender wrote
 * @head: the beginning of the body; NULL: no program looked into bodies when
 *	the call was made
 * @head_len: bytes of it that are there, at most SYMPHONY_PEEK_MAX
 * @moves: it was at a replica, or is parked
 */
struct symp_route_args {
	const struct symp_call *call;
	const struct symphony_call *arg;
	const void *head;
	u32 head_len;
	bool moves;
};

int symp_route_init(void);
struct symp_claim *symp_route(const struct symp_service *service,
			      struct symp_replicas *replicas,
			      const struct symp_route_args *args);
void symp_route_compare(const struct symp_service *service,
			struct symp_replicas *replicas,
			const struct symp_route_args *args,
			const struct symp_claim *chosen);
void symp_route_done(const struct symp_call *call, int status, u64 queue_time,
		     u64 service_time);
void symp_route_catch_up(struct symp_service *service,
			 const struct symp_bus *bus);
void symp_route_replica(const struct symp_service *service,
			const struct symp_endpoint *ep, bool up);
void symp_route_changed(struct symp_bus *bus, struct symp_service *service);

#endif
