// SPDX-License-Identifier: GPL-2.0-only
/*
 * Bus: a namespace of services and endpoints.
 *
 * A bus can be found while an endpoint lives on it (@living, under buses_lock). It
 * is over when the last endpoint's death is (@dying). Its memory stays while an
 * endpoint's memory does, or a program is attached to it (@ref): calls in flight
 * between dead endpoints still reach it.
 */
#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/hashtable.h>
#include <linux/nsproxy.h>
#include <linux/rhashtable.h>
#include <linux/slab.h>
#include <linux/stringhash.h>
#include <linux/uaccess.h>
#include <linux/user_namespace.h>
#include <net/net_namespace.h>

#include "bus.h"
#include "endpoint.h"
#include "ledger.h"
#include "monitor.h"
#include "service.h"

/* By network namespace and name. What is done under the lock is short. */
static DEFINE_HASHTABLE(buses, 10);
static DEFINE_SPINLOCK(buses_lock);

/* By id, for those who walk them; read under RCU. */
static DEFINE_XARRAY(buses_by_id);

static bool name_is_valid(const char *name, u32 len)
{
	u32 i;

	for (i = 0; i < len; i++) {
		char c = name[i];

		if (c >= 'a' && c <= 'z')
			continue;
		if (!i)
			return false;
		if (!(c >= '0' && c <= '9') && c != '_' && c != '.' && c != '-')
			return false;
	}
	return len > 0;
}

/* Check the terminated @text and copy it into @name, which is zeroed. */
int symp_name_check(char *name, const char *text)
{
	size_t len = strlen(text);

	if (len > SYMPHONY_NAME_MAX)
		return -ENAMETOOLONG;
	memcpy(name, text, len);
	return name_is_valid(name, len) ? 0 : -EINVAL;
}

/* Read a name into @name, of SYMPHONY_NAME_MAX + 1 bytes, and check it. */
int symp_name_from_user(char *name, u64 address, u32 len)
{
	if (len > SYMPHONY_NAME_MAX)
		return -ENAMETOOLONG;
	memset(name, 0, SYMPHONY_NAME_MAX + 1);
	if (copy_from_user(name, u64_to_user_ptr(address), len))
		return -EFAULT;
	return name_is_valid(name, len) ? 0 : -EINVAL;
}

/* Does the mode let the current ids do @want (4 for r, 2 for w)? */
bool symp_bus_mode_allows(const struct symp_bus *bus, u32 want)
{
	u32 mode = bus->mode;

	if (uid_eq(current_euid(), bus->uid))
		mode >>= 6;
	else if (in_egroup_p(bus->gid))
		mode >>= 3;
	return (mode & want) == want;
}

/* May the current task do @want, as if @bus were a file? */
bool symp_bus_permission(struct symp_bus *bus, u32 want)
{
	return symp_bus_mode_allows(bus, want) ||
	       ns_capable(bus->net->user_ns, CAP_DAC_OVERRIDE);
}

/**
 * symp_bus_user() - whom somebody counts as on a bus
 * @bus: the bus
 * @cred: who
 *
 * The uid; but from inside a user namespace that the bus is not in, all are the
 * one who owns the outermost such: it could be as many uids as it likes.
 */
kuid_t symp_bus_user(const struct symp_bus *bus, const struct cred *cred)
{
	const struct user_namespace *ns = cred->user_ns, *around;
	kuid_t user = cred->euid;

	for (;;) {
		for (around = bus->user_ns; around; around = around->parent)
			if (around == ns)
				return user;
		user = ns->owner;
		ns = ns->parent;
	}
}

static int reserve_names(struct symp_bus *bus, const struct symp_bus_args *args,
			 enum symphony_limit *limit)
{
	const char *name = args->reserve;
	int err = 0;

	for (; !err && name < args->reserve + args->reserve_len;
	     name += SYMPHONY_NAME_MAX + 1)
		err = symp_service_reserve(bus, name, limit);
	return err;
}

