// SPDX-License-Identifier: MIT
/*
 * The Pit's extensions in the real host: linked in and loaded from a shared
 * object, with real time and real threads.
 */
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <kselftest_harness.h>
#include <symphony/pit.h>

#define MS 1000000ULL

struct outcome {
	sem_t told;
	int times;
	int error;
	int64_t code;
	yyjson_doc *result;
};

static void sink(yyjson_mut_val *result, const struct sbus_error *error,
		 void *userdata)
{
	struct outcome *o = userdata;

	o->times++;
	if (error) {
		o->error = error->error;
		o->code = error->code;
	}
	if (result)
		o->result = yyjson_mut_val_imut_copy(result, NULL);
	sem_post(&o->told);
}

static bool wait_told(struct outcome *o)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 20;
	return !sem_timedwait(&o->told, &until);
}

FIXTURE(host)
{
	struct sbus_pit *pit;
	struct outcome o[64];
};

FIXTURE_VARIANT(host)
{
	bool plugin;
};

FIXTURE_VARIANT_ADD(host, linked_in) { .plugin = false };
FIXTURE_VARIANT_ADD(host, loaded) { .plugin = true };

/* Shared objects are built beside the folder this program is in. */
static int load(struct sbus_pit *pit, const char *id, const yyjson_val *config,
		struct sbus_error *error)
{
	char self[PATH_MAX] = "", path[PATH_MAX];

	if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
		return -errno;
	if (snprintf(path, sizeof(path), "%s/../pit/%s.so", dirname(self), id) >=
	    (int)sizeof(path))
		return -ENAMETOOLONG;
	return sbus_pit_load(pit, path, config, error);
}

FIXTURE_SETUP(host)
{
	static const char json[] = "{\"pool_manager\":{\"capacity\":10}}";
	yyjson_doc *doc = yyjson_read(json, sizeof(json) - 1, 0);
	yyjson_val *config = yyjson_doc_get_root(doc);
	struct sbus_error error = SBUS_ERROR_INIT;

	for (size_t i = 0; i < ARRAY_SIZE(self->o); i++)
		sem_init(&self->o[i].told, 0, 0);
	ASSERT_EQ(0, sbus_pit_new(&self->pit));
	if (variant->plugin) {
		ASSERT_EQ(0, load(self->pit, "pool_manager",
				  config, &error))
			TH_LOG("%s", error.message);
		ASSERT_EQ(0, load(self->pit, "dag_tracker", NULL, &error))
			TH_LOG("%s", error.message);
	} else {
		ASSERT_EQ(0, sbus_pit_add_builtin(self->pit, config, &error))
			TH_LOG("%s", error.message);
	}
	yyjson_doc_free(doc);
	ASSERT_EQ(0, sbus_pit_start(self->pit, NULL, &error))
		TH_LOG("%s", error.message);
}

FIXTURE_TEARDOWN(host)
{
	sbus_pit_unref(self->pit);
	for (size_t i = 0; i < ARRAY_SIZE(self->o); i++) {
		/* Exactly one outcome: never a second, up to the very end. */
		EXPECT_GE(1, self->o[i].times);
		yyjson_doc_free(self->o[i].result);
	}
}

/* @text: JSON with ' for ". */
static int call(struct sbus_pit *pit, struct outcome *o, const char *id,
		const char *text, uint64_t deadline,
		struct sbus_pending **pending)
{
	char *json = strdup(text);
	yyjson_doc *doc;
	int ret;

	for (char *p = json; *p; p++)
		if (*p == '\'')
			*p = '"';
	doc = yyjson_read(json, strlen(json), 0);
	ret = sbus_pit_call(sbus_pit_lookup(pit, id), yyjson_doc_get_root(doc),
			    deadline, sink, o, pending);
	yyjson_doc_free(doc);
	free(json);
	return ret;
}

#define POOL(i, text) \
	call(self->pit, &self->o[i], "pool_manager", text, 0, NULL)
#define DAG(i, text) \
	call(self->pit, &self->o[i], "dag_tracker", text, 0, NULL)
#define PART(i, pointer) yyjson_doc_ptr_get(self->o[i].result, pointer)
#define ACQUIRE_ALL "{'method':'acquire','params':{'units':10}}"

TEST_F(host, acquire_needs_nothing_but_a_model)
{
	EXPECT_EQ(0, POOL(0, "{'method':'acquire','params':{'model':'m'}}"));
	EXPECT_EQ(0, self->o[0].error);
	EXPECT_EQ(1, yyjson_get_uint(PART(0, "/lease")));
	EXPECT_STREQ("warming", yyjson_get_str(PART(0, "/state")));
}

