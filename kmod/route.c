// SPDX-License-Identifier: GPL-2.0-only
/*
 * Route: programs that choose among the replicas of a service.
 *
 * symp_route() asks the program, in the RCU read section in which the caller
 * found the replicas. What the program is shown is on the stack, and what it can
 * do to it is one of the functions below, whose arguments the verifier vouches
 * for: a route is the one that the program was called with, a replica comes from
 * an iteration over that route's, and neither can be kept for later.
 */
#include <linux/bpf.h>
#include <linux/bpf_verifier.h>
#include <linux/btf.h>
#include <linux/btf_ids.h>
#include <linux/module.h>
#include <linux/symphony.h>
#include <linux/symphony_bpf.h>

#include "bus.h"
#include "call.h"
#include "endpoint.h"
#include "program.h"
#include "route.h"
#include "service.h"

/**
 * struct route - a call that a program chooses for
 * @shown: what it sees
 * @head: the beginning of the body
 * @head_len: bytes of it that it can look at
 * @replicas: among whom
 * @choice: its choice so far, or NULL
 * @missed: it tried to choose one that takes no calls
 */
struct route {
	struct symphony_route shown;
	const void *head;
	u32 head_len;
	struct symp_replicas *replicas;
	struct symp_claim *choice;
	bool missed;
};

/* The program to ask, SYMP_ROUTE or SYMP_SHADOW, or NULL. */
static struct symp_program *program_of(const struct symp_bus *bus,
				       const struct symp_service *service,
				       enum symp_hook hook)
{
	struct symp_program *program;

	program = rcu_dereference(service->programs[hook]) ?:
		  rcu_dereference(bus->programs[hook]);
	return program && !READ_ONCE(program->disabled) ? program : NULL;
}

static bool some_take_calls(const struct symp_replicas *replicas, u32 nr)
{
	while (nr--)
		if (symp_replica_takes_calls(rcu_dereference(replicas->at[nr])))
			return true;
	return false;
}

static struct symp_claim *ask(struct symp_program *program,
			      const struct symp_service *service,
			      struct symp_replicas *replicas,
			      const struct symp_route_args *args)
{
	const struct symphony_route_ops *ops = program->ops;
	const struct symphony_call *arg = args->arg;
	const struct symp_call *call = args->call;
	struct route route = {
		.shown.call = call->id,
		.shown.sender = call->caller->id,
		.shown.method = arg->method,
		.shown.key = arg->key,
		.shown.deadline = call->deadline,
		.shown.service = service->handle,
		.shown.uid = call->caller->uid,
		.shown.body_len = arg->body_len,
		.shown.content_type = arg->content_type,
		.shown.nr_replicas = READ_ONCE(replicas->nr),
		.head = args->head,
		.head_len = program->peeks ? args->head_len : 0,
		.replicas = replicas,
	};
	int err;

	/* Made before the program was there, and so routed without it. */
	if (program->peeks && !args->head)
		return NULL;
	err = ops->route(&route.shown);
	if (unlikely(err && !symp_program_may_refuse(err))) {
		symp_program_failed(program, "route() returns what it may not");
		return NULL;
	}
	if (unlikely(!err && !route.choice && route.missed &&
		     some_take_calls(replicas, route.shown.nr_replicas))) {
		symp_program_failed(program, "it chooses replicas that take no calls");
		return NULL;
	}
	symp_program_worked(program);
	return err ? ERR_PTR(err) : route.choice;
}

/**
 * symp_route() - ask the program, if there is one
 * @service: the service
 * @replicas: its replicas, or NULL
 * @args: for what
 *
 * Within an RCU read section. Return: the replica; NULL for the built-in policy;
 * ERR_PTR() of the errno with which the program refuses the call.
 */
struct symp_claim *symp_route(const struct symp_service *service,
			      struct symp_replicas *replicas,
			      const struct symp_route_args *args)
{
	struct symp_program *program;

	program = program_of(args->call->caller->bus, service, SYMP_ROUTE);
	return program && replicas ?
		ask(program, service, replicas, args) : NULL;
}

/**
 * symp_route_compare() - ask the shadow, if there is one
 * @service: the service
 * @replicas: its replicas, or NULL
 * @args: for what
 * @chosen: what was chosen: a replica, NULL if none, or ERR_PTR()
 *
 * To leave the choice to the built-in policy, and to refuse a call with another
 * errno, is to choose something different. Within an RCU read section.
 */