/* Nobody has ever seen @bus. */
static void bus_discard(struct symp_bus *bus)
{
	symp_service_table_uncharge(bus);
	xa_release(&buses_by_id, bus->id);
	symp_bus_put(bus);
}

static struct symp_bus *bus_alloc(struct net *net,
				  const struct symp_bus_args *args,
				  const struct symp_endpoint *creator,
				  enum symphony_limit *limit)
{
	struct symp_bus *bus;
	int err;

	bus = kzalloc(sizeof(*bus), GFP_KERNEL_ACCOUNT);
	if (!bus)
		return ERR_PTR(-ENOMEM);
	err = symp_service_table_init(bus);
	if (err) {
		kfree(bus);
		return ERR_PTR(err);
	}
	refcount_set(&bus->ref, 1);
	bus->net = get_net(net);
	bus->user_ns = get_user_ns(current_user_ns());
	bus->account = symp_account_get(creator->account);
	bus->id = creator->id;
	bus->creator = creator->id;
	bus->grants = args->flags & SYMPHONY_JOIN_GRANTS;
	strscpy(bus->name, args->name);
	bus->uid = current_euid();
	bus->gid = current_egid();
	bus->mode = args->mode;
	xa_init(&bus->endpoints);
	spin_lock_init(&bus->watch_lock);
	err = xa_reserve(&buses_by_id, bus->id, GFP_KERNEL_ACCOUNT) ?:
	      reserve_names(bus, args, limit);
	if (err) {
		bus_discard(bus);
		return ERR_PTR(err);
	}
	return bus;
}

static u32 hash(const struct net *net, const char *name)
{
	return full_name_hash(net, name, strlen(name));
}

static struct symp_bus *bus_find(struct net *net, const char *name)
{
	struct symp_bus *bus;

	lockdep_assert_held(&buses_lock);
	hash_for_each_possible(buses, bus, node, hash(net, name))
		if (bus->net == net && !strcmp(bus->name, name))
			return bus;
	return NULL;
}

/* The bus in the current network namespace, referenced; NULL when there is none. */
struct symp_bus *symp_bus_find(const char *name)
{
	struct symp_bus *bus;

	guard(spinlock)(&buses_lock);
	bus = bus_find(current->nsproxy->net_ns, name);
	return bus ? symp_bus_get(bus) : NULL;
}

/**
 * symp_bus_next() - walk the buses of a network namespace
 * @net: the namespace
 * @id: where to begin
 *
 * Return: of those that there are, the one with the smallest id that is not
 * below @id, referenced; or NULL.
 */
struct symp_bus *symp_bus_next(const struct net *net, u64 id)
{
	unsigned long index = id;
	struct symp_bus *bus;

	guard(rcu)();
	for (bus = xa_find(&buses_by_id, &index, ULONG_MAX, XA_PRESENT); bus;
	     bus = xa_find_after(&buses_by_id, &index, ULONG_MAX, XA_PRESENT))
		if (bus->net == net && refcount_inc_not_zero(&bus->ref))
			return bus;
	return NULL;
}

/* Let @bus be found. Return: 0, -EDQUOT or -ENOMEM. */
static int bus_add(struct symp_bus *bus, enum symphony_limit *limit)
{
	int err;

	lockdep_assert_held(&buses_lock);
	if (symp_account_charge(bus->account, SYMP_BUSES, 1)) {
		*limit = SYMPHONY_LIMIT_USER_BUSES;
		return -EDQUOT;
	}
	/* Its place is reserved. */
	err = xa_err(xa_store(&buses_by_id, bus->id, bus, GFP_NOWAIT));
	if (err) {
		symp_account_uncharge(bus->account, SYMP_BUSES, 1);
		return err;
	}
	hash_add(buses, &bus->node, hash(bus->net, bus->name));
	bus->living++;
	atomic_inc(&bus->dying);
	symp_monitor_bus(SYMPHONY_CMD_BUS_ADD_NTF, bus);
	return 0;
}

