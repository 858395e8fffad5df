// SPDX-License-Identifier: MIT
/* Calls made for other calls: what is named as parent, and what ends with it. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kselftest_harness.h"

#include "server.h"

#define LONG (60000 * MS)

/*
 * The extension "outer", served by two threads, calls "inner" (server.h), whose
 * method "keep" answers when the test says. What it does stands in its request.
 */
struct outer {
	struct sbus *bus;
	pthread_t thread;
	atomic_int inside;		/* handlers that made, or make, their call */
	atomic_bool go;			/* what a handler waits for that says so */
	struct sbus *other;		/* another connection to the same bus */
	struct sbus_message *kept;
	atomic_int result;		/* of the inner call, 1 before */
	atomic_int told;		/* callbacks of inner calls */
};

static struct outer outer;

static void outer_told(struct sbus_message *reply, const struct sbus_error *error, void *userdata)
{
	(void)userdata;
	(void)reply;
	outer.result = error ? error->error : 0;
	outer.told++;
}

static void wait_for(atomic_bool *what)
{
	while (!*what)
		usleep(1000);
}

static bool does(struct sbus_message *request, const char *what)
{
	return sbus_message_method(request) == sbus_method_id(what);
}

static int outer_handle(struct sbus_message *request, void *userdata)
{
	struct sbus_request inner = request_for("inner", "keep", "x", 1);
	struct sbus *bus = outer.bus;

	(void)userdata;
	if (sbus_current() != request)
		abort();
	if (does(request, "keep")) {
		outer.kept = sbus_message_ref(request);
		outer.inside++;
		return 0;
	}
	if (does(request, "detached"))
		inner.flags = SBUS_CALL_DETACHED;
	if (does(request, "answered"))
		sbus_reply_raw(request, "early", 5);
	if (does(request, "other"))
		bus = outer.other;
	if (does(request, "late")) {
		outer.inside++;
		wait_for(&outer.go);
	}
	if (does(request, "async")) {
		outer.kept = sbus_message_ref(request);
		outer.inside++;
		return sbus_call_async(bus, &inner, outer_told, NULL, NULL, NULL);
	}
	outer.inside++;
	outer.result = sbus_call(bus, &inner, NULL, NULL);
	if (!does(request, "answered"))
		sbus_reply_raw(request, "done", 4);
	return 0;
}

static void *outer_main(void *arg)
{
	struct sbus_serve_params params = { .size = sizeof(params), .threads = 2 };

	(void)arg;
	sbus_serve(outer.bus, &params, NULL);
	return NULL;
}

FIXTURE(chain)
{
	struct sbus *bus;
	struct server inner;
	struct outcome outcome;
	struct sbus_slot *slot;
	struct sbus_error error;
};

FIXTURE_SETUP(chain)
{
	memset(&self->error, 0, sizeof(self->error));
	self->outcome = (struct outcome)OUTCOME_INIT;
	self->slot = NULL;
	ASSERT_EQ(0, server_start(&self->inner, "inner", 1, 65536));
	memset(&outer, 0, sizeof(outer));
	outer.result = 1;
	outer.bus = test_open();
	outer.other = test_open();
	self->bus = test_open();
	sbus_set_handler(outer.bus, outer_handle, NULL);
	ASSERT_EQ(0, sbus_claim(outer.bus, "outer", NULL));
	ASSERT_EQ(0, pthread_create(&outer.thread, NULL, outer_main, NULL));
}

FIXTURE_TEARDOWN(chain)
{
	outer.go = true;
	sbus_slot_unref(self->slot);
	/* Whoever waits for an answer of the inner one gets it. */
	EXPECT_EQ(0, server_stop(&self->inner));
	sbus_stop(outer.bus);
	pthread_join(outer.thread, NULL);
	sbus_message_unref(outer.kept);
	sbus_unref(outer.bus);
	sbus_unref(outer.other);
	sbus_unref(self->bus);
	sbus_error_clear(&self->error);
	EXPECT_TRUE(single_threaded());
}

/* Calls the outer one, for @timeout, and waits until its handler is at its call. */
static int begin(struct _test_data_chain *self, const char *what, uint64_t timeout)
{
	struct sbus_request request = request_for("outer", what, "", 0);
	int r;

	request.timeout = timeout;
	r = sbus_call_async(self->bus, &request, outcome_reply, &self->outcome, &self->slot, NULL);
	while (!r && !outer.inside)
		usleep(1000);
	return r;
}

