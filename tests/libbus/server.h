/* SPDX-License-Identifier: MIT */
/*
 * A server in this process, for the tests of calls: threads in sbus_serve() and
 * an extension of bare messages, which does as the method's id says.
 *
 *	echo	the body, as raw bytes
 *	take	the body, not copied
 *	iov	the body, in pieces
 *	big	as many bytes as the body says
 *	error	an error reply, code 5, with data
 *	drop	no answer
 *	errno	-EIO
 *	keep	kept until server_answer_kept()
 *	twice	answers twice; the second answer's result is the first's body
 *	call	calls "echo" of the extension the body names, and answers that
 */
#ifndef TESTS_LIBBUS_SERVER_H
#define TESTS_LIBBUS_SERVER_H

#include "common.h"

#define KEPT_MAX 4096

struct server {
	struct sbus *bus;
	pthread_t thread;
	unsigned int threads, batch;
	int result;
	atomic_int handled;
	atomic_int inside, most;	/* handlers at once */
	pthread_mutex_t lock;
	struct sbus_message *kept[KEPT_MAX];
	int nr_kept;
};

/* sbus_params.sealed_min of servers that are started from here on; 0 to begin with. */
extern uint32_t server_sealed_min;

/* Serves @id: 0 or -errno. */
int server_start(struct server *server, const char *id, unsigned int threads, uint32_t pool_size);
/* The same, @batch requests at a time. */
int server_start_batch(struct server *server, const char *id, unsigned int threads,
		       uint32_t pool_size, unsigned int batch);
/* Serves again, when serving has ended. */
int server_serve(struct server *server);
/* Ends it: the result of sbus_serve(). */
int server_stop(struct server *server);
/* Answers what was kept (with "kept") or drops it; returns how many. */
int server_answer_kept(struct server *server, bool answer);
/* Waits until that many are kept. */
void server_wait_kept(struct server *server, int nr);

/* A request for @method. */
struct sbus_request request_for(const char *id, const char *method, const void *body, size_t len);

#endif /* TESTS_LIBBUS_SERVER_H */
