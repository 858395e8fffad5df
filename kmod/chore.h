/* SPDX-License-Identifier: GPL-2.0-only */
/* Chore: a bounded step of work for one user, in turn with those of others. */
#ifndef SYMP_CHORE_H
#define SYMP_CHORE_H

#include <linux/list.h>
#include <linux/types.h>
#include <linux/uidgid.h>

struct symp_chores;

/**
 * struct symp_chore - one step of work
 * @node: on its user's list, or empty
 * @run: does the step; the chore may be gone afterwards. To go on, it starts the
 *	chore again, which then stands behind the user's others
 */
struct symp_chore {
	struct list_head node;
	void (*run)(struct symp_chore *chore);
};

static inline void symp_chore_init(struct symp_chore *chore,
				   void (*run)(struct symp_chore *chore))
{
	INIT_LIST_HEAD(&chore->node);
	chore->run = run;
}

int symp_chores_init(void);
void symp_chores_exit(void);
struct symp_chores *symp_chores_get(kuid_t uid);
void symp_chores_put(struct symp_chores *chores);
bool symp_chore_start(struct symp_chores *chores, struct symp_chore *chore);
void symp_chores_owe(struct symp_chores *chores);
void symp_chores_pay(struct symp_chores *chores);
u32 symp_chores_owed(struct symp_chores *chores, u32 *paid);
void symp_chores_settle(struct symp_chores *chores);
bool symp_chores_await(struct symp_chores *chores, u32 paid);

#endif
