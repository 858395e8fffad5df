/* SPDX-License-Identifier: MIT */
/*
 * A peer: one well-behaved process. It has one endpoint at a time, a life; in each
 * it calls, serves and changes its mind by its own dice.
 */
#ifndef SYMPHONY_STORM_PEER_H
#define SYMPHONY_STORM_PEER_H

#include "../device/claim.h"
#include "dice.h"
#include "log.h"

#define REQUESTERS	3
#define RECEIVERS	2
#define LATE_MAX	24
#define FIRST_UID	1001
#define FOOL_UID	2000

/*
 * So many are never killed and do not end by themselves. They alone serve what is
 * KEPT, so that a one-way message to it is lost for no reason but its deadline.
 */
#define KEEPERS		(2 * USERS)

#define GOOD		0x600d600d600d600dULL

struct peer;

struct requester {
	struct peer *peer;
	int index;
	pthread_t thread;
	/* Under way; read by the thread that cancels. */
	volatile struct symphony_call call;
};

/* A request that is answered later, by whoever comes by. */
struct late {
	__u64 id, tag;
	__u32 offset;
	bool error, held;
};

struct peer {
	struct ep ep;
	int slot;
	__u64 process;
	__u32 life;
	__u64 handles[SERVICES];
	bool hoards;		/* releases late, and many at once */
	bool floods;		/* has many SENDs under way */
	atomic_bool ended;	/* given up: the pool is not to be read any more */
	atomic_bool stop;	/* receivers: leave */
	atomic_int pending;	/* SENDs without an outcome */
	atomic_int requesting;	/* threads that still make calls */
	struct requester requesters[REQUESTERS];
	pthread_t receivers[RECEIVERS];
	pthread_mutex_t lock;
	struct late late[LATE_MAX];
	int nr_late;
};

/* The files that go with a message; the process's own until they are dropped. */
struct parcel {
	int fds[SYMPHONY_FDS_MAX];
	int nr;
};

/* The number of a thread: slots count from 1, so none is 0. */
static inline __u32 who_is(int slot, __u32 life, int thread)
{
	return (slot + 1) << 20 | (life & 0xffff) << 4 | thread;
}

enum { THREAD_MAIN, THREAD_FLASH, THREAD_CHILD, THREAD_REQUESTER, THREAD_RECEIVER = 8 };

static inline bool is_keeper(int slot)
{
	return slot < KEEPERS;
}

void peer_main(int slot, __u64 process);
void fool_main(int slot, __u64 process);

/* Another place on the processors: the user's part of the noise. */
void jostle(struct dice *dice);
int service_user(int service);
__u32 service_flags(int service);
void service_name(int service, char name[8]);
/* JOIN the storm's bus, resolve all that is there, and write it down. */
int peer_join(struct ep *ep, __u64 process, __u32 size, __u64 *handles);
/* CLAIM @service, with the grant of @granted, -1 for none. */
int peer_claim(struct peer *peer, int service, int granted, __u32 flags, __u64 target);

/* parcel.c: so many as the dice say, which say whose they are; mostly none. */
void parcel_pack(struct parcel *parcel, __u64 tag, __u64 maker, struct dice *dice);
void parcel_drop(struct parcel *parcel);
/*
 * What the dice say to a message's files: claim them, look at them, write it down.
 * @tag and @flags are the record's.
 */
void parcel_claim(struct peer *peer, const struct symphony_msg *msg, __u64 tag, __u8 flags,
		  struct dice *dice);

/* requests.c */
void *requester_main(void *arg);
/* A SEND, with more flags for its record. */
int request_send(struct ep *ep, __u64 tag, struct dice *dice, __u64 *handles,
		 __u32 flags, struct symphony_call *call);
void request_cancel(struct peer *peer, __u64 id, __u32 slot);
/* A request for @tag as the dice fall, written down. */
struct symphony_call request_make(struct ep *ep, __u64 tag, struct dice *dice,
				  __u64 *handles, __u32 flags, const struct symphony_msg *parent);
/* It was made, or was not: its files are its own now. */
void request_is_made(void);
/* There is no such call, for one of the reasons that there may be. */
void request_refused(struct ep *ep, __u64 tag, int err);
/* The outcome of a CALL, which is released. */
void request_outcome(struct peer *peer, __u64 tag, struct symphony_call *call);

/* rings.c: as many CALLs at once as the dice say, the first with this tag. */
void ring_calls(struct requester *r, __u64 first, struct dice *dice);
/* As ep_recv(). */
int ring_recv(struct peer *peer, __u32 *offsets, __u32 max, int ms, struct dice *dice);
/* Likewise with a RECV that goes on, at most MULTISHOT_MAX messages. */
#define MULTISHOT_MAX	40
int ring_recv_multishot(struct peer *peer, __u32 *offsets, int ms, struct dice *dice);
/* As the ioctl of an operation that does not wait. */
int ring_once(struct ep *ep, unsigned long op, void *arg, struct dice *dice);
/* The calling thread's: it has none any more. */
void ring_end(void);

/* serve.c */
void *receiver_main(void *arg);

/* change.c */
void change_something(struct peer *peer, struct dice *dice);
void change_to_calm(struct peer *peer);

#endif
