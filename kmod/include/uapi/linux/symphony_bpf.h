/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * Programs that decide about calls: the struct_ops types of symphony.ko and what
 * a program can ask it. This header is for BPF programs and for the module;
 * neither vmlinux.h nor the module's BTF is needed to build against it.
 *
 * A program is attached through a bpf_link (SEC(".struct_ops.link")) and works
 * while the link is there: pin the link, and it outlives its loader. Updating
 * the link to another map of the same bus and service replaces the program
 * between two calls. Loading needs CAP_BPF and CAP_PERFMON; attaching needs the
 * uid of the bus's creator, or CAP_SYS_ADMIN over the network namespace of the
 * bus. The bus is looked up in the network namespace of whoever attaches.
 *
 * Programs run where calls are made, under RCU, several at a time on different
 * processors. They may not sleep. A program that keeps giving answers which it
 * may not give is disabled, and the kernel's log says why; the built-in policy then
 * decides, as long as it is attached.
 */
#ifndef _UAPI_LINUX_SYMPHONY_BPF_H
#define _UAPI_LINUX_SYMPHONY_BPF_H

#ifndef __VMLINUX_H__
#include <linux/types.h>
#endif

/* Bytes of a name in the structures below, with the terminator. */
#define SYMPHONY_BPF_NAME	64

#ifdef __bpf__
#include <bpf/bpf_helpers.h>
#define SYMPHONY_KFUNC	extern __ksym
/* Offsets are those of the module that a program is loaded with. */
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
#else
#define SYMPHONY_KFUNC
#endif

/*
 * The structures that programs get pointers to have a pointer in them, which
 * means nothing: where one of scalars alone is expected, the verifier would take
 * memory of the program's own instead.
 */

/* A replica, for the functions below. */
struct symphony_replica {
	void *__opaque;
};

/**
 * struct symphony_route - a call that needs a replica
 * @call: its id
 * @sender: id of the endpoint that makes it
 * @method: of the call
 * @key: of the call
 * @deadline: by the clock of bpf_ktime_get_ns(), whatever time namespace the sender
 *	is in; 0 for none
 * @service: handle of the service
 * @uid: of the sender, as the creator of the bus sees it
 * @body_len: bytes
 * @content_type: enum symphony_content
 * @nr_replicas: how many there are, at least 1; some may take no calls
 *
 * Valid while the program runs. Read-only.
 */
struct symphony_route {
	__u64 call;
	__u64 sender;
	__u64 method;
	__u64 key;
	__u64 deadline;
	__u32 service;
	__u32 uid;
	__u32 body_len;
	__u32 content_type;
	__u32 nr_replicas;
	void *__opaque;
};

/**
 * struct symphony_done - a call that has its outcome
 * @call: its id
 * @sender: id of the endpoint that made it
 * @endpoint: of the replica that had it last
 * @queue_time: ns from when the request was there to when it was received, or to
 *	the end
 * @service_time: ns from then to the end; 0 when it was not received
 * @service: handle of the service
 * @status: 0 for an answer, be it an error of the extension's; or the negative
 *	errno of the kernel's outcome
 *
 * Valid while the program runs. Read-only.
 */
struct symphony_done {
	__u64 call;
	__u64 sender;
	__u64 endpoint;
	__u64 queue_time;
	__u64 service_time;
	__u32 service;
	__s32 status;
	void *__opaque;
};

/**
 * struct symphony_change - a replica comes or goes
 * @endpoint: its id
 * @service: handle of the service
 * @nr_replicas: how many there are then
 *
 * Valid while the program runs. Read-only.
 */
struct symphony_change {
	__u64 endpoint;
	__u32 service;
	__u32 nr_replicas;
	void *__opaque;
};

/*
 * symphony_route_ops.flags: a shadow. It sees the calls and is told of all that
 * the program in force is told of, but its choices are only compared, and
 * counted; its answers refuse nothing. A bus or service has one beside the
 * program in force.
 */