TEST_F(host, a_waiting_acquire_is_answered_by_the_release)
{
	EXPECT_EQ(0, POOL(0, ACQUIRE_ALL));
	EXPECT_EQ(SBUS_PENDING, POOL(1, ACQUIRE_ALL));
	EXPECT_EQ(0, self->o[1].times);
	EXPECT_EQ(0, POOL(2, "{'method':'release','params':{'lease':1}}"));
	EXPECT_TRUE(wait_told(&self->o[1]));
	EXPECT_EQ(2, yyjson_get_uint(PART(1, "/lease")));
}

TEST_F(host, a_waiting_acquire_times_out_by_itself)
{
	uint64_t start = sbus_now();

	EXPECT_EQ(0, POOL(0, ACQUIRE_ALL));
	EXPECT_EQ(SBUS_PENDING, POOL(1, "{'method':'acquire','params':"
					"{'units':10,'timeout_ms':30}}"));
	EXPECT_TRUE(wait_told(&self->o[1]));
	EXPECT_LE(30 * MS, sbus_now() - start);
	EXPECT_EQ(-EREMOTEIO, self->o[1].error);
	EXPECT_EQ(ETIMEDOUT, self->o[1].code);
	EXPECT_EQ(0, POOL(2, "{'method':'stat'}"));
	EXPECT_EQ(0, yyjson_get_uint(PART(2, "/waiting")));
}

TEST_F(host, the_calls_own_deadline_takes_it_out_of_the_queue)
{
	EXPECT_EQ(0, POOL(0, ACQUIRE_ALL));
	EXPECT_EQ(SBUS_PENDING, call(self->pit, &self->o[1], "pool_manager",
				     ACQUIRE_ALL, sbus_now() + 30 * MS, NULL));
	EXPECT_EQ(SBUS_PENDING, POOL(2, ACQUIRE_ALL));
	EXPECT_TRUE(wait_told(&self->o[1]));
	EXPECT_EQ(-ETIMEDOUT, self->o[1].error);
	EXPECT_EQ(0, POOL(3, "{'method':'release','params':{'lease':1}}"));
	EXPECT_TRUE(wait_told(&self->o[2]));
	EXPECT_EQ(0, self->o[2].error);
}

TEST_F(host, a_cancelled_acquire_lets_the_next_in)
{
	struct sbus_pending *pending = NULL;

	EXPECT_EQ(0, POOL(0, "{'method':'acquire','params':{'units':5}}"));
	EXPECT_EQ(SBUS_PENDING, call(self->pit, &self->o[1], "pool_manager",
				     ACQUIRE_ALL, 0, &pending));
	EXPECT_EQ(SBUS_PENDING, POOL(2, "{'method':'acquire','params':{'units':5}}"));
	EXPECT_EQ(0, sbus_pending_cancel(pending));
	EXPECT_EQ(-EALREADY, sbus_pending_cancel(pending));
	sbus_pending_unref(pending);
	EXPECT_EQ(-ECANCELED, self->o[1].error);
	EXPECT_TRUE(wait_told(&self->o[2]));
	EXPECT_EQ(0, self->o[2].error);
}

TEST_F(host, stopping_answers_who_waits_in_both)
{
	EXPECT_EQ(0, POOL(0, ACQUIRE_ALL));
	EXPECT_EQ(SBUS_PENDING, POOL(1, ACQUIRE_ALL));
	EXPECT_EQ(SBUS_PENDING, POOL(2, "{'method':'acquire','params':"
					"{'units':10,'timeout_ms':10000}}"));
	EXPECT_EQ(0, DAG(3, "{'method':'create','params':"
			    "{'workflow':'w','nodes':['a']}}"));
	EXPECT_EQ(SBUS_PENDING, DAG(4, "{'method':'wait','params':"
				       "{'workflow':'w'}}"));
	sbus_pit_stop(self->pit);
	for (int i = 0; i < 5; i++)
		EXPECT_EQ(1, self->o[i].times);
	EXPECT_EQ(-ESHUTDOWN, self->o[2].error);
	EXPECT_EQ(-ESHUTDOWN, self->o[4].error);
}

