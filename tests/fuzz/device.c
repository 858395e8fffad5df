// SPDX-License-Identifier: MIT
/*
 * The fuzzer's loop; see device.h.
 *
 *	device-fuzz [options] run [file or folder of programs...]
 *	device-fuzz [options] replay file...
 *	device-fuzz			its own test, on any kernel
 *
 * A program stands in <out>/last before it runs, with those before it, so that
 * it is there after a panic; that file can be replayed.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "device.h"

#define CORPUS_MAX	4096
#define LAST		16	/* programs in <out>/last, */
#define LAST_SIZE	FZ_TEXT	/* each with so much room */
#define NEW_MAX		64
#define LOOK_EVERY	64	/* programs between two looks at the bystanders */
#define SAY_EVERY	10	/* s */
#define HASTE		30	/* ms until a program is told to hurry, */
#define CALM		1000	/* and one that is to come to what it says */
#define SEEDS		"tests/fuzz/seeds"

static const char *ko, *out_dir = "/tmp", *corpus_dir;
static unsigned int seconds = 60, times = 1;
static uint64_t seed;

static struct fz_runner runner;
static struct fz_cover cover;
static struct fz_prog *corpus;
static unsigned int nr_corpus, nr_runs;
static int last_fd = -1, kmsg_fd = -1;
static struct timespec began;

static double elapsed(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec - began.tv_sec + (ts.tv_nsec - began.tv_nsec) / 1e9;
}

static void die(const char *what)
{
	fprintf(stderr, "device-fuzz: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* --- what is left for afterwards ------------------------------------------------------ */

static void record(const struct fz_prog *prog)
{
	static char text[LAST_SIZE] __attribute__((aligned(4096)));
	int n = snprintf(text, sizeof(text), "--- program %u\n", nr_runs);

	if (last_fd < 0)
		return;
	n += fz_print(prog, text + n, sizeof(text) - n - 1);
	memset(text + n, '\n', sizeof(text) - n);
	/* Past the caches, as there may be nobody to write them back. */
	n = (n + 511) & ~511;
	if (pwrite(last_fd, text, n, (off_t)(nr_runs % LAST) * LAST_SIZE) != n)
		die("cannot write the program down");
}

static uint32_t hash(const char *text)
{
	uint32_t h = 2166136261;

	while (*text)
		h = (h ^ (unsigned char)*text++) * 16777619;
	return h;
}

static void save(const char *dir, const char *prefix, const struct fz_prog *prog,
		 const char *comment)
{
	static char text[FZ_TEXT], path[512];
	FILE *file;

	fz_print(prog, text, sizeof(text));
	snprintf(path, sizeof(path), "%s/%s%08x.fuzz", dir, prefix, hash(text));
	file = fopen(path, "we");
	if (!file)
		die(path);
	if (comment)
		fprintf(file, "# %s\n", comment);
	fputs(text, file);
	fclose(file);
	if (comment)
		printf("# written to %s:\n%s", path, text);
}

static void open_last(void)
{
	static char path[512], empty[LAST_SIZE] __attribute__((aligned(4096)));

	snprintf(path, sizeof(path), "%s/last", out_dir);
	/* What a run before left there would stand behind shorter programs. */
	unlink(path);
	last_fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_DIRECT, 0644);
	if (last_fd < 0)
		last_fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_SYNC, 0644);
	if (last_fd < 0)
		die(path);
	memset(empty, '\n', sizeof(empty));
	for (int i = 0; i < LAST; i++)
		if (pwrite(last_fd, empty, sizeof(empty), i * LAST_SIZE) != LAST_SIZE)
			die(path);
}

/* --- what must not happen --------------------------------------------------------------- */

static const char *kernel_complains(void)
{
	static const char *const bad[] = {
		"BUG:", "WARNING: ", "Oops", "KASAN", "UBSAN", "ODEBUG", "Call Trace",
		"suspicious RCU", "inconsistent lock state", "possible recursive",
		"possible circular", "possible irq", "refcount_t: ", "corruption",
		"detected stall", "blocked for more", "memory leaks",
	};
	static char line[8192];
	ssize_t n;

	while (kmsg_fd >= 0 && (n = read(kmsg_fd, line, sizeof(line) - 1)) != 0) {
		if (n < 0 && errno == EPIPE)
			continue;
		if (n < 0)
			break;
		line[n] = 0;
		for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
			if (strstr(line, bad[i]))
				return line;
	}
	return NULL;
}

