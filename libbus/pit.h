/* SPDX-License-Identifier: MIT */
/*
 * The Pit, as the files of this folder see it.
 *
 * Lock order, outermost first:
 *
 *	member->lock	around every function of the extension
 *	pit->lock	who is watched
 *	sbus->lock	(bus.h), with the device's operations
 *
 * member->owed_lock and clock->lock are innermost. Sinks and gone callbacks
 * run with none of them held.
 */
#ifndef LIBBUS_PIT_H
#define LIBBUS_PIT_H

#include <symphony/pit.h>

#include "bus.h"
#include "clock.h"

/* @ends are the name's first and last four bytes: the whole of one of up to 8. */
struct method_slot {
	uint64_t ends;
	size_t len;
	const struct symphony_method *method;
};

struct sbus_member {
	struct sbus_pit *pit;
	struct sbus_member *next;
	struct symphony_extension extension;	/* as much of it as is known here */
	char id[SBUS_NAME_MAX + 1];
	void *library;				/* of sbus_pit_load(), or NULL */
	yyjson_doc *config;
	uint64_t handle;			/* while served */
	atomic_uint nr_completions;
	atomic_bool over;			/* another connection took it over */
	struct method_slot *methods;
	size_t methods_mask;

	pthread_mutex_t lock;
	atomic_uintptr_t holder;		/* the thread that has it */
	/* lock */
	bool started;
	void *self;
	struct list ready;			/* completions to deliver when it is released */
	struct list timers;
	struct idmap watches;			/* endpoints, to no value of interest */

	pthread_mutex_t owed_lock;
	struct list owed;			/* completions with state OWED */
};

/* The users' references keep it started; @refs keep the memory. */
struct sbus_pit {
	uint64_t mark;				/* fork.h */
	atomic_uint users;
	atomic_uint refs;
	struct sbus_member *first, **last;
	bool started;
	bool leaves;				/* stop serving when a member is over */
	struct clock clock;

	struct sbus *bus;			/* of sbus_pit_start() */
	struct sbus *served;			/* of sbus_pit_serve() */
	struct sbus *creator;			/* of sbus_pit_set_creator() */
	const char **ids;			/* the members', and NULL */
	size_t nr_ids;
	unsigned int threads;
	bool has_server;
	pthread_t server;

	pthread_mutex_t lock;
	/* lock */
	struct idmap watched;			/* endpoints, to their slots */
};

/* --- pit.c: the host itself */

static inline void pit_get(struct sbus_pit *pit)
{
	atomic_fetch_add_explicit(&pit->refs, 1, memory_order_relaxed);
}

void pit_put(struct sbus_pit *pit);
/* Fills @error, if that is not NULL, and returns -EPERM. */
int pit_foreign(struct sbus_error *error);

/* Did another process make it? */
static inline bool pit_is_foreign(const struct sbus_pit *pit)
{
	return fork_is_foreign(pit->mark);
}

/* --- member.c: one extension, its mutex, its method table */

int member_new(struct sbus_pit *pit, const struct symphony_extension *extension,
	       struct sbus_member **member, struct sbus_error *error);
void member_free(struct sbus_member *member);
int member_start(struct sbus_member *member, struct sbus_error *error);
/* Nothing is called any more; what is owed is cancelled. */
void member_stop(struct sbus_member *member);
const struct symphony_method *member_method(const struct sbus_member *member, const char *name,
					    size_t len);
/* The method "describe" of every extension. */
extern const struct symphony_method describe_method;

static inline bool member_held(const struct sbus_member *member)
{
	return atomic_load_explicit(&member->holder, memory_order_relaxed) ==
	       (uintptr_t)pthread_self();
}

static inline void member_enter(struct sbus_member *member)
{
	pthread_mutex_lock(&member->lock);
	atomic_store_explicit(&member->holder, (uintptr_t)pthread_self(), memory_order_relaxed);
}

void member_deliver(struct list *ready);

static inline void member_leave(struct sbus_member *member)
{
	struct list ready;

	atomic_store_explicit(&member->holder, 0, memory_order_relaxed);
	if (likely(list_empty(&member->ready))) {
		pthread_mutex_unlock(&member->lock);
		return;
	}
	ready = member->ready;
	ready.next->prev = ready.prev->next = &ready;
	list_init(&member->ready);
	pthread_mutex_unlock(&member->lock);
	member_deliver(&ready);
}

/* --- callers.c: the endpoints that call members */

void callers_forget(struct sbus_pit *pit);

/* --- pit_serve.c: members for other processes */

/*
 * Claims the ids, as @params say or with grants from the bus's creator; then
 * sbus_serve() on @bus serves them; then the end.
 */
int pit_serve_begin(struct sbus_pit *pit, struct sbus *bus, const struct sbus_claim_params *params,
		    struct sbus_error *error);
void pit_serve_end(struct sbus_pit *pit);
/* Is there nothing left for @member to answer? Then serving stops, if it @leaves. */
void member_leave_if_over(struct sbus_member *member);

#endif /* LIBBUS_PIT_H */
