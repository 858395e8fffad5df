// SPDX-License-Identifier: MIT
/* A server in this process: see server.h. */
#include "server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool is(struct sbus_message *request, const char *method)
{
	return sbus_message_method(request) == sbus_method_id(method);
}

static int answer_big(struct sbus_message *request, const char *body)
{
	size_t len = strtoul(body, NULL, 10);
	char *answer = malloc(len + 1);

	memset(answer, 'x', len);
	return sbus_reply_take(request, SBUS_RAW, answer, len, free);
}

static int answer_iov(struct sbus_message *request, const char *body, size_t len)
{
	struct iovec iov[SBUS_IOV_MAX];
	unsigned int nr = 0;
	size_t part;

	while (len && nr < SBUS_IOV_MAX) {
		part = nr % 3 == 1 ? 0 : nr == SBUS_IOV_MAX - 1 ? len : len / 4 + 1;
		iov[nr++] = (struct iovec){ part ? (void *)body : NULL, part };
		body += part;
		len -= part;
	}
	return sbus_reply_iov(request, SBUS_RAW, iov, nr);
}

/* What JSON cannot say: bytes that are no text, and a number that is none. */
static int answer_odd_error(struct sbus_message *request)
{
	yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	int r;

	r = sbus_reply_error(request, 6, yyjson_mut_real(doc, 0. / 0.), "%s",
			     "a\xff\xc0\x80\xed\xa0\x80\xe2\x82\xac\xf0\x9f\x8e\xbb");
	yyjson_mut_doc_free(doc);
	return r;
}

static int answer_error(struct sbus_message *request)
{
	yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	int r;

	r = sbus_reply_error(request, 5, yyjson_mut_str(doc, "more"), "error %d of \"%s\"", 5,
			     sbus_message_extension(request));
	yyjson_mut_doc_free(doc);
	return r;
}

static int answer_call(struct sbus_message *request, const char *id, size_t len)
{
	sbus_cleanup_error struct sbus_error error = SBUS_ERROR_INIT;
	sbus_cleanup_message struct sbus_message *reply = NULL;
	char name[64];
	struct sbus_request inner = request_for(name, "echo", "inner", 5);
	const void *body;
	int r;

	snprintf(name, sizeof(name), "%.*s", (int)len, id);
	r = sbus_call(sbus_message_bus(request), &inner, &reply, &error);
	if (r)
		return sbus_reply_errorv(request, &error);
	body = sbus_message_body(reply, &len);
	return sbus_reply_raw(request, body, len);
}

static int answer(struct server *server, struct sbus_message *request)
{
	size_t len;
	const char *body = sbus_message_body(request, &len);
	char number[32];

	if (is(request, "take"))
		return sbus_reply_take(request, SBUS_RAW, body, len, NULL);
	if (is(request, "iov"))
		return answer_iov(request, body, len);
	if (is(request, "big")) {
		snprintf(number, sizeof(number), "%.*s", (int)len, body);
		return answer_big(request, number);
	}
	if (is(request, "odd-error"))
		return answer_odd_error(request);
	if (is(request, "error"))
		return answer_error(request);
	if (is(request, "drop"))
		return 0;
	if (is(request, "errno"))
		return -EIO;
	if (is(request, "call"))
		return answer_call(request, body, len);
	if (is(request, "twice")) {
		sbus_reply_raw(request, body, len);
		return sbus_reply_raw(request, "2", 1) == -EALREADY ? 0 : -EINVAL;
	}
	if (is(request, "keep")) {
		pthread_mutex_lock(&server->lock);
		server->kept[server->nr_kept++] = sbus_message_ref(request);
		pthread_mutex_unlock(&server->lock);
		return 0;
	}
	return sbus_reply_raw(request, body, len);
}

static int handle(struct sbus_message *request, void *userdata)
{
	struct server *server = userdata;
	int inside = ++server->inside, most = server->most, r;

	while (inside > most && !atomic_compare_exchange_weak(&server->most, &most, inside))
		;
	if (is(request, "slow"))
		usleep(50000);
	r = answer(server, request);
	server->handled++;
	server->inside--;
	return r;
}

static void *server_main(void *arg)
{
	struct server *server = arg;
	struct sbus_serve_params params = {
		.size = sizeof(params), .threads = server->threads, .batch = server->batch,
	};

	server->result = sbus_serve(server->bus, &params, NULL);
	return NULL;
}

uint32_t server_sealed_min;

int server_start(struct server *server, const char *id, unsigned int threads, uint32_t pool_size)
{
	return server_start_batch(server, id, threads, pool_size, 0);
}

int server_start_batch(struct server *server, const char *id, unsigned int threads,
		       uint32_t pool_size, unsigned int batch)
{
	struct sbus_params params = {
		.size = sizeof(params), .flags = SBUS_OPEN_CREATE, .bus = test_bus(),
		.pool_size = pool_size, .sealed_min = server_sealed_min,
	};
	int r;

	memset(server, 0, sizeof(*server));
	pthread_mutex_init(&server->lock, NULL);
	r = sbus_open(&server->bus, &params, NULL);
	if (r)
		return r;
	sbus_set_handler(server->bus, handle, server);
	r = sbus_claim(server->bus, id, NULL);
	if (r)
		return r;
	server->threads = threads;
	server->batch = batch;
	return server_serve(server);
}

int server_serve(struct server *server)
{
	return -pthread_create(&server->thread, NULL, server_main, server);
}

int server_stop(struct server *server)
{
	sbus_stop(server->bus);
	pthread_join(server->thread, NULL);
	server_answer_kept(server, false);
	sbus_unref(server->bus);
	return server->result;
}

int server_answer_kept(struct server *server, bool answer)
{
	struct sbus_message *request;
	int nr = 0;

	pthread_mutex_lock(&server->lock);
	while (server->nr_kept) {
		request = server->kept[--server->nr_kept];
		if (answer)
			sbus_reply_raw(request, "kept", 4);
		sbus_message_unref(request);
		nr++;
	}
	pthread_mutex_unlock(&server->lock);
	return nr;
}

void server_wait_kept(struct server *server, int nr)
{
	int kept = 0;

	while (kept < nr) {
		usleep(1000);
		pthread_mutex_lock(&server->lock);
		kept = server->nr_kept;
		pthread_mutex_unlock(&server->lock);
	}
}

struct sbus_request request_for(const char *id, const char *method, const void *body, size_t len)
{
	struct sbus_request request = SBUS_REQUEST_INIT(id);

	request.method = sbus_method_id(method);
	request.body = body;
	request.body_len = len;
	return request;
}
