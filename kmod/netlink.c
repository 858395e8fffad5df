// SPDX-License-Identifier: GPL-2.0-only
/*
 * Netlink: who asks is told what there is.
 *
 * A dump is told in as many parts as it takes, between which nothing is held and
 * everything can change. So it goes by what is never used twice and stays in its
 * order: the ids of buses, inside a bus those of endpoints and the handles of
 * services. It remembers from which one on it has to go on (struct dump), and
 * looks there again for the next part. What stays is told once.
 *
 * A dump's parts are written into the kernel's memory, and read from there by
 * whoever has the socket: another process, perhaps. So who asked is remembered
 * when the dump begins, and while it goes on it holds this module (as the core of
 * generic netlink sees to) and its struct dump, both until done().
 */
#include <linux/bpf.h>
#include <linux/cred.h>
#include <linux/file.h>
#include <linux/module.h>
#include <linux/pid_namespace.h>
#include <linux/slab.h>
#include <linux/symphony_netlink.h>
#include <net/genetlink.h>
#include <net/net_namespace.h>
#include <net/sock.h>

#include "bus.h"
#include "endpoint.h"
#include "netlink.h"
#include "program.h"
#include "service.h"
#include "stats.h"

static_assert((int)SYMPHONY_HOOK_ADMIT == (int)SYMP_ADMIT);
static_assert((int)SYMPHONY_HOOK_ROUTE == (int)SYMP_ROUTE);
static_assert((int)SYMPHONY_HOOK_SHADOW == (int)SYMP_SHADOW);
static_assert(SYMPHONY_TIME_BUCKETS == SYMP_STATS_BUCKETS);

/**
 * struct dump - one that goes on
 * @cred: who asked, referenced
 * @opener: who opened the socket, if that was written to like any file, or who
 *	asked; referenced
 * @pid_ns: of who asked, referenced
 * @sees_all: capable of seeing every bus
 * @name: of the only bus, or empty
 * @bus: the bus to go on with, or what is behind it
 * @entry: what to go on with on that bus
 * @part: what to go on with of that entry
 */
struct dump {
	const struct cred *cred;
	const struct cred *opener;
	struct pid_namespace *pid_ns;
	bool sees_all;
	char name[SYMPHONY_NAME_MAX + 1];
	u64 bus;
	u64 entry;
	u64 part;
};

/* Tells what @dump is at, of @bus. Return: 0, or -EMSGSIZE: @skb is full. */
typedef int (*tell_fn)(struct sk_buff *skb, const struct genl_info *info,
		       struct dump *dump, struct symp_bus *bus);

static struct dump *dump_of(struct netlink_callback *cb)
{
	return *(struct dump **)cb->ctx;
}

static int dump_start(struct netlink_callback *cb)
{
	const struct genl_info *info = genl_info_dump(cb);
	struct user_namespace *user_ns = genl_info_net(info)->user_ns;
	const struct netlink_skb_parms *from = &NETLINK_CB(cb->skb);
	struct dump *dump;

	dump = kzalloc(sizeof(*dump), GFP_KERNEL_ACCOUNT);
	if (!dump)
		return -ENOMEM;
	if (info->attrs[SYMPHONY_A_BUS])
		nla_strscpy(dump->name, info->attrs[SYMPHONY_A_BUS],
			    sizeof(dump->name));
	dump->cred = get_current_cred();
	/* As netlink_ns_capable() has it: who gives an address means what it says. */
	dump->opener = get_cred(from->flags & NETLINK_SKB_DST ?
				dump->cred : from->sk->sk_socket->file->f_cred);
	dump->pid_ns = get_pid_ns(task_active_pid_ns(current));
	dump->sees_all =
		netlink_ns_capable(cb->skb, user_ns, CAP_NET_ADMIN) ||
		netlink_ns_capable(cb->skb, user_ns, CAP_SYS_ADMIN) ||
		netlink_ns_capable(cb->skb, user_ns, CAP_DAC_OVERRIDE);
	*(struct dump **)cb->ctx = dump;
	return 0;
}

static int dump_done(struct netlink_callback *cb)
{
	struct dump *dump = dump_of(cb);

	put_pid_ns(dump->pid_ns);
	put_cred(dump->opener);
	put_cred(dump->cred);
	kfree(dump);
	return 0;
}

