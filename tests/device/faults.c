// SPDX-License-Identifier: MIT
/*
 * Whatever fails in an operation, it says so, and nothing is left of it.
 *
 * Each operation is tried again and again, in a fresh trial: the first thing in it
 * that can fail does, then the second, until none is left to fail. After each, the
 * error is the documented one, the user's account and the endpoints' numbers are
 * what they were, no descriptor is left, no message comes that is owed to nobody,
 * every call has its one outcome, and the endpoints can do everything. See fault.h
 * for what can be made to fail; with the module's own fault points, all of these
 * have to have failed by the end.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../without/rings.h"
#include "fault.h"
#include "trial.h"

#define FAILURES_MAX	1000	/* in one operation: then it does not end */
#define ALARM		120	/* s, for one operation */

static int red;
static int number;
static int failures;	/* of all operations, by all ways */
static int operations;

static int nr_files(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int nr = 0;

	while (dir && readdir(dir))
		nr++;
	if (dir)
		closedir(dir);
	return nr;
}

static bool is_clean(const struct operation *op, enum fault_way way, int ret,
		     bool failed)
{
	if (ret == op->ends_with || !failed)
		return ret == op->ends_with;
	if (way == FAULT_POINTS && !(op->flags & TRIAL_WORKERS) &&
	    ret != (op->error && strstr(fault_where(), "_fd") ? op->error :
		    fault_was_copy() ? -EFAULT : -ENOMEM))
		return false;
	return ret == -ENOMEM || ret == -EFAULT || ret == op->error;
}

static const char *prove(const struct operation *op, enum fault_way way,
			 struct trial *t)
{
	struct symphony_query now = dev_limits();
	const char *wrong;

	if (!is_clean(op, way, t->ret, t->failed))
		return "that is not the error";
	if (t->ret && !(op->flags & TRIAL_LATE) && !trial_same_use(&t->before, &now, false))
		return "something is left on the account";
	wrong = op->verify ? op->verify(t) : NULL;
	if (t->echoes)
		echo_stop(&t->echo);
	if (t->failed && op->flags & TRIAL_LATE) {
		trial_scour(&t->server);
		trial_scour(&t->client);
	}
	return wrong ?: trial_settle(t) ?: trial_is_sound(t);
}

/* Make the @nth thing in @op fail: whether there was one, and what is wrong. */
static bool try(const struct operation *op, enum fault_way way, int nth,
		const char **wrong)
{
	struct symphony_query before = dev_limits(), after;
	int files = nr_files();
	struct trial t;
	int ret = trial_begin(&t, op);

	if (ret) {
		printf("# %s: cannot be prepared: %d\n", op->name, ret);
		*wrong = "cannot be prepared";
		trial_end(&t);
		return false;
	}
	t.before = dev_limits();
	fault_arm(way, nth, op->flags & TRIAL_WORKERS);
	t.ret = op->run(&t);
	t.failed = fault_disarm(way);
	*wrong = prove(op, way, &t);
	if (*wrong)
		printf("# %s: number %d, %s, gave %d: %s\n", op->name, nth,
		       way == FAULT_POINTS ? fault_where() : "of the kernel's",
		       t.ret, *wrong);
	trial_end(&t);
	/* A ring lets go of its files in its own time. */
	if (!*wrong && !dev_until((after = dev_limits(), trial_same_use(&before, &after, true))))
		*wrong = "something is left on the account, when all is closed";
	if (!*wrong && nr_files() != files)
		*wrong = "a descriptor is left";
	return t.failed;
}

static void walk(const struct operation *op, enum fault_way way)
{
	__u64 start = dev_now();
	const char *wrong = NULL;
	int nth = 1;

	alarm(ALARM);
	while (nth < FAILURES_MAX && try(op, way, nth, &wrong) && !wrong)
		nth++;
	if (nth == FAILURES_MAX)
		wrong = "there is no end of it";
	if (wrong)
		printf("# %s: number %d: %s\n", op->name, nth, wrong);
	red |= !!wrong;
	failures += nth - 1;
	printf("%sok %d - %s, %s: %d failed (%llu ms)\n", wrong ? "not " : "",
	       ++number, op->name, way == FAULT_POINTS ? "fault points" :
	       "the kernel's injection", nth - 1, (dev_now() - start) / 1000000);
	fflush(stdout);
}

static void walk_all(const struct operation *op, const bool *ways, const char *only)
{
	for (; op->name; op++) {
		if (only && !strstr(op->name, only))
			continue;
		/* The kernel's does not reach the threads of work queues. */
		if (ways[FAULT_KERNEL] && !(op->flags & (TRIAL_WORKERS | TRIAL_POINTS)))
			walk(op, FAULT_KERNEL);
		if (ways[FAULT_POINTS])
			walk(op, FAULT_POINTS);
		operations++;
	}
}