static void __attribute__((noreturn)) caught(const struct fz_prog *prog, const char *what)
{
	printf("# after %.1f s, program %u: %s\n", elapsed(), nr_runs, what);
	if (prog)
		save(out_dir, "crash-", prog, what);
	printf("not ok - device-fuzz: %.200s\n", what);
	fflush(stdout);
	fz_runner_stop(&runner);
	exit(1);
}

/* Run @prog; there is no way back from a violation. False: it was lost. */
static bool run(const struct fz_prog *prog)
{
	const char *bad;
	enum fz_end end;

	nr_runs++;
	record(prog);
	end = fz_runner_run(&runner, prog);
	bad = kernel_complains();
	if (bad)
		caught(prog, bad);
	if (end == FZ_VIOLATION)
		caught(prog, runner.shared->verdict);
	if (nr_runs % LOOK_EVERY == 0) {
		bad = fz_bystander_check();
		if (bad)
			caught(prog, bad);
	}
	return end == FZ_OK;
}

/* The kernel's own search: objects are looked at when they are 5 s old, and what
 * one scan suspects the next may clear. */
static void look_for_leaks(void)
{
	int fd = open("/sys/kernel/debug/kmemleak", O_RDWR | O_CLOEXEC);
	static char text[4096];
	ssize_t n;

	if (fd < 0)
		return;
	fz_runner_stop(&runner);
	sleep(6);
	if (write(fd, "scan", 4) != 4 || write(fd, "scan", 4) != 4)
		die("kmemleak");
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return;
	text[n] = 0;
	printf("%s", text);
	caught(NULL, "kmemleak");
}

/* --- the corpus ---------------------------------------------------------------------------- */

static void keep(const struct fz_prog *prog, bool write)
{
	/* When it is full, what is not from the beginning makes place. */
	unsigned int i = nr_corpus < CORPUS_MAX ? nr_corpus++ :
			 CORPUS_MAX / 2 + hash((const char *)&nr_runs) % (CORPUS_MAX / 2);

	corpus[i] = *prog;
	for (unsigned int j = 0; j < prog->nr; j++)
		corpus[i].op[j].expect = FZ_ANY;
	if (write && corpus_dir)
		save(corpus_dir, "", &corpus[i], NULL);
}

/* Without the operations that are not needed for what was new. */
static void minimise(struct fz_prog *prog, const uint32_t *places, unsigned int nr)
{
	unsigned int edges;
	uint32_t more[NEW_MAX];

	if (nr > NEW_MAX)
		nr = NEW_MAX;
	for (unsigned int i = prog->nr; i-- > 0 && prog->nr > 1;) {
		struct fz_prog less = *prog;

		fz_remove(&less, i);
		if (!run(&less))
			continue;
		if (fz_cover_reached(&cover, places, nr))
			*prog = less;
		/* Whatever else it reached will not be new a second time. */
		if (fz_cover_take(&cover, &edges, more, NEW_MAX))
			keep(&less, true);
	}
}

static void try(struct fz_prog *prog, bool from_file)
{
	unsigned int edges, fresh;
	uint32_t places[NEW_MAX];

	if (!run(prog))
		return;
	fresh = fz_cover_take(&cover, &edges, places, NEW_MAX);
	if (fresh && !from_file)
		minimise(prog, places, fresh);
	if (fresh || edges || from_file)
		keep(prog, fresh && !from_file);
}

static char *read_file(const char *path)
{
	FILE *file = fopen(path, "re");
	char *text;
	size_t n;

	text = calloc(1, LAST * LAST_SIZE + (1 << 20));
	if (!file || !text)
		die(path);
	n = fread(text, 1, LAST * LAST_SIZE + (1 << 20) - 1, file);
	text[n] = 0;
	fclose(file);
	return text;
}

/* Call @fn for each program of a file, or of the files of a folder. */
static unsigned int for_each(const char *path, void (*fn)(struct fz_prog *prog, const char *path))
{
	char *text, error[256], inner[512];
	struct dirent **names;
	const char *at;
	struct fz_prog prog;
	unsigned int nr = 0;
	int n;

	n = scandir(path, &names, NULL, alphasort);
	if (n >= 0) {
		for (int i = 0; i < n; i++) {
			const char *dot = strrchr(names[i]->d_name, '.');

			snprintf(inner, sizeof(inner), "%s/%s", path, names[i]->d_name);
			if (dot && !strcmp(dot, ".fuzz"))
				nr += for_each(inner, fn);
			free(names[i]);
		}
		free(names);
		return nr;
	}
	text = read_file(path);
	for (at = text; *at;) {
		if (fz_parse(&at, &prog, error, sizeof(error))) {
			fprintf(stderr, "device-fuzz: %s: %s\n", path, error);
			exit(1);
		}
		if (!prog.nr)
			continue;
		fn(&prog, path);
		nr++;
	}
	free(text);
	return nr;
}

