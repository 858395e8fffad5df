// SPDX-License-Identifier: MIT
/*
 * storm: hundreds of processes and threads do everything at once to the device,
 * until a time or a number of calls is reached; then what they wrote is checked.
 *
 *	storm [-s seconds] [-c calls] [-S seed] [-p peers] [-f fools] [-m MiB of log]
 *
 * This process is the director. It creates the bus and gives the grants, starts
 * the participants, kills, stops and interrupts them, tries to unload the module;
 * and in the end sees that all is given back and the module can go.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../device/files.h"
#include "../without/rings.h"
#include "check.h"
#include "peer.h"

#define DIRECTOR	0xffff0000U
#define STOPPED_MAX	8

struct slot {
	pid_t pid;
	__u64 process;
	bool killed;
	bool disturbed;		/* ended by a signal that it was not ready for */
	__u64 resume_at;	/* stopped until then, 0 if not */
};

static struct slot slots[SLOTS_MAX];
static int nr_slots;
static __u64 last_process;
static __u64 kills, stops, interrupts, refused_unloads;
static int pipe_end;		/* to read */
static int nr_results;
static bool red;

static void result(bool good, const char *what)
{
	printf("%sok %d %s\n", good ? "" : "not ", ++nr_results, what);
	fflush(stdout);
	red |= !good;
}

/* --- participants --- */

static void nothing(int sig)
{
	(void)sig;
}

static void handle(int sig, int flags)
{
	struct sigaction action = { .sa_handler = nothing, .sa_flags = flags };

	sigaction(sig, &action, NULL);
}

static bool is_peer(int slot)
{
	return slot < (int)storm->peers;
}

static void become(int slot)
{
	struct rlimit nice = { 40, 40 }, rt = { 1, 1 };
	uid_t uid = is_peer(slot) ? FIRST_UID + slot % USERS : FOOL_UID;

	setpriority(PRIO_PROCESS, 0, 0);
	setrlimit(RLIMIT_NICE, &nice);
	setrlimit(RLIMIT_RTPRIO, &rt);
	if (!is_peer(slot))
		for (int i = 0; i < SERVICES; i++)
			close(storm->grants[i]);
	if (setresgid(uid, uid, uid) || setresuid(uid, uid, uid))
		_exit(5);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
}

static void participate(int slot, __u64 process)
{
	/* The one gives EINTR, the other goes on by itself. */
	handle(SIGUSR1, 0);
	handle(SIGUSR2, SA_RESTART);
	signal(SIGPIPE, SIG_IGN);
	if (is_peer(slot))
		peer_main(slot, process);
	else
		fool_main(slot, process);
	_exit(6);
}

static void start(int at, struct ep *own)
{
	struct slot *slot = &slots[at];

	*slot = (struct slot){ .process = ++last_process };
	fflush(stdout);
	slot->pid = fork();
	if (slot->pid < 0) {
		FAULT("fork", -errno, at);
		return;
	}
	if (slot->pid)
		return;
	close(own->fd);
	close(pipe_end);
	become(at);
	participate(at, slot->process);
}

/* Who ended, of ours or of the orphans that came to us. */
static int reap(void)
{
	int status, i;
	pid_t pid = waitpid(-1, &status, WNOHANG);

	if (pid <= 0)
		return -1;
	for (i = 0; i < nr_slots && slots[i].pid != pid; i++)
		;
	if (i == nr_slots)
		return reap();
	slots[i].pid = 0;
	/* One that begins, or execs, has no handler yet for what disturbs it. */
	slots[i].disturbed = status == SIGUSR1 || status == SIGUSR2;
	if (slots[i].disturbed)
		return i;
	if (slots[i].killed ? !WIFSIGNALED(status) && status : status)
		FAULT("a participant ended", status, i);
	return i;
}

/* --- what befalls them --- */

static void kill_one(struct slot *slot)
{
	if (slot->killed || is_keeper(slot - slots))
		return;
	slot->killed = true;
	log_write((struct record){ .type = R_KILL, .id = slot->process });
	kill(slot->pid, SIGKILL);
	kills++;
}

static void stop_one(struct slot *slot, struct dice *dice)
{
	if (slot->resume_at || slot->killed)
		return;
	kill(slot->pid, SIGSTOP);
	slot->resume_at = dev_after((5 + roll(dice, 200)) * storm->slow);
	stops++;
}