static bool is_seen_by(const struct symp_bus *bus, const struct cred *cred)
{
	const struct cred *old = override_creds(cred);
	bool seen = uid_eq(current_euid(), bus->uid) ||
		    symp_bus_mode_allows(bus, 4);

	revert_creds(old);
	return seen;
}

static bool is_seen(const struct symp_bus *bus, const struct dump *dump)
{
	if (*dump->name && strcmp(dump->name, bus->name))
		return false;
	return dump->sees_all || (is_seen_by(bus, dump->cred) &&
				  is_seen_by(bus, dump->opener));
}

static void go_to(struct dump *dump, u64 bus)
{
	dump->bus = bus;
	dump->entry = 0;
	dump->part = 0;
}

/* --- entries ---------------------------------------------------------------- */

bool symp_netlink_put_bus(struct sk_buff *skb, const struct symp_bus *bus)
{
	return !nla_put_string(skb, SYMPHONY_A_BUS, bus->name) &&
	       !nla_put_uint(skb, SYMPHONY_A_BUS_ID, bus->id);
}

bool symp_netlink_put_service(struct sk_buff *skb,
			      const struct symp_service *service)
{
	return !nla_put_string(skb, SYMPHONY_A_SERVICE, service->name) &&
	       !nla_put_u32(skb, SYMPHONY_A_HANDLE, service->handle);
}

static bool put_flag(struct sk_buff *skb, int attr, bool set)
{
	return !set || !nla_put_flag(skb, attr);
}

/* Within an RCU read section, or with the lock of programs. */
bool symp_netlink_put_program(struct sk_buff *skb,
			      const struct symp_program *program)
{
	const char *disabled = READ_ONCE(program->disabled);

	return (!program->service ||
		symp_netlink_put_service(skb, program->service)) &&
	       !nla_put_u32(skb, SYMPHONY_A_HOOK, program->hook) &&
	       !nla_put_u32(skb, SYMPHONY_A_ERRORS,
			    atomic_read(&program->errors)) &&
	       (!disabled ||
		!nla_put_string(skb, SYMPHONY_A_DISABLED, disabled)) &&
	       put_flag(skb, SYMPHONY_A_FAIL_CLOSED, program->fail_closed) &&
	       put_flag(skb, SYMPHONY_A_CLOSED, !READ_ONCE(program->ops)) &&
	       (program->hook != SYMP_SHADOW ||
		(!nla_put_uint(skb, SYMPHONY_A_SAME,
			       atomic64_read(&program->same)) &&
		 !nla_put_uint(skb, SYMPHONY_A_DIFFERENT,
			       atomic64_read(&program->different))));
}

/* Begin an entry. Return: what to end or cancel it with; NULL: @skb is full. */
static void *entry_begin(struct sk_buff *skb, const struct genl_info *info,
			 const struct symp_bus *bus)
{
	void *entry = __genlmsg_iput(skb, info, NLM_F_MULTI);

	if (entry && !symp_netlink_put_bus(skb, bus)) {
		genlmsg_cancel(skb, entry);
		return NULL;
	}
	return entry;
}

/* Return: 0 or -EMSGSIZE. */
static int entry_end(struct sk_buff *skb, void *entry, bool complete)
{
	if (!complete) {
		genlmsg_cancel(skb, entry);
		return -EMSGSIZE;
	}
	genlmsg_end(skb, entry);
	return 0;
}

static int tell_bus(struct sk_buff *skb, const struct genl_info *info,
		    struct dump *dump, struct symp_bus *bus)
{
	struct user_namespace *user_ns = dump->cred->user_ns;
	void *entry = entry_begin(skb, info, bus);

	if (!entry)
		return -EMSGSIZE;
	return entry_end(skb, entry,
		!nla_put_u32(skb, SYMPHONY_A_UID,
			     from_kuid_munged(user_ns, bus->uid)) &&
		!nla_put_u32(skb, SYMPHONY_A_GID,
			     from_kgid_munged(user_ns, bus->gid)) &&
		!nla_put_u32(skb, SYMPHONY_A_MODE, bus->mode) &&
		!nla_put_u32(skb, SYMPHONY_A_NR_ENDPOINTS,
			     READ_ONCE(bus->living)) &&
		!nla_put_u32(skb, SYMPHONY_A_NR_SERVICES,
			     atomic_read(&bus->nr_services)));
}