static struct sbus_message *inner_request(struct _test_data_chain *self)
{
	server_wait_kept(&self->inner, 1);
	return self->inner.kept[0];
}

static void wait_result(void)
{
	while (outer.result == 1)
		usleep(1000);
}

static void wait_told(struct _test_data_chain *self)
{
	while (!self->outcome.count) {
		sbus_wait(self->bus, sbus_now() + 10 * MS);
		sbus_process(self->bus);
	}
}

TEST_F(chain, call_of_a_handler_ends_with_its_request)
{
	struct sbus_message *request;

	ASSERT_EQ(0, begin(self, "call", 0));
	request = inner_request(self);
	EXPECT_EQ(0, sbus_message_deadline(request));
	EXPECT_EQ(0, sbus_message_cancelled(request));
	EXPECT_EQ(0, sbus_slot_cancel(self->slot));
	wait_result();
	EXPECT_EQ(-ECANCELED, outer.result);
	while (!sbus_message_cancelled(request))
		usleep(1000);
	EXPECT_EQ(-ECANCELED, sbus_message_cancelled(request));
}

TEST_F(chain, call_of_a_handler_has_the_deadline_of_its_request)
{
	uint64_t before = sbus_now();
	struct sbus_message *request;

	ASSERT_EQ(0, begin(self, "call", LONG));
	request = inner_request(self);
	EXPECT_LE(before + LONG, sbus_message_deadline(request));
	EXPECT_GE(sbus_now() + LONG, sbus_message_deadline(request));
}

TEST_F(chain, deadline_of_a_request_ends_the_call_of_its_handler)
{
	ASSERT_EQ(0, begin(self, "call", 700 * MS));
	wait_result();
	EXPECT_EQ(-ETIMEDOUT, outer.result);
}

TEST_F(chain, death_of_a_caller_ends_the_call_of_the_handler)
{
	ASSERT_EQ(0, begin(self, "call", 0));
	inner_request(self);
	self->slot = sbus_slot_unref(self->slot);
	self->bus = sbus_unref(self->bus);
	wait_result();
	EXPECT_EQ(-ECANCELED, outer.result);
}

TEST_F(chain, detached_call_goes_on)
{
	ASSERT_EQ(0, begin(self, "detached", LONG));
	EXPECT_EQ(0, sbus_message_deadline(inner_request(self)));
	EXPECT_EQ(0, sbus_slot_cancel(self->slot));
	wait_told(self);
	EXPECT_EQ(-ECANCELED, self->outcome.error);
	EXPECT_EQ(1, server_answer_kept(&self->inner, true));
	wait_result();
	EXPECT_EQ(0, outer.result);
}

TEST_F(chain, call_of_a_handler_that_answered_goes_on)
{
	ASSERT_EQ(0, begin(self, "answered", LONG));
	EXPECT_EQ(0, sbus_message_deadline(inner_request(self)));
	wait_told(self);
	EXPECT_STREQ("early", self->outcome.text);
	EXPECT_EQ(1, server_answer_kept(&self->inner, true));
	wait_result();
	EXPECT_EQ(0, outer.result);
}

TEST_F(chain, call_over_another_connection_is_not_part_of_it)
{
	ASSERT_EQ(0, begin(self, "other", LONG));
	EXPECT_EQ(0, sbus_message_deadline(inner_request(self)));
}

TEST_F(chain, call_made_after_the_cancel_fails)
{
	ASSERT_EQ(0, begin(self, "late", 0));
	EXPECT_EQ(0, sbus_slot_cancel(self->slot));
	wait_told(self);
	outer.go = true;
	wait_result();
	EXPECT_EQ(-ECANCELED, outer.result);
	EXPECT_EQ(0, self->inner.handled);
}

TEST_F(chain, call_made_after_the_deadline_fails)
{
	ASSERT_EQ(0, begin(self, "late", 700 * MS));
	wait_told(self);
	EXPECT_EQ(-ETIMEDOUT, self->outcome.error);
	outer.go = true;
	wait_result();
	EXPECT_EQ(-ETIME, outer.result);
	EXPECT_EQ(0, self->inner.handled);
}

