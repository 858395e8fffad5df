// SPDX-License-Identifier: GPL-2.0-only
/*
 * Ledger: what each user has of what is limited.
 *
 * The kernel's own ledgers (ucounts) are not for modules, so these are ours,
 * and work like them: one for each user, found by uid while somebody refers to
 * it; whoever is in a user namespace is also on the account of its owner and of
 * the owners of the ones around it. So a thousand users of a namespace have
 * together what the one that owns them may have.
 *
 * An account holds its ledgers, and everything charged holds the account.
 */
#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/hashtable.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/user_namespace.h>

#include "chore.h"
#include "ledger.h"
#include "limits.h"

struct symp_ledger {
	struct hlist_node node;
	kuid_t uid;
	/* ledgers_lock */
	u32 ref;
	atomic64_t used[SYMP_NR_RESOURCES];
};

static DEFINE_HASHTABLE(ledgers, 8);
static DEFINE_SPINLOCK(ledgers_lock);

static u64 max_of(enum symp_resource resource)
{
	switch (resource) {
	case SYMP_BUSES:
		return READ_ONCE(symp_user_buses_max);
	case SYMP_ENDPOINTS:
		return READ_ONCE(symp_user_endpoints_max);
	case SYMP_POOL_BYTES:
		return (u64)READ_ONCE(symp_user_pool_max) << 20;
	case SYMP_CALLS:
		return READ_ONCE(symp_user_calls_max);
	case SYMP_SERVICES:
		return READ_ONCE(symp_user_services_max);
	case SYMP_CLAIMS:
		return READ_ONCE(symp_user_claims_max);
	case SYMP_RECORDS:
		return READ_ONCE(symp_user_records_max);
	default:
		return READ_ONCE(symp_user_files_max);
	}
}

static struct symp_ledger *ledger_get(kuid_t uid)
{
	struct symp_ledger *ledger, *new;

	new = kzalloc(sizeof(*new), GFP_KERNEL_ACCOUNT);
	if (!new)
		return NULL;
	new->uid = uid;
	scoped_guard(spinlock, &ledgers_lock) {
		hash_for_each_possible(ledgers, ledger, node, __kuid_val(uid)) {
			if (uid_eq(ledger->uid, uid))
				goto found;
		}
		ledger = no_free_ptr(new);
		hash_add(ledgers, &ledger->node, __kuid_val(uid));
found:
		ledger->ref++;
	}
	kfree(new);
	return ledger;
}

static void ledger_put(struct symp_ledger *ledger)
{
	scoped_guard(spinlock, &ledgers_lock) {
		if (--ledger->ref)
			return;
		hash_del(&ledger->node);
	}
	kfree(ledger);
}

static bool has_user(const struct symp_account *account, kuid_t uid)
{
	u32 i;

	for (i = 0; i < account->nr; i++)
		if (uid_eq(account->ledgers[i]->uid, uid))
			return true;
	return false;
}

static bool account_add(struct symp_account *account, kuid_t uid)
{
	struct symp_ledger *ledger;

	if (has_user(account, uid))
		return true;
	ledger = ledger_get(uid);
	if (!ledger)
		return false;
	account->nr++;
	account->ledgers[account->nr - 1] = ledger;
	return true;
}

/*
 * Whose turn it is when work is done for @account: the user's who owns the
 * outermost of the user namespaces it is in, however many uids it has there. But
 * what root made namespaces for are users of their own.
 */
static kuid_t user_of(const struct symp_account *account)
{
	u32 i = account->nr - 1;

	while (i && uid_eq(account->ledgers[i]->uid, GLOBAL_ROOT_UID))
		i--;
	return account->ledgers[i]->uid;
}

/**
 * symp_account_open() - whom the holder of some credentials is charged to
 * @cred: the credentials
 *
 * May sleep. Return: the account, or NULL without memory.
 */
struct symp_account *symp_account_open(const struct cred *cred)
{
	const struct user_namespace *ns = cred->user_ns;
	struct symp_account *account;
	u32 most = ns->level + 1;
	bool ok;

	account = kzalloc(struct_size(account, ledgers, most), GFP_KERNEL_ACCOUNT);
	if (!account)
		return NULL;
	refcount_set(&account->ref, 1);
	ok = account_add(account, cred->euid);
	for (; ok && ns != &init_user_ns; ns = ns->parent)
		ok = account_add(account, ns->owner);
	if (ok)
		account->chores = symp_chores_get(user_of(account));
	if (!account->chores) {
		symp_account_put(account);
		return NULL;
	}
	return account;
}

struct symp_account *symp_account_get(struct symp_account *account)
{
	refcount_inc(&account->ref);
	return account;
}

void symp_account_put(struct symp_account *account)
{
	u32 i;

	if (!refcount_dec_and_test(&account->ref))
		return;
	for (i = 0; i < account->nr; i++)
		ledger_put(account->ledgers[i]);
	if (account->chores)
		symp_chores_put(account->chores);
	kfree(account);
}

static void give_back(struct symp_account *account, enum symp_resource resource,
		      u32 amount, u32 nr)
{
	while (nr)
		atomic64_sub(amount, &account->ledgers[--nr]->used[resource]);
}

/* May what runs for @cred, or for the current task, go beyond a maximum? */
static bool may_exceed(const struct cred *cred)
{
	if (!cred)
		return ns_capable_noaudit(&init_user_ns, CAP_SYS_RESOURCE);
	return cred->user_ns == &init_user_ns &&
	       cap_raised(cred->cap_effective, CAP_SYS_RESOURCE);
}

/**
 * symp_account_charge_as() - write some use to all ledgers, or to none
 * @account: whose
 * @cred: whose capability to exceed a maximum counts; NULL: the current task's,
 *	which a worker of the kernel has
 * @resource: of what
 * @amount: how much
 *
 * Does not sleep. Return: 0 or -EDQUOT.
 */
int symp_account_charge_as(struct symp_account *account,
			   const struct cred *cred,
			   enum symp_resource resource, u32 amount)
{
	u64 max = max_of(resource);
	u32 i;

	for (i = 0; i < account->nr; i++) {
		if (atomic64_add_return(amount, &account->ledgers[i]->used[resource]) <= max ||
		    may_exceed(cred))
			continue;
		give_back(account, resource, amount, i + 1);
		return -EDQUOT;
	}
	return 0;
}

int symp_account_charge(struct symp_account *account,
			enum symp_resource resource, u32 amount)
{
	return symp_account_charge_as(account, NULL, resource, amount);
}

/*
 * As symp_account_charge(), but what endpoints of the user hold that are dead is
 * given back before it fails. May sleep.
 */
int symp_account_charge_patiently(struct symp_account *account,
				  enum symp_resource resource, u32 amount)
{
	u32 paid, left = symp_chores_owed(account->chores, &paid);
	int err;

	do {
		symp_chores_owed(account->chores, &paid);
		err = symp_account_charge(account, resource, amount);
	} while (err && left-- && symp_chores_await(account->chores, paid));
	return err;
}

void symp_account_uncharge(struct symp_account *account,
			   enum symp_resource resource, u32 amount)
{
	give_back(account, resource, amount, account->nr);
}

/* Of the user itself. */
struct symphony_use symp_account_use(struct symp_account *account,
				     enum symp_resource resource)
{
	return (struct symphony_use){
		.used = atomic64_read(&account->ledgers[0]->used[resource]),
		.max = max_of(resource),
	};
}