static void resume(bool all)
{
	for (int i = 0; i < nr_slots; i++) {
		if (!slots[i].resume_at || (!all && slots[i].resume_at > dev_now()))
			continue;
		slots[i].resume_at = 0;
		if (slots[i].pid)
			kill(slots[i].pid, SIGCONT);
	}
}

static int unload(void)
{
	return syscall(SYS_delete_module, "symphony", O_NONBLOCK) ? -errno : 0;
}

static void try_unload(void)
{
	int ret = unload();

	if (ret != -EWOULDBLOCK)
		FAULT("the module in use was unloaded", ret, 0);
	refused_unloads++;
}

static void strike(struct dice *dice)
{
	struct slot *slot = &slots[roll(dice, nr_slots)];

	if (!slot->pid)
		return;
	switch (roll(dice, 16)) {
	case 0 ... 2:
		kill_one(slot);
		break;
	case 3 ... 5:
		stop_one(slot, dice);
		break;
	case 6:
		try_unload();
		break;
	default:
		kill(slot->pid, once(dice, 2) ? SIGUSR1 : SIGUSR2);
		interrupts++;
	}
}

/* --- the storm --- */

static int prepare(struct ep *own)
{
	int ends[2], ret;

	snprintf(storm->bus, sizeof(storm->bus), "storm-%d", getpid());
	ret = ep_join_bus(own, storm->bus, SYMPHONY_JOIN_CREATE | SYMPHONY_JOIN_EXCL |
			  SYMPHONY_JOIN_GRANTS, 0666, SYMPHONY_POOL_MIN);
	if (ret)
		return ret;
	for (int i = 0; i < SERVICES; i++) {
		char name[8];
		struct symphony_service grant = {
			.size = sizeof(grant), .name = (uintptr_t)name,
		};

		service_name(i, name);
		grant.name_len = strlen(name);
		ret = dev_ioctl(own->fd, SYMPHONY_IOC_GRANT, &grant);
		if (ret)
			return ret;
		storm->grants[i] = grant.grant;
		/* For those who exec. */
		fcntl(grant.grant, F_SETFD, 0);
	}
	if (pipe2(ends, O_CLOEXEC))
		return -errno;
	pipe_end = ends[0];
	storm->pipe = ends[1];
	fcntl(storm->pipe, F_SETFD, 0);
	storm->rings = !rings_are_forbidden();
	/* Without the endpoint and the end of the pipe that are the director's own. */
	storm->open = files_open() - 2;
	return 0;
}

static void blow(struct ep *own, __u64 until, __u64 calls)
{
	__u64 told = dev_now(), began = told;

	for (__u64 nr = 1; (!until || dev_now() < until) && (!calls || storm->outcomes < calls);
	     nr++) {
		struct dice dice = dice_of(storm->seed, DIRECTOR, nr);
		int i;

		dev_nap(roll(&dice, 60) * storm->slow);
		strike(&dice);
		resume(false);
		while ((i = reap()) >= 0)
			start(i, own);
		if (log_is_filling()) {
			printf("# the log is nearly full: the storm ends early\n");
			break;
		}
		if (storm->faults > 100)
			break;
		if (dev_now() - told > 15000000000ULL) {
			told = dev_now();
			printf("# %4llu s: %llu calls, %llu kills, %d faults\n",
			       (told - began) / 1000000000ULL, storm->outcomes, kills,
			       storm->faults);
			fflush(stdout);
		}
	}
}

/* Everyone who was killed last lives once more, and gets all that is under way. */
static void calm(struct ep *own)
{
	__u64 until;
	int i;

	resume(true);
	for (i = 0; i < nr_slots; i++)
		if (slots[i].killed && slots[i].pid) {
			waitpid(slots[i].pid, NULL, 0);
			slots[i].pid = 0;
		}
	for (i = 0; i < (int)storm->peers; i++)
		if (!slots[i].pid)
			start(i, own);
	storm->phase = CALMING;
	/* From here on: to die can take long, as long as the others storm. */
	until = dev_after(60000 * storm->slow);
	while (storm->quiet < (int)storm->peers && dev_now() < until) {
		/* Who ends now was not told to, but what disturbs it can be from before. */
		while ((i = reap()) >= 0)
			if (is_peer(i) && slots[i].disturbed)
				start(i, own);
			else if (is_peer(i))
				FAULT("a peer ended early", 0, i);
		dev_nap(10);
	}
	if (storm->quiet < (int)storm->peers)
		FAULT("peers wait for outcomes", storm->peers - storm->quiet, 0);
	/* One whose parent was killed before it could fork is counted for ever. */
	until = dev_after(3000 * storm->slow);
	while (storm->children && dev_now() < until)
		dev_nap(10);
	dev_nap(100 * storm->slow);
	storm->phase = OVER;
	until = dev_after(30000 * storm->slow);
	while (dev_now() < until && (reap() >= 0 || waitpid(-1, NULL, WNOHANG) >= 0))
		dev_nap(2);
	for (i = 0; i < nr_slots; i++)
		if (slots[i].pid && !kill(slots[i].pid, SIGKILL)) {
			FAULT("a participant does not end", 0, i);
			waitpid(slots[i].pid, NULL, 0);
		}
}

