// SPDX-License-Identifier: MIT
/* A kernel that says what a fuzzer tells it: see kernel.h. */
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <sanitizer/asan_interface.h>

#include "../../../libbus/bus.h"
#include "kernel.h"

#define POOL_SIZE (1U << 20)
#define SLICES 1024
#define NAMES 64
#define NR_SENDS 256
#define BORN 1000000000ULL

enum slice_state { QUEUED, RECEIVED, RELEASED };

struct slice {
	uint32_t offset, size;
	enum slice_state state;
	bool owed;			/* a request without an answer */
	uint64_t id, sender;
};

static struct {
	int fd;
	char *memory;			/* the kernel's mapping */
	const char *seen;		/* the library's */
	const struct kernel_hooks *hooks;
	struct slice slices[SLICES];
	uint32_t nr_slices, next_queued, used;
	char names[NAMES][SYMPHONY_NAME_MAX + 1];
	uint32_t nr_names;
	struct { uint64_t id, cookie; } sends[NR_SENDS];
	size_t nr_sends;
	uint64_t last_id, now;
} k = { .fd = -1 };

uint64_t __wrap_sbus_now(void);

uint64_t __wrap_sbus_now(void)
{
	return k.now;
}

static uint32_t put(struct symphony_msg msg, const void *body, size_t len)
{
	uint32_t size = msg.header_len + len, offset = k.used;
	struct slice *slice = &k.slices[k.nr_slices];

	if (k.nr_slices == SLICES || POOL_SIZE - offset < size + 2 * SYMPHONY_POOL_ALIGN)
		return SYMPHONY_NO_OFFSET;
	msg.body_len = len;
	if (msg.type == SYMPHONY_MSG_CALL)
		msg.id = ++k.last_id;
	*slice = (struct slice){
		.offset = offset, .size = size, .id = msg.id, .sender = msg.sender,
		.owed = msg.type == SYMPHONY_MSG_CALL,
	};
	k.nr_slices++;
	/* With a gap behind it that stays poisoned. */
	k.used += (size + 2 * SYMPHONY_POOL_ALIGN - 1) / SYMPHONY_POOL_ALIGN * SYMPHONY_POOL_ALIGN;
	memcpy(k.memory + offset, &msg, sizeof(msg));
	if (len)
		memcpy(k.memory + offset + msg.header_len, body, len);
	__asan_unpoison_memory_region(k.seen + offset, size);
	return offset;
}

static void header(struct symphony_msg *msg)
{
	/* Longer ones are the kernel's right: bodies are found by this. */
	msg->header_len = sizeof(*msg) + (msg->header_len % 4) * 64;
	msg->nr_fds = 0;
	memset(msg->reserved, 0, sizeof(msg->reserved));
}

bool kernel_post(struct symphony_msg msg, const void *body, size_t len)
{
	header(&msg);
	return put(msg, body, len) != SYMPHONY_NO_OFFSET;
}

bool kernel_answer(size_t n, struct symphony_msg msg, const void *body, size_t len)
{
	if (!k.nr_sends)
		return false;
	n %= k.nr_sends;
	header(&msg);
	msg.type = SYMPHONY_MSG_REPLY;
	msg.id = k.sends[n].id;
	msg.cookie = k.sends[n].cookie;
	if (put(msg, body, len) == SYMPHONY_NO_OFFSET)
		return false;
	k.sends[n] = k.sends[--k.nr_sends];
	return true;
}

static struct slice *slice_at(uint32_t offset)
{
	for (uint32_t i = 0; i < k.nr_slices; i++)
		if (k.slices[i].offset == offset)
			return &k.slices[i];
	return NULL;
}

static void release(uint64_t array, uint32_t nr)
{
	const uint32_t *offsets = (const uint32_t *)(uintptr_t)array;

	CHECK(nr <= SYMPHONY_BATCH_MAX);
	for (uint32_t i = 0; i < nr; i++) {
		struct slice *slice = slice_at(offsets[i]);

		CHECK(slice && slice->state == RECEIVED);
		slice->state = RELEASED;
		__asan_poison_memory_region(k.seen + slice->offset, slice->size);
	}
}

static uint32_t receive(uint64_t array, uint32_t max)
{
	uint32_t *offsets = (uint32_t *)(uintptr_t)array, nr = 0;

	for (; nr < max && k.next_queued < k.nr_slices; k.next_queued++) {
		struct slice *slice = &k.slices[k.next_queued];

		if (slice->state != QUEUED)
			continue;
		slice->state = RECEIVED;
		offsets[nr++] = slice->offset;
	}
	return nr;
}