static int tell_endpoint(struct sk_buff *skb, const struct genl_info *info,
			 const struct dump *dump, struct symp_endpoint *ep)
{
	u32 size, used, queued, calls;
	void *entry;

	scoped_guard(spinlock, &ep->lock) {
		if (ep->dead)
			return 0;
		size = ep->pool->nr;
		used = size - ep->pool->free;
		queued = ep->queued;
		calls = ep->nr_calls;
	}
	entry = entry_begin(skb, info, ep->bus);
	if (!entry)
		return -EMSGSIZE;
	return entry_end(skb, entry,
		!nla_put_uint(skb, SYMPHONY_A_ENDPOINT, ep->id) &&
		!nla_put_u32(skb, SYMPHONY_A_PID,
			     pid_nr_ns(ep->pid, dump->pid_ns)) &&
		!nla_put_u32(skb, SYMPHONY_A_UID,
			     from_kuid_munged(dump->cred->user_ns,
					      ep->cred->euid)) &&
		!nla_put_u32(skb, SYMPHONY_A_POOL_SIZE,
			     size * SYMPHONY_POOL_ALIGN) &&
		!nla_put_u32(skb, SYMPHONY_A_POOL_USED,
			     used * SYMPHONY_POOL_ALIGN) &&
		!nla_put_u32(skb, SYMPHONY_A_QUEUED, queued) &&
		!nla_put_u32(skb, SYMPHONY_A_LOAD, READ_ONCE(ep->load)) &&
		!nla_put_u32(skb, SYMPHONY_A_CALLS, calls));
}

static int tell_endpoints(struct sk_buff *skb, const struct genl_info *info,
			  struct dump *dump, struct symp_bus *bus)
{
	struct symp_endpoint *ep;
	int err;

	while ((ep = symp_endpoint_next(bus, dump->entry))) {
		err = tell_endpoint(skb, info, dump, ep);
		if (!err)
			dump->entry = ep->id + 1;
		symp_endpoint_put(ep);
		if (err)
			return err;
		cond_resched();
	}
	return 0;
}

static bool put_times(struct sk_buff *skb, int attr, const atomic64_t *times)
{
	u64 now[SYMP_STATS_BUCKETS];
	u32 i;

	for (i = 0; i < SYMP_STATS_BUCKETS; i++)
		now[i] = atomic64_read(&times[i]);
	return !nla_put(skb, attr, sizeof(now), now);
}

static bool put_stats(struct sk_buff *skb, const struct symp_stats *stats)
{
	const struct symp_counts counts = symp_stats_sum(stats);
	enum symp_stat what;

	for (what = 0; what < SYMP_NR_STATS; what++)
		if (nla_put_uint(skb, SYMPHONY_A_REPLIES + what, counts.nr[what]))
			return false;
	return !nla_put_uint(skb, SYMPHONY_A_REQUEST_BYTES,
			     counts.request_bytes) &&
	       !nla_put_uint(skb, SYMPHONY_A_ANSWER_BYTES,
			     counts.answer_bytes) &&
	       put_times(skb, SYMPHONY_A_QUEUE_TIMES, stats->queue_time) &&
	       put_times(skb, SYMPHONY_A_SERVICE_TIMES, stats->service_time);
}

static int tell_service(struct sk_buff *skb, const struct genl_info *info,
			const struct dump *dump, const struct symp_bus *bus,
			const struct symp_service *service)
{
	const struct symp_replicas *replicas = rcu_dereference(service->replicas);
	const struct symp_claim *activator = rcu_dereference(service->activator);
	void *entry = entry_begin(skb, info, bus);

	if (!entry)
		return -EMSGSIZE;
	return entry_end(skb, entry,
		symp_netlink_put_service(skb, service) &&
		!nla_put_u32(skb, SYMPHONY_A_UID,
			     from_kuid_munged(dump->cred->user_ns,
					      service->uid)) &&
		!nla_put_u32(skb, SYMPHONY_A_RECOVERY,
			     READ_ONCE(service->recovery)) &&
		put_flag(skb, SYMPHONY_A_RESERVED, service->reserved) &&
		!nla_put_u32(skb, SYMPHONY_A_NR_REPLICAS,
			     replicas ? READ_ONCE(replicas->nr) : 0) &&
		(!activator || !nla_put_uint(skb, SYMPHONY_A_ACTIVATOR,
					     activator->ep->id)) &&
		!nla_put_u32(skb, SYMPHONY_A_PARKED, atomic_read(&service->parked)) &&
		put_stats(skb, &service->stats));
}

