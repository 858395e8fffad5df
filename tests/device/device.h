/* SPDX-License-Identifier: MIT */
/*
 * What the device tests share: raw ioctls with bounded waits, an echo server,
 * callers in threads, and children that can be told things and killed.
 *
 * Functions return 0 (or what they say) or -errno. Nothing here waits longer
 * than DEV_LONG without a failure, and a test that hangs all the same is ended
 * by SIGALRM.
 */
#ifndef SYMPHONY_TESTS_DEVICE_H
#define SYMPHONY_TESTS_DEVICE_H

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <linux/symphony.h>

#define DEV_PATH	"/dev/symphony"
#define DEV_LONG	10000	/* ms: what must happen has happened by then */
#define DEV_BEAT	60	/* ms: for another thread to fall asleep */
#define DEV_ALARM	28	/* s: a whole test */

#define MIB		(1U << 20)
#ifndef ARRAY_SIZE
#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#endif

/* An endpoint of this process. */
struct ep {
	int fd;
	__u32 size;
	__u64 id;
	const unsigned char *pool;
};

/* The beginning of every test: the bound on its time, a bus of its own. */
void dev_begin(void);
const char *dev_bus(void);
int dev_open(void);
int dev_ioctl(int fd, unsigned long op, void *arg);
struct symphony_query dev_limits(void);
__u64 dev_now(void);
__u64 dev_after(unsigned int ms);
void dev_nap(unsigned int ms);
/* Set a parameter of the module; what it was, or -errno. Set it back! */
long dev_param(const char *name, long value);
/* A kernel with lockdep, KCSAN and the like: ten times slower, at least. */
bool dev_slow(void);
void dev_fill(void *buf, size_t len, unsigned int seed);
bool dev_filled(const void *buf, size_t len, unsigned int seed);
/* Two pages, of which the second is not there; the end of the first. */
unsigned char *dev_cliff(void);

int ep_join_bus(struct ep *ep, const char *bus, __u32 flags, __u32 mode,
		__u32 pool_size);
int ep_join(struct ep *ep, __u32 pool_size);
/* As another user, on a bus that lets it; root, in one thread, is root again. */
int ep_join_as(struct ep *ep, uid_t uid, __u32 pool_size);
void ep_close(struct ep *ep);
int ep_claim(struct ep *ep, const char *name, __u64 *handle);
int ep_unclaim(struct ep *ep, __u64 handle);
int ep_resolve(struct ep *ep, const char *name, __u64 *handle);

/* A request with the default room for the answer, due in DEV_LONG. */
struct symphony_call ep_request(__u64 handle, const void *body, __u32 len);
int ep_call(struct ep *ep, struct symphony_call *call);
int ep_send(struct ep *ep, struct symphony_call *call);
/* What came of a CALL: its error, or the status of its outcome. */
int ep_outcome(struct ep *ep, struct symphony_call *call);
/* @ms < 0: do not wait. The number of messages or -errno. */
int ep_recv(struct ep *ep, __u32 *offsets, __u32 max, int ms);
/* The next message; NULL, and errno says why. */
const struct symphony_msg *ep_next(struct ep *ep, int ms);
const struct symphony_msg *ep_msg(const struct ep *ep, __u32 offset);
__u32 ep_offset(const struct ep *ep, const struct symphony_msg *msg);
const void *ep_body(const struct symphony_msg *msg);
int ep_reply(struct ep *ep, const struct symphony_msg *msg, const void *body,
	     __u32 len, __u32 flags);
int ep_reply_at(struct ep *ep, __u64 id, __u32 slot, const void *body,
		__u32 len, __u32 flags);
int ep_release(struct ep *ep, const struct symphony_msg *msg);
int ep_release_at(struct ep *ep, __u32 offset);
int ep_cancel(struct ep *ep, __u64 id, __u32 slot);
/* Resume @call; its status, offset and needed are the outcome. */
int ep_wait(struct ep *ep, struct symphony_call *call, __u32 flags);
int ep_watch(struct ep *ep, __u64 endpoint, __u64 cookie, __u32 flags);

/* A client and the one replica of the service "svc". */
struct duo {
	struct ep client, server;
	__u64 svc;
};

int duo_join(struct duo *duo, __u32 client_pool, __u32 server_pool);
void duo_close(struct duo *duo);
/* SEND @len bytes filled from @cookie to @svc, with the least room to answer. */
int duo_send(struct duo *duo, __u64 cookie, __u32 len);
/* SEND until it fails; how many were sent, and why it ended. */
int duo_flood(struct duo *duo, __u32 len, __u32 reply_max, int *why);

/* A thread that answers what an endpoint receives, by the request's method. */
enum echo_method {
	ECHO_BODY,	/* with the body; any other number too */
	ECHO_ERROR = 1 << 30,	/* with the body, as an error */
	ECHO_SIZE,	/* with @key bytes, filled from @key */
};

struct echo {
	struct ep *ep;
	pthread_t thread;
	atomic_bool stop;
	atomic_int served;
	atomic_int refused;	/* REPLY gave an error */
	atomic_int last_error;
};

int echo_start(struct echo *echo, struct ep *ep);
void echo_stop(struct echo *echo);

/* A thread that makes one CALL. */
struct caller {
	struct ep *ep;
	struct symphony_call call;
	pthread_t thread;
	int ret;
	__u64 done_at;
	atomic_bool done;
};

int caller_start(struct caller *caller, struct ep *ep,
		 struct symphony_call call);
/* 0, or -ETIMEDOUT when it is still in the call after @ms. */
int caller_join(struct caller *caller, int ms);
int caller_interrupt(struct caller *caller);

/* A child process, with a channel to it. */
struct kid {
	pid_t pid;
	int fd;
};

/* As fork(). The child dies with its parent and after DEV_ALARM. */
pid_t kid_fork(struct kid *kid);
int kid_tell(struct kid *kid, __s64 value);
int kid_hear(struct kid *kid, __s64 *value);
/* Exit status, 128 + signal, or -ETIMEDOUT (it is killed then). */
int kid_reap(struct kid *kid);
int kid_kill(struct kid *kid, int sig);

/* Send or take a file over a kid's channel. */
int kid_pass(struct kid *kid, int fd);
int kid_take(struct kid *kid);

/* Another user, without groups; for this thread, which is to be the only one. */
int dev_become(uid_t uid, gid_t gid);
/* Write to a file of /proc or /sys. */
int dev_write(const char *path, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* In a kid: enter namespaces, among them a user namespace, which kid_map() in
 * the parent gives @map, for uids and gids. It says what came of it in both. */
int kid_unshare(struct kid *kid, int flags);
int kid_map(struct kid *kid, const char *map);

/* For scripts that may end in SIGUSR1: a handler that does nothing. */
void dev_on_usr1(int sa_flags);

#endif
