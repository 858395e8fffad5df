// SPDX-License-Identifier: MIT
/*
 * What is tried with something failing in it: how endpoints and services come and
 * go; see trial.h.
 */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/symphony_bpf.h>

#include "gate.skel.h"
#include "told.h"
#include "trial.h"

/* --- JOIN and the file --- */

static int open_run(struct trial *t)
{
	t->file = dev_open();
	return t->file < 0 ? t->file : 0;
}

static int join_prepare(struct trial *t)
{
	t->file = dev_open();
	t->join = (struct symphony_join){
		.size = sizeof(t->join),
		.flags = SYMPHONY_JOIN_CREATE,
		.name = (uintptr_t)dev_bus(), .name_len = strlen(dev_bus()),
		.pool_size = SYMPHONY_POOL_MIN,
	};
	return t->file < 0 ? t->file : 0;
}

static int join_reserve_prepare(struct trial *t)
{
	int ret = join_prepare(t);

	memcpy(t->text, "one\0two\0three", 14);
	t->join.flags |= SYMPHONY_JOIN_EXCL | SYMPHONY_JOIN_GRANTS;
	t->join.reserve = (uintptr_t)t->text;
	t->join.reserve_len = 14;
	return ret;
}

static int join_exists_prepare(struct trial *t)
{
	int ret = join_prepare(t);

	t->join.flags |= SYMPHONY_JOIN_EXCL;
	return ret;
}

static int join_run(struct trial *t)
{
	return dev_ioctl(t->file, SYMPHONY_IOC_JOIN, &t->join);
}

static int join_limited_prepare(struct trial *t)
{
	return join_prepare(t) ?: trial_limit(t, "user_endpoints_max");
}

/* It is an endpoint or it is none, and then it can still become one. */
static const char *join_verify(struct trial *t)
{
	struct symphony_release release = { .size = sizeof(release) };
	int is = dev_ioctl(t->file, SYMPHONY_IOC_RELEASE, &release);

	if (is != (t->ret ? -ENOTCONN : 0))
		return "JOIN and the file disagree";
	if (!t->ret && t->join.endpoint == 0)
		return "no id";
	if (!t->ret)
		return NULL;
	is = join_run(t);
	return is && is != -EEXIST ? "JOIN does not work afterwards" : NULL;
}

static const char *join_limited_verify(struct trial *t)
{
	trial_unlimit(t);
	if (t->ret == -EDQUOT && t->join.limit != SYMPHONY_LIMIT_USER_ENDPOINTS)
		return "the wrong limit";
	return join_verify(t);
}

static int join_heard_prepare(struct trial *t)
{
	int ret;

	t->netlink = told_open(&ret);
	return ret ?: told_listen(t->netlink) ?: join_prepare(t);
}

static int mmap_prepare(struct trial *t)
{
	return join_prepare(t) ?: join_run(t);
}

static int mmap_run(struct trial *t)
{
	void *pool = mmap(NULL, SYMPHONY_POOL_MIN, PROT_READ, MAP_SHARED, t->file, 0);

	if (pool == MAP_FAILED)
		return -errno;
	munmap(pool, SYMPHONY_POOL_MIN);
	return 0;
}

static int epoll_prepare(struct trial *t)
{
	t->file = epoll_create1(EPOLL_CLOEXEC);
	return t->file < 0 ? -errno : 0;
}

static int epoll_run(struct trial *t)
{
	struct epoll_event event = { .events = EPOLLIN };

	return epoll_ctl(t->file, EPOLL_CTL_ADD, t->client.fd, &event) ? -errno : 0;
}

static const char *epoll_verify(struct trial *t)
{
	struct epoll_event event;

	if (trial_send(t, t->svc, 1))
		return "SEND does not work";
	if (ep_serve(&t->server) < 0)
		return "nothing to serve";
	if (epoll_wait(t->file, &event, 1, t->ret ? 0 : DEV_LONG) != !t->ret)
		return "epoll says what is not";
	return NULL;
}

static int poll_run(struct trial *t)
{
	struct pollfd polled = { .fd = t->client.fd, .events = POLLIN };

	return poll(&polled, 1, 0) < 0 ? -errno : 0;
}

static int list_prepare(struct trial *t)
{
	int ret;

	t->netlink = told_open(&ret);
	return ret;
}

