/* SPDX-License-Identifier: GPL-2.0-only */
/* Bus: a namespace of services and endpoints. */
#ifndef SYMP_BUS_H
#define SYMP_BUS_H

#include <linux/atomic.h>
#include <linux/list.h>
#include <linux/refcount.h>
#include <linux/rhashtable-types.h>
#include <linux/uidgid.h>
#include <linux/xarray.h>
#include <linux/symphony.h>

#include "program.h"

struct cred;
struct net;
struct symp_account;
struct symp_endpoint;
struct user_namespace;

/**
 * struct symp_bus_args - what a JOIN asks for
 * @name: the bus
 * @flags: SYMPHONY_JOIN_*, checked
 * @mode: if created: its permission bits
 * @reserve: if created: names of services, each in SYMPHONY_NAME_MAX + 1 bytes
 * @reserve_len: bytes of @reserve
 * @uid: (out) whose the bus is, if there is one, even if it cannot be joined
 */
struct symp_bus_args {
	const char *name;
	u32 flags;
	u32 mode;
	const char *reserve;
	u32 reserve_len;
	kuid_t *uid;
};

/**
 * struct symp_bus - a namespace, known by network namespace and name
 * @ref: one for each endpoint's memory, and each program attached to it
 * @net: the network namespace, referenced
 * @name: terminated, the rest zero
 * @user_ns: of its creator, referenced
 * @account: of its creator; charged for the bus while it is listed
 * @id: of the endpoint that created it: what grants know the bus by
 * @creator: the endpoint that gives grants, and needs none: the one that created
 *	the bus, or inherited it; 0 when that is dead
 * @grants: a claim needs a grant
 * @uid: of its creator
 * @gid: of its creator
 * @mode: permission bits
 * @node: in the table of names
 * @living: endpoints that are not dead; at 0 the bus cannot be found any more
 * @dying: these, and those whose death is not over
 * @services: handle to struct symp_service; entries stay as long as the bus
 * @names: name to struct symp_service
 * @nr_services: how many
 * @endpoints: id to struct symp_endpoint, the living ones
 * @watch_lock: guards all watches between endpoints of this bus
 * @programs: those of services without one of their own; see program.c
 * @rcu: frees it
 *
 * @node and @living are guarded by the lock of the table, and so are writes to
 * @creator.
 */
struct symp_bus {
	refcount_t ref;
	struct net *net;
	char name[SYMPHONY_NAME_MAX + 1];
	struct user_namespace *user_ns;
	struct symp_account *account;
	u64 id;
	u64 creator;
	bool grants;
	kuid_t uid;
	kgid_t gid;
	u32 mode;

	struct hlist_node node;
	u32 living;
	atomic_t dying;

	struct xarray services;
	struct rhashtable names;
	atomic_t nr_services;

	struct xarray endpoints;
	/* All watches between endpoints of this bus. */
	spinlock_t watch_lock;

	struct symp_program __rcu *programs[SYMP_NR_HOOKS];
	struct rcu_head rcu;
};

int symp_name_check(char *name, const char *text);
int symp_name_from_user(char *name, u64 address, u32 len);
struct symp_bus *symp_bus_join(const struct symp_bus_args *args,
			       const struct symp_endpoint *ep,
			       enum symphony_limit *limit);
struct symp_bus *symp_bus_find(const char *name);
struct symp_bus *symp_bus_next(const struct net *net, u64 id);
kuid_t symp_bus_user(const struct symp_bus *bus, const struct cred *cred);
void symp_bus_leave(struct symp_bus *bus, const struct symp_endpoint *ep);
void symp_bus_left(struct symp_bus *bus);
bool symp_bus_is_creator(const struct symp_bus *bus,
			 const struct symp_endpoint *ep);
bool symp_bus_mode_allows(const struct symp_bus *bus, u32 want);
bool symp_bus_permission(struct symp_bus *bus, u32 want);
struct symp_bus *symp_bus_get(struct symp_bus *bus);
void symp_bus_put(struct symp_bus *bus);

#endif
