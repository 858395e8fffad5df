// SPDX-License-Identifier: MIT
/* A peer's lives, one after the other; see peer.h. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../device/files.h"
#include "peer.h"

void jostle(struct dice *dice)
{
	cpu_set_t cpus;
	int nr = sysconf(_SC_NPROCESSORS_ONLN), one = roll(dice, nr);
	/* Who is behind by much would be there for long, where all is slow for minutes. */
	int nice_max = storm->slow > 1 ? 2 : 5;
	struct sched_param param = {};

	switch (roll(dice, 8)) {
	case 0 ... 2:		/* here and nowhere else */
		CPU_ZERO(&cpus);
		CPU_SET(one, &cpus);
		sched_setaffinity(0, sizeof(cpus), &cpus);
		break;
	case 3:
		CPU_ZERO(&cpus);
		for (int i = 0; i < nr; i++)
			CPU_SET(i, &cpus);
		sched_setaffinity(0, sizeof(cpus), &cpus);
		break;
	case 4:
		setpriority(PRIO_PROCESS, syscall(SYS_gettid),
			    (int)roll(dice, 2 * nice_max) - nice_max);
		break;
	case 5:
		sched_setscheduler(0, once(dice, 2) ? SCHED_BATCH : SCHED_OTHER, &param);
		break;
	case 6:			/* before all others, for as long as it may */
		param.sched_priority = 1;
		sched_setscheduler(0, SCHED_FIFO, &param);
		sched_yield();
		param.sched_priority = 0;
		sched_setscheduler(0, SCHED_OTHER, &param);
		break;
	default:
		sched_yield();
	}
}

int service_user(int service)
{
	return service % USERS;
}

__u32 service_flags(int service)
{
	switch (service / USERS % 3) {
	case 0: return 0;
	case 1: return SYMPHONY_CLAIM_REQUEUE;
	}
	return SYMPHONY_CLAIM_REQUEUE | SYMPHONY_CLAIM_REISSUE;
}

void service_name(int service, char name[8])
{
	snprintf(name, 8, "svc-%d", service);
}

int peer_join(struct ep *ep, __u64 process, __u32 size, __u64 *handles)
{
	int ret = ep_join_bus(ep, storm->bus, 0, 0, size);

	if (ret)
		return ret;
	log_write((struct record){ .type = R_ENDPOINT, .own = ep->id, .id = process,
				   .pid = getpid(), .aux = geteuid() });
	for (int i = 0; i < SERVICES; i++) {
		char name[8];

		service_name(i, name);
		handles[i] = 0;
		ep_resolve(ep, name, &handles[i]);
	}
	return 0;
}

int peer_claim(struct peer *peer, int service, int granted, __u32 flags, __u64 target)
{
	char name[8];
	struct symphony_service claim = {
		.size = sizeof(claim), .flags = flags, .name = (uintptr_t)name,
		.endpoint = target,
	};
	int ret;

	service_name(service, name);
	claim.name_len = strlen(name);
	if (granted >= 0) {
		claim.flags |= SYMPHONY_CLAIM_GRANT;
		claim.grant = storm->grants[granted];
	}
	ret = dev_ioctl(peer->ep.fd, SYMPHONY_IOC_CLAIM, &claim);
	if (!ret)
		peer->handles[service] = claim.handle;
	return ret;
}

static int begin(struct peer *peer, int slot, __u64 process)
{
	static const __u32 sizes[] = { 64 << 10, 128 << 10, 256 << 10, 512 << 10 };
	__u32 life = storm->lives[slot]++;
	__u32 who = who_is(slot, life, THREAD_MAIN);
	struct dice dice = dice_of(storm->seed, who, 0);
	int ret;

	*peer = (struct peer){ .slot = slot, .process = process, .life = life };
	pthread_mutex_init(&peer->lock, NULL);
	log_begin(who);
	if (files_open() != storm->open)
		FAULT("files at the beginning", files_open(), storm->open);
	/* What moves to a keeper finds room for the largest body. */
	ret = peer_join(&peer->ep, process, sizes[is_keeper(slot) + roll(&dice, 3)],
			peer->handles);
	if (ret) {
		FAULT("JOIN", ret, slot);
		return ret;
	}
	storm->endpoints[slot] = peer->ep.id;
	peer->hoards = once(&dice, 4);
	peer->floods = once(&dice, 6);
	if (is_keeper(slot))
		peer_claim(peer, USERS + slot % USERS, USERS + slot % USERS,
			   service_flags(USERS), 0);
	for (int i = roll(&dice, 4); i > 0; i--) {
		int service = roll(&dice, SERVICES / USERS) * USERS + slot % USERS;

		if (IS_KEPT(service) && !is_keeper(slot))
			continue;
		peer_claim(peer, service, service, service_flags(service) |
			   (once(&dice, 2) ? SYMPHONY_CLAIM_NOTIFY : 0), 0);
	}
	peer->requesting = REQUESTERS;
	for (int i = 0; i < RECEIVERS; i++)
		if (pthread_create(&peer->receivers[i], NULL, receiver_main, peer))
			abort();
	for (int i = 0; i < REQUESTERS; i++) {
		struct requester *r = &peer->requesters[i];

		r->peer = peer;
		r->index = i;
		if (pthread_create(&r->thread, NULL, requester_main, r))
			abort();
	}
	return 0;
}

