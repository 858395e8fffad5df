// SPDX-License-Identifier: GPL-2.0-only
/*
 * Notice: what the kernel has to tell an endpoint.
 *
 * A notice takes a granule of the endpoint's own pool. Where there is none, it
 * is kept on the list of the untold, and tried again when room was freed: it
 * comes late, but it comes. A GONE is promised its granule by the WATCH.
 * That a call was cancelled needs no memory at all: the call, which stood in
 * the queue as a request before, stands there again.
 */
#include <linux/slab.h>

#include "call.h"
#include "endpoint.h"
#include "ledger.h"
#include "notice.h"
#include "room.h"
#include "service.h"

/**
 * symp_notice_alloc() - prepare a notice
 * @type: enum symphony_msg_type
 * @about: the endpoint that it is about, or NULL
 * @to: its receiver; not needed without @about
 * @handle: as in struct symphony_msg
 * @cookie: likewise
 *
 * May sleep. Return: the notice, or NULL without memory.
 */
struct symp_notice *symp_notice_alloc(u16 type,
				      const struct symp_endpoint *about,
				      const struct symp_endpoint *to,
				      u64 handle, u64 cookie)
{
	struct symp_notice *notice = kmalloc(sizeof(*notice), GFP_KERNEL_ACCOUNT);

	if (!notice)
		return NULL;
	*notice = (struct symp_notice){
		.item.offset = SYMPHONY_NO_OFFSET,
		.item.kind = SYMP_NOTICE,
		.type = type,
		.cookie = cookie,
		.handle = handle,
	};
	if (about)
		symp_endpoint_identify(about, to, &notice->about);
	return notice;
}

static enum symp_resource resource_of(const struct symp_notice *notice)
{
	switch (notice->type) {
	case SYMPHONY_MSG_GONE:
		return SYMP_RECORDS;
	case SYMPHONY_MSG_ROOM:
		return SYMP_CALLS;
	default:
		return SYMP_CLAIMS;
	}
}

/* A notice for @ep, charged to it, comes to its end. */
void symp_notice_free(struct symp_endpoint *ep, struct symp_notice *notice)
{
	symp_account_uncharge(ep->account, resource_of(notice), 1);
	kfree(notice);
}

/*
 * @ep, whose lock is held, received the notice. An ACTIVATE waits with the claim
 * for the next time, if @ep activates the service still. It may have given that up
 * and claimed again: then there is a new one.
 */
void symp_notice_taken(struct symp_endpoint *ep, struct symp_notice *notice)
{
	struct symp_claim *claim;

	lockdep_assert_held(&ep->lock);
	guard(rcu)();
	claim = notice->service ? rcu_dereference(notice->service->activator) : NULL;
	if (claim && claim->ep == ep && !claim->ended && !claim->notice) {
		notice->item.offset = SYMPHONY_NO_OFFSET;
		claim->notice = notice;
	} else {
		symp_notice_free(ep, notice);
	}
}

/* A notice for @ep that a call was cancelled comes to its end. */
void symp_notice_cancelled_taken(struct symp_endpoint *ep)
{
	symp_account_uncharge(ep->account, SYMP_RECORDS, 1);
}

static bool take_room(struct symp_endpoint *ep, struct symp_item *item)
{
	if (item->offset == SYMPHONY_NO_OFFSET)
		item->offset = symp_pool_alloc(ep->pool, 1, item->kind);
	return item->offset != SYMPHONY_NO_OFFSET;
}

/* Let there be room when it is told. Endpoint's lock held. Return: 0 or -ENOBUFS. */
int symp_notice_reserve(struct symp_endpoint *ep, struct symp_notice *notice)
{
	lockdep_assert_held(&ep->lock);
	notice->promised = symp_pool_promise(ep->pool);
	return notice->promised ? 0 : -ENOBUFS;
}

/*
 * It will not be told: others may have the room, which is taken, as what was
 * promised is there, and freed for whoever waits. Endpoint's lock held.
 */
void symp_notice_unreserve(struct symp_endpoint *ep, struct symp_notice *notice)
{
	lockdep_assert_held(&ep->lock);
	symp_pool_unpromise(ep->pool);
	take_room(ep, &notice->item);
	symp_room_free(ep, NULL, notice->item.offset);
}

static void write_notice(struct symp_endpoint *ep, struct symp_item *item)
{
	struct symphony_msg *msg = symp_pool_msg(ep->pool, item->offset);
	struct symp_notice *notice;
	struct symp_call *call;

	if (item->kind == SYMP_CANCELLED) {
		call = container_of(item, struct symp_call, request);
		*msg = (struct symphony_msg){
			.type = SYMPHONY_MSG_CANCELLED,
			.header_len = sizeof(*msg),
			.id = call->id,
			.handle = call->handle,
			.status = call->status,
		};
	} else {
		notice = container_of(item, struct symp_notice, item);
		*msg = (struct symphony_msg){
			.type = notice->type,
			.header_len = sizeof(*msg),
			.cookie = notice->cookie,
			.sender = notice->about.endpoint,
			.handle = notice->handle,
			.pid = notice->about.pid,
			.uid = notice->about.uid,
			.gid = notice->about.gid,
		};
	}
}

static void push(struct symp_endpoint *ep, struct symp_item *item)
{
	lockdep_assert_held(&ep->lock);
	if (!take_room(ep, item)) {
		list_add_tail(&item->node, &ep->untold);
		return;
	}
	write_notice(ep, item);
	symp_queue_push(ep, &ep->home, item, false);
}

/* Tell @ep, which is alive and locked; @notice is its queue's from now on. */
void symp_notice_push(struct symp_endpoint *ep, struct symp_notice *notice)
{
	if (notice->promised)
		symp_pool_unpromise(ep->pool);
	push(ep, &notice->item);
}

/* What tells @ep, whose lock is held, to bring up @service; if not told yet. */
void symp_notice_push_activate(struct symp_endpoint *ep,
			       struct symp_service *service)
{
	struct symp_claim *claim;

	lockdep_assert_held(&ep->lock);
	guard(rcu)();
	claim = rcu_dereference(service->activator);
	if (claim && claim->ep == ep && claim->notice)
		symp_notice_push(ep, no_free_ptr(claim->notice));
}

/*
 * Tell @ep, which is alive and locked, that nobody waits for its answer to
 * @call any more. The reference of the server's pool is now the queue's. The
 * call counts for its caller no more and for @ep's user until it is received.
 * False, and nothing is told, if that has too many records already.
 */
bool symp_notice_push_cancelled(struct symp_endpoint *ep, struct symp_call *call)
{
	if (symp_account_charge_as(ep->account, ep->cred, SYMP_RECORDS, 1))
		return false;
	call->request.offset = SYMPHONY_NO_OFFSET;
	call->request.kind = SYMP_CANCELLED;
	push(ep, &call->request);
	return true;
}

/* Room was freed. Endpoint's lock held. */
void symp_notice_retry(struct symp_endpoint *ep)
{
	struct symp_item *item;

	lockdep_assert_held(&ep->lock);
	while ((item = list_first_entry_or_null(&ep->untold, struct symp_item,
						node)) &&
	       take_room(ep, item)) {
		list_del(&item->node);
		push(ep, item);
	}
}