static int list_run(struct trial *t)
{
	struct row rows[4];

	return told_dump(t->netlink, SYMPHONY_CMD_ENDPOINT_GET, dev_bus(), rows, 4);
}

/* A program that can be attached. libbpf fills its map when that is done first. */
static struct gate *gate_ready(void)
{
	struct gate *gate = gate__open();
	struct symphony_admit_ops *ops;
	struct bpf_link *link;

	if (!gate)
		return NULL;
	ops = bpf_map__initial_value(gate->maps.gate, &(size_t){ 0 });
	strcpy(ops->bus, dev_bus());
	strcpy(ops->service, "svc");
	bpf_map__set_autocreate(gate->maps.closing, false);
	bpf_map__set_autocreate(gate->maps.strange, false);
	bpf_map__set_autocreate(gate->maps.absent, false);
	link = gate__load(gate) ? NULL : bpf_map__attach_struct_ops(gate->maps.gate);
	if (link && !bpf_link__destroy(link))
		return gate;
	gate__destroy(gate);
	return NULL;
}

static int attach_prepare(struct trial *t)
{
	t->gates[0] = gate_ready();
	return t->gates[0] ? 0 : -EIO;
}

static int attach_run(struct trial *t)
{
	t->link = bpf_link_create(bpf_map__fd(t->gates[0]->maps.gate), 0, BPF_STRUCT_OPS,
				  NULL);
	return t->link < 0 ? t->link : 0;
}

static int replace_prepare(struct trial *t)
{
	t->gates[1] = gate_ready();
	return t->gates[1] ? attach_prepare(t) ?: attach_run(t) : -EIO;
}

static int replace_run(struct trial *t)
{
	return bpf_link_update(t->link, bpf_map__fd(t->gates[1]->maps.gate), NULL);
}

static int query_run(struct trial *t)
{
	struct symphony_query query = { .size = sizeof(query) };

	return dev_ioctl(t->client.fd, SYMPHONY_IOC_QUERY, &query);
}

/* From a program that knows more members. */
static int query_larger_run(struct trial *t)
{
	struct { struct symphony_query query; __u64 more; } larger = {
		.query.size = sizeof(larger),
	};

	return dev_ioctl(t->client.fd, SYMPHONY_IOC_QUERY, &larger);
}

/* --- the last close, which is a death --- */

/* Of @ep, which nothing but its file keeps alive then. */
static int last_close(struct ep *ep)
{
	munmap((void *)ep->pool, ep->size);
	ep->pool = NULL;
	return 0;
}

static int close_server_run(struct trial *t)
{
	int ret = close(t->server.fd) ? -errno : 0;

	t->server.fd = -1;
	return ret;
}

static int close_client_run(struct trial *t)
{
	int ret = close(t->client.fd) ? -errno : 0;

	t->client.fd = -1;
	t->owed = 0;
	return ret;
}

static int some_sent(struct trial *t)
{
	int ret = 0;

	for (int i = 0; i < 3; i++)
		ret = ret ?: trial_send(t, t->svc, 300);
	return ret;
}

static int close_queued_prepare(struct trial *t)
{
	return some_sent(t) ?: last_close(&t->server);
}

static int claim_all(struct trial *t, __u32 flags)
{
	int ret = ep_unclaim(&t->server, t->svc);

	ret = ret ?: ep_claim_with(&t->server, "svc", flags, 0, &t->svc);
	return ret ?: ep_claim_with(&t->other, "svc", flags, 0, &t->svc);
}

static int close_requeued_prepare(struct trial *t)
{
	int ret = ep_unclaim(&t->server, t->svc);

	ret = ret ?: ep_claim_with(&t->server, "svc", SYMPHONY_CLAIM_REQUEUE, 0, &t->svc);
	ret = ret ?: some_sent(t);
	ret = ret ?: ep_claim_with(&t->other, "svc", SYMPHONY_CLAIM_REQUEUE, 0, &t->svc);
	return ret ?: last_close(&t->server);
}

