// SPDX-License-Identifier: GPL-2.0-only
/*
 * Admit: programs that say who may call whom.
 *
 * Asked when a call is to go to a replica for the first time, and again when it
 * had to wait for room there: nobody has seen anything of it, and to refuse it
 * undoes what a call without a replica does. A gate that is to fail closed is
 * never open in between: its place is taken by one store, from the program to the
 * closed gate, and from that to the next program.
 */
#include <linux/bpf.h>
#include <linux/btf.h>
#include <linux/module.h>
#include <linux/symphony.h>
#include <linux/symphony_bpf.h>

#include "admit.h"
#include "bus.h"
#include "endpoint.h"
#include "program.h"
#include "service.h"

/* Return: 0, or the errno with which @program refuses the call. */
static int ask(struct symp_program *program, const struct symp_service *service,
	       const struct symp_endpoint *sender, const struct symphony_call *arg)
{
	struct symphony_admit shown = {
		.sender = sender->id,
		.method = arg->method,
		.key = arg->key,
		.deadline = arg->deadline,
		.service = service->handle,
		.sender_service = READ_ONCE(sender->serves),
		.uid = sender->uid,
		.gid = sender->gid,
		.body_len = arg->body_len,
		.content_type = arg->content_type,
	};
	const struct symphony_admit_ops *ops;
	int err;

	/* Pairs with symp_program_detach(): they stay for a grace period. */
	ops = READ_ONCE(program->ops);
	if (ops && !READ_ONCE(program->disabled)) {
		err = ops->admit(&shown);
		if (!err || symp_program_may_refuse(err)) {
			symp_program_worked(program);
			return err;
		}
		symp_program_failed(program, "admit() returns what it may not");
	}
	return program->fail_closed ? -EACCES : 0;
}

/**
 * symp_admit() - ask the programs, if there are any
 * @service: what is called
 * @sender: who calls
 * @arg: what it wrote
 *
 * Within an RCU read section. Return: 0, or the errno with which the call is
 * refused.
 */
int symp_admit(const struct symp_service *service,
	       const struct symp_endpoint *sender,
	       const struct symphony_call *arg)
{
	struct symp_program *program;
	int err = 0;

	program = rcu_dereference(sender->bus->programs[SYMP_ADMIT]);
	if (program)
		err = ask(program, service, sender, arg);
	program = rcu_dereference(service->programs[SYMP_ADMIT]);
	if (!err && program)
		err = ask(program, service, sender, arg);
	return err;
}

/* --- the struct_ops type ---------------------------------------------------- */

static int admit_ops_init(struct btf *btf)
{
	return 0;
}

static int admit_init_member(const struct btf_type *type,
			     const struct btf_member *member,
			     void *kdata, const void *udata)
{
	const struct symphony_admit_ops *from = udata;
	struct symphony_admit_ops *to = kdata;

	switch (__btf_member_bit_offset(type, member) / 8) {
	case offsetof(struct symphony_admit_ops, flags):
		if (from->flags & ~SYMPHONY_ADMIT_FAIL_CLOSED)
			return -EINVAL;
		to->flags = from->flags;
		return 1;
	case offsetof(struct symphony_admit_ops, bus):
		return symp_program_name(to->bus, from->bus) ?: 1;
	case offsetof(struct symphony_admit_ops, service):
		return *from->service ?
			symp_program_name(to->service, from->service) ?: 1 : 0;
	default:
		return 0;
	}
}

static int admit_validate(void *kdata)
{
	const struct symphony_admit_ops *ops = kdata;

	return ops->admit ? 0 : -EINVAL;
}

static struct symp_program_args admit_args(const struct symphony_admit_ops *ops)
{
	return (struct symp_program_args){
		.hook = SYMP_ADMIT,
		.ops = ops,
		.bus = ops->bus,
		.service = ops->service,
		.fail_closed = ops->flags & SYMPHONY_ADMIT_FAIL_CLOSED,
	};
}

static int admit_reg(void *kdata, struct bpf_link *link)
{
	const struct symp_program_args args = admit_args(kdata);

	return link ? symp_program_attach(&args, link) : -EOPNOTSUPP;
}

static int admit_update(void *kdata, void *old_kdata, struct bpf_link *link)
{
	const struct symp_program_args args = admit_args(kdata);

	return symp_program_replace(&args, link);
}

static void admit_unreg(void *kdata, struct bpf_link *link)
{
	symp_program_detach(link);
}

/* For their types alone. */
static int admit_stub(struct symphony_admit *admit)
{
	return 0;
}

static struct symphony_admit_ops admit_stubs = {
	.admit = admit_stub,
};

static struct bpf_struct_ops admit_struct_ops = {
	.name = "symphony_admit_ops",
	.owner = THIS_MODULE,
	.verifier_ops = &symp_program_verifier_ops,
	.cfi_stubs = &admit_stubs,
	.init = admit_ops_init,
	.check_member = symp_program_check_member,
	.init_member = admit_init_member,
	.validate = admit_validate,
	.reg = admit_reg,
	.update = admit_update,
	.unreg = admit_unreg,
};

/* What is registered goes with the module. */
int symp_admit_init(void)
{
	return register_bpf_struct_ops(&admit_struct_ops, symphony_admit_ops);
}
