// SPDX-License-Identifier: MIT
/* What the tests of recovery, takeover and the like share; see claim.h. */
#include <string.h>

#include "claim.h"

int ep_claim_with(struct ep *ep, const char *name, __u32 flags, __u64 target,
		  __u64 *handle)
{
	struct symphony_service service = {
		.size = sizeof(service),
		.flags = flags,
		.name = (uintptr_t)name,
		.name_len = strlen(name),
		.endpoint = target,
	};
	int ret = dev_ioctl(ep->fd, SYMPHONY_IOC_CLAIM, &service);

	if (!ret)
		*handle = service.handle;
	return ret;
}

int ep_drain(struct ep *ep, __u64 handle, bool resume)
{
	struct symphony_service service = {
		.size = sizeof(service),
		.flags = resume ? SYMPHONY_DRAIN_RESUME : 0,
		.handle = handle,
	};

	return dev_ioctl(ep->fd, SYMPHONY_IOC_DRAIN, &service);
}

struct symphony_call ep_marked(__u64 handle, __u64 cookie, void *body, __u32 len)
{
	struct symphony_call call = ep_request(handle, body, len);

	dev_fill(body, len, cookie);
	call.cookie = cookie;
	call.method = cookie;
	call.key = ~cookie;
	call.reply_max = 1;
	call.content_type = SYMPHONY_CONTENT_JSON;
	call.deadline = 0;
	return call;
}

int ep_mark(struct ep *ep, __u64 handle, __u64 cookie, __u32 len)
{
	unsigned char body[len ?: 1];
	struct symphony_call call = ep_marked(handle, cookie, body, len);

	return ep_send(ep, &call);
}

bool ep_is_marked(const struct symphony_msg *msg, __u64 cookie, __u32 len)
{
	return msg->type == SYMPHONY_MSG_CALL && msg->method == cookie &&
	       msg->key == ~cookie && msg->body_len == len &&
	       msg->content_type == SYMPHONY_CONTENT_JSON &&
	       dev_filled(ep_body(msg), len, cookie);
}

const struct symphony_msg *ep_expect(struct ep *ep, __u16 type, __u64 cookie)
{
	const struct symphony_msg *msg = ep_next(ep, DEV_LONG);

	if (!msg || msg->type != type)
		return NULL;
	return (type == SYMPHONY_MSG_CALL ? msg->method : msg->cookie) == cookie ?
		msg : NULL;
}

int ep_fetch(struct ep *ep, __u64 *cookie)
{
	const struct symphony_msg *msg = ep_next(ep, DEV_LONG);
	int status;

	if (!msg)
		return -errno;
	if (msg->type != SYMPHONY_MSG_REPLY)
		return -EPROTO;
	status = msg->status;
	*cookie = msg->cookie;
	return ep_release(ep, msg) ?: status;
}

long ep_serve(struct ep *ep)
{
	const struct symphony_msg *msg = ep_next(ep, DEV_LONG);
	long method;

	if (!msg)
		return -errno;
	if (msg->type != SYMPHONY_MSG_CALL)
		return -EPROTO;
	method = msg->method;
	return ep_reply(ep, msg, NULL, 0, SYMPHONY_REPLY_RELEASE) ?: method;
}

bool ep_is_quiet(struct ep *ep)
{
	return ep_recv(ep, (__u32[1]){}, 1, DEV_BEAT) == -ETIMEDOUT;
}

bool caller_is_in(struct caller *caller)
{
	return dev_until(*(volatile __u64 *)&caller->call.id);
}
