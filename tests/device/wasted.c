// SPDX-License-Identifier: MIT
/*
 * Wasted work: in a chain of three servers, under clients that give up all the
 * time, what is finished for a client that has given up is below 1 %, as servers
 * hear of it and stop. All is counted.
 */
#include <string.h>
#include <kselftest_harness.h>

#include "claim.h"

#define CLIENTS		4
#define WINDOW		16	/* calls under way of each client */
#define ROOTS		600	/* calls of each client */
#define STAGES		3	/* of which the last does the work */
#define JOBS		(CLIENTS * WINDOW * 4)
#define WORK_MS		250	/* takes up to this, */
#define PATIENCE_MS	300	/* and a client waits up to this */
#define BATCH		64

/*
 * Where threads get the processor late, notices come late. All takes longer then;
 * the share of what is wasted for want of a notice stays what it is.
 */
static unsigned int slower = 1;

/* A root call, over when its client has the outcome; its number is in its body. */
static atomic_bool over[CLIENTS * ROOTS];

/* A request that a stage has. */
struct job {
	__u64 id;
	__u32 slot;
	__u32 root;
	__u64 due;		/* the last stage: when the work is done */
};

struct stage {
	struct ep ep;
	__u64 next;		/* the service it calls, 0 for none */
	__u64 seed;
	struct job jobs[JOBS];
	pthread_t thread;
	atomic_bool *stop;
	int finished, wasted, stopped, lost;
};

struct client {
	struct ep ep;
	__u64 svc;
	__u32 first, end;	/* the numbers of its roots */
	__u64 seed;
	pthread_t thread;
	int done, late, wrong;
};

