/* SPDX-License-Identifier: GPL-2.0-only */
/* Program: a BPF program attached to a bus or a service. */
#ifndef SYMP_PROGRAM_H
#define SYMP_PROGRAM_H

#include <linux/atomic.h>
#include <linux/jump_label.h>
#include <linux/rcupdate.h>

struct bpf_link;
struct symp_bus;
struct symp_service;

/* What programs are asked. */
enum symp_hook {
	SYMP_ROUTE,
	SYMP_NR_HOOKS,
};

/**
 * struct symp_program - an attached struct_ops instance
 * @node: on the list of all
 * @hook: what it is asked
 * @ops: struct symphony_route_ops of the map that the link holds
 * @link: whose end ends it
 * @bus: referenced
 * @service: of the bus; NULL for all
 * @errors: of its budget, how much it used
 * @disabled: why it is not asked any more, or NULL
 * @rcu: frees it
 */
struct symp_program {
	struct list_head node;
	enum symp_hook hook;
	const void *ops;
	struct bpf_link *link;
	struct symp_bus *bus;
	struct symp_service *service;
	atomic_t errors;
	const char *disabled;
	struct rcu_head rcu;
};

/* Whether there are any. */
DECLARE_STATIC_KEY_FALSE(symp_programs);

int symp_program_name(char *to, const char *from);
int symp_program_attach(enum symp_hook hook, const void *ops,
			const char *bus_name, const char *service_name,
			struct bpf_link *link);
int symp_program_replace(const void *ops, struct bpf_link *link);
void symp_program_detach(struct bpf_link *link);
struct symp_program *symp_program_of(enum symp_hook hook,
				     const struct symp_bus *bus,
				     const struct symp_service *service);
void symp_program_worked(struct symp_program *program);
void symp_program_failed(struct symp_program *program, const char *why);
bool symp_program_may_refuse(int err);

#endif
