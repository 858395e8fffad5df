// SPDX-License-Identifier: MIT
/* Policies, attached by name: options, replacing, pins, and what the errors say. */
#include <dirent.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <symphony/router.h>

#include "kselftest_harness.h"

#include "server.h"

#define REPLICAS 4

FIXTURE(router)
{
	struct server server[REPLICAS];
	struct sbus *bus;
	struct sbus_router *router;
	struct sbus_error error;
	char pin[64];
};

static int start_servers(FIXTURE_DATA(router) *self)
{
	int r = 0;

	for (int i = 0; i < REPLICAS && !r; i++)
		r = server_start(&self->server[i], "svc", 1, 0);
	return r;
}

static void stop_servers(FIXTURE_DATA(router) *self)
{
	for (int i = 0; i < REPLICAS; i++)
		server_stop(&self->server[i]);
}

FIXTURE_SETUP(router)
{
	if (geteuid())
		SKIP(return, "needs root");
	ASSERT_EQ(0, start_servers(self));
	self->bus = test_open();
	ASSERT_NE(NULL, self->bus);
	snprintf(self->pin, sizeof(self->pin), "/sys/fs/bpf/%s", test_bus());
}

FIXTURE_TEARDOWN(router)
{
	unlink(self->pin);
	sbus_router_free(self->router);
	sbus_error_clear(&self->error);
	sbus_unref(self->bus);
	stop_servers(self);
}

/*
 * fork(), while the servers' threads are not there: a lock that one of them holds, as
 * that of an allocator, would be held in the child for ever.
 */
static pid_t fork_alone(FIXTURE_DATA(router) *self)
{
	pid_t pid = -1;

	stop_servers(self);
	if (single_threaded())
		pid = fork();
	if (pid && start_servers(self))
		abort();
	return pid;
}

static int attach(FIXTURE_DATA(router) *self, const char *policy, const char *options)
{
	return sbus_router_attach(&self->router, test_bus(), "svc", policy, options, &self->error);
}

/* Makes a call; which replica had it, or -errno. */
static int where(FIXTURE_DATA(router) *self, uint64_t key)
{
	struct sbus_request request = request_for("svc", "echo", "x", 1);
	int before[REPLICAS], r;

	for (int i = 0; i < REPLICAS; i++)
		before[i] = self->server[i].handled;
	request.key = key;
	request.timeout = 10000 * MS;
	r = sbus_call(self->bus, &request, NULL, NULL);
	for (int i = 0; i < REPLICAS && !r; i++)
		if (self->server[i].handled != before[i])
			return i;
	return r ? r : -EBADMSG;
}

static void expect_says(FIXTURE_DATA(router) *self, struct __test_metadata *_metadata, int r,
			int expected, const char *text)
{
	const char *said = sbus_error_message(&self->error);

	TH_LOG("%s", said);
	EXPECT_EQ(expected, r);
	EXPECT_EQ(expected, self->error.error);
	EXPECT_NE(NULL, strstr(said, text));
	sbus_error_clear(&self->error);
}

#define EXPECT_SAYS(r, expected, text) expect_says(self, _metadata, r, expected, text)

TEST_F(router, every_policy_that_comes_with_it_can_be_attached)
{
	int nr = 0;

	for (const char *const *policy = sbus_router_policies(); *policy; policy++, nr++) {
		char name[16];

		if (!strcmp(*policy, "acl"))
			continue;
		ASSERT_EQ(0, attach(self, *policy, NULL));
		EXPECT_EQ(0, sbus_router_policy(self->router, name, &self->error));
		EXPECT_EQ(0, strcmp(*policy, name));
		EXPECT_EQ(0, strcmp(test_bus(), sbus_router_bus(self->router)));
		EXPECT_EQ(0, strcmp("svc", sbus_router_service(self->router)));
		for (int i = 0; i < 10; i++)
			EXPECT_LE(0, where(self, i));
		self->router = sbus_router_free(self->router);
	}
	EXPECT_LE(4, nr);
}

