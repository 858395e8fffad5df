/* SPDX-License-Identifier: GPL-2.0-only */
/* Route: programs that choose among the replicas of a service. */
#ifndef SYMP_ROUTE_H
#define SYMP_ROUTE_H

struct symp_call;
struct symp_replica;
struct symp_replicas;
struct symp_service;
struct symphony_call;

int symp_route_init(void);
struct symp_replica *symp_route(const struct symp_service *service,
				struct symp_replicas *replicas,
				const struct symp_call *call,
				const struct symphony_call *arg);

#endif
