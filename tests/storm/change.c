// SPDX-License-Identifier: MIT
/*
 * What a peer changes while its threads call and serve: who serves what, who is
 * watched, endpoints of a moment, children.
 */
#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "peer.h"

static int own_service(struct peer *peer, struct dice *dice)
{
	return roll(dice, SERVICES / USERS) * USERS + peer->slot % USERS;
}

static __u64 somebody(struct dice *dice)
{
	return storm->endpoints[roll(dice, storm->peers)];
}

static void claim(struct peer *peer, struct dice *dice)
{
	bool keeps = is_keeper(peer->slot) && once(dice, 2);
	int service = keeps ? USERS + peer->slot % USERS : own_service(peer, dice), ret;
	__u32 flags = service_flags(service);
	__u64 target = 0;

	if (IS_KEPT(service) && !is_keeper(peer->slot))
		return;
	if (once(dice, 2))
		flags |= SYMPHONY_CLAIM_NOTIFY;
	switch (roll(dice, 6)) {
	case 0:
		/* One that gives up loses what it has. */
		if (!IS_KEPT(service))
			flags = SYMPHONY_CLAIM_ACTIVATOR;
		break;
	case 1 ... 2:
		flags |= SYMPHONY_CLAIM_TAKEOVER;
		target = once(dice, 2) ? somebody(dice) : 0;
		break;
	}
	ret = peer_claim(peer, service, service, flags, target);
	switch (-ret) {
	case 0: case EALREADY: case EBUSY: case ENOBUFS:
		return;
	case ESRCH:
		if (target)
			return;
	}
	FAULT("CLAIM", ret, flags);
}

/* Without the right grant, or as the wrong user. */
static void claim_badly(struct peer *peer, struct dice *dice)
{
	int service = own_service(peer, dice);
	int other = (service + USERS) % SERVICES, ret;

	switch (roll(dice, 3)) {
	case 0:
		other = -1;
		break;
	case 1:
		/* Who claims a name first has it. */
		if (!peer->handles[(service + 1) % SERVICES])
			return;
		other = service = (service + 1) % SERVICES;
		break;
	}
	ret = peer_claim(peer, service, other, service_flags(service), 0);
	/* Who has notices to take first is told that first. */
	if (ret != -EPERM && ret != -ENOBUFS)
		FAULT("a CLAIM that is not allowed", ret, service);
}

static void unclaim(struct peer *peer, struct dice *dice)
{
	int service = own_service(peer, dice);
	__u64 handle = IS_KEPT(service) ? 0 : peer->handles[service];
	int ret = handle ? ep_unclaim(&peer->ep, handle) : 0;

	if (ret && ret != -ENOENT)
		FAULT("UNCLAIM", ret, handle);
}

static void drain(struct peer *peer, struct dice *dice)
{
	int service = own_service(peer, dice);
	__u64 handle = IS_KEPT(service) ? 0 : peer->handles[service];
	int ret = handle ? ep_drain(&peer->ep, handle, roll(dice, 3)) : 0;

	if (ret && ret != -ENOENT)
		FAULT("DRAIN", ret, handle);
}

static void watch(struct peer *peer, struct dice *dice, __u64 cookie)
{
	struct record record = { .type = R_WATCH, .own = peer->ep.id, .id = cookie };
	__u64 target = somebody(dice);
	static __u64 last_target, last_cookie, last_own;
	int ret;

	if (once(dice, 3) && last_own == peer->ep.id && last_target) {
		ret = ep_watch(&peer->ep, last_target, 0, SYMPHONY_WATCH_REMOVE);
		record = (struct record){ .type = R_UNWATCH, .own = peer->ep.id, .err = ret,
					  .ep = last_target, .id = last_cookie };
		last_target = 0;
		log_write(record);
		return;
	}
	if (target == peer->ep.id || !target)
		return;
	ret = ep_watch(&peer->ep, target, cookie, 0);
	record.ep = target;
	record.err = ret;
	log_write(record);
	if (!ret) {
		last_target = target;
		last_cookie = cookie;
		last_own = peer->ep.id;
	} else if (ret != -ESRCH && ret != -EALREADY && ret != -ENOBUFS) {
		FAULT("WATCH", ret, target);
	}
}

