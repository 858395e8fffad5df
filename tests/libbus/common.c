// SPDX-License-Identifier: MIT
/* What the library's tests share: see common.h. */
#include "common.h"

#include <dirent.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void told(struct outcome *outcome, char *text, const struct sbus_error *error)
{
	static atomic_int order;

	pthread_mutex_lock(&outcome->lock);
	outcome->count++;
	outcome->order = ++order;
	outcome->thread = pthread_self();
	outcome->error = error ? error->error : 0;
	outcome->retry_safe = error && error->retry_safe;
	outcome->code = error ? error->code : 0;
	snprintf(outcome->text, sizeof(outcome->text), "%s",
		 error ? sbus_error_message(error) : text ? text : "null");
	pthread_cond_broadcast(&outcome->changed);
	pthread_mutex_unlock(&outcome->lock);
	free(text);
}

void outcome_sink(yyjson_mut_val *result, const struct sbus_error *error, void *userdata)
{
	told(userdata, yyjson_mut_val_write(result, 0, NULL), error);
}

void outcome_reply(struct sbus_message *reply, const struct sbus_error *error, void *userdata)
{
	size_t len;
	const char *body = reply ? sbus_message_body(reply, &len) : NULL;

	told(userdata, body ? strndup(body, len) : NULL, error);
}

int outcome_wait(struct outcome *outcome)
{
	struct timespec until;
	int r = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 10;
	pthread_mutex_lock(&outcome->lock);
	while (!outcome->count && !r)
		r = -pthread_cond_timedwait(&outcome->changed, &outcome->lock, &until);
	pthread_mutex_unlock(&outcome->lock);
	return r;
}

int pit_call(struct sbus_member *member, const char *json, uint64_t deadline,
	     struct outcome *outcome, struct sbus_pending **pending)
{
	yyjson_doc *doc = yyjson_read(json, strlen(json), 0);
	int r;

	r = sbus_pit_call(member, yyjson_doc_get_root(doc), deadline, outcome_sink, outcome,
			  pending);
	yyjson_doc_free(doc);
	return r;
}

/* --- probe */

#define HELD_MAX 256

struct probe_state {
	struct sbus_member *member;
	struct sbus_completion *held[HELD_MAX];
	int nr_held;
};

struct probe_seen probe_seen;

static int probe_init(struct sbus_member *member, yyjson_val *config, void **self,
		      struct sbus_error *error)
{
	struct probe_state *state;

	if (yyjson_is_true(yyjson_obj_get(config, "refuse")))
		return sbus_error_set(error, -EDOM, "refused as configured");
	state = calloc(1, sizeof(*state));
	if (!state)
		return -ENOMEM;
	state->member = member;
	*self = state;
	probe_seen.inits++;
	return 0;
}

static void probe_fini(void *self)
{
	probe_seen.finis++;
	free(self);
}

static yyjson_mut_doc *copy_of(yyjson_val *value)
{
	yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);

	if (value)
		yyjson_mut_doc_set_root(doc, yyjson_val_mut_copy(doc, value));
	return doc;
}

static int echo(void *self, struct sbus_invocation *inv)
{
	(void)self;
	return sbus_answer_copy(inv, inv->params);
}

static int nothing(void *self, struct sbus_invocation *inv)
{
	(void)self;
	(void)inv;
	return 0;
}

static int fail(void *self, struct sbus_invocation *inv)
{
	(void)self;
	return sbus_fail_data(inv, 7, copy_of(inv->params), "failed as asked");
}

static int fail_errno(void *self, struct sbus_invocation *inv)
{
	(void)self;
	(void)inv;
	return -EIO;
}

static int broken(void *self, struct sbus_invocation *inv)
{
	(void)self;
	(void)inv;
	return SBUS_PENDING;
}

static int hold(void *self, struct sbus_invocation *inv)
{
	struct probe_state *state = self;
	struct sbus_completion *completion;

	if (state->nr_held == HELD_MAX)
		return -ENOSPC;
	completion = sbus_defer(inv, NULL);
	if (!completion)
		return -ENOMEM;
	state->held[state->nr_held++] = completion;
	probe_seen.held++;
	return SBUS_PENDING;
}

static int release(void *self, struct sbus_invocation *inv)
{
	struct probe_state *state = self;
	yyjson_mut_doc *doc = sbus_result(inv);
	int reached = 0;

	while (state->nr_held)
		if (!sbus_complete(state->held[--state->nr_held], copy_of(inv->params)))
			reached++;
	yyjson_mut_doc_set_root(doc, yyjson_mut_int(doc, reached));
	return 0;
}

struct later {
	struct sbus_completion *completion;
	struct sbus_timer *timer;
	uint64_t ms;
};

static void *later_main(void *arg)
{
	struct later *later = arg;

	usleep(later->ms * 1000);
	if (sbus_complete(later->completion, copy_of(NULL)))
		probe_seen.late++;
	free(later);
	return NULL;
}

static int later(void *self, struct sbus_invocation *inv)
{
	struct later *later = calloc(1, sizeof(*later));
	pthread_t thread;
	int r;

	(void)self;
	r = sbus_param_u64(inv, "ms", 0, 0, 10000, &later->ms);
	if (r) {
		free(later);
		return r;
	}
	later->completion = sbus_defer(inv, later);
	if (pthread_create(&thread, NULL, later_main, later))
		abort();
	pthread_detach(thread);
	return SBUS_PENDING;
}

static void ring(void *self, void *arg)
{
	struct later *later = arg;

	(void)self;
	if (sbus_complete(later->completion, copy_of(NULL)))
		probe_seen.late++;
	sbus_timer_free(later->timer);
	free(later);
}