/* --- what is left --- */

static bool has_nothing(uid_t uid)
{
	struct symphony_query q;

	if (syscall(SYS_setresuid, -1, uid, -1))
		return false;
	q = dev_limits();
	if (syscall(SYS_setresuid, -1, 0, -1))
		abort();
	if (q.user_buses.used || q.user_endpoints.used || q.user_pool.used ||
	    q.user_calls.used || q.user_services.used || q.user_files.used ||
	    q.user_claims.used || q.user_records.used) {
		printf("# uid %u: %llu buses, %llu endpoints, %llu B, %llu calls, %llu services, %llu files, %llu claims, %llu records\n",
		       uid, q.user_buses.used, q.user_endpoints.used, q.user_pool.used,
		       q.user_calls.used, q.user_services.used, q.user_files.used,
		       q.user_claims.used, q.user_records.used);
		return false;
	}
	return true;
}

static bool ledgers_are_zero(void)
{
	static const uid_t users[] = { 0, FIRST_UID, FIRST_UID + 1, FIRST_UID + 2, FOOL_UID };
	__u64 until = dev_after(5000 * storm->slow);
	size_t zero = 0;

	while (zero < ARRAY_SIZE(users)) {
		if (has_nothing(users[zero])) {
			zero++;
			continue;
		}
		if (dev_now() > until)
			return false;
		dev_nap(500);
	}
	return true;
}

/* No process is left that could have the pipe, so it is the kernel that does. */
static bool pipe_is_closed(void)
{
	struct pollfd end = { .fd = pipe_end };

	return poll(&end, 1, 5000 * storm->slow) == 1 && end.revents & POLLHUP;
}

/*
 * In the whole guest, where nothing else happens; each processor keeps some for
 * itself. -1: this kernel does not say.
 */
#define FILES_UNSURE	(2 * 32 * sysconf(_SC_NPROCESSORS_ONLN))

static long files_of_all(void)
{
	FILE *file = fopen("/proc/sys/fs/file-nr", "re");
	long nr = -1;

	if (!file || fscanf(file, "%ld", &nr) != 1)
		nr = -1;
	if (file)
		fclose(file);
	return nr;
}

static bool files_are_closed(long before)
{
	__u64 until = dev_after(5000 * storm->slow);

	while (files_of_all() > before + FILES_UNSURE && dev_now() < until)
		dev_nap(100);
	printf("# %ld files open before, %ld now\n", before, files_of_all());
	return files_of_all() <= before + FILES_UNSURE;
}

static long parameter(const char *name)
{
	char path[128];
	long value = -1;
	FILE *file;

	snprintf(path, sizeof(path), "/sys/module/symphony/parameters/%s", name);
	file = fopen(path, "re");
	if (!file)
		return -1;
	if (fscanf(file, "%ld", &value) != 1)
		value = -1;
	fclose(file);
	return value;
}

static bool unloads(void)
{
	__u64 until = dev_after(5000 * storm->slow);
	int ret = unload();

	while (ret == -EWOULDBLOCK && dev_now() < until) {
		dev_nap(100);
		ret = unload();
	}
	return !ret;
}

static void tell(const struct tally *t)
{
	printf("# %llu calls of %llu endpoints in %llu processes, %llu records\n", t->calls,
	       t->endpoints, last_process, t->records);
	printf("# %llu refused, %llu outcomes, %llu not fetched by who died or left\n",
	       t->refused, t->outcomes, t->unfetched);
	printf("# outcomes: %llu replies (%llu errors), %llu timed out, %llu cancelled, %llu reset, %llu refused, %llu too large\n",
	       t->replies, t->errors, t->timeouts, t->cancels, t->resets, t->refusals,
	       t->too_large);
	printf("# %llu received, %llu of them again; %llu answers, %llu calls for calls\n",
	       t->received, t->twice, t->answers, t->parents);
	printf("# notices: %llu gone of %llu watches, %llu cancelled, %llu room, %llu others\n",
	       t->gone, t->watches, t->cancelled, t->room, t->notices);
	printf("# one-way: %llu, %llu of them to who is kept; %llu lost to others, %llu to a deadline\n",
	       t->oneway, t->kept, t->lost, t->late);
	printf("# files: %llu with requests, %llu with answers; %llu times claimed\n",
	       t->files, t->files_back, t->claims);
	printf("# %llu kills, %llu stops, %llu signals, %llu unloads refused, %llu ends\n",
	       kills, stops, interrupts, refused_unloads, t->ends);
}