/* Nobody serves this endpoint any more, so what calls from it must not wait. */
static void join_at_once(pthread_t thread)
{
	while (pthread_tryjoin_np(thread, NULL)) {
		pthread_kill(thread, SIGUSR1);
		dev_nap(1);
	}
}

static void join(struct peer *peer)
{
	for (int i = 0; i < REQUESTERS; i++)
		join_at_once(peer->requesters[i].thread);
	for (int i = 0; i < RECEIVERS; i++)
		join_at_once(peer->receivers[i]);
}

static void write_end(struct peer *peer, __u8 flags)
{
	log_write((struct record){ .type = R_END, .own = peer->ep.id, .flags = flags });
}

/*
 * CLOSE in the midst of it all. The file is replaced by another in one step, and
 * so is the mapping, which is a reference to it: threads that are about to use
 * them find the other. Those inside an operation keep the endpoint for that long.
 */
static void give_up(struct peer *peer)
{
	/* One that knows no operations, of rings neither: /dev/null does all of those. */
	int none = eventfd(0, EFD_CLOEXEC);

	write_end(peer, 0);
	peer->ended = true;
	if (mmap((void *)peer->ep.pool, peer->ep.size, PROT_READ,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED ||
	    dup3(none, peer->ep.fd, O_CLOEXEC) < 0)
		abort();
	close(none);
	join(peer);
	ring_end();
	ep_close(&peer->ep);
}

/* The endpoint goes down with the old program; the threads, too. */
static void exec_self(struct peer *peer)
{
	char slot[16], process[24], fd[16];

	snprintf(slot, sizeof(slot), "%d", peer->slot);
	snprintf(process, sizeof(process), "%llu", peer->process);
	snprintf(fd, sizeof(fd), "%d", storm->fd);
	write_end(peer, 0);
	/* Not for RECEIVED or the like: all of this is about to vanish. */
	peer->ended = true;
	execl("/proc/self/exe", "storm", "peer", slot, process, fd, NULL);
	FAULT("exec", -errno, peer->slot);
	_exit(4);
}

/* Wait until every call has its outcome. */
static void calm_down(struct peer *peer)
{
	change_to_calm(peer);
	while (storm->phase != OVER && (peer->requesting || peer->pending))
		dev_nap(50);
	storm->quiet++;
	while (storm->phase != OVER)
		dev_nap(50);
	peer->stop = true;
	if (peer->requesting || peer->pending)
		FAULT("calls without an outcome", peer->requesting, peer->pending);
	for (int i = 0; i < RECEIVERS; i++)
		pthread_join(peer->receivers[i], NULL);
	if (peer->pending)
		FAULT("SENDs and outcomes do not match", peer->pending, 0);
	write_end(peer, F_FINAL);
	ring_end();
	ep_close(&peer->ep);
	if (files_open() != storm->open)
		FAULT("files at the end", files_open(), storm->open);
	exit(0);
}

void peer_main(int slot, __u64 process)
{
	static struct peer peer;

	for (;;) {
		__u32 who;

		if (begin(&peer, slot, process))
			_exit(2);
		who = who_is(slot, peer.life, THREAD_MAIN);
		for (__u64 nr = 1;; nr++) {
			struct dice dice = dice_of(storm->seed, who, nr);

			if (storm->phase != STORMING)
				calm_down(&peer);
			if (once(&dice, 600) && !is_keeper(slot)) {
				give_up(&peer);
				break;
			}
			if (once(&dice, 600) && !is_keeper(slot))
				exec_self(&peer);
			change_something(&peer, &dice);
			dev_nap(roll(&dice, 12));
		}
	}
}