TEST_F(router, round_robin_is_exact)
{
	int count[REPLICAS] = { 0 };

	ASSERT_EQ(0, attach(self, "round_robin", NULL));
	for (int i = 0, first = where(self, 0); i < 400; i++) {
		int at = where(self, 0);

		EXPECT_EQ((first + 1 + i) % REPLICAS, at);
		count[at]++;
	}
	TH_LOG("400 calls: %d, %d, %d, %d", count[0], count[1], count[2], count[3]);
}

TEST_F(router, options_are_set_live)
{
	static const int percents[] = { 20, 0, 100, 50 };
	uint32_t value;
	char text[32];

	ASSERT_EQ(0, attach(self, "canary", "percent=20, newest=1"));
	for (int i = 0; i < 4; i++) {
		int newest = 0;

		snprintf(text, sizeof(text), "percent=%d", percents[i]);
		if (i)
			EXPECT_EQ(0, sbus_router_set(self->router, text, &self->error));
		EXPECT_EQ(0, sbus_router_get(self->router, "percent", &value, &self->error));
		EXPECT_EQ(percents[i], value);
		EXPECT_EQ(0, sbus_router_get(self->router, "newest", &value, &self->error));
		EXPECT_EQ(1, value);
		for (int j = 0; j < 500; j++)
			newest += where(self, 0) == REPLICAS - 1;
		TH_LOG("%d %% asked for, %.1f %% of 500 calls", percents[i], newest / 5.);
		EXPECT_TRUE(newest >= 5 * percents[i] - 5 && newest <= 5 * percents[i] + 5);
	}
}

TEST_F_TIMEOUT(router, options_are_checked, 120)
{
	uint32_t value;

	EXPECT_SAYS(attach(self, "canary", "percent=101"), -EINVAL, "from 0 to 100");
	EXPECT_SAYS(attach(self, "canary", "percnt=1"), -EINVAL, "it has percent=0..100");
	EXPECT_SAYS(attach(self, "canary", "percent"), -EINVAL, "NAME=VALUE");
	EXPECT_SAYS(attach(self, "canary", "percent="), -EINVAL, "from 0 to 100");
	EXPECT_SAYS(attach(self, "canary", "percent=-1"), -EINVAL, "from 0 to 100");
	EXPECT_SAYS(attach(self, "canary", "percent=1x"), -EINVAL, "from 0 to 100");
	EXPECT_SAYS(attach(self, "canary", "percent=99999999999999999999"), -EINVAL, "to 100");
	EXPECT_SAYS(attach(self, "canary", "allow=0::svc"), -EINVAL, "no option \"allow\"");
	EXPECT_SAYS(attach(self, "round_robin", "percent=1"), -EINVAL, "it has none");
	ASSERT_EQ(0, attach(self, "canary", "percent=7"));
	/* All or nothing. */
	EXPECT_SAYS(sbus_router_set(self->router, "percent=8,newest=0", &self->error), -EINVAL,
		    "newest");
	EXPECT_EQ(0, sbus_router_get(self->router, "percent", &value, &self->error));
	EXPECT_EQ(7, value);
	EXPECT_SAYS(sbus_router_get(self->router, "bound", &value, &self->error), -EINVAL,
		    "no option \"bound\"");
	EXPECT_EQ(0, sbus_router_set(self->router, NULL, &self->error));
	EXPECT_EQ(0, sbus_router_set(self->router, "", &self->error));
}

