// SPDX-License-Identifier: MIT
/* What the device tests share; see device.h. */
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "device.h"

#define NSEC_PER_MSEC	1000000ULL

static char bus_name[SYMPHONY_NAME_MAX + 1] = "test";

void dev_begin(void)
{
	snprintf(bus_name, sizeof(bus_name), "test-%d", getpid());
	signal(SIGPIPE, SIG_IGN);
	alarm(DEV_ALARM);
}

const char *dev_bus(void)
{
	return bus_name;
}

int dev_open(void)
{
	int fd = open(DEV_PATH, O_RDWR | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int dev_ioctl(int fd, unsigned long op, void *arg)
{
	return ioctl(fd, op, arg) < 0 ? -errno : 0;
}

struct symphony_query dev_limits(void)
{
	struct symphony_query query = { .size = sizeof(query) };
	int fd = dev_open();

	if (fd < 0 || dev_ioctl(fd, SYMPHONY_IOC_QUERY, &query)) {
		fprintf(stderr, "# QUERY of %s failed; is the module loaded?\n",
			DEV_PATH);
		abort();
	}
	close(fd);
	return query;
}

__u64 dev_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 * NSEC_PER_MSEC + ts.tv_nsec;
}

__u64 dev_after(unsigned int ms)
{
	return dev_now() + ms * NSEC_PER_MSEC;
}

void dev_nap(unsigned int ms)
{
	poll(NULL, 0, ms);
}

long dev_param(const char *name, long value)
{
	char path[128];
	long old = -EIO;
	FILE *file;

	snprintf(path, sizeof(path), "/sys/module/symphony/parameters/%s", name);
	file = fopen(path, "r+e");
	if (!file)
		return -errno;
	if (fscanf(file, "%ld", &old) != 1)
		old = -EIO;
	rewind(file);
	fprintf(file, "%ld", value);
	return fclose(file) ? -errno : old;
}

bool dev_slow(void)
{
	return !access("/proc/lockdep_stats", F_OK) ||
	       !access("/sys/module/kcsan", F_OK);
}

void dev_fill(void *buf, size_t len, unsigned int seed)
{
	unsigned char *byte = buf;

	for (size_t i = 0; i < len; i++)
		byte[i] = (i * 31 + (i >> 8) + seed) & 0xff;
}

bool dev_filled(const void *buf, size_t len, unsigned int seed)
{
	const unsigned char *byte = buf;

	for (size_t i = 0; i < len; i++)
		if (byte[i] != ((i * 31 + (i >> 8) + seed) & 0xff))
			return false;
	return true;
}

unsigned char *dev_cliff(void)
{
	size_t page = sysconf(_SC_PAGESIZE);
	unsigned char *base = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (base == MAP_FAILED)
		abort();
	munmap(base + page, page);
	return base + page;
}

int ep_join_bus(struct ep *ep, const char *bus, __u32 flags, __u32 mode,
		__u32 pool_size)
{
	struct symphony_join join = {
		.size = sizeof(join),
		.flags = flags,
		.name = (uintptr_t)bus,
		.name_len = strlen(bus),
		.mode = mode,
		.pool_size = pool_size,
	};
	void *pool;
	int ret;

	*ep = (struct ep){ .fd = dev_open() };
	if (ep->fd < 0)
		return ep->fd;
	ret = dev_ioctl(ep->fd, SYMPHONY_IOC_JOIN, &join);
	if (ret)
		goto err_close;
	pool = mmap(NULL, join.pool_size, PROT_READ, MAP_SHARED, ep->fd, 0);
	if (pool == MAP_FAILED) {
		ret = -errno;
		goto err_close;
	}
	ep->id = join.endpoint;
	ep->size = join.pool_size;
	ep->pool = pool;
	return 0;

err_close:
	close(ep->fd);
	ep->fd = -1;
	return ret;
}

int ep_join(struct ep *ep, __u32 pool_size)
{
	return ep_join_bus(ep, bus_name, SYMPHONY_JOIN_CREATE, 0, pool_size);
}

int ep_join_as(struct ep *ep, uid_t uid, __u32 pool_size)
{
	int ret = syscall(SYS_setresuid, -1, uid, -1) ? -errno : ep_join(ep, pool_size);

	if (syscall(SYS_setresuid, -1, 0, -1))
		abort();
	return ret;
}

void ep_close(struct ep *ep)
{
	if (ep->pool)
		munmap((void *)ep->pool, ep->size);
	if (ep->fd >= 0)
		close(ep->fd);
	*ep = (struct ep){ .fd = -1 };
}

static int ep_service(struct ep *ep, unsigned long op, const char *name,
		      __u64 *handle)
{
	struct symphony_service service = {
		.size = sizeof(service),
		.name = (uintptr_t)name,
		.name_len = name ? strlen(name) : 0,
		.handle = op == SYMPHONY_IOC_UNCLAIM ? *handle : 0,
	};
	int ret = dev_ioctl(ep->fd, op, &service);

	if (!ret)
		*handle = service.handle;
	return ret;
}

int ep_claim(struct ep *ep, const char *name, __u64 *handle)
{
	return ep_service(ep, SYMPHONY_IOC_CLAIM, name, handle);
}

int ep_unclaim(struct ep *ep, __u64 handle)
{
	return ep_service(ep, SYMPHONY_IOC_UNCLAIM, NULL, &handle);
}

int ep_resolve(struct ep *ep, const char *name, __u64 *handle)
{
	return ep_service(ep, SYMPHONY_IOC_RESOLVE, name, handle);
}

struct symphony_call ep_request(__u64 handle, const void *body, __u32 len)
{
	return (struct symphony_call){
		.size = sizeof(struct symphony_call),
		.handle = handle,
		.body = (uintptr_t)body,
		.body_len = len,
		.deadline = dev_after(DEV_LONG),
	};
}

int ep_call(struct ep *ep, struct symphony_call *call)
{
	return dev_ioctl(ep->fd, SYMPHONY_IOC_CALL, call);
}

int ep_send(struct ep *ep, struct symphony_call *call)
{
	return dev_ioctl(ep->fd, SYMPHONY_IOC_SEND, call);
}

int ep_outcome(struct ep *ep, struct symphony_call *call)
{
	int ret = ep_call(ep, call);

	return ret ?: call->status;
}

int ep_recv(struct ep *ep, __u32 *offsets, __u32 max, int ms)
{
	struct symphony_recv recv = {
		.size = sizeof(recv),
		.flags = ms < 0 ? SYMPHONY_RECV_DONTWAIT : 0,
		.deadline = ms < 0 ? 0 : dev_after(ms),
		.offsets = (uintptr_t)offsets,
		.max = max,
	};
	int ret = dev_ioctl(ep->fd, SYMPHONY_IOC_RECV, &recv);

	return ret ?: (int)recv.nr;
}

const struct symphony_msg *ep_next(struct ep *ep, int ms)
{
	__u32 offset = SYMPHONY_NO_OFFSET;
	int ret = ep_recv(ep, &offset, 1, ms);

	if (ret != 1 || offset >= ep->size || offset % SYMPHONY_POOL_ALIGN) {
		errno = ret < 0 ? -ret : EPROTO;
		return NULL;
	}
	return ep_msg(ep, offset);
}

const struct symphony_msg *ep_msg(const struct ep *ep, __u32 offset)
{
	return (const void *)(ep->pool + offset);
}

__u32 ep_offset(const struct ep *ep, const struct symphony_msg *msg)
{
	return (const unsigned char *)msg - ep->pool;
}

const void *ep_body(const struct symphony_msg *msg)
{
	return (const unsigned char *)msg + msg->header_len;
}

int ep_reply_at(struct ep *ep, __u64 id, __u32 slot, const void *body,
		__u32 len, __u32 flags)
{
	struct symphony_reply reply = {
		.size = sizeof(reply),
		.flags = flags,
		.id = id,
		.slot = slot,
		.body = (uintptr_t)body,
		.body_len = len,
	};

	return dev_ioctl(ep->fd, SYMPHONY_IOC_REPLY, &reply);
}

int ep_reply(struct ep *ep, const struct symphony_msg *msg, const void *body,
	     __u32 len, __u32 flags)
{
	return ep_reply_at(ep, msg->id, ep_offset(ep, msg), body, len, flags);
}

int ep_release_at(struct ep *ep, __u32 offset)
{
	struct symphony_release release = {
		.size = sizeof(release),
		.release = (uintptr_t)&offset,
		.nr_release = 1,
	};

	return dev_ioctl(ep->fd, SYMPHONY_IOC_RELEASE, &release);
}

int ep_release(struct ep *ep, const struct symphony_msg *msg)
{
	return ep_release_at(ep, ep_offset(ep, msg));
}

int ep_cancel(struct ep *ep, __u64 id, __u32 slot)
{
	struct symphony_wait wait = {
		.size = sizeof(wait), .id = id, .slot = slot,
	};

	return dev_ioctl(ep->fd, SYMPHONY_IOC_CANCEL, &wait);
}

int ep_wait(struct ep *ep, struct symphony_call *call, __u32 flags)
{
	struct symphony_wait wait = {
		.size = sizeof(wait),
		.flags = flags,
		.id = call->id,
		.slot = call->slot,
	};
	int ret = dev_ioctl(ep->fd, SYMPHONY_IOC_WAIT, &wait);

	if (!ret) {
		call->status = wait.status;
		call->offset = wait.offset;
		call->needed = wait.needed;
	}
	return ret;
}

int ep_watch(struct ep *ep, __u64 endpoint, __u64 cookie, __u32 flags)
{
	struct symphony_watch watch = {
		.size = sizeof(watch),
		.flags = flags,
		.endpoint = endpoint,
		.cookie = cookie,
	};

	return dev_ioctl(ep->fd, SYMPHONY_IOC_WATCH, &watch);
}

int duo_join(struct duo *duo, __u32 client_pool, __u32 server_pool)
{
	int ret = ep_join(&duo->server, server_pool);

	if (!ret)
		ret = ep_join(&duo->client, client_pool);
	if (!ret)
		ret = ep_claim(&duo->server, "svc", &duo->svc);
	return ret;
}

void duo_close(struct duo *duo)
{
	ep_close(&duo->client);
	ep_close(&duo->server);
}

int duo_send(struct duo *duo, __u64 cookie, __u32 len)
{
	unsigned char body[len ?: 1];
	struct symphony_call call = ep_request(duo->svc, body, len);

	dev_fill(body, len, cookie);
	call.cookie = cookie;
	call.method = cookie;
	call.reply_max = 1;
	call.deadline = 0;
	return ep_send(&duo->client, &call);
}

int duo_flood(struct duo *duo, __u32 len, __u32 reply_max, int *why)
{
	void *body = calloc(1, len ?: 1);
	struct symphony_call call;
	int sent = 0;

	do {
		call = ep_request(duo->svc, body, len);
		call.reply_max = reply_max;
		call.cookie = sent;
		call.deadline = 0;
		*why = ep_send(&duo->client, &call);
	} while (!*why && ++sent < 1000000);
	free(body);
	return sent;
}

static void echo_answer(struct echo *echo, const struct symphony_msg *msg)
{
	__u32 flags = SYMPHONY_REPLY_RELEASE;
	const void *body = ep_body(msg);
	__u32 len = msg->body_len;
	void *filled = NULL;
	int ret;

	if (msg->method == ECHO_ERROR)
		flags |= SYMPHONY_REPLY_ERROR;
	if (msg->method == ECHO_SIZE) {
		len = msg->key;
		filled = malloc(len);
		if (!filled)
			abort();
		dev_fill(filled, len, msg->key);
		body = filled;
	}
	ret = ep_reply(echo->ep, msg, body, len, flags);
	if (ret) {
		echo->refused++;
		echo->last_error = ret;
		ep_release(echo->ep, msg);
	}
	free(filled);
	echo->served++;
}

static void *echo_run(void *arg)
{
	struct echo *echo = arg;
	const struct symphony_msg *msg;

	while (!echo->stop) {
		msg = ep_next(echo->ep, 20);
		if (msg && msg->type == SYMPHONY_MSG_CALL)
			echo_answer(echo, msg);
		else if (msg)
			ep_release(echo->ep, msg);
		else if (errno != ETIMEDOUT && errno != EINTR)
			break;
	}
	return NULL;
}

int echo_start(struct echo *echo, struct ep *ep)
{
	memset(echo, 0, sizeof(*echo));
	echo->ep = ep;
	return -pthread_create(&echo->thread, NULL, echo_run, echo);
}

void echo_stop(struct echo *echo)
{
	echo->stop = true;
	pthread_join(echo->thread, NULL);
}

static void *caller_run(void *arg)
{
	struct caller *caller = arg;

	caller->ret = ep_call(caller->ep, &caller->call);
	caller->done_at = dev_now();
	caller->done = true;
	return NULL;
}

int caller_start(struct caller *caller, struct ep *ep,
		 struct symphony_call call)
{
	memset(caller, 0, sizeof(*caller));
	caller->ep = ep;
	caller->call = call;
	return -pthread_create(&caller->thread, NULL, caller_run, caller);
}

int caller_join(struct caller *caller, int ms)
{
	for (; !caller->done && ms > 0; ms -= 5)
		dev_nap(5);
	if (!caller->done)
		return -ETIMEDOUT;
	return -pthread_join(caller->thread, NULL);
}

/* A signal is lost on a thread that is not in the kernel yet: again and again. */
int caller_interrupt(struct caller *caller)
{
	int err = -ETIMEDOUT;

	for (int ms = 0; ms < DEV_LONG / 2 && err; ms += DEV_BEAT) {
		pthread_kill(caller->thread, SIGUSR1);
		err = caller_join(caller, DEV_BEAT);
	}
	return err;
}

pid_t kid_fork(struct kid *kid)
{
	pid_t parent = getpid();
	int pair[2];

	fflush(NULL);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		abort();
	kid->pid = fork();
	if (kid->pid < 0)
		abort();
	if (kid->pid) {
		close(pair[1]);
		kid->fd = pair[0];
		return kid->pid;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* 0: it is in another pid namespace. */
	if (getppid() != parent && getppid())
		_exit(1);
	alarm(DEV_ALARM);
	close(pair[0]);
	kid->fd = pair[1];
	return 0;
}

int kid_tell(struct kid *kid, __s64 value)
{
	return send(kid->fd, &value, sizeof(value), MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static int kid_readable(struct kid *kid)
{
	struct pollfd pfd = { .fd = kid->fd, .events = POLLIN };
	int ret = poll(&pfd, 1, DEV_LONG);

	return ret < 0 ? -errno : ret ? 0 : -ETIMEDOUT;
}

int kid_hear(struct kid *kid, __s64 *value)
{
	int ret = kid_readable(kid);
	ssize_t len;

	if (ret)
		return ret;
	len = recv(kid->fd, value, sizeof(*value), 0);
	return len < 0 ? -errno : len == sizeof(*value) ? 0 : -EPIPE;
}

int kid_reap(struct kid *kid)
{
	__u64 until = dev_after(DEV_LONG);
	int ret = -ETIMEDOUT, status;

	while (waitpid(kid->pid, &status, WNOHANG) == 0) {
		if (dev_now() > until) {
			kill(kid->pid, SIGKILL);
			goto out;
		}
		dev_nap(1);
	}
	ret = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
out:
	close(kid->fd);
	kid->fd = -1;
	return ret;
}

int kid_kill(struct kid *kid, int sig)
{
	kill(kid->pid, sig);
	return kid_reap(kid);
}

union fd_control {
	char bytes[CMSG_SPACE(sizeof(int))];
	struct cmsghdr align;
};

int kid_pass(struct kid *kid, int fd)
{
	union fd_control control = {};
	char byte = 0;
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = &control, .msg_controllen = sizeof(control),
	};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
	return sendmsg(kid->fd, &msg, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int kid_take(struct kid *kid)
{
	union fd_control control = {};
	char byte;
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = &control, .msg_controllen = sizeof(control),
	};
	struct cmsghdr *cmsg;
	int fd, ret = kid_readable(kid);

	if (ret)
		return ret;
	if (recvmsg(kid->fd, &msg, MSG_CMSG_CLOEXEC) < 0)
		return -errno;
	cmsg = CMSG_FIRSTHDR(&msg);
	if (!cmsg || cmsg->cmsg_type != SCM_RIGHTS)
		return -EPROTO;
	memcpy(&fd, CMSG_DATA(cmsg), sizeof(fd));
	return fd;
}

int dev_become(uid_t uid, gid_t gid)
{
	/* Past the C library, whose version moves every thread. */
	if (syscall(SYS_setgroups, 0, NULL) ||
	    syscall(SYS_setresgid, gid, gid, gid) ||
	    syscall(SYS_setresuid, uid, uid, uid))
		return -errno;
	/* A kid dies with its parent still, and its files in /proc are its own. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) || prctl(PR_SET_DUMPABLE, 1))
		return -errno;
	return 0;
}

int dev_write(const char *path, const char *format, ...)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	va_list args;
	int ret;

	if (fd < 0)
		return -errno;
	va_start(args, format);
	ret = vdprintf(fd, format, args);
	va_end(args);
	ret = ret < 0 ? -errno : 0;
	close(fd);
	return ret;
}

int kid_unshare(struct kid *kid, int flags)
{
	__s64 ret = unshare(flags) ? -errno : 0;

	kid_tell(kid, ret);
	if (!ret && kid_hear(kid, &ret))
		ret = -EPIPE;
	return ret;
}

int kid_map(struct kid *kid, const char *map)
{
	__s64 ret = -EPIPE;
	char path[64];

	kid_hear(kid, &ret);
	if (ret)
		return ret;
	snprintf(path, sizeof(path), "/proc/%d/uid_map", kid->pid);
	ret = dev_write(path, "%s", map);
	snprintf(path, sizeof(path), "/proc/%d/gid_map", kid->pid);
	ret = ret ?: dev_write(path, "%s", map);
	kid_tell(kid, ret);
	return ret;
}

static void on_usr1(int sig)
{
	(void)sig;
}

void dev_on_usr1(int sa_flags)
{
	struct sigaction sa = { .sa_handler = on_usr1, .sa_flags = sa_flags };

	sigaction(SIGUSR1, &sa, NULL);
}
