/* SPDX-License-Identifier: GPL-2.0-only */
/* Endpoint: one open file that has JOINed a bus. */
#ifndef SYMP_ENDPOINT_H
#define SYMP_ENDPOINT_H

#include <linux/cred.h>
#include <linux/list.h>
#include <linux/llist.h>
#include <linux/refcount.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <linux/xarray.h>

#include "chore.h"
#include "pool.h"
#include "queue.h"
#include "room.h"

struct pid;
struct pid_namespace;
struct symp_account;
struct symp_bus;
struct symp_bus_args;
struct symp_service;

/**
 * struct symp_endpoint - who sends and receives
 * @ref: the file, every call to or from it, and passers-by
 * @id: never used twice
 * @clock: what the owner's CLOCK_MONOTONIC was ahead of the host's at JOIN, in ns
 * @bus: its bus, referenced
 * @mm: of the process that owns it, pinned until the file is released
 * @pid: of the owner, referenced
 * @pid_ns: the owner's, referenced
 * @cred: the owner's at JOIN, referenced
 * @user: whom the owner counts as among those who send to one endpoint: its
 *	uid, or, from inside a user namespace that the bus is not in, the owner
 *	of the outermost such
 * @uid: of the owner, as the bus's creator sees it: for programs
 * @gid: likewise
 * @account: where its use is written; referenced
 * @may_claim: the bus's mode allowed w at JOIN
 * @killed: whoever sets it does the killing
 * @death: what is left to do of it; see death.c
 * @poll: pollers
 * @lanes: those who send here, by id; see struct symp_lane
 * @idle: a call to make the next one of, or NULL
 * @spare: more of them; see call.c
 * @nr_spare: about how many
 * @service: it called last, or NULL; see service.c
 * @rcu: frees it
 * @looked_after: on the list of those whose owner is looked at; see owner.c
 * @watchers: watches of others on this endpoint, under the bus's watch_lock
 * @watches: watches of this endpoint on others, under the bus's watch_lock
 * @sent: its lanes at others, under the bus's watch_lock
 * @unwatchable: nobody can watch it any more, and no lane comes on @sent, under
 *	the bus's watch_lock
 * @lock: guards what follows; no two of these are ever held together
 * @dead: set once; nothing arrives or is taken any more
 * @stopped: no thread waits in RECV
 * @pool: valid while not @dead, and for the chore of its death; or with a
 *	reference to the pool
 * @claims: of the services that it is a replica of, the first one first
 * @activations: claims of those that it is the activator of
 * @serves: the service of the first of @claims, by handle; 0 for none; read
 *	without the lock
 * @epoch: how often it stopped serving something; see service.c
 * @tenants: the users of these lanes
 * @holders: how many of them hold room
 * @own: the tenant that @home belongs to
 * @home: the lane of what the kernel itself puts here: answers and notices
 * @fresh: tenants that had nothing queued, and now have
 * @busy: the others that have something queued; the first one's turn
 * @fresh_before: the last turn of one of these was one of @fresh
 * @own_before: the last turn was that of @own
 * @untold: notices that found no room
 * @parked: calls for a service that this endpoint is the activator of
 * @queued: messages in the lanes' queues, and these calls
 * @receivers: threads in RECV, the one that waited the shortest time first
 * @commands: RECVs that rings submitted and that wait; see uring.c
 * @woken: others that were woken
 * @nr_commands: how many there are of both
 * @starved: tenants of whom a lane waits for room in the pool and is owed a look
 * @looked: the others of whom one waits
 * @nr_hungry: lanes of theirs that do
 * @freed: how often room was freed while somebody waited
 * @look: looks at them when there are many
 * @nr_calls: calls of this endpoint whose outcome was not fetched
 * @calls_charged: how many of them are written to @account
 * @nr_oneway: how many of them are one-way
 * @last: where this endpoint sent last, and its lane there
 * @files: what came with messages that are here, by their offset
 * @load: requests queued or received, not answered
 * @taken: of these, the received ones
 * @service_time: from when a call is received to when it is answered, smoothed,
 *	in ns; 0 when not known. Written without the lock
 */
struct symp_endpoint {
	refcount_t ref;
	u64 id;
	s64 clock;
	struct symp_bus *bus;
	struct mm_struct *mm;
	struct pid *pid;
	struct pid_namespace *pid_ns;
	const struct cred *cred;
	kuid_t user;
	u32 uid;
	u32 gid;
	struct symp_account *account;
	bool may_claim;
	atomic_t killed;
	struct {
		struct symp_chore chore;
		u32 part;
		bool over;
		struct symp_slice *slice;
		struct list_head requests;
		struct list_head calls;
	} death;
	wait_queue_head_t poll;
	struct xarray lanes;
	struct symp_call *idle;
	struct llist_head spare;
	atomic_t nr_spare;
	struct symp_service *service;
	struct rcu_head rcu;

	struct list_head looked_after;
	struct list_head watchers;
	struct list_head watches;
	struct list_head sent;
	bool unwatchable;

	/* Guards the rest. */
	spinlock_t lock;
	bool dead;
	bool stopped;
	struct symp_pool *pool;
	struct list_head claims;
	struct list_head activations;
	u32 serves;
	u32 epoch;
	struct rb_root tenants;
	u32 holders;
	struct symp_tenant own;
	struct symp_lane home;
	struct list_head fresh;
	struct list_head busy;
	bool fresh_before;
	bool own_before;
	struct list_head untold;
	struct list_head parked;
	u32 queued;
	struct list_head receivers;
	struct list_head commands;
	struct list_head woken;
	u32 nr_commands;
	struct list_head starved;
	struct list_head looked;
	u32 nr_hungry;
	u64 freed;
	struct symp_chore look;
	u32 nr_calls;
	u32 calls_charged;
	u32 nr_oneway;
	struct {
		u64 id;
		struct symp_lane *lane;
	} last;
	struct rb_root files;
	u32 load;
	u32 taken;

	u64 service_time;
};

struct symp_endpoint *symp_endpoint_join(const struct symp_bus_args *args,
					 u32 pool_size,
					 enum symphony_limit *limit);
struct symp_endpoint *symp_endpoint_next(struct symp_bus *bus, u64 id);
void symp_endpoint_next_epoch(struct symp_endpoint *ep);
void symp_endpoint_release(struct symp_endpoint *ep);
void symp_endpoint_free(struct symp_endpoint *ep);
void symp_endpoint_identify(const struct symp_endpoint *whom,
			    const struct symp_endpoint *to,
			    struct symp_identity *id);

static inline void symp_endpoint_get(struct symp_endpoint *ep)
{
	refcount_inc(&ep->ref);
}

static inline bool symp_endpoint_get_live(struct symp_endpoint *ep)
{
	return refcount_inc_not_zero(&ep->ref);
}

static inline void symp_endpoint_put(struct symp_endpoint *ep)
{
	if (refcount_dec_and_test(&ep->ref))
		symp_endpoint_free(ep);
}

#endif