TEST_F(router, is_replaced)
{
	struct sbus_router *second = NULL;
	char name[16];

	ASSERT_EQ(0, attach(self, "canary", "percent=100"));
	for (int i = 0; i < 8; i++)
		EXPECT_EQ(REPLICAS - 1, where(self, 0));
	EXPECT_SAYS(sbus_router_attach(&second, test_bus(), "svc", "round_robin", NULL, &self->error),
		    -EEXIST, "has one already");
	ASSERT_EQ(0, sbus_router_replace(self->router, "round_robin", NULL, &self->error));
	for (int i = 0, first = where(self, 0); i < 8; i++)
		EXPECT_EQ((first + 1 + i) % REPLICAS, where(self, 0));
	ASSERT_EQ(0, sbus_router_replace(self->router, "canary", "percent=100", &self->error));
	EXPECT_EQ(0, sbus_router_policy(self->router, name, &self->error));
	EXPECT_EQ(0, strcmp("canary", name));
	/* What fails leaves all as it was. */
	EXPECT_SAYS(sbus_router_replace(self->router, "acl", NULL, &self->error), -EINVAL,
		    "cannot take the place of");
	EXPECT_SAYS(sbus_router_replace(self->router, "canary", "percent=200", &self->error),
		    -EINVAL, "from 0 to 100");
	EXPECT_SAYS(sbus_router_replace(self->router, "nonsense", NULL, &self->error), -ENOENT,
		    "no policy \"nonsense\"");
	for (int i = 0; i < 8; i++)
		EXPECT_EQ(REPLICAS - 1, where(self, 0));
}

struct load {
	struct sbus *bus;
	atomic_bool stop;
	atomic_int done, failed;
};

static void *load_thread(void *arg)
{
	struct load *load = arg;

	while (!load->stop) {
		struct sbus_request request = request_for("svc", "echo", "x", 1);

		if (sbus_call(load->bus, &request, NULL, NULL))
			load->failed++;
		load->done++;
	}
	return NULL;
}

TEST_F(router, no_call_fails_while_it_is_replaced)
{
	struct load load = { .bus = self->bus };
	pthread_t threads[2];
	int replaced = 0;

	ASSERT_EQ(0, attach(self, "round_robin", NULL));
	for (int i = 0; i < 2; i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, load_thread, &load));
	for (uint64_t end = sbus_now() + 5000 * MS; sbus_now() < end; replaced++)
		ASSERT_EQ(0, sbus_router_replace(self->router,
						 replaced % 2 ? "canary" : "consistent_hash", NULL,
						 &self->error));
	load.stop = true;
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	TH_LOG("%d calls, %d failed, while the policy was replaced %d times", load.done,
	       load.failed, replaced);
	EXPECT_EQ(0, load.failed);
	EXPECT_LT(0, replaced);
}

TEST_F(router, pinned_it_outlives_its_process)
{
	struct sbus_router *again = NULL;
	uint32_t value;
	int status;
	pid_t pid;

	pid = fork_alone(self);
	if (!pid) {
		if (sbus_router_attach(&self->router, test_bus(), "svc", "canary", "percent=100",
				       NULL) ||
		    sbus_router_pin(self->router, self->pin, NULL))
			_exit(1);
		_exit(0);
	}
	ASSERT_LT(0, pid);
	waitpid(pid, &status, 0);
	ASSERT_EQ(0, status);
	for (int i = 0; i < 4; i++)
		EXPECT_EQ(REPLICAS - 1, where(self, 0));

	ASSERT_EQ(0, sbus_router_open(&self->router, self->pin, &self->error));
	EXPECT_EQ(0, strcmp(test_bus(), sbus_router_bus(self->router)));
	EXPECT_EQ(0, strcmp("svc", sbus_router_service(self->router)));
	EXPECT_EQ(0, sbus_router_get(self->router, "percent", &value, &self->error));
	EXPECT_EQ(100, value);
	ASSERT_EQ(0, sbus_router_set(self->router, "percent=0", &self->error));
	for (int i = 0; i < 4; i++)
		EXPECT_NE(REPLICAS - 1, where(self, 0));
	/* Who has it open sees what somebody else made of it. */
	ASSERT_EQ(0, sbus_router_open(&again, self->pin, &self->error));
	ASSERT_EQ(0, sbus_router_replace(again, "consistent_hash", "bound=200", &self->error));
	EXPECT_EQ(0, sbus_router_get(self->router, "bound", &value, &self->error));
	EXPECT_EQ(200, value);
	for (int i = 0, at = where(self, 77); i < 8; i++)
		EXPECT_EQ(at, where(self, 77));
	EXPECT_EQ(0, sbus_router_detach(again, &self->error));
	EXPECT_NE(0, access(self->pin, F_OK));
	EXPECT_SAYS(sbus_router_set(self->router, "bound=200", &self->error), -ENOLINK,
		    "was detached");
	EXPECT_SAYS(sbus_router_replace(self->router, "canary", NULL, &self->error), -ENOLINK,
		    "was detached");
	EXPECT_EQ(0, sbus_router_detach(self->router, &self->error));
	sbus_router_free(again);
	EXPECT_SAYS(sbus_router_open(&again, self->pin, &self->error), -ENOENT, "nothing is pinned");
}