#define SYMPHONY_ROUTE_SHADOW	(1U << 0)
/* The program looks into bodies, with bpf_symphony_peek(). */
#define SYMPHONY_ROUTE_PEEK	(1U << 1)
/* It asks for bpf_symphony_replica_service_time(). */
#define SYMPHONY_ROUTE_TIMES	(1U << 2)

/* So many bytes of a body it can see. */
#define SYMPHONY_PEEK_MAX	64

/**
 * struct symphony_route_ops - chooses among the replicas of a service
 * @route: choose for one call, with bpf_symphony_select(). 0, or the negative
 *	errno with which the call is refused: EACCES, EPERM, EBUSY, ECONNREFUSED
 *	or ETIME. Without a choice it is the built-in policy's: the replica
 *	with the fewest calls, among equals in turn. Asked again when the chosen
 *	replica goes before the call has reached it; also when that one died or
 *	was replaced and the call moves: to refuse it then ends it with
 *	ECONNRESET, or ECONNABORTED if no replica had received it
 * @done: optional: a call that had reached a replica has its outcome. Once for
 *	each, also for those that came when another such program was there
 * @replica_up: optional: a replica came; also called for those there are, when
 *	the program is attached, replaces another or takes the place of one whose
 *	link ended. Calls may be routed to it already
 * @replica_down: optional: a replica went
 * @flags: SYMPHONY_ROUTE_*
 * @bus: name of the bus
 * @service: name of a service there is, or empty: for all services of the bus
 *	that have no program of their own
 *
 * Attaching fails with ENOENT (no such bus or service), EPERM, EEXIST (it has
 * one), EINVAL (a name, no @route; replacing: another bus or service),
 * EOPNOTSUPP (not through a link).
 *
 * The program holds the bus's memory and its network namespace until the link
 * ends. It has no effect on a later bus of the same name.
 */
struct symphony_route_ops {
	int (*route)(struct symphony_route *route);
	void (*done)(struct symphony_done *done);
	void (*replica_up)(struct symphony_change *change);
	void (*replica_down)(struct symphony_change *change);
	__u32 flags;
	char bus[SYMPHONY_BPF_NAME];
	char service[SYMPHONY_BPF_NAME];
};

/**
 * struct symphony_admit - a call that somebody wants to make
 * @sender: id of the endpoint that makes it
 * @method: of the call
 * @key: of the call
 * @deadline: by the clock of bpf_ktime_get_ns(), whatever time namespace the sender
 *	is in; 0 for none. That of a call which it is made for can be earlier
 * @service: handle of the service that it is for
 * @sender_service: handle of the service that the sender serves; of several, the
 *	one that it claimed first; 0 for none
 * @uid: of the sender, as the creator of the bus sees it
 * @gid: likewise
 * @body_len: bytes
 * @content_type: enum symphony_content
 *
 * Valid while the program runs. Read-only.
 */
struct symphony_admit {
	__u64 sender;
	__u64 method;
	__u64 key;
	__u64 deadline;
	__u32 service;
	__u32 sender_service;
	__u32 uid;
	__u32 gid;
	__u32 body_len;
	__u32 content_type;
	void *__opaque;
};

/*
 * symphony_admit_ops.flags: without the program, calls are refused with EACCES:
 * when its link has ended, until another program is attached in its place; and
 * when it gave an answer that it may not give, or is disabled for that. Without
 * this flag they are admitted then.
 */
#define SYMPHONY_ADMIT_FAIL_CLOSED	(1U << 0)

/**
 * struct symphony_admit_ops - says who may call whom
 * @admit: may this call be made? 0, or the negative errno that CALL or SEND fails
 *	with: EACCES, EPERM, EBUSY, ECONNREFUSED or ETIME. Asked whenever a
 *	replica is chosen, until the call has reached one: again when that went
 *	before, or the body or room had to be waited for; not when the call moves,
 *	nor when it is queued already
 * @flags: SYMPHONY_ADMIT_*
 * @bus: name of the bus
 * @service: name of a service there is, or empty: for all services of the bus. A
 *	call needs the consent of the bus's program, which is asked first, and of
 *	the service's
 *
 * Attaching fails as for struct symphony_route_ops.
 */