void symp_route_compare(const struct symp_service *service,
			struct symp_replicas *replicas,
			const struct symp_route_args *args,
			const struct symp_claim *chosen)
{
	struct symp_program *shadow;

	shadow = program_of(args->call->caller->bus, service, SYMP_SHADOW);
	if (!shadow || !replicas)
		return;
	if (ask(shadow, service, replicas, args) == chosen)
		atomic64_inc(&shadow->same);
	else
		atomic64_inc(&shadow->different);
}

/* What a program is told of, and is not asked about. */

/**
 * symp_route_done() - a call has its outcome
 * @call: a call that had reached a replica, referenced; no lock held
 * @status: of the outcome
 * @queue_time: as in struct symphony_done
 * @service_time: likewise
 */
void symp_route_done(const struct symp_call *call, int status, u64 queue_time,
		     u64 service_time)
{
	struct symphony_done shown = {
		.call = call->id,
		.sender = call->caller->id,
		.endpoint = call->reached,
		.queue_time = queue_time,
		.service_time = service_time,
		.service = call->service->handle,
		.status = status,
	};
	const struct symphony_route_ops *ops;
	const struct symp_program *program;
	enum symp_hook hook;

	guard(rcu)();
	for (hook = SYMP_ROUTE; hook <= SYMP_SHADOW; hook++) {
		program = program_of(call->caller->bus, call->service, hook);
		ops = program ? program->ops : NULL;
		if (ops && ops->done)
			ops->done(&shown);
	}
}

static void tell_change(const struct symp_program *program,
			const struct symp_service *service,
			const struct symp_endpoint *ep, bool up)
{
	struct symp_replicas *replicas = rcu_dereference(service->replicas);
	const struct symphony_route_ops *ops = program->ops;
	struct symphony_change shown = {
		.endpoint = ep->id,
		.service = service->handle,
		.nr_replicas = replicas ? READ_ONCE(replicas->nr) : 0,
	};

	if (up && ops->replica_up)
		ops->replica_up(&shown);
	if (!up && ops->replica_down)
		ops->replica_down(&shown);
}

/*
 * A program hears of each replica once, whether that or the program comes first.
 * A service remembers which program it told of its replicas (@told). Before they
 * change, and after a program came, the program to be asked is told of all that
 * there are, unless it was. If one comes between that and the change, it is not
 * told of the change, but then of all: it stands in its place by then, and
 * whoever put it there waits for the service's lock.
 */
static const struct symp_program *program_told(enum symp_hook hook,
					       const struct symp_bus *bus,
					       const struct symp_service *service)
{
	const struct symp_program *program = program_of(bus, service, hook);

	return program && program->serial == service->told[hook] ?
		program : NULL;
}

static void catch_up(enum symp_hook hook, struct symp_service *service,
		     const struct symp_bus *bus)
{
	const struct symp_program *program = program_of(bus, service, hook);
	struct symp_replicas *replicas = rcu_dereference(service->replicas);
	u32 i;

	if (!program || program->serial == service->told[hook])
		return;
	service->told[hook] = program->serial;
	for (i = 0; replicas && i < replicas->nr; i++)
		tell_change(program, service,
			    rcu_dereference(replicas->at[i])->ep, true);
}

/* The replicas of @service, its lock held, are about to change, or a program did. */
void symp_route_catch_up(struct symp_service *service, const struct symp_bus *bus)
{
	lockdep_assert_held(&service->lock);
	guard(rcu)();
	catch_up(SYMP_ROUTE, service, bus);
	catch_up(SYMP_SHADOW, service, bus);
}

/**
 * symp_route_replica() - a replica came or went
 * @service: of which service, its lock held; see symp_route_catch_up()
 * @ep: the replica
 * @up: it came
 */
void symp_route_replica(const struct symp_service *service,
			const struct symp_endpoint *ep, bool up)
{
	const struct symp_program *program;
	enum symp_hook hook;

	lockdep_assert_held(&service->lock);
	guard(rcu)();
	for (hook = SYMP_ROUTE; hook <= SYMP_SHADOW; hook++) {
		program = program_told(hook, ep->bus, service);
		if (program)
			tell_change(program, service, ep, up);
	}
}

/**
 * symp_route_changed() - another program is asked
 * @bus: the bus
 * @service: about which service; NULL: all that have none of their own
 *
 * May sleep.
 */
