/* SPDX-License-Identifier: GPL-2.0-only */
/* Move: a request goes to another replica than the one it was sent to. */
#ifndef SYMP_MOVE_H
#define SYMP_MOVE_H

struct symp_call;
struct symp_endpoint;
struct symp_notice;
struct symp_pool;
struct symp_service;

void symp_move_queued(struct symp_endpoint *from, struct symp_service *service,
		      struct symp_notice *notice);
void symp_move_refuse_parked(struct symp_endpoint *ep,
			     struct symp_service *service);
bool symp_move_from_dead(struct symp_call *call, struct symp_pool *pool);

#endif
