/* SPDX-License-Identifier: GPL-2.0-only */
/* Ledger: what each user has of what is limited. */
#ifndef SYMP_LEDGER_H
#define SYMP_LEDGER_H

#include <linux/refcount.h>
#include <linux/symphony.h>

struct cred;
struct symp_chores;
struct symp_ledger;

enum symp_resource {
	SYMP_BUSES,
	SYMP_ENDPOINTS,
	SYMP_POOL_BYTES,
	SYMP_CALLS,
	SYMP_SERVICES,
	SYMP_FILES,
	SYMP_CLAIMS,
	SYMP_RECORDS,
	SYMP_NR_RESOURCES,
};

/**
 * struct symp_account - the ledgers that somebody's use is written to
 * @ref: endpoints, buses, services, files and lanes that were charged to it
 * @chores: work that is done for whoever is behind the use
 * @nr: how many ledgers
 * @ledgers: the user's own, then those of the owners of the user namespaces
 *	it is in, from the inside to the outside; none twice
 */
struct symp_account {
	refcount_t ref;
	struct symp_chores *chores;
	u32 nr;
	struct symp_ledger *ledgers[] __counted_by(nr);
};

struct symp_account *symp_account_open(const struct cred *cred);
struct symp_account *symp_account_get(struct symp_account *account);
void symp_account_put(struct symp_account *account);
int symp_account_charge_as(struct symp_account *account,
			   const struct cred *cred,
			   enum symp_resource resource, u32 amount);
int symp_account_charge(struct symp_account *account,
			enum symp_resource resource, u32 amount);
int symp_account_charge_patiently(struct symp_account *account,
				  enum symp_resource resource, u32 amount);
void symp_account_uncharge(struct symp_account *account,
			   enum symp_resource resource, u32 amount);
struct symphony_use symp_account_use(struct symp_account *account,
				     enum symp_resource resource);

#endif
