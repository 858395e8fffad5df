// SPDX-License-Identifier: MIT
/* What the tests of files with messages share; see files.h. */
#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "files.h"

int files_open(void)
{
	struct rlimit limit;
	int nr = 0;

	getrlimit(RLIMIT_NOFILE, &limit);
	for (int fd = 0; fd < (int)limit.rlim_cur && fd < 4096; fd++)
		nr += fcntl(fd, F_GETFD) >= 0;
	return nr;
}

__u64 files_in_flight(void)
{
	return dev_limits().user_files.used;
}

int probe_open(struct probe *probe)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK))
		return -errno;
	*probe = (struct probe){ .read = fds[0], .write = fds[1] };
	return 0;
}

static bool hangs_up(struct probe *probe, int ms)
{
	struct pollfd pfd = { .fd = probe->read };

	return poll(&pfd, 1, ms) == 1 && pfd.revents & POLLHUP;
}

bool probe_is_closed(struct probe *probe)
{
	return hangs_up(probe, DEV_LONG);
}

bool probe_is_open(struct probe *probe)
{
	return !hangs_up(probe, 0);
}

bool probe_is(struct probe *probe, int fd)
{
	char out = 'a' + fd % 26, in = 0;

	return write(fd, &out, 1) == 1 && read(probe->read, &in, 1) == 1 && in == out;
}

void probe_part(struct probe *probe)
{
	if (probe->write >= 0)
		close(probe->write);
	probe->write = -1;
}

int files_begin(struct files *f)
{
	int ret;

	dev_begin();
	f->used = files_in_flight();
	f->open = files_open();
	ret = ep_join_bus(&f->client, dev_bus(), SYMPHONY_JOIN_CREATE, 0666, MIB);
	ret = ret ?: ep_join(&f->server, MIB) ?: ep_join(&f->other, MIB);
	ret = ret ?: ep_claim_with(&f->server, "svc", FDS_RECOVERY, 0, &f->svc);
	return ret ?: probe_open(&f->probe);
}

bool files_end(struct files *f)
{
	probe_part(&f->probe);
	close(f->probe.read);
	ep_close(&f->client);
	ep_close(&f->server);
	ep_close(&f->other);
	return files_open() == f->open && dev_until(files_in_flight() == f->used);
}

struct symphony_call with_fds(__u64 svc, const int *fds, __u32 nr)
{
	struct symphony_call call = ep_request(svc, "body", 4);

	call.fds = (uintptr_t)fds;
	call.nr_fds = nr;
	return call;
}

int send_probe_as(struct files *f, struct symphony_call *call)
{
	int ret;

	call->fds = (uintptr_t)&f->probe.write;
	call->nr_fds = 1;
	ret = ep_send(&f->client, call);
	probe_part(&f->probe);
	return ret;
}

int send_probe(struct files *f)
{
	struct symphony_call call = ep_request(f->svc, "body", 4);

	return send_probe_as(f, &call);
}

int fds_of(struct ep *ep, __u64 id, __u32 offset, int *fds, __u32 nr)
{
	struct symphony_fds arg = {
		.size = sizeof(arg), .id = id, .offset = offset, .nr = nr,
		.fds = (uintptr_t)fds,
	};

	return dev_ioctl(ep->fd, SYMPHONY_IOC_FDS, &arg);
}

int take_fds(struct ep *ep, const struct symphony_msg *msg, int *fds, __u32 nr)
{
	return fds_of(ep, msg->id, ep_offset(ep, msg), fds, nr);
}

struct symphony_reply answer_with_fds(struct ep *ep, const struct symphony_msg *msg,
				      const int *fds, __u32 nr)
{
	return (struct symphony_reply){
		.size = sizeof(struct symphony_reply), .flags = SYMPHONY_REPLY_RELEASE,
		.id = msg->id, .slot = ep_offset(ep, msg),
		.body = (uintptr_t)"answer", .body_len = 6,
		.fds = (uintptr_t)fds, .nr_fds = nr,
	};
}

int reply_fds(struct ep *ep, const struct symphony_msg *msg, const int *fds, __u32 nr,
	      __u32 *limit)
{
	struct symphony_reply reply = answer_with_fds(ep, msg, fds, nr);
	int ret = dev_ioctl(ep->fd, SYMPHONY_IOC_REPLY, &reply);

	if (limit)
		*limit = reply.limit;
	return ret;
}

bool arrives(struct files *f, struct ep *ep, const struct symphony_msg **msg)
{
	bool is;
	int fd;

	do
		*msg = ep_next(ep, DEV_LONG);
	while (*msg && (*msg)->type == SYMPHONY_MSG_ACTIVATE && !ep_release(ep, *msg));
	if (!*msg || (*msg)->nr_fds != 1 || take_fds(ep, *msg, &fd, 1))
		return false;
	is = probe_is(&f->probe, fd);
	close(fd);
	return is;
}