static int usage(void)
{
	fprintf(stderr, "usage: storm [-s seconds] [-c calls] [-S seed] [-p peers] [-f fools] [-m MiB]\n");
	return 2;
}

int main(int argc, char **argv)
{
	__u64 seconds = 0, calls = 0, seed = dev_now(), mib = 256, began;
	int peers = 40, fools = 4, opt, ret;
	bool noise = parameter("noise_rate") > 0;
	long files = files_of_all();
	struct tally tally;
	struct ep own;

	if (argc == 5 && !strcmp(argv[1], "peer")) {
		if (log_attach(atoi(argv[4])))
			return 2;
		participate(atoi(argv[2]), strtoull(argv[3], NULL, 0));
	}
	while ((opt = getopt(argc, argv, "s:c:S:p:f:m:")) != -1) {
		switch (opt) {
		case 's': seconds = strtoull(optarg, NULL, 0); break;
		case 'c': calls = strtoull(optarg, NULL, 0); break;
		case 'S': seed = strtoull(optarg, NULL, 0); break;
		case 'p': peers = atoi(optarg); break;
		case 'f': fools = atoi(optarg); break;
		case 'm': mib = strtoull(optarg, NULL, 0); break;
		default: return usage();
		}
	}
	if (peers < USERS || fools < 0 || peers + fools > SLOTS_MAX)
		return usage();
	if (!seconds && !calls)
		seconds = 20;
	printf("# SEED=%#llx: %d peers of %d threads, %d fools%s\n", seed, peers,
	       1 + REQUESTERS + RECEIVERS, fools, noise ? ", with noise" : "");
	fflush(stdout);
	if (noise)
		dev_param("noise_seed", seed & 0x7fffffff);

	ret = log_create((mib << 20) / sizeof(struct chunk));
	if (ret) {
		fprintf(stderr, "storm: no memory for the log: %s\n", strerror(-ret));
		return 2;
	}
	log_begin(DIRECTOR);
	storm->seed = seed;
	storm->slow = dev_slow() ? 4 : 1;
	storm->peers = peers;
	storm->fools = fools;
	nr_slots = peers + fools;
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	ret = prepare(&own);
	if (ret) {
		fprintf(stderr, "storm: no bus: %s\n", strerror(-ret));
		return 2;
	}
	if (!storm->rings)
		printf("# io_uring is forbidden: all goes over ioctls\n");
	began = dev_now();
	/* Hundreds of threads want to run; the director has to be on time. */
	setpriority(PRIO_PROCESS, 0, -20);
	for (int i = 0; i < nr_slots; i++)
		start(i, &own);
	blow(&own, seconds ? dev_after(seconds * 1000) : 0, calls);
	printf("# calming down after %llu s\n", (dev_now() - began) / 1000000000ULL);
	fflush(stdout);
	calm(&own);
	ep_close(&own);
	for (int i = 0; i < SERVICES; i++)
		close(storm->grants[i]);
	close(storm->pipe);

	check_storm(stdout, &tally);
	tell(&tally);
	result(tally.faults == 0 && tally.outcomes > 0,
	       "each call has one outcome, and the right one");
	result(tally.kept > 0 && tally.claims > 0 && tally.files_back > 0,
	       "there were one-way messages and files");
	result(pipe_is_closed(), "nobody has what was sent");
	close(pipe_end);
	if (files >= 0)
		result(files_are_closed(files), "no more files are open than before");
	result(ledgers_are_zero(), "every ledger is at zero");
	if (noise) {
		printf("# noise: %ld waits, %ld sleeps\n", parameter("noise_waits"),
		       parameter("noise_sleeps"));
		result(parameter("noise_waits") > 1000 && parameter("noise_sleeps") > 1000,
		       "there was noise");
	}
	result(unloads(), "the module can be unloaded");
	printf("1..%d\n", nr_results);
	if (red)
		printf("# again: make storm SEED=%#llx\n", seed);
	return red;
}