static int close_to_activator_prepare(struct trial *t)
{
	int ret = ep_unclaim(&t->server, t->svc);

	ret = ret ?: ep_claim_with(&t->server, "svc", SYMPHONY_CLAIM_REQUEUE, 0, &t->svc);
	ret = ret ?: some_sent(t);
	ret = ret ?: ep_claim_with(&t->other, "svc", SYMPHONY_CLAIM_ACTIVATOR, 0, &t->svc);
	return ret ?: last_close(&t->server);
}

static const char *close_to_activator_verify(struct trial *t)
{
	const struct symphony_msg *msg;
	const char *wrong = NULL;
	__u64 svc;

	/* Who is held is released by a replica. */
	if (t->client.fd < 0 || ep_claim_with(&t->sink, "svc", 0, 0, &svc))
		return "CLAIM does not work";
	while ((msg = ep_next(&t->other, DEV_BEAT)) && !wrong)
		wrong = ep_release(&t->other, msg) ? "RELEASE does not work" : NULL;
	return wrong;
}

static int close_watched_prepare(struct trial *t)
{
	return ep_watch(&t->client, t->server.id, 7, 0) ?: last_close(&t->server);
}

static const char *close_watched_verify(struct trial *t)
{
	const struct symphony_msg *msg = ep_expect(&t->client, SYMPHONY_MSG_GONE, 7);

	return msg && !ep_release(&t->client, msg) ? NULL : "a death is not told";
}

static int close_replica_prepare(struct trial *t)
{
	__u64 svc;

	return ep_claim(&t->other, "svc", &svc) ?: ep_claim(&t->sink, "svc", &svc) ?:
		last_close(&t->server);
}

/* The replicas that are left serve, and no other. */
static const char *replicas_serve(struct trial *t)
{
	struct ep *left[] = { &t->other, &t->sink };
	long nr[2] = {};

	for (int i = 0; i < 4; i++)
		if (trial_send(t, t->svc, 1))
			return "a replica cannot be reached";
	for (int i = 0; i < 2; i++) {
		struct ep *ep = left[i];
		const struct symphony_msg *msg;

		for (; (msg = ep_next(ep, -1)); nr[i]++) {
			if (msg->type == SYMPHONY_MSG_CALL &&
			    ep_reply(ep, msg, NULL, 0, 0))
				return "REPLY does not work";
			ep_release(ep, msg);
		}
	}
	return nr[0] >= 2 && nr[1] >= 2 ? NULL : "not all that are left serve";
}

static const char *close_replica_verify(struct trial *t)
{
	return replicas_serve(t);
}

/* A caller with one call queued, one received, and one whose server is told. */
static int close_client_prepare(struct trial *t)
{
	int ret = ep_unclaim(&t->server, t->svc);

	ret = ret ?: ep_claim_with(&t->server, "svc", SYMPHONY_CLAIM_NOTIFY, 0, &t->svc);
	ret = ret ?: some_sent(t);
	if (!ret && !ep_next(&t->server, -1))
		ret = -errno;
	return ret ?: last_close(&t->client);
}

static const char *close_client_verify(struct trial *t)
{
	/* What it had received it is told of, whatever fails. */
	const struct symphony_msg *msg = ep_expect(&t->server, SYMPHONY_MSG_CANCELLED, 0);

	if (!msg || ep_release(&t->server, msg))
		return "nobody told the server";
	trial_scour(&t->server);
	return NULL;
}

/* --- CLAIM and the like --- */

static int service_is(struct trial *t, const char *name, __u32 flags)
{
	snprintf(t->text, sizeof(t->text), "%s", name);
	t->service = (struct symphony_service){
		.size = sizeof(t->service), .flags = flags,
		.name = (uintptr_t)t->text, .name_len = strlen(name),
	};
	return 0;
}

static int claim_new_prepare(struct trial *t)
{
	return service_is(t, "new", 0);
}

static int claim_replica_prepare(struct trial *t)
{
	return service_is(t, "svc", 0);
}

static int claim_activator_prepare(struct trial *t)
{
	return service_is(t, "svc", SYMPHONY_CLAIM_ACTIVATOR);
}

static int claim_takeover_prepare(struct trial *t)
{
	return some_sent(t) ?: service_is(t, "svc", SYMPHONY_CLAIM_TAKEOVER);
}

static int claim_one_of_prepare(struct trial *t)
{
	__u64 svc;
	int ret = ep_claim(&t->client, "svc", &svc);

	service_is(t, "svc", SYMPHONY_CLAIM_TAKEOVER);
	t->service.endpoint = t->server.id;
	return ret;
}