TEST_F(host, a_workflow_runs_to_its_end)
{
	EXPECT_EQ(0, DAG(0, "{'method':'create','params':{'workflow':'w',"
			    "'nodes':['a','b'],'edges':[['a','b']],"
			    "'max_attempts':2,'backoff_ms':500}}"));
	EXPECT_EQ(0, DAG(1, "{'method':'take','params':{'workflow':'w'}}"));
	EXPECT_EQ(0, DAG(2, "{'method':'fail','params':"
			    "{'workflow':'w','node':'a'}}"));
	EXPECT_EQ(SBUS_PENDING, DAG(3, "{'method':'wait','params':"
				       "{'workflow':'w'}}"));
	EXPECT_EQ(SBUS_PENDING, DAG(4, "{'method':'take','params':"
				       "{'workflow':'w','wait':true}}"));
	EXPECT_TRUE(wait_told(&self->o[4]));
	EXPECT_EQ(2, yyjson_get_uint(PART(4, "/nodes/0/attempt")));
	EXPECT_EQ(0, DAG(5, "{'method':'complete','params':"
			    "{'workflow':'w','node':'a'}}"));
	EXPECT_EQ(0, DAG(6, "{'method':'start','params':"
			    "{'workflow':'w','node':'b'}}"));
	EXPECT_EQ(0, DAG(7, "{'method':'complete','params':"
			    "{'workflow':'w','node':'b'}}"));
	EXPECT_TRUE(wait_told(&self->o[3]));
	EXPECT_STREQ("done", yyjson_get_str(PART(3, "/state")));
}

TEST_F(host, wrong_calls_are_refused_as_documented)
{
	EXPECT_EQ(0, POOL(0, "{'method':'acquire','params':{'units':'x'}}"));
	EXPECT_EQ(SBUS_CODE_INVALID_PARAMS, self->o[0].code);
	EXPECT_EQ(0, POOL(1, "{'method':'aquire'}"));
	EXPECT_EQ(SBUS_CODE_METHOD_NOT_FOUND, self->o[1].code);
	EXPECT_EQ(0, DAG(2, "{'method':'create','params':{'nodes':['a'],"
			    "'edges':[['a','a']]}}"));
	EXPECT_EQ(ELOOP, self->o[2].code);
}

/* --- threads ------------------------------------------------------------------ */

#define THREADS 4
#define ROUNDS 500

struct stress {
	struct sbus_pit *pit;
	pthread_t thread;
	unsigned int seed;
	int granted, timed_out, wrong;
};

static uint64_t ask(struct stress *s, const char *json, int64_t *code)
{
	struct outcome o = {};
	uint64_t lease = 0;

	sem_init(&o.told, 0, 0);
	if (call(s->pit, &o, "pool_manager", json, 0, NULL) < 0 ||
	    !wait_told(&o) || o.times != 1)
		s->wrong++;
	*code = o.code;
	if (!o.error)
		lease = yyjson_get_uint(yyjson_doc_ptr_get(o.result, "/lease"));
	yyjson_doc_free(o.result);
	return lease;
}

static void *stress(void *arg)
{
	struct stress *s = arg;
	char json[128];
	int64_t code;

	for (int i = 0; i < ROUNDS; i++) {
		uint64_t lease;

		snprintf(json, sizeof(json), "{'method':'acquire','params':"
			 "{'units':%d,'timeout_ms':1}}", rand_r(&s->seed) % 10 + 1);
		lease = ask(s, json, &code);
		if (!lease) {
			s->timed_out += code == ETIMEDOUT;
			s->wrong += code != ETIMEDOUT;
			continue;
		}
		s->granted++;
		if (rand_r(&s->seed) % 50 == 0)
			usleep(1500);
		snprintf(json, sizeof(json), "{'method':'release','params':"
			 "{'lease':%llu}}", (unsigned long long)lease);
		if (ask(s, json, &code) != lease)
			s->wrong++;
	}
	return NULL;
}

TEST_F(host, threads_that_race_with_timeouts_lose_no_lease)
{
	struct stress s[THREADS] = {};
	int granted = 0;

	for (int i = 0; i < THREADS; i++) {
		s[i].pit = self->pit;
		s[i].seed = i;
		ASSERT_EQ(0, pthread_create(&s[i].thread, NULL, stress, &s[i]));
	}
	for (int i = 0; i < THREADS; i++) {
		pthread_join(s[i].thread, NULL);
		EXPECT_EQ(0, s[i].wrong);
		EXPECT_EQ(ROUNDS, s[i].granted + s[i].timed_out);
		granted += s[i].granted;
	}
	EXPECT_EQ(0, POOL(0, "{'method':'stat'}"));
	EXPECT_EQ(0, yyjson_get_uint(PART(0, "/used")));
	EXPECT_EQ(0, yyjson_get_uint(PART(0, "/waiting")));
	EXPECT_EQ(granted, yyjson_get_uint(PART(0, "/counters/released")));
}

TEST_HARNESS_MAIN
