/* SPDX-License-Identifier: MIT */
/*
 * What the library's tests share: outcomes as text, an extension with a method
 * for each behaviour, and children that serve it.
 */
#ifndef TESTS_LIBBUS_COMMON_H
#define TESTS_LIBBUS_COMMON_H

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <symphony/pit.h>

#define MS 1000000ULL

/* An outcome of a call, as a sink or a reply callback stores it. */
struct outcome {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	int count;			/* how often it was told */
	int order;			/* when, among all outcomes */
	int error;
	bool retry_safe;
	int64_t code;
	char text[4096];		/* the result's JSON, or the error's message */
	pthread_t thread;
};

#define OUTCOME_INIT { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER }

void outcome_sink(yyjson_mut_val *result, const struct sbus_error *error, void *userdata);
void outcome_reply(struct sbus_message *reply, const struct sbus_error *error, void *userdata);
/* Waits until it was told: 0, or -ETIMEDOUT after 10 s. */
int outcome_wait(struct outcome *outcome);

/* sbus_pit_call() of a JSON text. */
int pit_call(struct sbus_member *member, const char *json, uint64_t deadline,
	     struct outcome *outcome, struct sbus_pending **pending);

/*
 * The extension "probe". Its methods: echo (params), nothing (null), fail (error
 * 7 with data), errno (-EIO), hold (answers when release or its own thread says,
 * as "token" in params tells), release (answers everything held with params),
 * later (answers from a thread after params.ms), alarm (answers from a timer
 * after params.ms), broken (promises and does not), who (the caller).
 */
extern const struct symphony_extension probe;

/* What happened to it, for tests in the same process. */
struct probe_seen {
	atomic_int inits, finis, held, cancelled, gone, late;
	atomic_int reason;
	atomic_ullong endpoint;
};
extern struct probe_seen probe_seen;

/* A bus name of this test's own. */
const char *test_bus(void);
/* A connection to it. */
struct sbus *test_open(void);

/*
 * The program libbus-probe, which is sbus_extension_main() of probe: a program,
 * as this process has threads, and nothing but exec is safe after its fork().
 */
pid_t run_probe(const char *const *argv, bool silent);
/*
 * Runs it with @id on the test's bus, and options, ended by NULL: its pid when the id
 * can be called, or -errno.
 */
pid_t serve_child(struct sbus *bus, const char *id, ...) __attribute__((sentinel));
/* SIGTERM: returns the exit status, or -errno. */
int stop_child(pid_t pid);

/* Are all threads but this one gone, or soon? */
bool single_threaded(void);

#endif /* TESTS_LIBBUS_COMMON_H */