static __u64 rnd(__u64 *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* A random time of up to @ms from now, or longer where all takes longer. */
static __u64 within(__u64 *state, unsigned int ms)
{
	return dev_now() + rnd(state) % (ms * slower * 1000000ULL);
}

static struct job *job_of(struct stage *stage, __u64 id)
{
	for (size_t i = 0; i < JOBS; i++)
		if (stage->jobs[i].id == id)
			return &stage->jobs[i];
	return NULL;
}

/* The work is done: was there anybody to do it for? */
static void finish(struct stage *stage, struct job *job)
{
	bool late = over[job->root];
	int ret = ep_reply_at(&stage->ep, job->id, job->slot, &job->root,
			      sizeof(job->root), SYMPHONY_REPLY_RELEASE);

	stage->finished++;
	stage->wasted += late || ret == -ESRCH;
	stage->lost += ret && ret != -ESRCH;
	/* A notice may be on its way, unless the end came during the answer. */
	if (ret)
		ep_release_at(&stage->ep, job->slot);
	job->id = 0;
}

static void begin(struct stage *stage, const struct symphony_msg *msg)
{
	struct job *job = job_of(stage, 0);
	struct symphony_call call;
	int ret;

	if (!job) {
		stage->lost++;
		return;
	}
	job->id = msg->id;
	job->slot = ep_offset(&stage->ep, msg);
	memcpy(&job->root, ep_body(msg), sizeof(job->root));
	job->due = stage->next ? 0 : within(&stage->seed, WORK_MS);
	if (!stage->next)
		return;
	call = ep_request(stage->next, &job->root, sizeof(job->root));
	call.deadline = 0;
	call.parent = job->id;
	call.parent_slot = job->slot;
	call.cookie = job->id;
	call.reply_max = sizeof(job->root);
	/* When the parent is over, its notice is on its way. */
	ret = ep_send(&stage->ep, &call);
	stage->lost += ret && ret != -ESRCH && ret != -ETIME;
}

static void stop(struct stage *stage, __u64 id)
{
	struct job *job = job_of(stage, id);

	if (!job)
		return;
	ep_release_at(&stage->ep, job->slot);
	stage->stopped++;
	job->id = 0;
}

static void take_back(struct stage *stage, const struct symphony_msg *msg)
{
	struct job *job = job_of(stage, msg->cookie);

	if (job && !msg->status)
		finish(stage, job);
}

/* Take what there is, who is to stop first; 0, or why there is nothing. */
static int take(struct stage *stage, int ms)
{
	const struct symphony_msg *replies[BATCH];
	__u32 offsets[BATCH];
	int nr = ep_recv(&stage->ep, offsets, BATCH, ms), nr_replies = 0;

	for (int i = 0; i < nr; i++) {
		const struct symphony_msg *msg = ep_msg(&stage->ep, offsets[i]);

		if (msg->type == SYMPHONY_MSG_CALL) {
			begin(stage, msg);
		} else if (msg->type == SYMPHONY_MSG_REPLY) {
			replies[nr_replies++] = msg;
		} else {
			stop(stage, msg->id);
			ep_release(&stage->ep, msg);
		}
	}
	for (int i = 0; i < nr_replies; i++) {
		take_back(stage, replies[i]);
		ep_release(&stage->ep, replies[i]);
	}
	return nr < 0 ? nr : 0;
}

/* The job whose work is done first, or NULL. */
static struct job *next_due(struct stage *stage)
{
	struct job *first = NULL;

	for (size_t i = 0; i < JOBS; i++) {
		struct job *job = &stage->jobs[i];

		if (job->id && job->due && (!first || job->due < first->due))
			first = job;
	}
	return first;
}

static void *serve(void *arg)
{
	struct stage *stage = arg;

	while (!*stage->stop) {
		struct job *job = next_due(stage);
		int ms = 20;

		if (job)
			ms = job->due > dev_now() ? (job->due - dev_now()) / 1000000 : -1;
		if (take(stage, ms) && job && dev_now() >= job->due) {
			job->due = 0;
			finish(stage, job);
		}
	}
	return NULL;
}

static int make_root(struct client *client, __u32 root)
{
	struct symphony_call call = ep_request(client->svc, &root, sizeof(root));

	call.deadline = within(&client->seed, PATIENCE_MS);
	call.cookie = root;
	call.reply_max = sizeof(root);
	return ep_send(&client->ep, &call);
}

static void *demand(void *arg)
{
	struct client *client = arg;
	int under_way = 0;

	for (__u32 root = client->first; root < client->end || under_way;) {
		const struct symphony_msg *msg;

		if (root < client->end && under_way < WINDOW) {
			int ret = make_root(client, root);

			client->wrong += ret && ret != -ETIME;
			client->late += ret == -ETIME;
			under_way += !ret;
			root++;
			continue;
		}
		msg = ep_next(&client->ep, DEV_LONG);
		if (!msg || msg->type != SYMPHONY_MSG_REPLY) {
			client->wrong++;
			break;
		}
		over[msg->cookie] = true;
		client->done += !msg->status;
		client->late += msg->status == -ETIMEDOUT || msg->status == -ETIME;
		client->wrong += msg->status && msg->status != -ETIMEDOUT &&
				 msg->status != -ETIME;
		ep_release(&client->ep, msg);
		under_way--;
	}
	return NULL;
}

static int start_stages(struct stage *stages, atomic_bool *stop)
{
	int ret = 0;

	for (int i = STAGES - 1; i >= 0 && !ret; i--) {
		struct stage *stage = &stages[i];
		char name[] = "stage-0";
		__u64 handle;

		name[6] += i;
		stage->seed = 88172645463325252ULL + i;
		stage->stop = stop;
		ret = ep_join(&stage->ep, MIB) ?:
		      ep_claim_with(&stage->ep, name, SYMPHONY_CLAIM_NOTIFY, 0, &handle);
		if (i)
			stages[i - 1].next = handle;
	}
	for (int i = 0; i < STAGES && !ret; i++)
		ret = -pthread_create(&stages[i].thread, NULL, serve, &stages[i]);
	return ret;
}

/* All requests were answered or stopped. */
static bool is_idle(const struct stage *stage)
{
	for (size_t i = 0; i < JOBS; i++)
		if (*(volatile const __u64 *)&stage->jobs[i].id)
			return false;
	return true;
}

struct tally {
	int late, done, finished, wasted;
};

static void have_work_done(struct __test_metadata *_metadata, int each,
			   struct tally *tally)
{
	static struct stage stages[STAGES];
	struct client clients[CLIENTS] = {};
	atomic_bool stop = false;

	memset(stages, 0, sizeof(stages));
	memset(over, 0, sizeof(over));
	ASSERT_EQ(0, start_stages(stages, &stop));
	for (int i = 0; i < CLIENTS; i++) {
		struct client *client = &clients[i];

		client->first = i * each;
		client->end = client->first + each;
		client->seed = 2463534242ULL + i;
		ASSERT_EQ(0, ep_join(&client->ep, MIB));
		ASSERT_EQ(0, ep_resolve(&client->ep, "stage-0", &client->svc));
		ASSERT_EQ(0, pthread_create(&client->thread, NULL, demand, client));
	}
	for (int i = 0; i < CLIENTS; i++) {
		pthread_join(clients[i].thread, NULL);
		EXPECT_EQ(0, clients[i].wrong);
		tally->late += clients[i].late;
		tally->done += clients[i].done;
		ep_close(&clients[i].ep);
	}
	EXPECT_EQ(CLIENTS * each, tally->late + tally->done);
	for (int i = 0; i < STAGES; i++) {
		EXPECT_TRUE(dev_until(is_idle(&stages[i])));
	}
	stop = true;
	for (int i = 0; i < STAGES; i++) {
		struct stage *stage = &stages[i];

		pthread_join(stage->thread, NULL);
		TH_LOG("stage %d: %d finished, of which %d for nobody; %d stopped", i,
		       stage->finished, stage->wasted, stage->stopped);
		EXPECT_EQ(0, stage->lost);
		tally->finished += stage->finished;
		tally->wasted += stage->wasted;
		ep_close(&stage->ep);
	}
	TH_LOG("%d calls, %d given up (%d%%): %d of %d pieces of work were wasted (%.2f%%)",
	       CLIENTS * each, tally->late, tally->late * 100 / (CLIENTS * each),
	       tally->wasted, tally->finished,
	       tally->wasted * 100.0 / tally->finished);
	EXPECT_LE(CLIENTS * each / 10, tally->late);
	EXPECT_LT(0, tally->done);
}

/* Also of the calls that were given up alone. */
static bool little_is_wasted(const struct tally *tally)
{
	return tally->wasted * 100 < tally->finished &&
	       tally->wasted * 100 < tally->late;
}

FIXTURE(wasted) { };
FIXTURE_SETUP(wasted) { dev_begin(); }
FIXTURE_TEARDOWN(wasted) { }

TEST_F_TIMEOUT(wasted, work_for_those_who_gave_up_is_below_one_percent, 240)
{
	struct tally tally = {};

	slower = dev_slow() ? 8 : 1;
	have_work_done(_metadata, dev_slow() ? ROOTS / 4 : ROOTS, &tally);
	if (!dev_slow() && !little_is_wasted(&tally)) {
		slower = 8;
		tally = (struct tally){};
		have_work_done(_metadata, ROOTS / 2, &tally);
	}
	EXPECT_TRUE(little_is_wasted(&tally));
}

TEST_HARNESS_MAIN