/* Join, send, and leave what was sent to whoever has it. */
static void flash(struct peer *peer, struct dice *dice)
{
	static __u64 nr;
	static __u32 life;
	__u32 who = who_is(peer->slot, peer->life, THREAD_FLASH);
	__u64 handles[SERVICES];
	struct symphony_call call;
	struct ep ep;
	int ret;

	if (life != peer->life)
		nr = 0;
	life = peer->life;
	ret = peer_join(&ep, peer->process, SYMPHONY_POOL_MIN, handles);
	if (ret) {
		FAULT("JOIN of another", ret, 0);
		return;
	}
	for (int i = roll(dice, 12); i >= 0; i--) {
		__u64 tag = (__u64)who << 32 | ++nr;

		ret = request_send(&ep, tag, dice, handles, once(dice, 3) ? F_ONEWAY : 0, &call);
		if (ret)
			log_write((struct record){ .type = R_REFUSED, .tag = tag, .err = ret,
						   .own = ep.id });
	}
	if (once(dice, 2))
		dev_nap(roll(dice, 10));
	log_write((struct record){ .type = R_END, .own = ep.id });
	ep_close(&ep);
}

/* It has the parent's file, and may do nothing with it. */
static void child_main(struct peer *peer, struct dice *dice)
{
	struct symphony_recv recv = { .size = sizeof(recv), .flags = SYMPHONY_RECV_DONTWAIT,
				      .max = 1 };
	__u32 offset;
	int ret;

	alarm(60);
	log_begin(who_is(peer->slot, peer->life, THREAD_CHILD));
	recv.offsets = (uintptr_t)&offset;
	ret = dev_ioctl(peer->ep.fd, SYMPHONY_IOC_RECV, &recv);
	if (ret != -EPERM && ret != -ESHUTDOWN)
		FAULT("RECV of the parent's", ret, 0);
	ret = ep_cancel(&peer->ep, storm->last_id, 0);
	if (ret != -EPERM && ret != -ESHUTDOWN)
		FAULT("CANCEL of the parent's", ret, 0);
	if (mmap(NULL, peer->ep.size, PROT_READ, MAP_SHARED, peer->ep.fd, 0) != MAP_FAILED)
		FAULT("the parent's pool was mapped", 0, 0);
	/* Hold it, maybe longer than the parent lives. */
	for (int i = roll(dice, 30); i > 0 && storm->phase == STORMING; i--)
		dev_nap(10);
	storm->children--;
	if (once(dice, 2))
		execl("/bin/true", "true", NULL);
	_exit(0);
}

static void fork_child(struct peer *peer, struct dice *dice)
{
	pid_t pid;

	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	storm->children++;
	pid = fork();
	if (!pid)
		child_main(peer, dice);
	if (pid < 0)
		storm->children--;
}

static void cancel_other(struct peer *peer, struct dice *dice)
{
	volatile struct symphony_call *call = &peer->requesters[roll(dice, REQUESTERS)].call;
	__u64 id = call->id;

	if (id)
		request_cancel(peer, id, call->slot);
}

static void query(void)
{
	struct symphony_query query = { .size = sizeof(query) };
	int fd = dev_open(), ret = fd < 0 ? fd : dev_ioctl(fd, SYMPHONY_IOC_QUERY, &query);

	if (ret)
		FAULT("QUERY", ret, 0);
	if (fd >= 0)
		close(fd);
	if (query.user_endpoints.used > query.user_endpoints.max ||
	    query.user_calls.used > query.user_calls.max ||
	    query.user_pool.used > query.user_pool.max)
		FAULT("more than there may be", query.user_endpoints.used,
		      query.user_calls.used);
}

void change_something(struct peer *peer, struct dice *dice)
{
	switch (roll(dice, 24)) {
	case 0 ... 4:	claim(peer, dice); break;
	case 5:		claim_badly(peer, dice); break;
	case 6 ... 8:	unclaim(peer, dice); break;
	case 9 ... 10:	drain(peer, dice); break;
	case 11 ... 13:	watch(peer, dice, dice->key); break;
	case 14 ... 15:	flash(peer, dice); break;
	case 16:	fork_child(peer, dice); break;
	case 17 ... 20:	cancel_other(peer, dice); break;
	case 21:	query(); break;
	default:	jostle(dice);
	}
}

/* So that no call waits for a replica that does not come. */
void change_to_calm(struct peer *peer)
{
	for (int i = peer->slot % USERS; i < SERVICES; i += USERS) {
		int ret;

		if (IS_KEPT(i) && !is_keeper(peer->slot))
			continue;
		ret = peer_claim(peer, i, i, service_flags(i), 0);
		if (ret == -EALREADY && ep_drain(&peer->ep, peer->handles[i], true)) {
			/* The activator: then let it be that no more. */
			ep_unclaim(&peer->ep, peer->handles[i]);
			ret = peer_claim(peer, i, i, service_flags(i), 0);
		}
		if (ret && ret != -EALREADY && ret != -ENOBUFS)
			FAULT("CLAIM at the end", ret, i);
	}
}
