// SPDX-License-Identifier: MIT
/*
 * Two honest endpoints on a bus of their own, as another user than the programs:
 * whatever those do, a call between the two is answered.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "device.h"

#define HONEST_USER	4300
#define NAME_LEN	6
#define LONG		20000000000ULL	/* ns */

static struct {
	int fd;
	const char *pool;
} client, server;
static uint64_t handle, rounds;

static uint64_t after(uint64_t ns)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec + ns;
}

static const char *wrong(const char *what)
{
	static char text[128];

	snprintf(text, sizeof(text), "bystander: %s: %s", what, strerror(errno));
	return text;
}

const char *fz_bystander_start(void)
{
	struct symphony_join join = {
		.size = sizeof(join),
		.flags = SYMPHONY_JOIN_CREATE,
		.name = (uintptr_t)"honest",
		.name_len = NAME_LEN,
		.pool_size = SYMPHONY_POOL_MIN,
	};
	struct symphony_service claim = {
		.size = sizeof(claim),
		.name = (uintptr_t)"honest",
		.name_len = NAME_LEN,
	};
	const char *bad = NULL;

	if (seteuid(HONEST_USER))
		return wrong("seteuid");
	client.fd = open("/dev/symphony", O_RDWR | O_CLOEXEC);
	server.fd = open("/dev/symphony", O_RDWR | O_CLOEXEC);
	if (client.fd < 0 || server.fd < 0 ||
	    ioctl(client.fd, SYMPHONY_IOC_JOIN, &join) ||
	    ioctl(server.fd, SYMPHONY_IOC_JOIN, &join))
		bad = wrong("JOIN");
	else if (ioctl(server.fd, SYMPHONY_IOC_CLAIM, &claim))
		bad = wrong("CLAIM");
	handle = claim.handle;
	if (seteuid(0))
		return wrong("seteuid");
	if (bad)
		return bad;
	client.pool = mmap(NULL, SYMPHONY_POOL_MIN, PROT_READ, MAP_SHARED,
			   client.fd, 0);
	server.pool = mmap(NULL, SYMPHONY_POOL_MIN, PROT_READ, MAP_SHARED,
			   server.fd, 0);
	if (client.pool == MAP_FAILED || server.pool == MAP_FAILED)
		return wrong("mmap");
	return fz_bystander_check();
}

static int receive(int fd, uint32_t *offset)
{
	struct symphony_recv recv = {
		.size = sizeof(recv),
		.deadline = after(LONG),
		.offsets = (uintptr_t)offset,
		.max = 1,
	};

	return ioctl(fd, SYMPHONY_IOC_RECV, &recv) ?: recv.nr != 1;
}

static int release(int fd, uint32_t *offset)
{
	struct symphony_release release = {
		.size = sizeof(release),
		.release = (uintptr_t)offset,
		.nr_release = 1,
	};

	return ioctl(fd, SYMPHONY_IOC_RELEASE, &release);
}

const char *fz_bystander_check(void)
{
	uint64_t word = 0x5eed0000 + rounds++, cookie = ~word;
	struct symphony_call call = {
		.size = sizeof(call),
		.handle = handle,
		.body = (uintptr_t)&word,
		.body_len = sizeof(word),
		.cookie = cookie,
		.deadline = after(LONG),
	};
	struct symphony_reply reply = {
		.size = sizeof(reply),
		.flags = SYMPHONY_REPLY_RELEASE,
		.body = (uintptr_t)&cookie,
		.body_len = sizeof(cookie),
	};
	const struct symphony_msg *msg;
	uint32_t offset;

	if (ioctl(client.fd, SYMPHONY_IOC_SEND, &call))
		return wrong("SEND");
	if (receive(server.fd, &offset))
		return wrong("the request was not received");
	msg = (const void *)(server.pool + offset);
	if (msg->type != SYMPHONY_MSG_CALL || msg->id != call.id ||
	    msg->uid != HONEST_USER || msg->body_len != sizeof(word) ||
	    memcmp((const char *)msg + msg->header_len, &word, sizeof(word)))
		return wrong("another request was received");
	reply.id = msg->id;
	reply.slot = offset;
	if (ioctl(server.fd, SYMPHONY_IOC_REPLY, &reply))
		return wrong("REPLY");
	if (receive(client.fd, &offset))
		return wrong("the answer was not received");
	msg = (const void *)(client.pool + offset);
	if (msg->type != SYMPHONY_MSG_REPLY || msg->id != call.id || msg->status ||
	    msg->cookie != cookie || msg->body_len != sizeof(cookie) ||
	    memcmp((const char *)msg + msg->header_len, &cookie, sizeof(cookie)))
		return wrong("another answer was received");
	if (release(client.fd, &offset))
		return wrong("RELEASE");
	return NULL;
}