/* The id of the link of what is asked @hook. */
struct link {
	uint32_t hook;
	uint32_t id;
	uint64_t same, different;
};

static int take_link(const struct sbus_program_info *info, void *userdata)
{
	struct link *link = userdata;

	if (info->hook != link->hook)
		return 0;
	link->id = info->link;
	link->same = info->same;
	link->different = info->different;
	return 0;
}

TEST_F(router, a_shadow_is_beside_it_and_decides_nothing)
{
	struct link link = { .hook = SBUS_HOOK_SHADOW };
	struct sbus_router *shadow = NULL, *same = NULL;
	struct sbus_control *control;
	char *options;

	ASSERT_EQ(0, sbus_control_open(&control, &self->error));
	EXPECT_SAYS(sbus_router_shadow(&shadow, test_bus(), "svc", "acl", NULL, &self->error),
		    -EINVAL, "can be a shadow");
	ASSERT_EQ(0, attach(self, "round_robin", NULL));
	ASSERT_EQ(0, sbus_router_shadow(&shadow, test_bus(), "svc", "canary", "percent=100",
					&self->error));
	EXPECT_EQ(SBUS_HOOK_ROUTE, sbus_router_hook(self->router));
	EXPECT_EQ(SBUS_HOOK_SHADOW, sbus_router_hook(shadow));
	for (int i = 0, first = where(self, 0); i < 8; i++)
		EXPECT_EQ((first + 1 + i) % REPLICAS, where(self, 0));
	/* 9 calls, of which it would have given all to the newest. */
	ASSERT_EQ(0, sbus_list_programs(control, test_bus(), take_link, &link, &self->error));
	EXPECT_LE(2, link.same);
	EXPECT_EQ(9, link.same + link.different);
	EXPECT_SAYS(sbus_router_shadow(&same, test_bus(), "svc", "canary", NULL, &self->error),
		    -EEXIST, "has one already");
	ASSERT_EQ(0, sbus_router_replace(shadow, "canary", "percent=7,newest=2", &self->error));
	EXPECT_EQ(SBUS_HOOK_SHADOW, sbus_router_hook(shadow));

	/* It is found by the id of its link. */
	ASSERT_EQ(0, sbus_list_programs(control, test_bus(), take_link, &link, &self->error));
	ASSERT_NE(0, link.id);
	ASSERT_EQ(0, sbus_router_open_link(&same, link.id, &self->error));
	EXPECT_EQ(SBUS_HOOK_SHADOW, sbus_router_hook(same));
	ASSERT_EQ(0, sbus_router_options(same, &options, &self->error));
	TH_LOG("%s", options);
	EXPECT_NE(NULL, strstr(options, "percent=7"));
	EXPECT_NE(NULL, strstr(options, "newest=2"));
	free(options);
	ASSERT_EQ(0, sbus_router_options(self->router, &options, &self->error));
	EXPECT_EQ(0, strcmp("", options));
	free(options);
	EXPECT_EQ(0, sbus_router_detach(same, &self->error));
	sbus_router_free(same);
	sbus_router_free(shadow);
	EXPECT_SAYS(sbus_router_open_link(&same, link.id, &self->error), -ENOENT,
		    "none any more");
	sbus_control_close(control);
}

