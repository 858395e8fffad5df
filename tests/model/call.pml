/* SPDX-License-Identifier: MIT */
/*
 * The life of a call, as kmod/call.c and kmod/reply.c have it: one call, by CALL
 * or SEND, to one server. In any order come: a reply, by either of two threads
 * of the server; the deadline; a CANCEL; a signal for the thread that waits; the
 * death of the server and that of the caller. A death cannot really come while
 * a thread of that process is inside; here it can.
 *
 * The states have the names that the comment of call.c gives them. What stands
 * under BREAK_... is wrong on purpose; see run.
 */
#include "model.h"

/* Who holds the call: see call.c. */
#define CALLER		1	/* the thread in CALL, SEND or WAIT */
#define CANCELLER	2	/* the thread in CANCEL */
#define SLOT		4	/* the slot in the caller's pool */
#define SERVER		8	/* the server's pool */
#define TIMER		16	/* the timer, or the work that it started */
#define REPLY1		32	/* a thread in REPLY */
#define REPLY2		64	/* another */
#define NOTICE		128	/* the server's queue, as a CANCELLED notice */
short held;

/* Who holds a pool: the endpoint while it lives, and who copies into it. */
#define ENDPOINT	1
#define COPIER		2	/* the caller, or the first thread in REPLY */
#define COPIER2		4

mtype = { OK, ESRCH, EFAULT, ESHUTDOWN, ECANCELED, ETIMEDOUT, ECONNREFUSED,
	  ERESTARTSYS };

/* Drawn at the beginning: what can happen. */
bool is_async, deadline, notify, mute, interrupts;
bool server_dies, caller_dies;

/* caller->lock */
bool caller_lock;
bool caller_dead;
byte caller_pool = ENDPOINT;
byte slot;
bool slot_owner;	/* slice->owner is the call */
bool done, ending, fetched, copying, timed, waiter;
bool in_slot;		/* call->offset is the slot */
bool answer_queued;	/* SEND: the outcome is in the caller's queue */
bool server;		/* call->server is set */

/* server->lock */
bool server_lock;
bool server_dead;
byte server_pool = ENDPOINT;
byte request;
bool request_owner;	/* slice->owner is the call */
bool attached, queued, replying;
bool notice_queued;

bool timer_armed;
bool task;		/* the caller's thread */

/* The states. The first five are the server's view, the others the caller's. */
#define RESERVED	(slot_owner && request == FREE)
#define COPYING		((request & KERNEL) && !request_owner)
#define QUEUED		(attached && queued)
#define RECEIVED	(attached && !queued && !replying)
#define REPLYING	(attached && !queued && replying)
#define DONE		(done && !fetched)
#define FETCHED		(done && fetched)

/* What came out of it. */
byte outcomes;		/* that were set */
byte heard;		/* times that the caller was told one */
bool never_made;	/* the caller was told that there is no call */
bool taken;		/* a server received it */
bool unreceived;	/* the outcome says that none did */
bool owed;		/* the server, to be told that nobody waits */
bool told;		/* it was */
bool faulted;		/* a thread in REPLY, once */
bool returned;		/* the caller's thread */

/* Caller's lock held. Whoever calls this then drops the slot's reference. */
inline fetch()
{
	assert(!caller_dead && !fetched);
	use(held);
	fetched = true;
	if
	:: in_slot -> slot = slot | USER
	:: else
	fi;
	if
#ifndef BREAK_SLOT_FREED_UNDER_COPIER
	:: copying
#endif
	:: else -> slot_owner = false; slice_let_go(slot)
	fi
}

/*
 * symp_call_settle(), within an atomic step that began with the caller's lock
 * free, where @done is not set. Without a waiter the step goes on; with one it
 * ends when that can see @done, and the lock is held until it was woken.
 */
