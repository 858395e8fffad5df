/* SPDX-License-Identifier: MIT */
/* What can be given up: an asynchronous call, or a watch. */
#ifndef LIBBUS_SLOT_H
#define LIBBUS_SLOT_H

#include "bus.h"

enum slot_kind {
	SLOT_CALL,
	SLOT_WATCH,
};

/*
 * enum slot_state - where a call is; a watch is NEW, SENT, then DONE
 *
 *	NEW --> SENDING -> SENT -> DONE (without a callback at once)
 *	  |     ^    |              ^
 *	  v     v    |              |
 *	WAITING -----+---> OVER ----'
 */
enum slot_state {
	SLOT_NEW = 0,		/* on no list yet */
	SLOT_WAITING,		/* here, for room or to be uncorked: on its service's list */
	SLOT_SENDING,		/* a thread is in SEND */
	SLOT_SENT,		/* the kernel owes the outcome */
	SLOT_OVER,		/* the outcome was made here: on the list of those */
	SLOT_DONE,		/* its callback runs, or ran */
};

struct sbus_slot {
	atomic_uint refs;	/* the user's, and one while not DONE */
	atomic_uint user_refs;	/* the user's: they keep the connection */
	enum slot_kind kind;
	struct sbus *bus;

	/* the connection's lock */
	enum slot_state state;
	bool cancelled;
	bool unsure;		/* closing found a thread in SEND: was it sent? */
	struct list node;
	struct parcel *parcel;	/* until the call is made, or NULL */
	void *userdata;		/* in a spare slot: the next one */

	union {
		struct {
			sbus_reply_fn fn;
			struct service *service;
			int status;		/* OVER */
			uint64_t id;
			void *body;		/* a copy, while it waits */
		};
		struct {
			sbus_gone_fn gone;
			struct watch *watch;
		};
	};

	/* Last, because slot_take_locked() zeroes all that comes before it. */
	struct symphony_call call;
};

/*
 * A slot with one reference of the library's, and one of the user's if @user. All
 * of it is zero but for what the parameters say, whatever the slot was before; of
 * @call, which the caller writes as a whole, nothing may be read before that.
 */
struct sbus_slot *slot_take_locked(struct sbus *bus, enum slot_kind kind, bool user);
/* Drops one of the library's. */
void slot_put(struct sbus_slot *slot);

int async_cancel(struct sbus_slot *slot);
int watch_cancel(struct sbus_slot *slot);

#endif /* LIBBUS_SLOT_H */
