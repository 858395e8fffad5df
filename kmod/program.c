// SPDX-License-Identifier: GPL-2.0-only
/*
 * Program: a BPF program attached to a bus or a service.
 *
 * User space makes a struct_ops map (the ops, and the trampolines that enter the
 * BPF programs) and a link that attaches it. A struct symp_program is what the
 * module has of that: it stands in bus->programs or service->programs, where
 * calls find it under RCU, from reg() of the link until its unreg().
 *
 * Who holds what, and until when:
 *  - the link holds the map, and the map holds this module: it cannot be unloaded
 *    while there is a link or a map.
 *  - the program holds its bus, hence the services on it, from attach to detach.
 *    A bus can be gone for everybody by then; its memory stays. Who asks a program
 *    about a call has the bus through the caller.
 *  - a call uses a program, and enters its ops, in one RCU read section. When the
 *    link ends, or is updated, the program is first taken from where calls find
 *    it and freed by RCU; the core then puts the old map, and frees the ops and
 *    the trampolines after a grace period of RCU and one of RCU tasks.
 *  - the link is used as a key only: unreg() comes before its memory goes.
 *
 * An admit program with FAIL_CLOSED stays in its place when its link ends, as a
 * closed gate: without ops, link, and reference to the bus. It goes when another
 * one is attached in its place, or with the memory of the bus.
 *
 * Replacing puts a new struct symp_program where the old one was, with one store.
 * What a call still counts against the old one cannot hurt the new one.
 */
#include <linux/bpf.h>
#include <linux/bpf_verifier.h>
#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/symphony_bpf.h>
#include <linux/workqueue.h>
#include <net/net_namespace.h>

#include "bus.h"
#include "monitor.h"
#include "program.h"
#include "route.h"
#include "service.h"

/*
 * An answer that a program may not give uses up so much of its budget, and a good
 * one gives 1 back: one in seventeen bad ones is for ever, 64 at once are not.
 */
#define ERROR_COST	16
#define ERROR_BUDGET	1024

DEFINE_STATIC_KEY_FALSE(symp_admits);
DEFINE_STATIC_KEY_FALSE(symp_routes);
DEFINE_STATIC_KEY_FALSE(symp_shadows);
DEFINE_STATIC_KEY_FALSE(symp_peeks);
DEFINE_STATIC_KEY_FALSE(symp_times);

static struct static_key_false *const key_of[SYMP_NR_HOOKS] = {
	[SYMP_ADMIT] = &symp_admits,
	[SYMP_ROUTE] = &symp_routes,
	[SYMP_SHADOW] = &symp_shadows,
};

static void count(const struct symp_program *program)
{
	static_branch_inc(key_of[program->hook]);
	if (program->peeks)
		static_branch_inc(&symp_peeks);
	if (program->times)
		static_branch_inc(&symp_times);
}

static void uncount(const struct symp_program *program)
{
	static_branch_dec(key_of[program->hook]);
	if (program->peeks)
		static_branch_dec(&symp_peeks);
	if (program->times)
		static_branch_dec(&symp_times);
}

static atomic64_t last_serial;

static LIST_HEAD(programs);
/* Guards the list, and every place where a program stands. */
DEFINE_MUTEX(symp_programs_lock);

static struct symp_program __rcu **place_of(const struct symp_program *program)
{
	return program->service ? &program->service->programs[program->hook] :
				  &program->bus->programs[program->hook];
}

static struct symp_program *program_at(struct symp_program __rcu **place)
{
	return rcu_dereference_protected(*place,
					 lockdep_is_held(&symp_programs_lock));
}

/* Put @program, or NULL, where @old is. The bus is referenced. */
static void program_set(const struct symp_program *old,
			struct symp_program *program)
{
	lockdep_assert_held(&symp_programs_lock);
	rcu_assign_pointer(*place_of(old), program);
	if (old->hook != SYMP_ADMIT)
		symp_route_changed(old->bus, old->service);
}