static int claim_parked_prepare(struct trial *t)
{
	int ret = ep_unclaim(&t->server, t->svc);

	ret = ret ?: ep_claim_with(&t->server, "svc", SYMPHONY_CLAIM_ACTIVATOR, 0, &t->svc);
	return ret ?: some_sent(t) ?: service_is(t, "svc", 0);
}

static int claim_run(struct trial *t)
{
	return dev_ioctl(t->other.fd, SYMPHONY_IOC_CLAIM, &t->service);
}

static int claim_limited_prepare(struct trial *t)
{
	return claim_new_prepare(t) ?: trial_limit(t, "user_services_max");
}

/*
 * It has the service or it has not, and then it can have it: it is no replica
 * (EALREADY) that knows nothing of it.
 */
static const char *claim_verify(struct trial *t)
{
	bool has = false;
	__u64 svc;

	if (t->ret && t->ret != -EFAULT && t->service.handle)
		return "an error with a handle";
	if (!ep_resolve(&t->other, t->text, &svc))
		has = !ep_unclaim(&t->other, svc);
	if (has && t->ret && (t->strict || t->ret != -EFAULT))
		return "CLAIM failed and was done";
	if (!has && !t->ret)
		return "CLAIM was not done";
	t->service.endpoint = 0;
	t->service.flags &= ~SYMPHONY_CLAIM_TAKEOVER;
	if (t->ret && !has && claim_run(t))
		return "CLAIM does not work afterwards";
	/* What was parked or moved needs somebody. */
	if (!ep_claim(&t->sink, t->text, &svc))
		return NULL;
	return "CLAIM of another does not work afterwards";
}

static const char *claim_limited_verify(struct trial *t)
{
	trial_unlimit(t);
	if (t->ret == -EDQUOT && t->service.limit != SYMPHONY_LIMIT_USER_SERVICES)
		return "the wrong limit";
	return t->service.handle ? "an error with a handle" : NULL;
}

static int claim_grant_prepare(struct trial *t)
{
	int ret = service_is(t, "granted", 0);

	ret = ret ?: dev_ioctl(t->sink.fd, SYMPHONY_IOC_GRANT, &t->service);
	t->file = t->service.grant;
	t->service.flags = SYMPHONY_CLAIM_GRANT;
	return ret;
}

static int grant_run(struct trial *t)
{
	return dev_ioctl(t->sink.fd, SYMPHONY_IOC_GRANT, &t->service);
}

static const char *grant_verify(struct trial *t)
{
	if (t->ret)
		return NULL;
	t->file = t->service.grant;
	return fcntl(t->file, F_GETFD) == FD_CLOEXEC ? NULL : "no descriptor";
}

static int resolve_run(struct trial *t)
{
	return dev_ioctl(t->client.fd, SYMPHONY_IOC_RESOLVE, &t->service);
}

static const char *resolve_verify(struct trial *t)
{
	return t->service.handle == (t->ret ? 0 : t->svc) ? NULL : "the wrong handle";
}

static int handle_prepare(struct trial *t)
{
	service_is(t, "", 0);
	t->service.handle = t->svc;
	return 0;
}

static int unclaim_one_of_prepare(struct trial *t)
{
	__u64 svc;

	return ep_claim(&t->other, "svc", &svc) ?: ep_claim(&t->sink, "svc", &svc) ?:
		handle_prepare(t);
}

static int unclaim_activator_prepare(struct trial *t)
{
	return claim_parked_prepare(t) ?: handle_prepare(t);
}

static int unclaim_run(struct trial *t)
{
	return dev_ioctl(t->server.fd, SYMPHONY_IOC_UNCLAIM, &t->service);
}

static const char *unclaim_verify(struct trial *t)
{
	/* It is on the way of every death: without memory it is done too. */
	if (ep_unclaim(&t->server, t->svc) != (t->ret ? 0 : -ENOENT))
		return "UNCLAIM is not what it says";
	return NULL;
}

static const char *unclaim_one_of_verify(struct trial *t)
{
	return unclaim_verify(t) ?: replicas_serve(t);
}

static int drain_prepare(struct trial *t)
{
	return claim_all(t, 0) ?: handle_prepare(t);
}