/* --- what it can be told to do --------------------------------------------------------------- */

static void start(int patience)
{
	const char *bad;

	clock_gettime(CLOCK_MONOTONIC, &began);
	kmsg_fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (kmsg_fd >= 0)
		lseek(kmsg_fd, 0, SEEK_END);
	runner.shared = mmap(NULL, sizeof(*runner.shared), PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	/* A runner's children have no use for it. */
	corpus = mmap(NULL, CORPUS_MAX * sizeof(*corpus), PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (runner.shared == MAP_FAILED || corpus == MAP_FAILED ||
	    madvise(corpus, CORPUS_MAX * sizeof(*corpus), MADV_DONTFORK))
		die("memory");
	runner.cover = &cover;
	runner.patience = patience;
	if (!fz_cover_open(&cover, ko))
		printf("# no KCOV: nothing guides this\n");
	bad = fz_bystander_start();
	if (bad)
		caught(NULL, bad);
}

static void say(void)
{
	printf("# %5.0f s: %u programs, %.1f/s, corpus %u, %u of %u places, %u edges\n",
	       elapsed(), nr_runs, nr_runs / elapsed(), nr_corpus, cover.nr_seen,
	       cover.nr_sites, cover.nr_edges);
	fflush(stdout);
}

static void say_operations(void)
{
	const struct fz_shared *s = runner.shared;

	printf("# operations (and without an error):");
	for (int i = 0; i < FZ_KINDS; i++)
		printf(" %s %llu (%llu)", fz_kinds[i].name,
		       (unsigned long long)s->kind_ops[i],
		       (unsigned long long)s->kind_good[i]);
	printf("\n# %u times woken, %u runners lost to their own memory\n", runner.kicks,
	       runner.lost);
}

static void begin_with(struct fz_prog *prog, const char *path)
{
	(void)path;
	try(prog, true);
}

static const struct fz_prog *some(struct fz_rng *rng)
{
	unsigned int n = nr_corpus;

	/* Half of the time one of the newest. */
	if (n > 16 && fz_below(rng, 2))
		return &corpus[n - 1 - fz_below(rng, n / 4)];
	return &corpus[fz_below(rng, n)];
}

static int do_run(int nr, char **paths)
{
	struct fz_rng rng = { seed };
	struct fz_prog prog;
	double said = 0;
	const char *bad;
	char path[512];

	setvbuf(stdout, NULL, _IOLBF, 0);
	mkdir(out_dir, 0755);
	if (corpus_dir)
		mkdir(corpus_dir, 0755);
	open_last();
	start(HASTE);
	printf("# seed %llu, %u s\n", (unsigned long long)seed, seconds);
	for (int i = 0; i < nr; i++)
		for_each(paths[i], begin_with);
	if (corpus_dir)
		for_each(corpus_dir, begin_with);
	say();
	printf("# that was the seeds\n");
	while (elapsed() < seconds) {
		if (!nr_corpus || !fz_below(&rng, 20)) {
			fz_generate(&rng, &prog);
		} else {
			prog = *some(&rng);
			fz_mutate(&rng, &prog, some(&rng));
		}
		try(&prog, false);
		if (elapsed() - said >= SAY_EVERY) {
			said = elapsed();
			say();
		}
	}
	bad = fz_bystander_check();
	if (bad)
		caught(NULL, bad);
	say();
	say_operations();
	snprintf(path, sizeof(path), "%s/places", out_dir);
	fz_cover_write(&cover, path);
	look_for_leaks();
	/* Of what nothing was seen, nothing was tested. */
	if (runner.lost > nr_runs / 10)
		caught(NULL, "too many runners lost");
	if (ko && !cover.nr_seen)
		caught(NULL, "KCOV saw nothing");
	snprintf(path, sizeof(path), "%s/last", out_dir);
	unlink(path);
	printf("ok - device-fuzz: %u programs, %llu operations, %u of %u places, seed %llu\n",
	       nr_runs, (unsigned long long)runner.shared->ops, cover.nr_seen,
	       cover.nr_sites, (unsigned long long)seed);
	return 0;
}

static unsigned int unexpected;

static void replay_one(struct fz_prog *prog, const char *path)
{
	for (unsigned int n = 0; n < times; n++) {
		run(prog);
		for (unsigned int i = 0; i < prog->nr; i++) {
			const struct fz_op *op = &prog->op[i];
			int ret = runner.shared->ret[i];

			if (op->expect == FZ_ANY || op->expect == ret)
				continue;
			printf("# %s, operation %u, %s: %s, not %s\n", path, i + 1,
			       fz_kinds[op->kind].name,
			       ret == FZ_ANY ? "not run" : fz_errno_name(-ret),
			       fz_errno_name(-op->expect));
			unexpected++;
		}
	}
}

static int do_replay(int nr, char **paths)
{
	unsigned int programs = 0;

	start(CALM);
	for (int i = 0; i < nr; i++)
		programs += for_each(paths[i], replay_one);
	look_for_leaks();
	printf("%sok - device-fuzz: %u programs replayed, %u times each\n",
	       unexpected || !programs ? "not " : "", programs, times);
	return unexpected || !programs;
}

/* Does what is written read the same? */
static bool text_is_faithful(void)
{
	static char one[FZ_TEXT], two[FZ_TEXT];
	struct fz_rng rng = { 1 };
	struct fz_prog prog, again;
	const char *at;
	char error[256];

	for (int i = 0; i < 2000; i++) {
		fz_generate(&rng, &prog);
		for (int j = 0; j < 20; j++)
			fz_mutate(&rng, &prog, NULL);
		fz_print(&prog, one, sizeof(one));
		at = one;
		if (fz_parse(&at, &again, error, sizeof(error))) {
			printf("# %s\n", error);
			return false;
		}
		fz_print(&again, two, sizeof(two));
		if (again.nr != prog.nr || strcmp(one, two)) {
			printf("# written:\n%s# read:\n%s", one, two);
			return false;
		}
	}
	return true;
}

static int selftest(void)
{
	struct fz_rng rng = { 1 };
	struct fz_prog prog;
	bool faithful;

	printf("TAP version 13\n1..3\n");
	start(CALM);
	faithful = text_is_faithful();
	printf("%sok 1 - programs read as they are written\n", faithful ? "" : "not ");
	for_each(SEEDS, replay_one);
	unexpected += runner.lost;
	printf("%sok 2 - each seed comes to what it says\n", unexpected ? "not " : "");
	runner.patience = HASTE;
	/* Whoever does not come back from this was caught(). */
	for (int i = 0; i < 200; i++) {
		fz_generate(&rng, &prog);
		fz_mutate(&rng, &prog, NULL);
		run(&prog);
	}
	printf("ok 3 - programs at random break nothing\n");
	fz_runner_stop(&runner);
	return !faithful || unexpected;
}

static int usage(void)
{
	fprintf(stderr,
		"device-fuzz [options] run [file or folder...] | replay file...\n"
		"  -k FILE  the module that is loaded, for its coverage\n"
		"  -t N     seconds to run (60)\n"
		"  -s N     seed (the time)\n"
		"  -o DIR   for what is found, and the program that runs (/tmp)\n"
		"  -c DIR   corpus: read, and added to\n"
		"  -n N     replay each program N times (1)\n");
	return 2;
}

int main(int argc, char **argv)
{
	int opt;

	signal(SIGPIPE, SIG_IGN);
	seed = time(NULL);
	if (argc == 1)
		return selftest();
	while ((opt = getopt(argc, argv, "k:t:s:o:c:n:")) != -1) {
		switch (opt) {
		case 'k': ko = optarg; break;
		case 't': seconds = strtoul(optarg, NULL, 0); break;
		case 's': seed = strtoull(optarg, NULL, 0); break;
		case 'o': out_dir = optarg; break;
		case 'c': corpus_dir = optarg; break;
		case 'n': times = strtoul(optarg, NULL, 0); break;
		default: return usage();
		}
	}
	if (optind < argc && !strcmp(argv[optind], "run"))
		return do_run(argc - optind - 1, argv + optind + 1);
	if (optind < argc && !strcmp(argv[optind], "replay"))
		return do_replay(argc - optind - 1, argv + optind + 1);
	return usage();
}