static struct symp_program *program_find(const struct bpf_link *link)
{
	struct symp_program *program;

	lockdep_assert_held(&symp_programs_lock);
	list_for_each_entry(program, &programs, node)
		if (program->link == link)
			return program;
	return NULL;
}

static const struct bpf_func_proto *func_proto(enum bpf_func_id id,
					       const struct bpf_prog *prog)
{
	return bpf_base_func_proto(id, prog);
}

/* The arguments can be read. */
static bool is_valid_access(int off, int size, enum bpf_access_type type,
			    const struct bpf_prog *prog,
			    struct bpf_insn_access_aux *info)
{
	return bpf_tracing_btf_ctx_access(off, size, type, prog, info);
}

const struct bpf_verifier_ops symp_program_verifier_ops = {
	.get_func_proto = func_proto,
	.is_valid_access = is_valid_access,
};

int symp_program_check_member(const struct btf_type *type,
			      const struct btf_member *member,
			      const struct bpf_prog *prog)
{
	return prog->sleepable ? -EINVAL : 0;
}

/* Copy and check a name, of SYMPHONY_BPF_NAME bytes, that user space gave. */
int symp_program_name(char *to, const char *from)
{
	static_assert(sizeof_field(struct symphony_route_ops, bus) ==
		      SYMPHONY_NAME_MAX + 1);

	if (!memchr(from, '\0', SYMPHONY_BPF_NAME))
		return -EINVAL;
	return symp_name_check(to, from);
}

static bool may_attach(const struct symp_bus *bus)
{
	return uid_eq(current_euid(), bus->uid) ||
	       ns_capable(bus->net->user_ns, CAP_SYS_ADMIN);
}

/**
 * symp_program_attach() - a link attaches its map
 * @args: what, and to what
 * @link: the link
 *
 * May sleep. Return: 0, -ENOENT, -EPERM, -EEXIST, -ENOMEM.
 */
int symp_program_attach(const struct symp_program_args *args,
			struct bpf_link *link)
{
	struct symp_program *program, *closed;
	int err;

	program = kzalloc(sizeof(*program), GFP_KERNEL_ACCOUNT);
	if (!program)
		return -ENOMEM;
	program->hook = args->hook;
	program->ops = args->ops;
	program->fail_closed = args->fail_closed;
	program->peeks = args->peeks;
	program->times = args->times;
	program->link = link;
	program->serial = atomic64_inc_return(&last_serial);
	program->bus = symp_bus_find(args->bus);
	if (!program->bus) {
		err = -ENOENT;
		goto err_free;
	}
	if (!may_attach(program->bus)) {
		err = -EPERM;
		goto err_put_bus;
	}
	if (*args->service) {
		program->service = symp_service_find(program->bus, args->service);
		if (!program->service) {
			err = -ENOENT;
			goto err_put_bus;
		}
	}
	count(program);
	mutex_lock(&symp_programs_lock);
	closed = program_at(place_of(program));
	if (closed && closed->link) {
		err = -EEXIST;
		goto err_unlock;
	}
	symp_monitor_program(SYMPHONY_CMD_PROGRAM_ATTACH_NTF, program);
	list_add_tail(&program->node, &programs);
	program_set(program, program);
	mutex_unlock(&symp_programs_lock);
	if (closed) {
		uncount(closed);
		kfree_rcu(closed, rcu);
	}
	return 0;

err_unlock:
	mutex_unlock(&symp_programs_lock);
	uncount(program);
err_put_bus:
	symp_bus_put(program->bus);
err_free:
	kfree(program);
	return err;
}

/**
 * symp_program_replace() - a link gets another map
 * @args: what, to the same bus and service
 * @link: the link
 *
 * May sleep. Return: 0, -EINVAL, -ENOMEM.
 */
int symp_program_replace(const struct symp_program_args *args,
			 struct bpf_link *link)
{
	struct symp_program *old, *new;