TEST_F(router, pins_are_refused_where_they_cannot_be)
{
	ASSERT_EQ(0, attach(self, "canary", NULL));
	EXPECT_SAYS(sbus_router_pin(self->router, "/tmp/pin", &self->error), -EPERM,
		    "not in a BPF file system");
	EXPECT_SAYS(sbus_router_pin(self->router, "/sys/fs/bpf/a.b", &self->error), -EPERM, "\".\"");
	EXPECT_SAYS(sbus_router_pin(self->router, "/sys/fs/bpf/no/such", &self->error), -ENOENT,
		    "folder");
	ASSERT_EQ(0, sbus_router_pin(self->router, self->pin, &self->error));
	EXPECT_SAYS(sbus_router_pin(self->router, self->pin, &self->error), -EEXIST, "already");
}

TEST_F(router, errors_say_what_to_do)
{
	EXPECT_SAYS(attach(self, "nonsense", NULL), -ENOENT, "no policy \"nonsense\"");
	EXPECT_SAYS(attach(self, "./nonsense.bpf.o", NULL), -ENOENT, "was not opened");
	EXPECT_SAYS(attach(self, "/proc/self/exe", NULL), -EINVAL, "libbpf:");
	EXPECT_SAYS(sbus_router_attach(&self->router, "nobody", "svc", "canary", NULL, &self->error),
		    -ENOENT, "service \"svc\" on bus \"nobody\"");
	EXPECT_SAYS(sbus_router_attach(&self->router, test_bus(), "nobody", "canary", NULL,
				       &self->error),
		    -ENOENT, "service \"nobody\"");
	EXPECT_SAYS(sbus_router_attach(&self->router, "No!", NULL, "canary", NULL, &self->error),
		    -EINVAL, "bus \"No!\"");
	EXPECT_SAYS(sbus_router_open(&self->router, "/sys/fs/bpf/nothing", &self->error), -ENOENT,
		    "nothing is pinned there");
}

/* A child attaches a policy after that: the error, and its message in @said. */
static int attach_after(FIXTURE_DATA(router) *self, bool (*limit)(void), char *said, size_t size)
{
	int pipes[2], status;
	ssize_t len;
	pid_t pid;

	if (pipe(pipes))
		return -errno;
	pid = fork_alone(self);
	if (!pid) {
		if (!limit())
			_exit(0);
		status = attach(self, "canary", NULL);
		if (write(pipes[1], self->error.message, strlen(self->error.message)) < 0)
			_exit(0);
		_exit(-status);
	}
	if (pid < 0)
		return -ECHILD;
	close(pipes[1]);
	len = read(pipes[0], said, size - 1);
	said[len > 0 ? len : 0] = 0;
	close(pipes[0]);
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -EINTR;
}

static bool hide(const char *path)
{
	return !unshare(CLONE_NEWNS) && !mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) &&
	       !mount("none", path, "tmpfs", 0, NULL);
}

static bool hide_btf(void)
{
	return hide("/sys/kernel/btf");
}

static bool hide_modules(void)
{
	return hide("/sys/module");
}

static bool drop_capabilities(void)
{
	return !setgid(65534) && !setuid(65534);
}

TEST_F(router, errors_say_what_is_missing)
{
	char said[1024];

	EXPECT_EQ(-EPERM, attach_after(self, drop_capabilities, said, sizeof(said)));
	TH_LOG("%s", said);
	EXPECT_NE(NULL, strstr(said, "CAP_BPF"));
	EXPECT_EQ(-ENOTSUP, attach_after(self, hide_btf, said, sizeof(said)));
	TH_LOG("%s", said);
	EXPECT_NE(NULL, strstr(said, "without BTF"));
	EXPECT_EQ(-ENODEV, attach_after(self, hide_modules, said, sizeof(said)));
	TH_LOG("%s", said);
	EXPECT_NE(NULL, strstr(said, "modprobe symphony"));
}

static int attach_file(FIXTURE_DATA(router) *self, const char *name, const char *options)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/obj/bpf/%s.bpf.o", getenv("O"), name);
	return attach(self, path, options);
}