TEST_F(chain, any_thread_can_work_on_a_kept_request)
{
	struct sbus_request inner = request_for("inner", "echo", "x", 1);

	ASSERT_EQ(0, begin(self, "keep", LONG));
	EXPECT_EQ(NULL, sbus_current());
	EXPECT_EQ(NULL, sbus_set_current(outer.kept));
	EXPECT_EQ(outer.kept, sbus_current());
	EXPECT_EQ(0, sbus_call(outer.bus, &inner, NULL, &self->error));
	EXPECT_EQ(0, sbus_slot_cancel(self->slot));
	EXPECT_EQ(-ECANCELED, sbus_call(outer.bus, &inner, NULL, &self->error));
	EXPECT_EQ(-ECANCELED, sbus_call_async(outer.bus, &inner, outer_told, NULL, NULL, NULL));
	EXPECT_EQ(outer.kept, sbus_set_current(NULL));
	EXPECT_EQ(0, sbus_call(outer.bus, &inner, NULL, NULL));

	inner.parent = outer.kept;
	EXPECT_EQ(-ECANCELED, sbus_call(outer.bus, &inner, NULL, NULL));
	EXPECT_EQ(-EINVAL, sbus_call(self->bus, &inner, NULL, NULL));
	inner.flags = SBUS_CALL_DETACHED;
	EXPECT_EQ(-EINVAL, sbus_call(outer.bus, &inner, NULL, NULL));
	inner.flags = 0;
	sbus_reply_raw(outer.kept, "", 0);
	EXPECT_EQ(0, sbus_call(outer.bus, &inner, NULL, NULL));
	inner.parent = NULL;
	inner.flags = ~0U;
	EXPECT_EQ(-EINVAL, sbus_call(outer.bus, &inner, NULL, NULL));
	EXPECT_EQ(-EINVAL, sbus_call_async(outer.bus, &inner, outer_told, NULL, NULL, NULL));
}

static void *answer_main(void *arg)
{
	usleep((uintptr_t)arg % 300);
	sbus_reply_raw(outer.kept, "", 0);
	return NULL;
}

TEST_F(chain, answer_that_races_with_a_call_does_not_fail_it)
{
	struct sbus_request inner = request_for("inner", "echo", "x", 1);
	pthread_t thread;

	for (uintptr_t i = 0; i < 50; i++) {
		outer.inside = 0;
		ASSERT_EQ(0, begin(self, "keep", 0));
		ASSERT_EQ(0, pthread_create(&thread, NULL, answer_main, (void *)(i * 37)));
		inner.parent = outer.kept;
		for (int j = 0; j < 4; j++)
			EXPECT_EQ(0, sbus_call(outer.bus, &inner, NULL, NULL));
		pthread_join(thread, NULL);
		outer.kept = sbus_message_unref(outer.kept);
		self->slot = sbus_slot_unref(self->slot);
	}
}

/* Fills the inner one's room with the outer connection's requests: it keeps them. */
static int fill_inner(struct _test_data_chain *self, int *nr)
{
	static char body[8192];
	struct sbus_request request = request_for("inner", "keep", body, sizeof(body));
	int r = 0;

	request.flags = SBUS_CALL_DETACHED;
	for (*nr = 0; !r && sbus_get_timeout(outer.bus) == UINT64_MAX; ++*nr)
		r = sbus_call_async(outer.bus, &request, outer_told, NULL, NULL, &self->error);
	return r;
}

TEST_F(chain, waiting_call_ends_with_its_parent)
{
	int nr;

	ASSERT_EQ(0, fill_inner(self, &nr));
	ASSERT_EQ(0, begin(self, "async", 0));
	usleep(50000);
	EXPECT_EQ(0, outer.told);
	EXPECT_EQ(0, sbus_slot_cancel(self->slot));
	wait_result();
	EXPECT_EQ(-ECANCELED, outer.result);
	EXPECT_EQ(1, outer.told);
	EXPECT_EQ(nr - 1, self->inner.handled);
}

TEST_F(chain, waiting_call_has_the_deadline_of_its_parent)
{
	int nr;

	ASSERT_EQ(0, fill_inner(self, &nr));
	ASSERT_EQ(0, begin(self, "async", 700 * MS));
	wait_result();
	EXPECT_EQ(-ETIME, outer.result);
	EXPECT_EQ(1, outer.told);
}

TEST_F(chain, waiting_call_outlives_the_answer_of_its_parent)
{
	int nr;

	ASSERT_EQ(0, fill_inner(self, &nr));
	ASSERT_EQ(0, begin(self, "async", LONG));
	EXPECT_EQ(0, sbus_reply_raw(outer.kept, "", 0));
	outer.kept = sbus_message_unref(outer.kept);
	wait_told(self);
	while (outer.told < nr + 1) {
		server_answer_kept(&self->inner, true);
		usleep(1000);
	}
	EXPECT_EQ(0, outer.result);
}

TEST_HARNESS_MAIN