struct symphony_admit_ops {
	int (*admit)(struct symphony_admit *admit);
	__u32 flags;
	char bus[SYMPHONY_BPF_NAME];
	char service[SYMPHONY_BPF_NAME];
};

/**
 * bpf_symphony_select() - choose a replica
 * @route: the call
 * @replica: from an iteration over the replicas of @route
 *
 * The last choice counts. Return: 0, or -EAGAIN: it takes no calls now (it is
 * draining, or dead), and the choice is what it was.
 */
SYMPHONY_KFUNC int bpf_symphony_select(struct symphony_route *route,
				       struct symphony_replica *replica);

/**
 * bpf_symphony_peek() - look into the body
 * @route: the call
 * @offset: in bytes
 * @to: where to
 * @to__sz: how much, in bytes
 *
 * For a program with SYMPHONY_ROUTE_PEEK. What it sees is what the replica gets,
 * even if the sender writes to the body meanwhile. Return: 0, or -ERANGE: not all
 * of that is within the body and its first SYMPHONY_PEEK_MAX bytes.
 */
SYMPHONY_KFUNC int bpf_symphony_peek(struct symphony_route *route, __u32 offset,
				     void *to, __u32 to__sz);

/**
 * bpf_symphony_replica_endpoint() - who it is
 * @replica: a replica
 *
 * Return: the id of its endpoint, which is never used twice.
 */
SYMPHONY_KFUNC __u64 bpf_symphony_replica_endpoint(struct symphony_replica *replica);

/**
 * bpf_symphony_replica_load() - how busy it is
 * @replica: a replica
 *
 * Return: how many requests its endpoint has that are not answered, queued or
 * received, of all services that it serves.
 */
SYMPHONY_KFUNC __u32 bpf_symphony_replica_load(struct symphony_replica *replica);

/**
 * bpf_symphony_replica_taken() - how much it does at once
 * @replica: a replica
 *
 * Return: how many requests its endpoint has received and not answered; the rest
 * of bpf_symphony_replica_load() is in its queue.
 */
SYMPHONY_KFUNC __u32 bpf_symphony_replica_taken(struct symphony_replica *replica);

/**
 * bpf_symphony_replica_service_time() - how long it takes
 * @replica: a replica
 *
 * Return: ns from when its endpoint receives a request to when it answers it,
 * smoothed over about the last 8; 0 when it is not known. For a program with
 * SYMPHONY_ROUTE_TIMES, or @done.
 */
SYMPHONY_KFUNC __u64 bpf_symphony_replica_service_time(struct symphony_replica *replica);

/**
 * bpf_symphony_replica_scratch() - memory of the program's own
 * @replica: a replica
 * @rdwr_buf_size: 8, or less
 *
 * Zero when the replica comes. It stays when the program is replaced, and goes
 * with the replica. Several programs can be at it at once: use atomic operations.
 * Return: the memory, or NULL when it is to be larger.
 */
SYMPHONY_KFUNC __u8 *
bpf_symphony_replica_scratch(struct symphony_replica *replica,
			     const __u64 rdwr_buf_size);

/**
 * struct bpf_iter_symphony_replica - an iteration over the replicas of a service
 *
 * For bpf_for_each(symphony_replica, replica, route, first): each of them once,
 * in the order in which they came, beginning with the one at @first, modulo how
 * many there are, and going round.
 */
struct bpf_iter_symphony_replica {
	__u64 __opaque[2];
} __attribute__((aligned(8)));

SYMPHONY_KFUNC int
bpf_iter_symphony_replica_new(struct bpf_iter_symphony_replica *it,
			      struct symphony_route *route, __u32 first);
SYMPHONY_KFUNC struct symphony_replica *
bpf_iter_symphony_replica_next(struct bpf_iter_symphony_replica *it);
SYMPHONY_KFUNC void
bpf_iter_symphony_replica_destroy(struct bpf_iter_symphony_replica *it);

#ifdef __bpf__
#pragma clang attribute pop
#endif
#undef SYMPHONY_KFUNC

#endif
