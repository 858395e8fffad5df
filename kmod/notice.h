/* SPDX-License-Identifier: GPL-2.0-only */
/* Notice: what the kernel has to tell an endpoint. */
#ifndef SYMP_NOTICE_H
#define SYMP_NOTICE_H

#include "queue.h"

struct symp_service;

/**
 * struct symp_notice - a message of the kernel's own
 * @item: in the endpoint's queue, or on its list of the untold
 * @type: enum symphony_msg_type
 * @promised: its granule, by the endpoint's pool
 * @cookie: as in struct symphony_msg
 * @about: whom it is about, as its receiver sees it; zero for nobody
 * @handle: as in struct symphony_msg
 * @service: ACTIVATE: the service
 *
 * Charged to its receiver, from before it is pushed until it is freed, as what it
 * comes from was: a GONE as the watch, a ROOM as the call, a TAKEOVER as the
 * claim. An ACTIVATE is a claim more of its activator.
 */
struct symp_notice {
	struct symp_item item;
	u16 type;
	bool promised;
	u64 cookie;
	struct symp_identity about;
	u64 handle;
	struct symp_service *service;
};

struct symp_notice *symp_notice_alloc(u16 type,
				      const struct symp_endpoint *about,
				      const struct symp_endpoint *to,
				      u64 handle, u64 cookie);
void symp_notice_free(struct symp_endpoint *ep, struct symp_notice *notice);
void symp_notice_push_activate(struct symp_endpoint *ep,
			       struct symp_service *service);
void symp_notice_taken(struct symp_endpoint *ep, struct symp_notice *notice);
void symp_notice_cancelled_taken(struct symp_endpoint *ep);
int symp_notice_reserve(struct symp_endpoint *ep, struct symp_notice *notice);
void symp_notice_unreserve(struct symp_endpoint *ep, struct symp_notice *notice);
void symp_notice_push(struct symp_endpoint *ep, struct symp_notice *notice);
bool symp_notice_push_cancelled(struct symp_endpoint *ep, struct symp_call *call);
void symp_notice_retry(struct symp_endpoint *ep);

#endif