static int tell_services(struct sk_buff *skb, const struct genl_info *info,
			 struct dump *dump, struct symp_bus *bus)
{
	struct symp_service *service;
	int err;

	for (;; cond_resched()) {
		guard(rcu)();
		service = symp_service_next(bus, dump->entry);
		if (!service)
			return 0;
		err = tell_service(skb, info, dump, bus, service);
		if (err)
			return err;
		dump->entry = service->handle + 1ULL;
	}
}

static int tell_replica(struct sk_buff *skb, const struct genl_info *info,
			const struct symp_bus *bus,
			const struct symp_service *service,
			const struct symp_claim *replica,
			const struct symp_endpoint *ep)
{
	void *entry = entry_begin(skb, info, bus);

	if (!entry)
		return -EMSGSIZE;
	return entry_end(skb, entry,
		symp_netlink_put_service(skb, service) &&
		!nla_put_uint(skb, SYMPHONY_A_ENDPOINT, ep->id) &&
		put_flag(skb, SYMPHONY_A_DRAINING, READ_ONCE(replica->paused)) &&
		!nla_put_u32(skb, SYMPHONY_A_LOAD, READ_ONCE(ep->load)));
}

/* The endpoint of @replica with the smallest id that is not below @id, or NULL. */
static struct symp_endpoint *replica_next(const struct symp_service *service,
					  u64 id,
					  const struct symp_claim **replica)
{
	const struct symp_replicas *replicas = rcu_dereference(service->replicas);
	struct symp_endpoint *ep, *next = NULL;
	const struct symp_claim *claim;
	u32 i, nr;

	/* Pairs with the release in replicas_remove(). */
	nr = replicas ? smp_load_acquire(&replicas->nr) : 0;
	for (i = 0; i < nr; i++) {
		claim = rcu_dereference(replicas->at[i]);
		ep = claim->ep;
		if (!READ_ONCE(ep->dead) && ep->id >= id && (!next || ep->id < next->id)) {
			*replica = claim;
			next = ep;
		}
	}
	return next;
}

static int tell_replicas(struct sk_buff *skb, const struct genl_info *info,
			 struct dump *dump, struct symp_bus *bus)
{
	const struct symp_claim *replica = NULL;
	struct symp_service *service;
	struct symp_endpoint *ep;
	int err;

	for (;; cond_resched()) {
		guard(rcu)();
		service = symp_service_next(bus, dump->entry);
		if (!service)
			return 0;
		if (service->handle != dump->entry)
			dump->part = 0;
		dump->entry = service->handle;
		ep = replica_next(service, dump->part, &replica);
		if (!ep) {
			dump->entry++;
			dump->part = 0;
			continue;
		}
		err = tell_replica(skb, info, bus, service, replica, ep);
		if (err)
			return err;
		dump->part = ep->id + 1;
	}
}

static int tell_program(struct sk_buff *skb, const struct genl_info *info,
			const struct symp_bus *bus,
			const struct symp_program *program)
{
	void *entry = entry_begin(skb, info, bus);

	if (!entry)
		return -EMSGSIZE;
	return entry_end(skb, entry,
		symp_netlink_put_program(skb, program) &&
		(!program->link || !nla_put_u32(skb, SYMPHONY_A_LINK,
						program->link->id)));
}

/* Those that stand in @places, of @bus or of a service of it. */
static int tell_places(struct sk_buff *skb, const struct genl_info *info,
		       struct dump *dump, const struct symp_bus *bus,
		       struct symp_program __rcu **places)
{
	const struct symp_program *program;
	int err;

