/* SPDX-License-Identifier: GPL-2.0-only */
/* Program: a BPF program attached to a bus or a service. */
#ifndef SYMP_PROGRAM_H
#define SYMP_PROGRAM_H

#include <linux/atomic.h>
#include <linux/jump_label.h>
#include <linux/mutex.h>
#include <linux/rcupdate.h>

struct bpf_link;
struct bpf_prog;
struct bpf_verifier_ops;
struct btf_member;
struct btf_type;
struct symp_bus;
struct symp_service;

/* What programs are asked. */
enum symp_hook {
	SYMP_ADMIT,
	SYMP_ROUTE,
	SYMP_SHADOW,	/* as SYMP_ROUTE, its choices compared only */
	SYMP_NR_HOOKS,
};

/**
 * struct symp_program_args - what a link attaches
 * @hook: what the program is to be asked
 * @ops: in the map
 * @bus: in the current network namespace
 * @service: empty for all services of the bus
 * @fail_closed: as in struct symp_program
 * @peeks: likewise
 * @times: likewise
 */
struct symp_program_args {
	enum symp_hook hook;
	const void *ops;
	const char *bus;
	const char *service;
	bool fail_closed;
	bool peeks;
	bool times;
};

/**
 * struct symp_program - an attached struct_ops instance
 * @node: on the list of those with a link
 * @hook: what it is asked
 * @ops: struct symphony_admit_ops or _route_ops, of the map that the link holds;
 *	NULL when the link ended and @fail_closed stands in its place
 * @link: whose end ends it
 * @serial: never used twice
 * @bus: referenced while there is a link
 * @service: of the bus; NULL for all
 * @fail_closed: without it, calls are refused
 * @peeks: it looks into bodies
 * @times: it wants to know how long calls take
 * @errors: of its budget, how much it used
 * @disabled: why it is not asked any more, or NULL
 * @same: SYMP_SHADOW: how often it chose what was chosen
 * @different: how often it did not
 * @rcu: frees it
 */
struct symp_program {
	struct list_head node;
	enum symp_hook hook;
	const void *ops;
	struct bpf_link *link;
	u64 serial;
	struct symp_bus *bus;
	struct symp_service *service;
	bool fail_closed;
	bool peeks;
	bool times;
	atomic_t errors;
	const char *disabled;
	atomic64_t same;
	atomic64_t different;
	struct rcu_head rcu;
};

/* Whether there are programs that do so. */
DECLARE_STATIC_KEY_FALSE(symp_admits);
DECLARE_STATIC_KEY_FALSE(symp_routes);
DECLARE_STATIC_KEY_FALSE(symp_shadows);
DECLARE_STATIC_KEY_FALSE(symp_peeks);
DECLARE_STATIC_KEY_FALSE(symp_times);

/* Guards every place where a program stands. */
extern struct mutex symp_programs_lock;

extern const struct bpf_verifier_ops symp_program_verifier_ops;
int symp_program_check_member(const struct btf_type *type,
			      const struct btf_member *member,
			      const struct bpf_prog *prog);
int symp_program_name(char *to, const char *from);

int symp_program_attach(const struct symp_program_args *args,
			struct bpf_link *link);
int symp_program_replace(const struct symp_program_args *args,
			 struct bpf_link *link);
void symp_program_detach(struct bpf_link *link);
void symp_programs_forget(struct symp_program __rcu **programs);
void symp_program_exit(void);
void symp_program_worked(struct symp_program *program);
void symp_program_failed(struct symp_program *program, const char *why);
bool symp_program_may_refuse(int err);

#endif