static int resume_prepare(struct trial *t)
{
	int ret = ep_drain(&t->server, t->svc, false);

	ret = ret ?: ep_claim_with(&t->other, "svc", SYMPHONY_CLAIM_ACTIVATOR, 0, &t->svc);
	ret = ret ?: some_sent(t) ?: handle_prepare(t);
	t->service.flags = SYMPHONY_DRAIN_RESUME;
	return ret;
}

static int drain_run(struct trial *t)
{
	return dev_ioctl(t->server.fd, SYMPHONY_IOC_DRAIN, &t->service);
}

static const char *drain_verify(struct trial *t)
{
	/* With an error nothing changed; a second try does it. */
	return t->ret && drain_run(t) ? "DRAIN does not work afterwards" : NULL;
}

/* --- WATCH --- */

static int watch_run(struct trial *t)
{
	return ep_watch(&t->client, t->server.id, 5, 0);
}

static const char *watch_verify(struct trial *t)
{
	if (ep_watch(&t->client, t->server.id, 0, SYMPHONY_WATCH_REMOVE) !=
	    (t->ret ? -ESRCH : 0))
		return "WATCH is not what it says";
	return NULL;
}

static int unwatch_run(struct trial *t)
{
	return ep_watch(&t->client, t->server.id, 0, SYMPHONY_WATCH_REMOVE);
}

static const char *unwatch_verify(struct trial *t)
{
	return unwatch_run(t) == (t->ret ? 0 : -ESRCH) ? NULL : "REMOVE is not what it says";
}

/* --- moves: what fails does in a kernel thread --- */

static int settle_run(struct trial *t, int ret)
{
	/* Those that are on their way have arrived, or ended. */
	if (!ret && trial_settle(t))
		ret = -EPROTO;
	return ret;
}

static int move_takeover_run(struct trial *t)
{
	return settle_run(t, claim_run(t));
}

static int move_close_run(struct trial *t)
{
	return settle_run(t, close_server_run(t));
}

/* They are held by the activator, or have ended, when nothing happens any more. */
static int move_park_run(struct trial *t)
{
	int ret = close_server_run(t);

	dev_nap(DEV_BEAT);
	return ret;
}

static const char *move_verify(struct trial *t)
{
	if (t->answered + t->refused != 3 || (!t->failed && t->refused))
		return "not all calls moved";
	return t->failed && t->refused > 1 ? "one failed, and others with it" : NULL;
}

static const char *move_park_verify(struct trial *t)
{
	return close_to_activator_verify(t) ?: trial_settle(t) ?:
		move_verify(t);
}

#define OP(n, ...)	{ .name = n, __VA_ARGS__ }