	guard(mutex)(&symp_programs_lock);
	for (; dump->part < SYMP_NR_HOOKS; dump->part++) {
		program = rcu_dereference_protected(places[dump->part], true);
		err = program ? tell_program(skb, info, bus, program) : 0;
		if (err)
			return err;
	}
	return 0;
}

/*
 * Entry 0 is the bus: its programs are for all services. A service with a program
 * is as long-lived as the bus; one without may be about to be freed.
 */
static int tell_programs(struct sk_buff *skb, const struct genl_info *info,
			 struct dump *dump, struct symp_bus *bus)
{
	struct symp_program __rcu **places = bus->programs;
	struct symp_service *service;
	bool has_some = true;
	int err;

	for (;; cond_resched()) {
		if (dump->entry) {
			guard(rcu)();
			service = symp_service_next(bus, dump->entry);
			if (!service)
				return 0;
			if (service->handle != dump->entry)
				dump->part = 0;
			dump->entry = service->handle;
			places = service->programs;
			has_some = rcu_access_pointer(places[SYMP_ADMIT]) ||
				   rcu_access_pointer(places[SYMP_ROUTE]) ||
				   rcu_access_pointer(places[SYMP_SHADOW]);
		}
		err = has_some ? tell_places(skb, info, dump, bus, places) : 0;
		if (err)
			return err;
		dump->entry++;
		dump->part = 0;
	}
}

/* --- the family ------------------------------------------------------------- */

static const tell_fn tells[] = {
	[SYMPHONY_CMD_BUS_GET] = tell_bus,
	[SYMPHONY_CMD_ENDPOINT_GET] = tell_endpoints,
	[SYMPHONY_CMD_SERVICE_GET] = tell_services,
	[SYMPHONY_CMD_REPLICA_GET] = tell_replicas,
	[SYMPHONY_CMD_PROGRAM_GET] = tell_programs,
};

static int dump_next(struct sk_buff *skb, struct netlink_callback *cb)
{
	const struct genl_info *info = genl_info_dump(cb);
	tell_fn tell = tells[info->genlhdr->cmd];
	struct dump *dump = dump_of(cb);
	struct symp_bus *bus;
	int err = 0;

	while ((bus = symp_bus_next(genl_info_net(info), dump->bus))) {
		if (bus->id != dump->bus)
			go_to(dump, bus->id);
		if (is_seen(bus, dump))
			err = tell(skb, info, dump, bus);
		symp_bus_put(bus);
		if (err)
			return err;
		go_to(dump, dump->bus + 1);
		cond_resched();
	}
	return 0;
}

#define DUMP(what) {			\
	.cmd = (what),			\
	.start = dump_start,		\
	.dumpit = dump_next,		\
	.done = dump_done,		\
}

static const struct genl_ops ops[] = {
	DUMP(SYMPHONY_CMD_BUS_GET),
	DUMP(SYMPHONY_CMD_ENDPOINT_GET),
	DUMP(SYMPHONY_CMD_SERVICE_GET),
	DUMP(SYMPHONY_CMD_REPLICA_GET),
	DUMP(SYMPHONY_CMD_PROGRAM_GET),
};

static const struct nla_policy policy[] = {
	[SYMPHONY_A_BUS] = { .type = NLA_NUL_STRING, .len = SYMPHONY_NAME_MAX },
};

static const struct genl_multicast_group groups[] = {
	[SYMP_EVENTS] = {
		.name = SYMPHONY_MCGRP_EVENTS,
		.flags = GENL_MCAST_CAP_NET_ADMIN,
	},
};

struct genl_family symp_netlink_family __ro_after_init = {
	.name = SYMPHONY_FAMILY_NAME,
	.version = SYMPHONY_FAMILY_VERSION,
	.netnsok = true,
	.parallel_ops = true,
	.module = THIS_MODULE,
	.ops = ops,
	.n_ops = ARRAY_SIZE(ops),
	.policy = policy,
	.maxattr = SYMPHONY_A_BUS,
	.mcgrps = groups,
	.n_mcgrps = ARRAY_SIZE(groups),
};

int symp_netlink_init(void)
{
	return genl_register_family(&symp_netlink_family);
}

void symp_netlink_exit(void)
{
	genl_unregister_family(&symp_netlink_family);
}
