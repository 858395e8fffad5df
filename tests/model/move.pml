/* SPDX-License-Identifier: MIT */
/*
 * A call that moves, as kmod/move.c, kmod/room.c and kmod/service.c have it:
 * from the replica that was picked to the other one, because that took over, or
 * because the first one died, be the request queued or received (the service
 * wants it done again). Meanwhile the call is cancelled, or the new replica
 * dies, or the first one takes over in turn and finds its request there.
 *
 * Here is also what call.pml leaves out: the pick and the epoch, and room that
 * the caller's thread or the move has to wait for. How a reply and the caller's
 * sleep go is in call.pml, and so it is short here.
 */
#include "model.h"

#define A	0
#define B	1
#define NONE	2

/* Who holds the call; of two, the first is at A. */
#define CALLER		1
#define CANCELLER	2
#define SLOT		4
#define MOVE		8	/* the reference that the old pool had */
#define SERVER(x)	(16 << (x))	/* the replica's pool */
#define REPLY(x)	(64 << (x))	/* a thread in REPLY */
#define TAKER(x)	(256 << (x))	/* took it off its pool, knows not where to */
#define MOVED		1024	/* a move that has attached it, and leaves */
short held;

mtype = { OK, ESHUTDOWN, ECANCELED, ECONNREFUSED, EINPROGRESS };

/* The service's lock, and the array of replicas, which is read without it. */
bool bus_lock;
bool serves[2];
byte version;		/* which array it is */
byte readers;		/* in pick() */

/* caller->lock */
bool done, ending;
byte server = NONE;

/* Each replica's lock; the sections are atomic steps. */
bool dead[2];
byte epoch[2];
bool stopped[2];	/* it has been told that it serves no more */
bool inside[2];		/* a thread is in REPLY */
byte request[2];	/* the slice */
bool owner[2];		/* of it: the call */
byte room[2];		/* for so many more */

/* call->server->lock */
bool attached, queued, replying;
bool moving;		/* call->moving */

/* Who waits on the lane for room, and what it is given. */
byte lane[2];
#define NOBODY		0
#define THREAD		1
#define WORK		2
bool thread_done, thread_room;
bool work_done, work_room;	/* move->room */

/*
 * The move. There can be another when it has attached the call and only leaves
 * the old place.
 */
bool move_there, move_queued;
byte from = NONE;	/* where the request stands; NONE when that is dead */
bool old_pool;
byte left = NONE;	/* @from of that which leaves */

bool occupied;		/* B is, with something else */
bool taken;		/* a server received it */
bool unreceived;	/* the outcome says that none did */
byte outcomes;
bool never_made, returned;

/* The lock of @x is held in what follows. */

inline waiter_done(x, has)
{
	if
	:: lane[x] == THREAD -> assert(!thread_done); thread_room = has; thread_done = true
	:: lane[x] == WORK ->
		assert(!work_done && move_there && !move_queued);
		work_room = has;
		work_done = true;
		move_queued = true
	fi;
	lane[x] = NOBODY
}

inline grant(x)
{
	if
	:: room[x] > 0 && lane[x] != NOBODY ->
		room[x]--;
		slice_alloc(request[x]);
		waiter_done(x, true)
	:: else
	fi
}

inline room_free(x)
{
	slice_free(request[x]);
	room[x]++;
	grant(x)
}

inline end_waits(x)
{
	if
	:: lane[x] != NOBODY -> waiter_done(x, false)
	:: else
	fi
}

inline detach(x)
{
	assert(attached && server == x && owner[x]);
	use(held);
	attached = false;
	owner[x] = false
}

/* The caller's lock is held. */
inline settle()
{
	assert(!done);
	use(held);
	done = true;
	outcomes++;
	put(held, SLOT)
}

inline take_back(x)
{
	if
	:: server == NONE
	:: atomic { server != NONE -> x = server;
		use(held);
		received = taken;
		if
#ifndef BREAK_WITHDRAW_FORGETS_MOVE
		:: moving && !work_done ->
			assert(lane[x] == WORK && move_there && !move_queued);
			lane[x] = NOBODY;
			work_done = true;
			move_queued = true
#endif
		:: else
		fi;
		if
		:: attached && queued ->
			detach(x);
			room_free(x);
			put(held, SERVER(x))
		:: else
		fi;
		x = NONE
	}
	fi
}