void symp_route_changed(struct symp_bus *bus, struct symp_service *service)
{
	u64 handle = service ? service->handle : 0;
	bool all = !service;

	do {
		scoped_guard(rcu) {
			service = symp_service_next(bus, handle);
			if (!service)
				return;
			handle = all ? service->handle + 1ULL : 0;
			guard(spinlock)(&service->lock);
			symp_route_catch_up(service, bus);
		}
		cond_resched();
	} while (handle);
}

/* --- what a program can call ------------------------------------------------ */

static struct symp_claim *replica_of(struct symphony_replica *shown)
{
	return container_of(shown, struct symp_claim, shown);
}

struct replica_iter {
	struct route *route;
	u32 left;
	u32 at;
};

static_assert(sizeof(struct replica_iter) ==
	      sizeof(struct bpf_iter_symphony_replica));
static_assert(__alignof__(struct replica_iter) ==
	      __alignof__(struct bpf_iter_symphony_replica));

__bpf_kfunc_start_defs();

__bpf_kfunc int bpf_symphony_select(struct symphony_route *shown,
				    struct symphony_replica *replica)
{
	struct route *route = container_of(shown, struct route, shown);

	if (!symp_replica_takes_calls(replica_of(replica))) {
		route->missed = true;
		return -EAGAIN;
	}
	route->choice = replica_of(replica);
	return 0;
}

__bpf_kfunc int bpf_symphony_peek(struct symphony_route *shown, u32 offset,
				  void *to, u32 to__sz)
{
	const struct route *route = container_of(shown, struct route, shown);

	if (offset > route->head_len || to__sz > route->head_len - offset)
		return -ERANGE;
	memcpy(to, route->head + offset, to__sz);
	return 0;
}

__bpf_kfunc u64 bpf_symphony_replica_endpoint(struct symphony_replica *replica)
{
	return replica_of(replica)->ep->id;
}

__bpf_kfunc u32 bpf_symphony_replica_load(struct symphony_replica *replica)
{
	return READ_ONCE(replica_of(replica)->ep->load);
}

__bpf_kfunc u32 bpf_symphony_replica_taken(struct symphony_replica *replica)
{
	return READ_ONCE(replica_of(replica)->ep->taken);
}

__bpf_kfunc u64
bpf_symphony_replica_service_time(struct symphony_replica *replica)
{
	return READ_ONCE(replica_of(replica)->ep->service_time);
}

__bpf_kfunc u8 *bpf_symphony_replica_scratch(struct symphony_replica *replica,
					     const u64 rdwr_buf_size)
{
	struct symp_claim *claim = replica_of(replica);

	return rdwr_buf_size > sizeof(claim->scratch) ? NULL :
		(u8 *)&claim->scratch;
}

__bpf_kfunc int
bpf_iter_symphony_replica_new(struct bpf_iter_symphony_replica *it,
			      struct symphony_route *shown, u32 first)
{
	struct replica_iter *iter = (void *)it;

	iter->route = container_of(shown, struct route, shown);
	iter->left = shown->nr_replicas;
	iter->at = first % shown->nr_replicas;
	return 0;
}

__bpf_kfunc struct symphony_replica *
bpf_iter_symphony_replica_next(struct bpf_iter_symphony_replica *it)
{
	struct replica_iter *iter = (void *)it;
	struct symp_claim *replica;

	if (!iter->left)
		return NULL;
	iter->left--;
	replica = rcu_dereference(iter->route->replicas->at[iter->at]);
	if (++iter->at == iter->route->shown.nr_replicas)
		iter->at = 0;
	return &replica->shown;
}

__bpf_kfunc void
bpf_iter_symphony_replica_destroy(struct bpf_iter_symphony_replica *it)
{
}

__bpf_kfunc_end_defs();

BTF_KFUNCS_START(route_kfuncs)
BTF_ID_FLAGS(func, bpf_symphony_select, KF_RCU)
BTF_ID_FLAGS(func, bpf_symphony_peek, KF_RCU)
BTF_ID_FLAGS(func, bpf_symphony_replica_endpoint, KF_RCU)
BTF_ID_FLAGS(func, bpf_symphony_replica_load, KF_RCU)
BTF_ID_FLAGS(func, bpf_symphony_replica_taken, KF_RCU)
BTF_ID_FLAGS(func, bpf_symphony_replica_service_time, KF_RCU)
BTF_ID_FLAGS(func, bpf_symphony_replica_scratch, KF_RCU | KF_RET_NULL)
BTF_ID_FLAGS(func, bpf_iter_symphony_replica_new,
	     KF_ITER_NEW | KF_RCU_PROTECTED | KF_RCU)