inline settle(answer)
{
	assert(!done);
	use(held);
	outcomes++;
	in_slot = answer;
	if
	:: !caller_dead && is_async ->
		in_slot = true;
		answer_queued = true;
		done = true
	:: !is_async && waiter ->
		if
		:: !caller_dead ->
			fetch();
#ifndef BREAK_FETCH_KEEPS_REFERENCE
			put(held, SLOT)
#endif
		:: else
		fi;
#ifdef BREAK_WAKE_BEFORE_DONE
		task = RUNNING;
#else
		done = true;
#endif
		caller_lock = true;
		waking = true
	:: else -> done = true
	fi
}

inline settle_end()
{
	if
	:: atomic { waking ->
#ifdef BREAK_WAKE_BEFORE_DONE
		done = true;
#endif
#if !defined(BREAK_WAKE_BEFORE_DONE) && !defined(BREAK_NO_WAKE)
		task = RUNNING;
#endif
		waking = false;
		caller_lock = false
	}
	:: else
	fi
}

/* symp_call_disarm() */
inline disarm()
{
	use(held);
	if
	:: timed && timer_armed -> timer_armed = false; put(held, TIMER)
#ifdef BREAK_DISARM_PUTS_ALWAYS
	:: timed && !timer_armed -> put(held, TIMER)
#endif
	:: else
	fi
}

/* Caller's lock held. */
inline arm()
{
	if
	:: deadline && !timed ->
		timed = true;
		timer_armed = true;
#ifndef BREAK_TIMER_WITHOUT_REFERENCE
		get(held, TIMER)
#endif
	:: else
	fi
}

/* Server's lock held. */
inline detach()
{
	assert(attached);
	use(held);
	attached = false;
	request_owner = false
}

/* See that nobody receives the request, if nobody has. @ending is set, so @server stands. */
inline take_back()
{
	if
	:: !server
	:: atomic { server && locked(server_lock) ->
		use(held);
		received = taken;
		if
		:: QUEUED ->
			detach();
			slice_free(request);
			put(held, SERVER)
		:: else
		fi
	}
	fi
}

/* Take a request that was received off the server. */
inline withdraw()
{
	if
	:: !received
	:: atomic { received && locked(server_lock) ->
		use(held);
		if
		:: RECEIVED || REPLYING ->
			detach();
			slice_let_go(request);
			owed = notify;
			if
			:: notify && !replying ->
				give(held, SERVER, NOTICE);
				notice_queued = true
#ifdef BREAK_NOTICE_AND_PUT
				; put(held, SERVER)
#endif
			:: else -> put(held, SERVER)
			fi
		:: else
		fi
	}
	fi
}

/* symp_call_finish(). Who calls it has a reference. */
inline finish()
{
	atomic { locked(caller_lock) ->
		use(held);
		if
		:: done
		:: else -> ending = true; ends = true
		fi
	};
#ifndef BREAK_SETTLE_BEFORE_TAKING_BACK
	if :: ends -> take_back() :: else fi;
#endif
	atomic { locked(caller_lock) ->
		if
#ifndef BREAK_DONE_TWICE
		:: !ends || done
#else
		:: !ends
#endif
		:: else -> settle(false); won = true; unreceived = !received
		fi;
		ends = false
	};
#ifdef BREAK_SETTLE_BEFORE_TAKING_BACK
	if :: won -> settle_end(); take_back() :: else fi;
#endif
	if
	:: won ->
		settle_end();
		withdraw();
		atomic { disarm(); won = false; received = false }
	:: else -> received = false
	fi
}

/* call_await(), and in it symp_sleep() */
inline await()
{
	do
	:: true ->
#ifdef BREAK_LOOK_BEFORE_SLEEPING
		if :: done -> err = OK; break :: else fi;
		task = SLEEPING;
#else
		task = SLEEPING;
		if :: done -> err = OK; break :: else fi;
#endif
		/* schedule() */
		if
		:: task == RUNNING
		:: deadline -> err = ETIMEDOUT; break
		:: interrupts -> interrupts = false; err = ERESTARTSYS; break
		fi
	od;
	if
	:: err == ETIMEDOUT ->
		finish();
		err = OK
	:: err == ERESTARTSYS ->
		atomic { locked(caller_lock) ->
			if
#ifndef BREAK_SIGNAL_FORGETS_DONE
			:: done -> err = OK
#endif
			:: else -> waiter = false; arm()
			fi
		}
	:: else
	fi;
	task = RUNNING
}