static int alarm_clock(void *self, struct sbus_invocation *inv)
{
	struct probe_state *state = self;
	struct later *later = calloc(1, sizeof(*later));
	int r;

	r = sbus_param_u64(inv, "ms", 0, 0, 10000, &later->ms);
	if (!r)
		r = sbus_timer_new(state->member, ring, later, &later->timer);
	if (!r)
		r = sbus_timer_set(later->timer, sbus_now() + later->ms * MS + 1);
	if (r) {
		free(later);
		return r;
	}
	later->completion = sbus_defer(inv, later);
	return SBUS_PENDING;
}

static int who(void *self, struct sbus_invocation *inv)
{
	yyjson_mut_doc *doc = sbus_result(inv);
	yyjson_mut_val *root = yyjson_mut_obj(doc);

	(void)self;
	yyjson_mut_obj_add_uint(doc, root, "sender", inv->sender);
	yyjson_mut_obj_add_uint(doc, root, "pid", inv->pid);
	yyjson_mut_obj_add_uint(doc, root, "uid", inv->uid);
	yyjson_mut_obj_add_uint(doc, root, "gid", inv->gid);
	yyjson_mut_obj_add_bool(doc, root, "deadline", inv->deadline != 0);
	yyjson_mut_doc_set_root(doc, root);
	return 0;
}

static int watch(void *self, struct sbus_invocation *inv)
{
	(void)self;
	return sbus_member_watch(inv->member, inv->sender);
}

static int both(void *self, struct sbus_invocation *inv)
{
	(void)self;
	if (!sbus_defer(inv, NULL))
		return -ENOMEM;
	return sbus_answer_copy(inv, inv->params);
}

static void probe_cancelled(void *self, struct sbus_completion *completion, int reason)
{
	struct probe_state *state = self;

	probe_seen.cancelled++;
	probe_seen.reason = reason;
	for (int i = 0; i < state->nr_held; i++) {
		if (state->held[i] != completion)
			continue;
		state->held[i] = state->held[--state->nr_held];
		if (sbus_complete(completion, NULL) != reason)
			abort();
		return;
	}
}

static void probe_gone(void *self, uint64_t endpoint)
{
	(void)self;
	probe_seen.endpoint = endpoint;
	probe_seen.gone++;
}

static const struct symphony_method methods[] = {
	{ .name = "echo", .summary = "gives its params back", .params = "{\"type\":\"object\"}",
	  .result = "{}", .fn = echo },
	{ .name = "nothing", .fn = nothing },
	{ .name = "fail", .fn = fail },
	{ .name = "errno", .fn = fail_errno },
	{ .name = "broken", .fn = broken },
	{ .name = "hold", .fn = hold },
	{ .name = "release", .fn = release },
	{ .name = "later", .fn = later },
	{ .name = "alarm", .fn = alarm_clock },
	{ .name = "who", .fn = who },
	{ .name = "watch", .fn = watch },
	{ .name = "both", .fn = both },
	{ }
};

const struct symphony_extension probe = {
	SYMPHONY_EXTENSION_INIT,
	.name = "probe",
	.version = "1.2",
	.summary = "for tests",
	.methods = methods,
	.init = probe_init,
	.fini = probe_fini,
	.cancelled = probe_cancelled,
	.gone = probe_gone,
};

/* --- processes */

const char *test_bus(void)
{
	static char name[32];

	if (!*name)
		snprintf(name, sizeof(name), "t%d", getpid());
	return name;
}

struct sbus *test_open(void)
{
	struct sbus_params params = {
		.size = sizeof(params), .flags = SBUS_OPEN_CREATE, .bus = test_bus(),
	};
	struct sbus_error error = SBUS_ERROR_INIT;
	struct sbus *bus = NULL;

	if (sbus_open(&bus, &params, &error))
		fprintf(stderr, "# %s\n", sbus_error_message(&error));
	sbus_error_clear(&error);
	return bus;
}

pid_t run_probe(const char *const *argv, bool silent)
{
	char path[4096];
	ssize_t len;
	pid_t pid = fork();

	if (pid)
		return pid < 0 ? -errno : pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (silent && (!freopen("/dev/null", "w", stdout) || !freopen("/dev/null", "w", stderr)))
		_exit(126);
	len = readlink("/proc/self/exe", path, sizeof(path) - 64);
	if (len > 0) {
		path[len] = 0;
		strcpy(strrchr(path, '/'), "/../libbus-probe");
		execv(path, (char *const *)argv);
	}
	_exit(127);
}

pid_t serve_child(struct sbus *bus, const char *id, ...)
{
	const char *argv[16] = { "probe", "--bus", test_bus(), "--id", id };
	int r = -ETIMEDOUT, argc = 5;
	va_list options;
	pid_t pid;

	va_start(options, id);
	while ((argv[argc] = va_arg(options, const char *)))
		argc++;
	va_end(options);
	pid = run_probe(argv, false);
	if (pid < 0)
		return pid;
	for (int i = 0; i < 1000; i++) {
		r = sbus_call_json(bus, id, "{\"method\":\"describe\"}", 21, 0, NULL, NULL);
		if (r != -ENOENT && r != -ECONNREFUSED)
			break;
		usleep(10000);
	}
	return r ? r : pid;
}

int stop_child(pid_t pid)
{
	int status;

	kill(pid, SIGTERM);
	if (waitpid(pid, &status, 0) != pid)
		return -errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

bool single_threaded(void)
{
	/* A thread that was joined can be listed for a moment longer. */
	for (int i = 0; i < 1000; i++) {
		DIR *dir = opendir("/proc/self/task");
		int nr = -2;

		while (readdir(dir))
			nr++;
		closedir(dir);
		if (nr == 1)
			return true;
		usleep(1000);
	}
	return false;
}
