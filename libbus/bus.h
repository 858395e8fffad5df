/* SPDX-License-Identifier: MIT */
/* A connection, as the files of this folder see it. */
#ifndef LIBBUS_BUS_H
#define LIBBUS_BUS_H

#include <errno.h>
#include <linux/symphony.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <symphony/bus.h>

#include "fork.h"
#include "idmap.h"
#include "list.h"
#include "release.h"

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define SERVICE_BUCKETS 64
#define STRAYS 64

struct engine;
struct receiver;
struct service;

/* That the kernel said that a request is not waited for any more. */
struct cancelled {
	uint64_t id;
	int reason;
};

/*
 * Lock order: a member's mutex and the Pit's locks (pit.h), then @lock. No
 * callback runs with @lock held.
 */
struct sbus {
	atomic_uint refs;
	atomic_bool closed;
	atomic_bool processed;		/* a thread is in sbus_process() or sbus_serve() */
	atomic_bool serving;		/* threads of sbus_serve() wait in the kernel */
	atomic_bool stopping;
	atomic_bool unsettled;		/* calls wait here, or have an outcome made here */
	atomic_uint corked;		/* SBUS_ANSWERS, SBUS_CALLS: reply.c, async.c */
	atomic_uint claims;
	sem_t wake;			/* sbus_serve()'s clock thread has something to do */

	uint64_t mark;			/* of the process that it belongs to: fork.h */
	pid_t pid;			/* likewise, for what errors say */

	int fd;
	const char *pool;
	uint32_t pool_size;
	uint32_t queue_max;
	bool may_seal;			/* bodies can be in files: */
	uint32_t sealed_min;		/* requests' from here on, and if no pool holds them; */
	uint32_t sealed_answer_min;	/* answers' from here on, and if the caller has no room */
	uint32_t reply_flags;		/* SYMPHONY_REPLY_* of every answer */
	uint64_t endpoint;
	bool creator;
	char name[SBUS_NAME_MAX + 1];
	char *device;

	sbus_request_fn handler;
	void *handler_data;
	sbus_notice_fn notice;
	void *notice_data;
	struct receiver *receiver;	/* sbus_process()'s */
	struct engine *engine;

	pthread_mutex_t lock;
	/* lock */
	struct release release;
	struct sbus_message *spare_messages;
	unsigned int nr_spare_messages;
	struct sbus_slot *spare_slots;
	unsigned int nr_spare_slots;
	struct service *recent;
	struct service *by_name[SERVICE_BUCKETS];
	struct idmap by_handle;
	struct list calls;		/* sent, no outcome yet */
	struct list blocked;		/* services with calls that wait here */
	struct list over;		/* calls with an outcome made here */
	struct list answers;		/* while corked */
	struct idmap watched;
	struct idmap entered;		/* requests that are kept, by id: notice.c */
	struct list receivers;
	struct cancelled strays[STRAYS];
	unsigned int nr_strays;
	uint32_t nr_waiting;
	bool flushing;
	uint64_t retry_at;
	uint64_t first_deadline;	/* no waiting call has an earlier one */
};

/* The last reference is gone. */
void bus_end(struct sbus *bus);

/* sbus_unref(), in the process that made the connection. */
static inline void bus_put(struct sbus *bus)
{
	if (unlikely(atomic_fetch_sub_explicit(&bus->refs, 1, memory_order_acq_rel) == 1))
		bus_end(bus);
}

/* Does it belong to the process that this one was forked from? */
static inline bool bus_is_foreign(const struct sbus *bus)
{
	return fork_is_foreign(bus->mark);
}

/* 0, or why nothing can be done with it. */
static inline int bus_state(const struct sbus *bus)
{
	if (unlikely(bus_is_foreign(bus)))
		return -EPERM;
	return unlikely(atomic_load_explicit(&bus->closed, memory_order_relaxed)) ?
		-ESHUTDOWN : 0;
}

static inline void bus_lock(struct sbus *bus)
{
	pthread_mutex_lock(&bus->lock);
}

static inline void bus_unlock(struct sbus *bus)
{
	pthread_mutex_unlock(&bus->lock);
}

/* An operation on the device: 0 or -errno, errno left alone. */
static inline int bus_ioctl(const struct sbus *bus, unsigned long operation, void *arg)
{
	int saved = errno, r;

	r = ioctl(bus->fd, operation, arg);
	if (likely(!r))
		return 0;
	r = -errno;
	errno = saved;
	return r;
}

static inline const struct symphony_msg *bus_message(const struct sbus *bus, uint32_t offset)
{
	return (const struct symphony_msg *)(bus->pool + offset);
}

/* Is it [a-z][a-z0-9_.-]{0,62}? */
bool bus_name_valid(const char *name);
/* Opens the device: the file, or -errno. */
int bus_open_device(const char *device, struct sbus_error *error);
/* Which bus is meant; the name can be too long by one. */
struct bus_meant {
	char name[SBUS_NAME_MAX + 2];
	bool any;	/* whoever's it is */
	bool own;	/* the caller's */
	uid_t uid;	/* or this one's */
};
int bus_meant(const struct sbus_params *params, struct bus_meant *meant, struct sbus_error *error);
/*
 * Opens the device and joins the bus that is meant, or creates that as @params say.
 * Fills @join, whose flags then tell which it was. A bus that is not what @params
 * ask for is left again.
 */
int bus_join(const char *device, const struct bus_meant *meant, const struct sbus_params *params,
	     struct symphony_join *join, struct sbus_error *error);

/* The earlier of a deadline and a timeout from now. */
static inline uint64_t bus_deadline(uint64_t deadline, uint64_t timeout)
{
	uint64_t end;

	if (likely(!timeout))
		return deadline;
	if (__builtin_add_overflow(sbus_now(), timeout, &end))
		return deadline;
	return deadline && deadline < end ? deadline : end;
}

#endif /* LIBBUS_BUS_H */