inline withdraw(x)
{
	if
	:: !received
	:: atomic { received -> x = server;
		use(held);
		if
		:: attached ->
			detach(x);
			room_free(x);
			put(held, SERVER(x))
		:: else
		fi;
		x = NONE
	}
	fi
}

inline finish(x)
{
	atomic {
		use(held);
		if
		:: done
		:: else -> ending = true; ends = true
		fi
	};
	if :: ends -> take_back(x) :: else fi;
	atomic {
		if
		:: !ends || done
		:: else -> settle(); won = true; unreceived = !received
		fi;
		ends = false
	};
	if
	:: won -> withdraw(x); won = false
	:: else
	fi;
	received = false
}

/* symp_service_pick() and symp_call_route(), to @x */
inline route(x)
{
	do
	:: true ->
		atomic {
			seen = version;
			readers++;
			if
			:: serves[A] && !dead[A] -> x = A; err = OK
			:: serves[B] && !dead[B] -> x = B; err = OK
			:: else -> x = NONE; err = ECONNREFUSED; readers--; break
			fi
		};
		atomic {
			at_epoch = epoch[x];
			readers--;
			if
#ifndef BREAK_PICK_WITHOUT_LOOKING_AGAIN
			:: seen != version
#endif
			:: else -> break
			fi
		}
	od;
	atomic {
		seen = 0;
		if
		:: err != OK
		:: err == OK && ending -> err = ECANCELED
		:: else -> assert(!attached); server = x
		fi
	}
}

/* symp_call_attach() */
inline attach(x, keep, moves)
{
	atomic {
		if
		:: dead[x] -> err = ESHUTDOWN
#ifndef BREAK_ATTACH_WITHOUT_LOOKING
		:: !dead[x] && ending -> err = ECANCELED
#endif
#ifndef BREAK_ATTACH_WITHOUT_EPOCH
		:: !dead[x] && !ending && epoch[x] != at_epoch -> err = ESHUTDOWN
#endif
		:: else -> err = OK
		fi;
		if
		:: err == OK ->
			assert(!attached && !stopped[x]);
			owner[x] = true;
			get(held, SERVER(x));
			attached = true;
			queued = true;
			if
			:: moves ->
				give(held, MOVE, MOVED);
				move_there = false;
				old_pool = false;
				left = (keep -> NONE : from);
#ifdef BREAK_MOVE_BACK_LEAVES
				left = from;
#endif
				from = NONE
			:: else
			fi
		:: err != OK && !dead[x] && !keep -> room_free(x)
		:: else
		fi
	}
}

/* CALL */
proctype caller()
{
	mtype err = OK;
	byte x = NONE, at_epoch, seen;

	atomic { held = CALLER; get(held, SLOT) };
	do
	:: true ->
		route(x);
		if :: err != OK -> break :: else fi;
		/* symp_room_reserve() */
		atomic {
			if
			:: dead[x] || epoch[x] != at_epoch -> err = ESHUTDOWN
			:: !(dead[x] || epoch[x] != at_epoch) && room[x] > 0 ->
				room[x]--;
				slice_alloc(request[x])
			:: else ->
				thread_done = false;
				assert(lane[x] == NOBODY);
				lane[x] = THREAD;
				err = EINPROGRESS
			fi
		};
		if
		:: err == EINPROGRESS ->
			thread_done || done;
			atomic {
				if
				:: !thread_done -> lane[x] = NOBODY; err = ECANCELED
				:: thread_done && (dead[x] || !thread_room) ->
					err = ESHUTDOWN
				:: else -> err = OK
				fi;
				thread_room = false
			}
		:: else
		fi;
		/* The body is copied here. */
		if
		:: err == OK -> attach(x, false, false)
		:: else
		fi;
		if
		:: err == ESHUTDOWN
		:: else -> break
		fi
	od;
	if
	:: err != OK ->
		/* call_abandon() */
		atomic {
			if
			:: ending
			:: else -> done = true; never_made = true; put(held, SLOT)
			fi
		}
	:: else
	fi;
	/* call_await() */
	done;
	atomic { put(held, CALLER); returned = true; x = NONE; err = OK; at_epoch = 0 }
}