static const char *const wrong_options[] = {
	"pool_default=0", "pool_default=4095", "pool_max=1048577",
	"pool_max=65536", "pool_max=0x80000000",
};

/* Loading fails as cleanly as anything, and nothing of the module is left. */
static void walk_loading(void)
{
	const char *path = getenv("ko");
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	const char *wrong = NULL;
	char option[32];
	int nth = 0, ret = -1;

	alarm(ALARM);
	if (fd < 0) {
		printf("ok %d - loading # SKIP ko does not name the module\n", ++number);
		return;
	}
	if (syscall(SYS_delete_module, "symphony", O_NONBLOCK))
		wrong = "the module cannot be unloaded";
	for (int i = 0; !wrong && i < ARRAY_SIZE(wrong_options); i++)
		if (syscall(SYS_finit_module, fd, wrong_options[i], 0) != -1 ||
		    errno != EINVAL)
			wrong = "sizes of pools that cannot be are taken";
	while (!wrong && ret && nth < 32) {
		snprintf(option, sizeof(option), "fault=%d", ++nth);
		ret = syscall(SYS_finit_module, fd, option, 0) ? -errno : 0;
		if (ret && ret != -ENOMEM)
			wrong = "that is not the error";
		if (ret && !access(DEV_PATH, F_OK))
			wrong = "a device is left";
	}
	if (wrong)
		printf("# loading: number %d gave %d: %s\n", nth, ret, wrong);
	else if (!fault_begin(FAULT_POINTS) || nth < 2)
		wrong = "nothing failed";
	fault_disarm(FAULT_POINTS);
	failures += nth - 1;
	red |= !!wrong;
	printf("%sok %d - loading, fault points: %d failed\n", wrong ? "not " : "",
	       ++number, nth - 1);
	close(fd);
}

/* A call of the module to what can fail. */
struct point {
	char where[128];
	unsigned int hits, failed;
};

/* A function in a header is in several objects: it is one place. */
static int read_points(struct point *points, int max)
{
	FILE *file = fopen(FAULT_LIST, "re");
	struct point p;
	int nr = 0, i;
	char what[64], at[64];

	while (file && fscanf(file, "%63s %u %u %63[^\n]", at, &p.hits, &p.failed, what) == 4) {
		snprintf(p.where, sizeof(p.where), "%s %s", at, what);
		for (i = 0; i < nr && strcmp(points[i].where, p.where); i++)
			;
		if (i == max)
			break;
		if (i == nr)
			points[nr++] = (struct point){};
		memcpy(points[i].where, p.where, sizeof(p.where));
		points[i].hits += p.hits;
		points[i].failed += p.failed;
	}
	if (file)
		fclose(file);
	return nr;
}

static struct point points[256];

/*
 * Called once before the module is loaded anew, and once after: then those that
 * were reached are those of loading, each of which failed the load before.
 */
static int add_points(bool loaded)
{
	static struct point now[256];
	int nr = read_points(now, 256);

	for (int i = 0; i < nr; i++) {
		memcpy(points[i].where, now[i].where, sizeof(now[i].where));
		points[i].hits += now[i].hits;
		points[i].failed += now[i].failed + (loaded && now[i].hits);
	}
	return nr;
}

static void every_point_failed(int nr)
{
	int failed = 0;

	for (int i = 0; i < nr; i++) {
		failed += !!points[i].failed;
		printf("# %s %s: failed %u of %u\n", points[i].failed ? "point" : "NEVER",
		       points[i].where, points[i].failed, points[i].hits);
	}
	red |= failed < nr || !nr;
	printf("%sok %d - every fault point of the module failed: %d of %d\n",
	       failed < nr || !nr ? "not " : "", ++number, failed, nr);
}

int main(int argc, char **argv)
{
	/* To look into some, by a part of the name. */
	const char *only = argc > 1 ? argv[1] : NULL;
	bool ways[FAULT_WAYS];
	int nr = 0;

	dev_begin();
	ways[FAULT_KERNEL] = fault_begin(FAULT_KERNEL);
	ways[FAULT_POINTS] = fault_begin(FAULT_POINTS);
	if (!ways[FAULT_KERNEL] && !ways[FAULT_POINTS]) {
		printf("1..1\nok 1 - faults # SKIP neither the kernel's nor tests/faultpoints are here\n");
		return 0;
	}
	printf("TAP version 13\n");
	walk_all(life_operations, ways, only);
	walk_all(call_operations, ways, only);
	if (rings_are_forbidden())
		printf("ok %d - operations of rings # SKIP io_uring is forbidden\n", ++number);
	else
		walk_all(ring_operations, ways, only);
	if (ways[FAULT_POINTS] && !only) {
		add_points(false);
		walk_loading();
		nr = add_points(true);
		every_point_failed(nr);
	}
	printf("# %d failures walked in %d operations", failures, operations);
	if (nr)
		printf(", %d places in the module's code", nr);
	printf("\n");
	printf("1..%d\n", number);
	return red;
}
