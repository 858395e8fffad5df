/* SPDX-License-Identifier: MIT */
/* A call that was made: what send_message() returns. */
#ifndef SYMPHONY_PY_CALL_H
#define SYMPHONY_PY_CALL_H

#include "answer.h"
#include "state.h"
#include <stdbool.h>
#include <symphony/bus.h>
#include <symphony/pit.h>

struct bus;
struct inbox;

enum call_phase {
	CALL_PENDING,
	CALL_RETURNED,
	CALL_RAISED,
	CALL_CANCELLED,
};

/*
 * It is an asyncio future as far as asyncio looks at one: it can be awaited, gathered,
 * waited for with a timeout. It is no coroutine, which asyncio.wait() would refuse, so it
 * has no send(). It is its own iterator. The loop is the one that runs when somebody
 * first waits.
 *
 * While libsymphony owes the outcome it holds a reference; whatever the
 * outcome is by then, it comes exactly once and drops it.
 */
struct call {
	PyObject_HEAD
	struct state *st;
	struct bus *bus;	/* until there is an outcome */
	enum call_phase phase;
	bool blocking;		/* asyncio's _asyncio_future_blocking */
	bool retrieved;
	pid_t pid;		/* of who answered, 0 when it was the Pit or the kernel, */
	uint64_t replica;	/* and its endpoint */
	uint64_t parent;	/* id of the request that it is made for, or 0 */
	PyObject *value;	/* the answer, or the exception */
	PyObject *loop;
	PyObject *callback;	/* the first one, */
	PyObject *context;	/* its context, */
	PyObject *more;		/* and a list of (callback, context) */
	struct sbus_slot *slot;
	struct sbus_pending *pending;
	struct inbox *inbox;	/* where a late answer of the Pit goes */
	struct answer answer;	/* an outcome that call_list_wake() is to take */
	struct call *next;	/* in a call_list, or in the inbox */
	struct call *next_shared;	/* see call_share() */
	struct call **shared;		/* what points to this one, or NULL */
};

/* Calls that have an outcome and whose waiters do not know yet; it holds them. */
struct call_list {
	struct call *first;
	struct call **end;
};

extern PyType_Spec call_spec;

struct call *call_new(struct bus *bus);

/*
 * A call that was made through the connection of an extension, which outlives @bus: it
 * is on a list of the bus as long as it has no outcome.
 */
void call_share(struct call *call);
void call_unshare(struct call *call);

/* Those calls end with Closed, and are in @finished. */
void call_end_shared(struct bus *bus);

/* Frees what is kept for that. */
void call_forget(struct state *st);

/*
 * The outcome, unless there is one already. The value is stolen; NULL takes
 * the exception that is set.
 */
void call_finish(struct call *call, PyObject *value);

/* Has the call's loop run a callback; @name is call_soon or call_soon_threadsafe. */
int call_schedule(struct call *call, PyObject *name, PyObject *callback,
		  PyObject *context);

/* Tells the waiters of one call; @here as in call_list_wake(). */
int call_wake(struct call *call, PyObject *here);

void call_list_init(struct call_list *list);

/* Steals the reference to @call. */
void call_list_add(struct call_list *list, struct call *call);

/*
 * Takes the outcomes, tells the waiters and empties the list. Those on @here, the loop whose
 * callback this is, continue at once, without another turn of the loop. An
 * exception that is set on return (SystemExit, KeyboardInterrupt) is the
 * loop's business.
 */
int call_list_wake(struct call_list *list, PyObject *here);

/* Drops the calls: nobody is told. */
void call_list_drop(struct call_list *list);

#endif