proctype canceller()
{
	bool ends, received, won;
	byte x = NONE;

	atomic { held != 0 || done ->
		if
		:: !done -> get(held, CANCELLER)
		:: else -> goto out
		fi
	};
	finish(x);
	atomic { put(held, CANCELLER) };
out:
}

/* RECV and REPLY, again and again. */
proctype server_thread(byte x)
{
	bool ends, received, won;

end:	do
	:: atomic { owner[x] && queued && !dead[x] ->
		queued = false;
		taken = true;
		inside[x] = true
	};
		/* symp_reply() */
		atomic {
			if
			:: owner[x] && !queued && !dead[x] ->
				assert(!replying);
				replying = true;
				get(held, REPLY(x));
			:: else -> inside[x] = false; goto end
			fi
		};
		/* answer(): the copy is in call.pml. */
		atomic {
			use(held);
			if
			:: done
			:: else -> settle(); won = true
			fi
		};
		atomic {
			use(held);
			replying = false;
			if
			:: won && attached && !dead[x] ->
				detach(x);
				room_free(x);
				put(held, SERVER(x))
			:: else
			fi;
			put(held, REPLY(x));
			won = false;
			inside[x] = false
		}
	od
}

/* move_call(): with the reference that @taker has */
inline move_start(taker, where)
{
	assert(!move_there && !move_queued);
	give(held, taker, MOVE);
#ifdef BREAK_MOVE_AND_PUT
	put(held, MOVE);
#endif
	move_there = true;
	move_queued = true;
	work_done = false;
	work_room = false;
	from = where;
	old_pool = true
}

/* move_work() */
proctype mover()
{
	mtype err = OK;
	bool ends, received, won;
	byte x = NONE, at_epoch, seen;

end:	do
	:: atomic { move_queued -> move_queued = false; assert(move_there); use(held) };
		err = (work_done -> OK : ESHUTDOWN);
again:
		if
		:: err == ESHUTDOWN ->
			/* move_reserve() */
			route(x);
			if
			:: err != OK || x == from
			:: else ->
				atomic {
					if
					:: dead[x] || epoch[x] != at_epoch -> err = ESHUTDOWN
#ifndef BREAK_MOVE_WAITS_WITHOUT_LOOKING
					:: !(dead[x] || epoch[x] != at_epoch) && ending ->
						err = ECANCELED
#endif
					:: else ->
						/* The lane can be swept away then. */
						assert(!done);
						work_done = false;
						work_room = false;
						if
						:: room[x] > 0 ->
							room[x]--;
							slice_alloc(request[x]);
							work_room = true
						:: else ->
							assert(lane[x] == NOBODY);
							lane[x] = WORK;
							moving = true;
							err = EINPROGRESS
						fi
					fi
				}
			fi
		:: else
		fi;
		if
		:: err == EINPROGRESS -> goto end
		/* move_deliver() */
		:: err == OK && x == from ->
			attach(x, true, true)
		:: err == OK && x != from ->
			atomic {
				moving = false;
				if
				:: dead[x] || !work_room -> err = ESHUTDOWN
				:: else
				fi
			};
			if
			/* The body is copied here. */
			:: err == OK -> assert(old_pool); attach(x, false, true)
			:: else
			fi
		:: else
		fi;
		if
		:: err == ESHUTDOWN -> atomic { work_done = false; move_queued = true; goto end }
		:: err == ECANCELED || err == ECONNREFUSED -> finish(x)
		:: else
		fi;
		/* leave() */
		atomic {
			if
			:: err == OK
			:: else ->
				left = from;
				from = NONE;
				old_pool = false;
				give(held, MOVE, MOVED);
				move_there = false
			fi;
			if
			:: left != NONE && !dead[left] -> room_free(left)
			:: else
			fi;
			left = NONE;
			put(held, MOVED);
			x = NONE;
			at_epoch = 0;
			err = OK
		}
	od
}

/* symp_endpoint_next_epoch() */
inline next_epoch(x)
{
	atomic {
		epoch[x]++;
		stopped[x] = true;
#ifndef BREAK_EPOCH_FORGETS_WAITERS
		end_waits(x);
#endif
		skip
	}
}