	new = kzalloc(sizeof(*new), GFP_KERNEL_ACCOUNT);
	if (!new)
		return -ENOMEM;
	new->hook = args->hook;
	new->ops = args->ops;
	new->fail_closed = args->fail_closed;
	new->peeks = args->peeks;
	new->times = args->times;
	new->link = link;
	new->serial = atomic64_inc_return(&last_serial);
	count(new);
	mutex_lock(&symp_programs_lock);
	old = program_find(link);
	if (new->hook != old->hook || strcmp(args->bus, old->bus->name) ||
	    strcmp(args->service, old->service ? old->service->name : "")) {
		mutex_unlock(&symp_programs_lock);
		uncount(new);
		kfree(new);
		return -EINVAL;
	}
	new->bus = old->bus;
	new->service = old->service;
	list_replace(&old->node, &new->node);
	symp_monitor_program(SYMPHONY_CMD_PROGRAM_REPLACE_NTF, new);
	program_set(old, new);
	mutex_unlock(&symp_programs_lock);
	uncount(old);
	kfree_rcu(old, rcu);
	return 0;
}

/* @link ends: calls find the built-in policy, or the gate closed. May sleep. */
void symp_program_detach(struct bpf_link *link)
{
	struct symp_program *program;
	struct symp_bus *bus;
	bool closes;

	scoped_guard(mutex, &symp_programs_lock) {
		program = program_find(link);
		list_del(&program->node);
		bus = program->bus;
		closes = program->fail_closed;
		if (closes) {
			program->link = NULL;
			WRITE_ONCE(program->ops, NULL);
		}
		symp_monitor_program(SYMPHONY_CMD_PROGRAM_DETACH_NTF, program);
		if (!closes)
			program_set(program, NULL);
	}
	/* The gate of a bus that nobody is on goes right here. */
	symp_bus_put(bus);
	if (!closes) {
		uncount(program);
		kfree_rcu(program, rcu);
	}
}

/*
 * Closed gates that went with their bus. A bus can go when a process's memory
 * does, and that under cpus_read_lock(), which a static key takes, too.
 */
static atomic_t gates_gone;

static void uncount_gates(struct work_struct *work)
{
	int nr = atomic_xchg(&gates_gone, 0);

	while (nr--)
		static_branch_dec(&symp_admits);
}

static DECLARE_WORK(gates_work, uncount_gates);

/* Their bus is in nobody's reach: only closed gates can be left. */
void symp_programs_forget(struct symp_program __rcu **programs)
{
	struct symp_program *closed;

	closed = rcu_dereference_protected(programs[SYMP_ADMIT], true);
	if (!closed)
		return;
	kfree(closed);
	atomic_inc(&gates_gone);
	schedule_work(&gates_work);
}

/* No bus is left. */
void symp_program_exit(void)
{
	flush_work(&gates_work);
}

/* @program gave an answer that it may give. */
void symp_program_worked(struct symp_program *program)
{
	if (unlikely(atomic_read(&program->errors)))
		atomic_dec_if_positive(&program->errors);
}

/* @program gave another one. Within the RCU read section in which it was found. */
void symp_program_failed(struct symp_program *program, const char *why)
{
	if (atomic_add_return(ERROR_COST, &program->errors) < ERROR_BUDGET ||
	    cmpxchg(&program->disabled, NULL, why))
		return;
	symp_monitor_program(SYMPHONY_CMD_PROGRAM_DISABLE_NTF, program);
	pr_notice("symphony: bus %s, service %s: the program is disabled%s: %s\n",
		  program->bus->name,
		  program->service ? program->service->name : "*",
		  program->fail_closed ? ", calls are refused" : "", why);
}

/* With what a program can refuse a call: nothing that has another meaning here. */
bool symp_program_may_refuse(int err)
{
	switch (err) {
	case -EACCES:
	case -EPERM:
	case -EBUSY:
	case -ECONNREFUSED:
	case -ETIME:
		return true;
	default:
		return false;
	}
}