/*
 * May @ep, as @flags ask, live on a bus that is there? If it inherits the bus,
 * it has.
 */
static int bus_admit(struct symp_bus *bus, const struct symp_endpoint *ep,
		     u32 flags)
{
	lockdep_assert_held(&buses_lock);
	if (flags & SYMPHONY_JOIN_EXCL)
		return -EEXIST;
	if (!symp_bus_permission(bus, 4))
		return -EACCES;
	if (flags & SYMPHONY_JOIN_INHERIT) {
		if (!uid_eq(current_euid(), bus->uid))
			return -EPERM;
		if (bus->creator)
			return -EBUSY;
		WRITE_ONCE(bus->creator, ep->id);
	}
	return 0;
}

/* Does @ep give the grants of @bus, its own? */
bool symp_bus_is_creator(const struct symp_bus *bus,
			 const struct symp_endpoint *ep)
{
	return READ_ONCE(bus->creator) == ep->id;
}

/**
 * symp_bus_join() - find or create a bus, for an endpoint that will live on it
 * @args: the bus
 * @ep: the endpoint
 * @limit: (out) with -EDQUOT
 *
 * May sleep. Return: the bus, to be left with symp_bus_leave() when the
 * endpoint dies and symp_bus_left() when that is over, and put with
 * symp_bus_put() when its memory goes.
 */
struct symp_bus *symp_bus_join(const struct symp_bus_args *args,
			       const struct symp_endpoint *ep,
			       enum symphony_limit *limit)
{
	struct net *net = current->nsproxy->net_ns;
	struct symp_bus *bus, *new = NULL;
	int err = 0;

	/* Before the lock is taken, as every death takes it. */
	if (args->flags & SYMPHONY_JOIN_CREATE) {
		new = bus_alloc(net, args, ep, limit);
		if (IS_ERR(new))
			return new;
	}
	scoped_guard(spinlock, &buses_lock) {
		bus = bus_find(net, args->name);
		if (!bus && new) {
			err = bus_add(new, limit);
			bus = new;
			if (!err)
				new = NULL;
		} else {
			err = bus ? bus_admit(bus, ep, args->flags) : -ENOENT;
			if (bus)
				*args->uid = bus->uid;
			if (!err) {
				symp_bus_get(bus);
				bus->living++;
				atomic_inc(&bus->dying);
			}
		}
	}
	if (new)
		bus_discard(new);
	return err ? ERR_PTR(err) : bus;
}

/* @ep, which joined @bus, lives there no more. Does not sleep. */
void symp_bus_leave(struct symp_bus *bus, const struct symp_endpoint *ep)
{
	guard(spinlock)(&buses_lock);
	if (bus->creator == ep->id)
		WRITE_ONCE(bus->creator, 0);
	if (--bus->living)
		return;
	hash_del(&bus->node);
	xa_erase(&buses_by_id, bus->id);
	symp_account_uncharge(bus->account, SYMP_BUSES, 1);
}

/* The death of one that left is over. May sleep. */
void symp_bus_left(struct symp_bus *bus)
{
	if (!atomic_dec_and_test(&bus->dying))
		return;
	symp_monitor_bus(SYMPHONY_CMD_BUS_DEL_NTF, bus);
	/* Not when its memory goes: that others can put off. */
	symp_service_table_uncharge(bus);
}

struct symp_bus *symp_bus_get(struct symp_bus *bus)
{
	refcount_inc(&bus->ref);
	return bus;
}

void symp_bus_put(struct symp_bus *bus)
{
	if (!refcount_dec_and_test(&bus->ref))
		return;
	symp_programs_forget(bus->programs);
	symp_service_table_destroy(bus);
	xa_destroy(&bus->endpoints);
	symp_account_put(bus->account);
	put_user_ns(bus->user_ns);
	put_net(bus->net);
	kfree_rcu(bus, rcu);
}