/* @new takes the place of @old, whose queue moves. Without memory it does not. */
inline take_over(old, new)
{
	atomic { !bus_lock -> bus_lock = true };
#ifdef BREAK_EPOCH_BEFORE_SWITCH
	next_epoch(old);
#endif
	atomic {
		if
		:: serves[old] && !dead[old] && !dead[new] ->
			serves[old] = false;
			serves[new] = true;
			stopped[new] = false;
			version++;
			taking = true
		:: else
		fi
	};
	if
	:: taking ->
#ifndef BREAK_EPOCH_BEFORE_SWITCH
		next_epoch(old);
#endif
		atomic {
			/* take_queued() */
			if
			:: !dead[old] && owner[old] && queued ->
				detach(old);
				give(held, SERVER(old), TAKER(old));
			:: else -> taking = false
			fi
		};
		if
		:: taking -> atomic { move_start(TAKER(old), old) }
		:: taking ->
			atomic {
				if
				:: !dead[old] -> room_free(old)
				:: else
				fi
			};
			finish(x);
			atomic { put(held, TAKER(old)) }
		:: !taking
		fi;
		taking = false
	:: else
	fi;
	bus_lock = false
}

proctype takeovers()
{
	bool taking, ends, received, won;
	byte x = NONE;

	take_over(A, B);
	if
	:: take_over(B, A)
	:: true
	fi
}

/*
 * UNCLAIM by one of two replicas. Without memory for another array, the array is
 * changed in place, and nobody may be looking at it before the epoch counts.
 */
proctype unclaim()
{
	atomic { !bus_lock -> bus_lock = true };
	atomic {
		serves[A] = false;
		if
		:: version++
		:: true
#ifndef BREAK_NO_GRACE_PERIOD
			-> readers == 0
#endif
		fi
	};
	next_epoch(A);
	bus_lock = false
}

#ifdef BREAK_DEATH_DURING_REPLY
#define EMPTY(x)	true
#else
#define EMPTY(x)	!inside[x]
#endif

/* symp_endpoint_kill() */
proctype death(byte it)
{
	bool ends, received, won, had;
	byte x = NONE;

	atomic { EMPTY(it) ->
		dead[it] = true;
		if
		:: owner[it] ->
			detach(it);
			give(held, SERVER(it), TAKER(it));
			had = true
		:: else
		fi;
		end_waits(it)
	};
	/* symp_move_from_dead() */
	if
	:: atomic { had && !done -> move_start(TAKER(it), NONE) }
	:: had -> finish(x); atomic { put(held, TAKER(it)) }
	:: !had
	fi;
	had = false;
	/* symp_service_unclaim_all() */
	atomic { !bus_lock -> bus_lock = true };
	if
	:: atomic { serves[it] -> serves[it] = false; version++ };
		next_epoch(it)
	:: !serves[it]
	fi;
	bus_lock = false
}

/*
 * Something else is released, some time; but nobody may depend on that whose call
 * has its outcome, or who waits at a replica that serves no more.
 */
proctype releaser()
{
	bool sure;

	if
	:: sure = true
	:: true
	fi;
end:	atomic { dead[B] || sure || !(stopped[B] || done) ->
		if
		:: !dead[B] -> room[B]++; occupied = false; grant(B)
		:: else
		fi
	}
}

#ifndef MOST
#define MOST	2
#endif
#define DRAW(what) \
	if \
	:: nr < MOST -> nr++; run what \
	:: true \
	fi

init {
	byte nr;

	atomic {
		serves[A] = true;
		room[A] = 1;
		if
		:: room[B] = 1
		:: occupied = true; run releaser()
		fi;
		run caller();
		run mover();
		run server_thread(A);
		run server_thread(B);
		if
		:: run takeovers()
		:: serves[B] = true; if :: run unclaim() :: true fi
		fi;
		DRAW(canceller());
		DRAW(death(A));
		DRAW(death(B));
		nr = 0
	};
	timeout -> atomic {
		assert(returned && held == 0 && done);
		assert(outcomes == (never_made -> 0 : 1));
		assert(!unreceived || !taken);
		assert(!move_there && !move_queued && !old_pool);
		assert(lane[A] == NOBODY && lane[B] == NOBODY);
		assert(dead[A] || (request[A] == FREE && room[A] == 1));
		assert(dead[B] || request[B] == FREE);
		assert(dead[B] || room[B] == (occupied -> 0 : 1))
	}
}