inline tell_caller()
{
	use(held);
	assert(FETCHED && outcomes == 1);
	heard++
}

inline process_releases_answer()
{
	atomic { locked(caller_lock) ->
		if :: !caller_dead -> slice_release(slot) :: else fi
	}
}

/* The thread in CALL or SEND, and then in WAIT. */
proctype caller()
{
	mtype err = OK;
	bool again, ends, received, won, waking;

	/* call_register(): reserve the slot. */
	atomic { locked(caller_lock) ->
		held = CALLER;
		waiter = !is_async;
		if
		:: caller_dead ->
			never_made = true;
			put(held, CALLER);
			goto end
		:: else ->
			slice_alloc(slot);
			slot_owner = true;
			get(held, SLOT);
			if :: is_async -> arm() :: else fi
		fi
	};

	do
	:: true ->
		/* symp_call_route() */
		atomic { locked(caller_lock) ->
			if
			:: ending -> err = ECANCELED
			:: !ending && server_dead -> err = ECONNREFUSED
			/* Or it is on its way out. */
			:: !ending && !(again && server_dead) -> server = true; err = OK
			fi
		};
		if :: err != OK -> break :: else fi;
		/* symp_room_reserve() */
		atomic { locked(server_lock) ->
			if
			:: server_dead -> again = true; err = ESHUTDOWN
			:: else ->
				assert(RESERVED || fetched);
				slice_alloc(request);
				get(server_pool, COPIER)
			fi
		};
		if :: err == ESHUTDOWN -> goto next :: else fi;
		/* Copy the body, no lock held. */
		atomic {
			assert(server_pool != 0 && (server_dead || COPYING));
			if
			:: true
			:: !again -> again = true; err = EFAULT
			fi
		};
		/* symp_call_attach() */
		atomic { locked(server_lock) ->
			put(server_pool, COPIER);
			if
			:: server_dead && err == OK -> again = true; err = ESHUTDOWN
			:: server_dead && err == EFAULT
			:: !server_dead && err == EFAULT -> slice_free(request)
#ifndef BREAK_ATTACH_WITHOUT_LOOKING
			:: !server_dead && err == OK && ending ->
				slice_free(request);
				err = ECANCELED
			:: !server_dead && err == OK && !ending ->
#else
			:: !server_dead && err == OK ->
#endif
				request_owner = true;
#ifndef BREAK_ATTACH_WITHOUT_REFERENCE
				get(held, SERVER);
#endif
				attached = true;
				queued = true
			fi
		};
next:
		if
		:: err == ESHUTDOWN
		/* Fault it in, and again; or not. */
		:: err == EFAULT
		:: err != ESHUTDOWN -> break
		fi
	od;

	if
	:: err != OK ->
		/* call_abandon() */
		atomic { locked(caller_lock) ->
			if
#ifndef BREAK_ABANDON_WITHOUT_LOOKING
			:: ending -> err = OK
#endif
			:: else ->
				done = true;
				never_made = true;
				if
				:: !caller_dead ->
					fetched = true;
					slot_owner = false;
					slice_free(slot);
					put(held, SLOT)
				:: else
				fi
			fi
		}
	:: else
	fi;
	if
	:: err != OK -> atomic { disarm(); put(held, CALLER); goto end }
	:: err == OK && is_async -> atomic { put(held, CALLER); goto end }
	:: else
	fi;

	await();
	if
	:: err == ERESTARTSYS ->
		atomic { put(held, CALLER) };
		/* symp_call_wait() */
		atomic { locked(caller_lock) ->
			if
			:: caller_dead -> goto end
			:: else ->
				/* call_find_locked() */
				assert(slot_owner && (slot & KERNEL) && !fetched);
				get(held, CALLER);
				assert(!waiter);
				if
				:: DONE -> fetch(); put(held, SLOT); err = OK
				:: else -> waiter = true
				fi
			fi
		};
		if
		:: err != OK -> await(); assert(err == OK)
		:: else
		fi
	:: else
	fi;
	atomic { tell_caller(); put(held, CALLER) };
	process_releases_answer();
end:
	atomic { err = OK; again = false; returned = true }
}

