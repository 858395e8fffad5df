// SPDX-License-Identifier: MIT
/*
 * Ending a blocking call from another thread. The kernel writes a call's id
 * into its argument before it sleeps, and CANCEL names the call by that id. Who
 * triggers waits, briefly, for one of the two: the id, or the end of the call.
 */
#include "cancel.h"

#include <stdlib.h>
#include <time.h>

struct sbus_cancel {
	atomic_bool triggered;
	uint64_t mark;			/* fork.h */
	pthread_mutex_t lock;
	/* lock */
	struct sbus *bus;
	struct symphony_call *call;	/* being made, or NULL */
};

SBUS_API int sbus_cancel_new(struct sbus_cancel **ret)
{
	struct sbus_cancel *cancel = calloc(1, sizeof(*cancel));

	if (!cancel || fork_mark(&cancel->mark)) {
		free(cancel);
		return -ENOMEM;
	}
	pthread_mutex_init(&cancel->lock, NULL);
	*ret = cancel;
	return 0;
}

SBUS_API struct sbus_cancel *sbus_cancel_unref(struct sbus_cancel *cancel)
{
	if (!cancel || fork_is_foreign(cancel->mark))
		return NULL;
	pthread_mutex_destroy(&cancel->lock);
	free(cancel);
	return NULL;
}

int cancel_enter(struct sbus_cancel *cancel, struct sbus *bus, struct symphony_call *call)
{
	if (fork_is_foreign(cancel->mark))
		return -EPERM;
	pthread_mutex_lock(&cancel->lock);
	cancel->bus = bus;
	cancel->call = call;
	pthread_mutex_unlock(&cancel->lock);
	if (!cancel_triggered(cancel))
		return 0;
	cancel_leave(cancel);
	return -ECANCELED;
}

void cancel_leave(struct sbus_cancel *cancel)
{
	pthread_mutex_lock(&cancel->lock);
	cancel->call = NULL;
	pthread_mutex_unlock(&cancel->lock);
}

bool cancel_triggered(struct sbus_cancel *cancel)
{
	return atomic_load(&cancel->triggered);
}

/* Is there nothing left to wait for? */
static bool try_cancel_locked(struct sbus_cancel *cancel)
{
	struct symphony_wait arg = { .size = sizeof(arg) };

	if (!cancel->call)
		return true;
	arg.id = __atomic_load_n(&cancel->call->id, __ATOMIC_ACQUIRE);
	if (!arg.id)
		return false;
	arg.slot = __atomic_load_n(&cancel->call->slot, __ATOMIC_RELAXED);
	/* ESRCH: the slot is not written yet, or the outcome is being fetched. */
	return bus_ioctl(cancel->bus, SYMPHONY_IOC_CANCEL, &arg) != -ESRCH;
}

SBUS_API void sbus_cancel_trigger(struct sbus_cancel *cancel)
{
	static const struct timespec pause = { .tv_nsec = 50000 };
	bool done;

	if (fork_is_foreign(cancel->mark))
		return;
	atomic_store(&cancel->triggered, true);
	for (;;) {
		pthread_mutex_lock(&cancel->lock);
		done = try_cancel_locked(cancel);
		pthread_mutex_unlock(&cancel->lock);
		if (done)
			return;
		nanosleep(&pause, NULL);
	}
}