const struct operation life_operations[] = {
	OP("open", .flags = TRIAL_BARE, .run = open_run),
	OP("JOIN, a new bus", .flags = TRIAL_BARE, .prepare = join_prepare,
	   .run = join_run, .verify = join_verify),
	OP("JOIN, EXCL with GRANTS and reserved names", .flags = TRIAL_BARE,
	   .prepare = join_reserve_prepare, .run = join_run, .verify = join_verify),
	OP("JOIN, a bus that is there", .prepare = join_prepare, .run = join_run,
	   .verify = join_verify),
	OP("JOIN, EXCL of a bus that is there", .prepare = join_exists_prepare,
	   .run = join_run, .verify = join_verify, .ends_with = -EEXIST),
	OP("JOIN, over a limit", .flags = TRIAL_BARE,
	   .prepare = join_limited_prepare, .run = join_run, .verify = join_limited_verify,
	   .ends_with = -EDQUOT),
	OP("JOIN, of which listeners hear", .flags = TRIAL_BARE,
	   .prepare = join_heard_prepare, .run = join_run, .verify = join_verify),
	OP("mmap", .flags = TRIAL_BARE, .prepare = mmap_prepare, .run = mmap_run),
	OP("poll", .run = poll_run),
	OP("epoll_ctl", .prepare = epoll_prepare, .run = epoll_run,
	   .verify = epoll_verify),
	OP("a list of endpoints", .prepare = list_prepare, .run = list_run, .ends_with = 4,
	   .error = -ENOBUFS),
	OP("a program is attached", .prepare = attach_prepare, .run = attach_run),
	OP("a program is replaced", .prepare = replace_prepare, .run = replace_run),
	OP("QUERY", .run = query_run),
	OP("QUERY, of a program that knows more", .run = query_larger_run),
	OP("close, calls end", .prepare = close_queued_prepare,
	   .run = close_server_run),
	OP("close, calls move", .prepare = close_requeued_prepare,
	   .run = close_server_run),
	OP("close, calls move to the activator", .prepare = close_to_activator_prepare,
	   .run = close_server_run, .verify = close_to_activator_verify),
	OP("close, of who is watched", .prepare = close_watched_prepare,
	   .run = close_server_run, .verify = close_watched_verify),
	OP("close, of one of three replicas", .prepare = close_replica_prepare,
	   .run = close_server_run, .verify = close_replica_verify),
	OP("close, of a caller", .prepare = close_client_prepare,
	   .run = close_client_run, .verify = close_client_verify),
	OP("CLAIM, a new service", .flags = TRIAL_LATE, .prepare = claim_new_prepare,
	   .run = claim_run, .verify = claim_verify),
	OP("CLAIM, one more replica", .flags = TRIAL_LATE,
	   .prepare = claim_replica_prepare, .run = claim_run,
	   .verify = claim_verify),
	OP("CLAIM, ACTIVATOR", .flags = TRIAL_LATE, .prepare = claim_activator_prepare,
	   .run = claim_run, .verify = claim_verify),
	OP("CLAIM, TAKEOVER", .flags = TRIAL_LATE, .prepare = claim_takeover_prepare,
	   .run = claim_run, .verify = claim_verify),
	OP("CLAIM, TAKEOVER of one of two", .flags = TRIAL_LATE,
	   .prepare = claim_one_of_prepare, .run = claim_run,
	   .verify = claim_verify),
	OP("CLAIM, of what an activator holds calls for", .flags = TRIAL_LATE,
	   .prepare = claim_parked_prepare, .run = claim_run,
	   .verify = claim_verify),
	OP("CLAIM, with a grant", .flags = TRIAL_LATE, .prepare = claim_grant_prepare,
	   .run = claim_run, .verify = claim_verify),
	OP("CLAIM, over a limit", .prepare = claim_limited_prepare,
	   .run = claim_run, .verify = claim_limited_verify,
	   .ends_with = -EDQUOT),
	OP("GRANT", .prepare = claim_new_prepare, .run = grant_run,
	   .verify = grant_verify, .error = -EMFILE),
	OP("RESOLVE", .prepare = claim_replica_prepare, .run = resolve_run,
	   .verify = resolve_verify),
	OP("UNCLAIM", .prepare = handle_prepare, .run = unclaim_run,
	   .verify = unclaim_verify),
	OP("UNCLAIM, of one of three replicas", .prepare = unclaim_one_of_prepare,
	   .run = unclaim_run, .verify = unclaim_one_of_verify),
	OP("UNCLAIM, of an activator that holds calls",
	   .prepare = unclaim_activator_prepare, .run = unclaim_run,
	   .verify = unclaim_verify),
	OP("DRAIN", .prepare = drain_prepare, .run = drain_run,
	   .verify = drain_verify),
	OP("DRAIN, RESUME", .prepare = resume_prepare, .run = drain_run,
	   .verify = drain_verify),
	OP("WATCH", .run = watch_run, .verify = watch_verify),
	OP("WATCH, REMOVE", .prepare = watch_run, .run = unwatch_run,
	   .verify = unwatch_verify),
	OP("moves of a takeover", .flags = TRIAL_WORKERS,
	   .prepare = claim_takeover_prepare, .run = move_takeover_run,
	   .verify = move_verify),
	OP("moves from the dead", .flags = TRIAL_WORKERS,
	   .prepare = close_requeued_prepare, .run = move_close_run,
	   .verify = move_verify),
	OP("moves from an activator", .flags = TRIAL_WORKERS,
	   .prepare = claim_parked_prepare, .run = move_takeover_run,
	   .verify = move_verify),
	OP("moves to an activator", .flags = TRIAL_WORKERS,
	   .prepare = close_to_activator_prepare, .run = move_park_run,
	   .verify = move_park_verify),
	{}
};