static int do_recv(struct symphony_recv *recv)
{
	release(recv->release, recv->nr_release);
	recv->nr_release = 0;
	recv->nr = receive(recv->offsets, recv->max);
	return recv->nr ? 0 : recv->flags & SYMPHONY_RECV_DONTWAIT ? -EAGAIN : -EINTR;
}

static int do_reply(struct symphony_reply *reply)
{
	struct slice *slice = slice_at(reply->slot);
	int r = -ESRCH;

	CHECK(slice && slice->id == reply->id && slice->state == RECEIVED);
	CHECK(!reply->body_len ||
	      !__asan_region_is_poisoned((void *)(uintptr_t)reply->body, reply->body_len));
	if (slice->owed) {
		r = k.hooks->reply ? k.hooks->reply(reply->id, reply->flags, reply->content_type,
						     (void *)(uintptr_t)reply->body,
						     reply->body_len) : 0;
		slice->owed = false;
	}
	release(reply->release, reply->nr_release);
	reply->nr_release = 0;
	if (r)
		return r;
	if (reply->flags & SYMPHONY_REPLY_RELEASE)
		release((uintptr_t)&slice->offset, 1);
	reply->nr = reply->flags & SYMPHONY_REPLY_RECV ? receive(reply->offsets, reply->max) : 0;
	return 0;
}

static int do_call(struct symphony_call *call, bool waits)
{
	struct kernel_outcome outcome = { 0 };
	struct symphony_msg msg = {
		.type = SYMPHONY_MSG_REPLY, .handle = call->handle, .sender = 2, .pid = 2,
	};
	uint32_t offset;

	CHECK(!call->body_len ||
	      !__asan_region_is_poisoned((void *)(uintptr_t)call->body, call->body_len));
	k.hooks->call(call, waits, &outcome);
	if (outcome.result) {
		call->limit = outcome.needed;
		return outcome.result;
	}
	if (!call->handle)
		return -ENOENT;
	release(call->release, call->nr_release);
	call->nr_release = 0;
	call->id = ++k.last_id;
	call->slot = 7;
	if (!waits) {
		if (k.nr_sends == NR_SENDS)
			return -EAGAIN;
		k.sends[k.nr_sends].id = call->id;
		k.sends[k.nr_sends++].cookie = call->cookie;
		return 0;
	}
	call->offset = SYMPHONY_NO_OFFSET;
	call->needed = outcome.needed;
	call->status = outcome.status;
	if (call->status)
		return 0;
	msg.id = call->id;
	msg.flags = outcome.flags;
	msg.content_type = outcome.content;
	header(&msg);
	offset = put(msg, outcome.body, outcome.len);
	if (offset == SYMPHONY_NO_OFFSET) {
		call->status = -EMSGSIZE;
		return 0;
	}
	slice_at(offset)->state = RECEIVED;
	call->offset = offset;
	return 0;
}