/* SEND: the thread in RECV. */
proctype collector()
{
end:	atomic { locked(caller_lock) && answer_queued && !caller_dead ->
		answer_queued = false;
		assert(DONE);
		fetch()
	};
	atomic { tell_caller(); put(held, SLOT) };
	process_releases_answer()
}

proctype canceller()
{
	bool ends, received, won, waking;

	/* call_find_locked() */
end:	atomic { locked(caller_lock) && (slot_owner || fetched || never_made) ->
		if
		:: !caller_dead && slot_owner && (slot & KERNEL) && !fetched ->
			get(held, CANCELLER)
		:: else -> goto out
		fi
	};
	finish();
	atomic { put(held, CANCELLER) };
out:
}

proctype timer()
{
	bool ends, received, won, waking;

end:	atomic { timer_armed -> timer_armed = false };
	/* expire() */
	finish();
	atomic { put(held, TIMER) }
}

#ifdef BREAK_TWO_REPLIERS
#define OCCUPIED	false
#else
#define OCCUPIED	replying
#endif

/* symp_reply(). @me: the thread's references. */
inline reply(me, copier)
{
	atomic { locked(server_lock) ->
		if
		:: !server_dead && request_owner && (request & KERNEL) && !queued && !OCCUPIED ->
			use(held);
			assert(RECEIVED);
			replying = true;
			get(held, me);
			found = true
		:: else -> err = ESRCH
		fi
	};
	do
	:: found ->
		/* answer() */
		atomic { locked(caller_lock) ->
			use(held);
			if
			:: caller_dead || done -> err = ESRCH
			:: else ->
				assert(!copying);
				copying = true;
#ifndef BREAK_REPLIER_WITHOUT_POOL
				get(caller_pool, copier);
#endif
				err = OK
			fi
		};
		if :: err == ESRCH -> break :: else fi;
		/* Copy the body, no lock held. */
		atomic {
			assert(caller_pool != 0 && (caller_dead || (slot & KERNEL)));
			if
			:: true
			:: !faulted -> faulted = true; err = EFAULT
			fi
		};
		atomic { locked(caller_lock) ->
			copying = false;
			if
			:: caller_dead -> err = ESRCH
			:: !caller_dead && done ->
				/* leave_room() */
				err = ESRCH;
				if
#ifndef BREAK_REPLIER_KEEPS_SLOT
				:: fetched -> slot_owner = false; slice_let_go(slot)
#endif
				:: else
				fi
			:: !caller_dead && !done && err == EFAULT
			:: !caller_dead && !done && err == OK -> settle(true)
			fi
		};
		settle_end();
		atomic {
#ifndef BREAK_REPLIER_WITHOUT_POOL
			put(caller_pool, copier);
#endif
			if
			:: err == OK -> disarm(); break
			:: err == ESRCH -> break
			/* Fault it in, and again; or not. */
			:: err == EFAULT
			:: err == EFAULT -> break
			fi
		}
	:: else -> break
	od;
	if
	:: atomic { found && locked(server_lock) ->
		use(held);
		replying = false;
		found = false;
		if
		:: attached && err == OK ->
			detach();
			slice_let_go(request);
			put(held, SERVER)
#ifndef BREAK_FAULT_HIDES_THE_END
		/* The call is not as it was. */
		:: !attached && err == EFAULT -> err = ESRCH
#endif
		:: else
		fi;
		told = told || err == ESRCH;
		put(held, me)
	}
	:: !found
	fi
}

inline process_releases_request()
{
	atomic { locked(server_lock) ->
		if :: !server_dead -> slice_release(request) :: else fi
	}
}