TEST_F(router, errors_end_with_what_the_kernel_said)
{
	EXPECT_SAYS(attach_file(self, "tomorrow", NULL), -ENOTSUP, "bpf_symphony_replica_mood");
	EXPECT_SAYS(attach_file(self, "refused", NULL), -EACCES, "only read is supported");
	EXPECT_SAYS(attach_file(self, "gate", NULL), -EINVAL, "more than one struct_ops map");
}

TEST_F(router, a_policy_of_ones_own_is_a_file)
{
	uint32_t value;

	ASSERT_EQ(0, attach_file(self, "spill", "most=2"));
	EXPECT_EQ(0, sbus_router_get(self->router, "most", &value, &self->error));
	EXPECT_EQ(2, value);
	for (int i = 0; i < 8; i++)
		EXPECT_EQ(0, where(self, 0));
}

TEST_F(router, an_acl_has_a_list)
{
	char pairs[128];
	struct server web;
	int r;

	ASSERT_EQ(0, server_start(&web, "web", 1, 0));
	EXPECT_SAYS(attach(self, "acl", "allow=0:svc"), -EINVAL, "UID:CALLER:SERVICE");
	EXPECT_SAYS(attach(self, "acl", "allow=x::svc"), -EINVAL, "UID:CALLER:SERVICE");
	EXPECT_SAYS(attach(self, "acl", "allow=0::nobody"), -ENOENT, "nobody");
	snprintf(pairs, sizeof(pairs), "allow=%u:web:svc", geteuid());
	ASSERT_EQ(0, attach(self, "acl", pairs));
	EXPECT_EQ(-EACCES, where(self, 0));
	snprintf(pairs, sizeof(pairs), "allow=%u::svc,allow=1::svc", geteuid());
	ASSERT_EQ(0, sbus_router_set(self->router, pairs, &self->error));
	EXPECT_LE(0, where(self, 0));
	/* A new list takes its place with nothing open in between. */
	ASSERT_EQ(0, sbus_router_replace(self->router, "acl", NULL, &self->error));
	EXPECT_EQ(-EACCES, where(self, 0));
	ASSERT_EQ(0, sbus_router_set(self->router, pairs, &self->error));
	EXPECT_LE(0, where(self, 0));
	snprintf(pairs, sizeof(pairs), "deny=%u::svc,deny=7::svc", geteuid());
	ASSERT_EQ(0, sbus_router_set(self->router, pairs, &self->error));
	EXPECT_EQ(-EACCES, where(self, 0));
	/* It is closed when it is gone. */
	self->router = sbus_router_free(self->router);
	r = where(self, 0);
	EXPECT_EQ(-EACCES, r);
	EXPECT_EQ(0, server_stop(&web));
}

static int files(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int nr = 0;

	while (readdir(dir))
		nr++;
	closedir(dir);
	return nr;
}

TEST_F_TIMEOUT(router, leaves_no_file_open, 120)
{
	int before;

	ASSERT_EQ(0, attach(self, "canary", "percent=1"));
	self->router = sbus_router_free(self->router);
	before = files();
	for (int i = 0; i < 3; i++) {
		ASSERT_EQ(0, attach(self, "canary", "percent=1"));
		EXPECT_EQ(0, sbus_router_set(self->router, "percent=2", &self->error));
		EXPECT_EQ(0, sbus_router_replace(self->router, "consistent_hash", NULL, &self->error));
		EXPECT_EQ(-EINVAL, sbus_router_replace(self->router, "acl", NULL, NULL));
		EXPECT_EQ(-EINVAL, sbus_router_set(self->router, "percent=2", NULL));
		self->router = sbus_router_free(self->router);
		EXPECT_EQ(-EINVAL, sbus_router_attach(&self->router, test_bus(), "svc", "canary",
						      "percent=x", NULL));
		EXPECT_EQ(-ENOENT, sbus_router_attach(&self->router, test_bus(), "none", "canary",
						      NULL, NULL));
	}
	EXPECT_EQ(before, files());
}

TEST_HARNESS_MAIN
