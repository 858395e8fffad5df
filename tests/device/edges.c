// SPDX-License-Identifier: MIT
/*
 * Memory that ends, or cannot be written, in the middle of what an operation reads
 * or writes: each structure and array lies across the border to such a page, at
 * every byte. The operation says EFAULT and has done nothing, or it had no use for
 * what is behind the border and is done.
 */
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <kselftest_harness.h>

#include "trial.h"

/* What lies across the border, of an operation of the table. */
struct edge {
	const char *operation;
	unsigned long cmd;
	size_t ep;		/* whose operation: in struct trial */
	size_t arg, size;	/* the structure: in struct trial */
	size_t array, len;	/* 0, or the address of an array: in the structure */
	bool out;		/* the array is written */
};

#define IN(member)	offsetof(struct trial, member)
#define SIZE(member)	sizeof(((struct trial *)0)->member)
#define EDGE(name, ioc, by, member) {					\
	.operation = name, .cmd = SYMPHONY_IOC_##ioc, .ep = IN(by),	\
	.arg = IN(member), .size = SIZE(member),			\
}
#define ARRAY(name, ioc, by, type, member, address, length, ...) {	\
	.operation = name, .cmd = SYMPHONY_IOC_##ioc, .ep = IN(by),	\
	.arg = IN(member), .size = SIZE(member),			\
	.array = offsetof(struct type, address), .len = length, __VA_ARGS__ \
}

static const struct edge edges[] = {
	EDGE("JOIN, a new bus", JOIN, file, join),
	EDGE("CLAIM, a new service", CLAIM, other.fd, service),
	EDGE("CLAIM, TAKEOVER", CLAIM, other.fd, service),
	EDGE("GRANT", GRANT, sink.fd, service),
	EDGE("RESOLVE", RESOLVE, client.fd, service),
	EDGE("UNCLAIM", UNCLAIM, server.fd, service),
	EDGE("DRAIN", DRAIN, server.fd, service),
	EDGE("CALL", CALL, client.fd, call),
	EDGE("CALL, refused", CALL, client.fd, call),
	EDGE("SEND, the first", SEND, client.fd, call),
	EDGE("WAIT", WAIT, client.fd, wait),
	EDGE("CALL, resumed", CALL, client.fd, call),
	EDGE("CANCEL, of what is queued", CANCEL, client.fd, wait),
	EDGE("RECV, one", RECV, server.fd, recv),
	EDGE("REPLY", REPLY, server.fd, reply),
	EDGE("REPLY and RECV", REPLY, server.fd, reply),
	ARRAY("JOIN, EXCL with GRANTS and reserved names", JOIN, file,
	      symphony_join, join, reserve, 14),
	ARRAY("CLAIM, a new service", CLAIM, other.fd, symphony_service, service,
	      name, 3),
	ARRAY("CALL", CALL, client.fd, symphony_call, call, body, 100),
	ARRAY("REPLY", REPLY, server.fd, symphony_reply, reply, body, 100),
	ARRAY("RECV, twenty", RECV, server.fd, symphony_recv, recv, offsets, 80,
	      .out = true),
	ARRAY("REPLY and RECV", REPLY, server.fd, symphony_reply, reply, offsets, 80,
	      .out = true),
	ARRAY("RELEASE", RELEASE, server.fd, symphony_release, release, release, 8),
};

FIXTURE(edges)
{
	unsigned char *border;
	size_t page;
};

FIXTURE_SETUP(edges)
{
	dev_begin();
	alarm(4 * DEV_ALARM);
	self->page = sysconf(_SC_PAGESIZE);
	self->border = mmap(NULL, 2 * self->page, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->border);
	self->border += self->page;
}

FIXTURE_TEARDOWN(edges)
{
	munmap(self->border - self->page, 2 * self->page);
}

static const struct operation *find(const struct operation *op, const char *name)
{
	while (op->name && strcmp(op->name, name))
		op++;
	return op->name ? op : NULL;
}

/* @before bytes of what @edge means are in front of the border. */
static void run_across(struct _test_data_edges *self, const struct edge *edge,
		       struct trial *t, size_t before, int prot)
{
	void *arg = (char *)t + edge->arg;
	__u64 *address = arg + edge->array;
	void *from = edge->array ? (void *)(uintptr_t)*address : arg;
	void *at = self->border - before;
	size_t len = edge->array ? edge->len : edge->size;
	__u64 was = *address;

	memcpy(at, from, len);
	if (edge->array)
		*address = (uintptr_t)at;
	mprotect(self->border, self->page, prot);
	t->ret = dev_ioctl(*(int *)((char *)t + edge->ep), edge->cmd,
			   edge->array ? arg : at);
	mprotect(self->border, self->page, PROT_READ | PROT_WRITE);
	if (edge->array)
		*address = was;
	if (!edge->array || edge->out)
		memcpy(from, at, len);
}

static const char *try(struct _test_data_edges *self, const struct edge *edge,
		       size_t before, int prot)
{
	const struct operation *op = find(life_operations, edge->operation) ?:
				     find(call_operations, edge->operation);
	size_t len = edge->array ? edge->len : edge->size;
	const char *wrong = "cannot be prepared";
	struct trial t;

	if (!trial_begin(&t, op)) {
		t.strict = true;
		run_across(self, edge, &t, before, prot);
		if (edge->cmd == SYMPHONY_IOC_SEND)
			t.owed += !t.ret;
		if (edge->cmd == SYMPHONY_IOC_GRANT && t.ret)
			t.service.grant = -1;
		wrong = NULL;
		if (t.ret != op->ends_with && t.ret != -EFAULT)
			wrong = "that is not the error";
		else if (before == len ? t.ret != op->ends_with :
			 (prot == PROT_NONE || edge->out) && t.ret != -EFAULT)
			wrong = "that cannot have been read or written";
		wrong = wrong ?: op->verify ? op->verify(&t) : NULL;
		if (t.echoes)
			echo_stop(&t.echo);
		/* What it was to release besides. */
		if (t.ret && op->flags & TRIAL_LATE)
			trial_scour(&t.server);
		wrong = wrong ?: trial_settle(&t) ?: trial_is_sound(&t);
		if (wrong)
			fprintf(stderr, "# %s, %zu of %zu bytes before %s gave %d: %s\n",
				op->name, before, len, prot ? "what is read-only" :
				"the end", t.ret, wrong);
	}
	trial_end(&t);
	return wrong;
}

/* Every member ends at such a byte; where checks make everything slow, not at each. */
static void walk(struct __test_metadata *_metadata, struct _test_data_edges *self,
		 int prot)
{
	size_t step = dev_slow() ? 32 : 4;

	for (size_t i = 0; i < ARRAY_SIZE(edges); i++) {
		size_t len = edges[i].array ? edges[i].len : edges[i].size;

		for (size_t before = len % step; before <= len; before += step)
			ASSERT_EQ(NULL, try(self, &edges[i], before, prot));
		/* The last member is the one that is easily forgotten. */
		ASSERT_EQ(NULL, try(self, &edges[i], len - 1, prot));
		ASSERT_EQ(NULL, try(self, &edges[i], len - (len > 3 ? 4 : 1), prot));
	}
}

TEST_F_TIMEOUT(edges, memory_ends, 200)
{
	walk(_metadata, self, PROT_NONE);
}

TEST_F_TIMEOUT(edges, memory_is_read_only, 200)
{
	walk(_metadata, self, PROT_READ);
}

TEST_HARNESS_MAIN
