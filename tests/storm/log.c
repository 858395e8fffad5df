// SPDX-License-Identifier: MIT
/* The log of a storm; see log.h. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "log.h"

struct storm *storm;
static __thread struct pen pen;

static size_t size_of(__u32 nr_chunks)
{
	return sizeof(struct storm) + nr_chunks * sizeof(struct chunk);
}

static int map(int fd, size_t size)
{
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (at == MAP_FAILED)
		return -errno;
	storm = at;
	return 0;
}

int log_create(__u32 nr_chunks)
{
	/* Not closed on exec: participants do that, too. */
	int fd = memfd_create("storm", 0), ret;

	if (fd < 0 || ftruncate(fd, size_of(nr_chunks)))
		return -errno;
	ret = map(fd, size_of(nr_chunks));
	if (ret)
		return ret;
	storm->fd = fd;
	storm->nr_chunks = nr_chunks;
	return 0;
}

int log_attach(int fd)
{
	__u32 nr_chunks;

	if (pread(fd, &nr_chunks, sizeof(nr_chunks),
		  offsetof(struct storm, nr_chunks)) != sizeof(nr_chunks))
		return -EIO;
	return map(fd, size_of(nr_chunks));
}

bool log_is_filling(void)
{
	return storm->used > storm->nr_chunks - storm->nr_chunks / 8;
}

void log_begin(__u32 who)
{
	pen = (struct pen){ .who = who };
}

void log_write(struct record record)
{
	__u64 first;

	if (pen.next == pen.end) {
		__u32 nr = storm->used++;

		if (nr >= storm->nr_chunks) {
			/* The checker sees it in @used. */
			storm->used--;
			return;
		}
		pen.next = storm->chunks[nr].records;
		pen.end = pen.next + CHUNK_RECORDS;
	}
	record.who = pen.who;
	memcpy((char *)pen.next + 8, (char *)&record + 8, sizeof(record) - 8);
	memcpy(&first, &record, 8);
	__atomic_store_n((__u64 *)pen.next, first, __ATOMIC_RELEASE);
	pen.next++;
}

void log_fault(const char *what, int line, long err, __u64 aux)
{
	struct record record = { .type = R_FAULT, .len = line, .err = err, .aux = aux };

	if (storm->faults++ < 50)
		fprintf(stderr, "# %#x: %s: %ld (%#llx), line %d\n", pen.who, what, err,
			aux, line);
	log_write(record);
}
