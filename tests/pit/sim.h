/* SPDX-License-Identifier: MIT */
/*
 * sim: a host for one extension with a clock that only moves when told, callers
 * that die when told, and allocations that fail when told. It keeps the
 * promises of <symphony/extension.h>, and aborts when the extension breaks one:
 * an answer given twice, or not at all, or memory and timers left.
 */
#ifndef TESTS_PIT_SIM_H
#define TESTS_PIT_SIM_H

#include <symphony/extension.h>

struct sim;

struct sim_call {
	struct sim *sim;
	struct sim_call *next;		/* all of the host's, the newest first */
	struct sbus_completion *owed;
	yyjson_mut_doc *building;
	uint64_t sender;
	bool done;
	bool failed;
	int64_t code;			/* failed: of the error reply */
	char *message;
	yyjson_doc *result;		/* or the error's data */
	uint64_t order;			/* of outcomes, from 1 */
};

/**
 * sim_new() - start the extension @id with @config (JSON or NULL)
 *
 * Return: NULL when its init() failed.
 */
struct sim *sim_new(const char *id, const char *config);

/* Cancels what is owed, stops the extension, frees all calls. */
void sim_free(struct sim *sim);

/* The extension's descriptor. */
const struct symphony_extension *sim_extension(const char *id);

/**
 * sim_call() - call a method from endpoint @sender with params as JSON, made
 * with printf; ' stands for "
 */
struct sim_call *sim_call(struct sim *sim, uint64_t sender, const char *method,
			  const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* The same with params that are parsed already, for large ones. */
struct sim_call *sim_call_val(struct sim *sim, uint64_t sender,
			      const char *method, yyjson_val *params);

void sim_advance(struct sim *sim, uint64_t ms);
void sim_cancel(struct sim_call *call);

/* The caller got another outcome, and the extension is not told of it yet. */
void sim_abandon(struct sim_call *call);
void sim_die(struct sim *sim, uint64_t endpoint);
bool sim_watches(const struct sim *sim, uint64_t endpoint);

/* The @n-th allocation from now fails, and later ones too when @all; 0: none. */
void sim_fail_alloc(unsigned long n, bool all);
/* Did one fail since? */
bool sim_alloc_failed(void);

/* Parts of a result, by JSON pointer; abort when they are not there. */
uint64_t sim_uint(const struct sim_call *call, const char *pointer);
bool sim_bool(const struct sim_call *call, const char *pointer);
const char *sim_str(const struct sim_call *call, const char *pointer);
size_t sim_size(const struct sim_call *call, const char *pointer);

#endif