/* The thread in RECV and then in REPLY. */
proctype server_thread()
{
	mtype err = OK;
	bool found, waking;

end:	atomic { locked(server_lock) && QUEUED && !server_dead ->
		queued = false;
		taken = true;
		request = request | USER
	};
	if
	:: !mute ->
		reply(REPLY1, COPIER);
		if
		/* It answers otherwise. */
		:: err == EFAULT -> reply(REPLY1, COPIER)
		:: else
		fi
	:: else
	fi;
	process_releases_request();
	err = OK
}

/* Another one, which may do anything at any time. */
proctype other_server_thread()
{
	mtype err = OK;
	bool found, waking;

	if
	:: reply(REPLY2, COPIER2);
		if
		:: err == EFAULT -> reply(REPLY2, COPIER2)
		:: else
		fi
	:: process_releases_request()
	fi;
	err = OK
}

/* The thread in RECV that gets the CANCELLED notice. */
proctype notice_receiver()
{
end:	atomic { locked(server_lock) && notice_queued && !server_dead ->
		notice_queued = false;
		told = true;
		put(held, NOTICE)
	}
}

/* symp_endpoint_kill() */
proctype server_death()
{
	bool had_request, had_notice, ends, received, won, waking;

	atomic { locked(server_lock) ->
		server_dead = true;
		had_notice = notice_queued;
		notice_queued = false;
		if
		:: request_owner && (request & KERNEL) ->
			detach();
			had_request = true
		:: else
		fi
	};
	if
#ifndef BREAK_DEATH_FORGETS_REQUESTS
	:: had_request -> finish(); atomic { put(held, SERVER); had_request = false }
#endif
	:: had_notice -> atomic { put(held, NOTICE); had_notice = false }
	:: else
	fi;
	atomic { put(server_pool, ENDPOINT) }
}

proctype caller_death()
{
	bool had_call, ends, received, won, waking;

	atomic { locked(caller_lock) ->
		caller_dead = true;
		if
		:: slot_owner && (slot & KERNEL) && !fetched ->
			fetched = true;
			had_call = true
		:: else
		fi
	};
	if
	:: had_call -> finish(); atomic { put(held, SLOT); had_call = false }
	:: else
	fi;
	atomic { put(caller_pool, ENDPOINT) }
}

/* How many of the disturbances there are at once. */
#ifndef MOST
#define MOST	2
#endif
#define DRAW(what) \
	if \
	:: nr < MOST -> what = true; nr++ \
	:: true \
	fi

init {
	bool cancels, other;
	byte nr;

	atomic {
		if :: is_async = true :: true fi;
		if :: notify = true :: true fi;
		DRAW(deadline);
		DRAW(server_dies);
		DRAW(caller_dies);
		DRAW(cancels);
		if :: !is_async -> DRAW(interrupts) :: is_async fi;
		DRAW(other);
		nr = 0;
		if
		:: deadline || server_dies || caller_dies || cancels -> mute = true
		:: true
		fi;
		run caller();
		run server_thread();
		if :: notify -> run notice_receiver() :: else fi;
		if :: is_async -> run collector() :: else fi;
		if :: deadline -> run timer() :: else fi;
		if :: server_dies -> run server_death() :: else fi;
		if :: caller_dies -> run caller_death() :: else fi;
		if :: cancels -> run canceller(); cancels = false :: else fi;
		if :: other -> run other_server_thread(); other = false :: else fi
	};
	/* Nobody can do anything any more. */
	timeout -> atomic {
		assert(returned && held == 0 && !timer_armed);
		assert(outcomes == (never_made -> 0 : 1));
		assert(!unreceived || !taken);
		assert(heard <= outcomes && (caller_dead || heard == outcomes));
		assert(caller_dead || slot == FREE);
		assert(server_dead || (request == FREE && !attached));
		assert(server_dead || !owed || told);
		assert(caller_pool == (caller_dead -> 0 : ENDPOINT));
		assert(server_pool == (server_dead -> 0 : ENDPOINT))
	}
}