static int do_name(struct symphony_service *service)
{
	const char *name = (const char *)(uintptr_t)service->name;
	uint32_t i;

	/* A name is checked before it is asked for. */
	CHECK(service->name_len && service->name_len <= SYMPHONY_NAME_MAX);
	CHECK(strlen(name) == service->name_len);
	CHECK(strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_.-") == service->name_len);
	for (i = 0; i < k.nr_names && strcmp(k.names[i], name); i++)
		;
	if (i == NAMES)
		return -EDQUOT;
	if (i == k.nr_names)
		strcpy(k.names[k.nr_names++], name);
	service->handle = i + 1;
	return 0;
}

static int operate(unsigned long operation, void *arg)
{
	switch (operation) {
	case SYMPHONY_IOC_QUERY:
		((struct symphony_query *)arg)->abi_version = SYMPHONY_ABI_VERSION;
		return 0;
	case SYMPHONY_IOC_JOIN:
		((struct symphony_join *)arg)->pool_size = POOL_SIZE;
		((struct symphony_join *)arg)->endpoint = 1;
		((struct symphony_join *)arg)->bus_flags = SYMPHONY_BUS_MINE |
							  SYMPHONY_BUS_CREATED;
		return 0;
	case SYMPHONY_IOC_CLAIM:
	case SYMPHONY_IOC_RESOLVE:
		return do_name(arg);
	case SYMPHONY_IOC_CALL:
		return do_call(arg, true);
	case SYMPHONY_IOC_SEND:
		return do_call(arg, false);
	case SYMPHONY_IOC_RECV:
		return do_recv(arg);
	case SYMPHONY_IOC_REPLY:
		return do_reply(arg);
	case SYMPHONY_IOC_WAIT:
		((struct symphony_wait *)arg)->status = -ECANCELED;
		((struct symphony_wait *)arg)->offset = SYMPHONY_NO_OFFSET;
		return 0;
	case SYMPHONY_IOC_WATCH: {
		const struct symphony_watch *watch = arg;

		return k.hooks->watch ? k.hooks->watch(watch->endpoint,
						       watch->flags & SYMPHONY_WATCH_REMOVE) : 0;
	}
	case SYMPHONY_IOC_RELEASE: {
		struct symphony_release *arg_release = arg;

		release(arg_release->release, arg_release->nr_release);
		return 0;
	}
	case SYMPHONY_IOC_UNCLAIM:
	case SYMPHONY_IOC_CANCEL:
		return 0;
	default:
		return -ENOTTY;
	}
}

int __wrap_ioctl(int fd, unsigned long operation, ...);

int __wrap_ioctl(int fd, unsigned long operation, ...)
{
	va_list args;
	void *arg;
	int r;

	(void)fd;
	va_start(args, operation);
	arg = va_arg(args, void *);
	va_end(args);
	r = operate(operation, arg);
	if (!r)
		return 0;
	errno = -r;
	return -1;
}

/* The library maps its pool through this; it sees the poison, the kernel not. */
struct sbus *kernel_open(const struct kernel_hooks *hooks)
{
	struct sbus_params params = { .size = sizeof(params), .flags = SBUS_OPEN_CREATE, .bus = "fuzz" };
	struct sbus *bus;
	char device[32];

	if (k.fd < 0) {
		k.fd = memfd_create("pool", MFD_CLOEXEC);
		CHECK(k.fd >= 0 && !ftruncate(k.fd, POOL_SIZE));
		k.memory = mmap(NULL, POOL_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, k.fd, 0);
		CHECK(k.memory != MAP_FAILED);
	}
	k.hooks = hooks;
	k.nr_slices = k.next_queued = k.used = k.nr_names = 0;
	k.nr_sends = 0;
	k.last_id = 100;
	k.now = BORN;
	snprintf(device, sizeof(device), "/proc/self/fd/%d", k.fd);
	params.device = device;
	CHECK(!sbus_open(&bus, &params, NULL));
	k.seen = bus->pool;
	__asan_poison_memory_region(k.seen, POOL_SIZE);
	return bus;
}

void kernel_close(struct sbus *bus)
{
	CHECK(bus->refs == 1);
	sbus_close(bus);
	CHECK(bus->refs == 1);
	sbus_unref(bus);
	__asan_unpoison_memory_region(k.seen, POOL_SIZE);
}

void kernel_check_released(const struct sbus *bus)
{
	uint32_t nr = 0;

	for (uint32_t i = 0; i < k.nr_slices; i++)
		nr += k.slices[i].state == RECEIVED;
	/* But for what would go with the next call. */
	for (uint32_t i = 0; i < bus->release.nr; i++) {
		const struct slice *slice = slice_at(bus->release.offsets[i]);

		CHECK(slice && slice->state == RECEIVED);
	}
	CHECK(nr == bus->release.nr);
}

void kernel_forget(uint64_t id)
{
	for (uint32_t i = 0; i < k.nr_slices; i++)
		if (k.slices[i].id == id)
			k.slices[i].owed = false;
}

uint64_t kernel_request(size_t n, uint64_t *sender)
{
	size_t nr = 0;

	for (uint32_t i = 0; i < k.nr_slices; i++)
		nr += k.slices[i].owed;
	n = nr ? n % nr : 0;
	for (uint32_t i = 0; i < k.nr_slices; i++) {
		if (!k.slices[i].owed || n--)
			continue;
		if (sender)
			*sender = k.slices[i].sender;
		return k.slices[i].id;
	}
	return 0;
}

uint64_t kernel_handle(const char *id)
{
	for (uint32_t i = 0; i < k.nr_names; i++)
		if (!strcmp(k.names[i], id))
			return i + 1;
	return 0;
}

void kernel_advance(uint64_t ns)
{
	k.now += ns;
	clock_run(k.now);
}