BTF_ID_FLAGS(func, bpf_iter_symphony_replica_next, KF_ITER_NEXT | KF_RET_NULL)
BTF_ID_FLAGS(func, bpf_iter_symphony_replica_destroy, KF_ITER_DESTROY)
BTF_KFUNCS_END(route_kfuncs)

/* Of this module, to know its programs by. */
static const struct btf *module_btf;

static int route_kfunc_filter(const struct bpf_prog *prog, u32 kfunc_id)
{
	return prog->aux->attach_btf == module_btf ? 0 : -EACCES;
}

static const struct btf_kfunc_id_set route_kfunc_set = {
	.owner = THIS_MODULE,
	.set = &route_kfuncs,
	.filter = route_kfunc_filter,
};

/* --- the struct_ops type ---------------------------------------------------- */

#define ROUTE_FLAGS	(SYMPHONY_ROUTE_SHADOW | SYMPHONY_ROUTE_PEEK | \
			 SYMPHONY_ROUTE_TIMES)

static int route_ops_init(struct btf *btf)
{
	module_btf = btf;
	return 0;
}

static int route_init_member(const struct btf_type *type,
			     const struct btf_member *member,
			     void *kdata, const void *udata)
{
	const struct symphony_route_ops *from = udata;
	struct symphony_route_ops *to = kdata;

	switch (__btf_member_bit_offset(type, member) / 8) {
	case offsetof(struct symphony_route_ops, flags):
		if (from->flags & ~ROUTE_FLAGS)
			return -EINVAL;
		to->flags = from->flags;
		return 1;
	case offsetof(struct symphony_route_ops, bus):
		return symp_program_name(to->bus, from->bus) ?: 1;
	case offsetof(struct symphony_route_ops, service):
		return *from->service ?
			symp_program_name(to->service, from->service) ?: 1 : 0;
	default:
		return 0;
	}
}

static int route_validate(void *kdata)
{
	const struct symphony_route_ops *ops = kdata;

	return ops->route ? 0 : -EINVAL;
}

static struct symp_program_args route_args(const struct symphony_route_ops *ops)
{
	return (struct symp_program_args){
		.hook = ops->flags & SYMPHONY_ROUTE_SHADOW ? SYMP_SHADOW :
							     SYMP_ROUTE,
		.ops = ops,
		.bus = ops->bus,
		.service = ops->service,
		.peeks = ops->flags & SYMPHONY_ROUTE_PEEK,
		.times = ops->done || ops->flags & SYMPHONY_ROUTE_TIMES,
	};
}

static int route_reg(void *kdata, struct bpf_link *link)
{
	const struct symp_program_args args = route_args(kdata);

	return link ? symp_program_attach(&args, link) : -EOPNOTSUPP;
}

static int route_update(void *kdata, void *old_kdata, struct bpf_link *link)
{
	const struct symp_program_args args = route_args(kdata);

	return symp_program_replace(&args, link);
}

static void route_unreg(void *kdata, struct bpf_link *link)
{
	symp_program_detach(link);
}

/* For their types alone. */
static int route_stub(struct symphony_route *route)
{
	return 0;
}

static void done_stub(struct symphony_done *done)
{
}

static void change_stub(struct symphony_change *change)
{
}

static struct symphony_route_ops route_stubs = {
	.route = route_stub,
	.done = done_stub,
	.replica_up = change_stub,
	.replica_down = change_stub,
};

static struct bpf_struct_ops route_struct_ops = {
	.name = "symphony_route_ops",
	.owner = THIS_MODULE,
	.verifier_ops = &symp_program_verifier_ops,
	.cfi_stubs = &route_stubs,
	.init = route_ops_init,
	.check_member = symp_program_check_member,
	.init_member = route_init_member,
	.validate = route_validate,
	.reg = route_reg,
	.update = route_update,
	.unreg = route_unreg,
};

/* What is registered goes with the module. */
int symp_route_init(void)
{
	return register_btf_kfunc_id_set(BPF_PROG_TYPE_STRUCT_OPS,
					 &route_kfunc_set) ?:
	       register_bpf_struct_ops(&route_struct_ops, symphony_route_ops);
}
