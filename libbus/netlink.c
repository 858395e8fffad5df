// SPDX-License-Identifier: MIT
/*
 * The module's family of generic netlink. libnl's own errors tell less than errno
 * does, so what the kernel answers is taken from the message.
 */
#include "netlink.h"

#include <errno.h>
#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>
#include <string.h>

/* What libnl itself says: it has one error for ENOMEM and ENOBUFS. */
static int failed(int err)
{
	switch (-err) {
	case NLE_NOMEM:
		return -ENOBUFS;
	case NLE_OBJ_NOTFOUND:
		return -ENODEV;
	case NLE_PERM:
	case NLE_NOACCESS:
		return -EPERM;
	case NLE_AGAIN:
		return -EAGAIN;
	default:
		return -EIO;
	}
}

static int on_message(struct nl_msg *msg, void *data)
{
	struct nlmsghdr *header = nlmsg_hdr(msg);
	struct nlattr *attrs[SYMPHONY_A_MAX + 1];
	struct netlink *nl = data;
	int r;

	if (header->nlmsg_type != nl->family || !genlmsg_valid_hdr(header, 0))
		return NL_SKIP;
	/* A dump is read to its end all the same, or the socket could not ask again. */
	if (nl->err)
		return NL_SKIP;
	if (genlmsg_parse(header, 0, attrs, SYMPHONY_A_MAX, NULL) < 0) {
		nl->err = -EIO;
		return NL_SKIP;
	}
	nl->told++;
	r = nl->fn(genlmsg_hdr(header)->cmd, attrs, nl->data);
	if (r)
		nl->err = r;
	return NL_OK;
}

static int on_done(struct nl_msg *msg, void *data)
{
	struct nlmsghdr *header = nlmsg_hdr(msg);
	struct netlink *nl = data;
	int err = 0;

	if (nlmsg_datalen(header) >= (int)sizeof(err))
		memcpy(&err, nlmsg_data(header), sizeof(err));
	if (!nl->err)
		nl->err = err;
	nl->done = true;
	return NL_STOP;
}

static int on_error(struct sockaddr_nl *from, struct nlmsgerr *message, void *data)
{
	struct netlink *nl = data;

	(void)from;
	if (!nl->err)
		nl->err = message->error == -ENOENT ? -ENODEV : message->error;
	nl->done = true;
	return NL_STOP;
}

/* Events have no sequence, and a dump's answers come on a socket of its own. */
static int on_sequence(struct nl_msg *msg, void *data)
{
	(void)msg;
	(void)data;
	return NL_OK;
}

static int set_up(struct netlink *nl)
{
	int r;

	nl->socket = nl_socket_alloc();
	nl->callbacks = nl_cb_alloc(NL_CB_DEFAULT);
	if (!nl->socket || !nl->callbacks)
		return -ENOMEM;
	nl_cb_set(nl->callbacks, NL_CB_VALID, NL_CB_CUSTOM, on_message, nl);
	nl_cb_set(nl->callbacks, NL_CB_FINISH, NL_CB_CUSTOM, on_done, nl);
	nl_cb_set(nl->callbacks, NL_CB_SEQ_CHECK, NL_CB_CUSTOM, on_sequence, NULL);
	nl_cb_err(nl->callbacks, NL_CB_CUSTOM, on_error, nl);
	errno = 0;
	r = genl_connect(nl->socket);
	if (r < 0)
		return errno ? -errno : failed(r);
	r = genl_ctrl_resolve(nl->socket, SYMPHONY_FAMILY_NAME);
	if (r < 0)
		return failed(r);
	nl->family = r;
	return 0;
}

int netlink_open(struct netlink *nl, struct sbus_error *error)
{
	int saved = errno, r;

	*nl = (struct netlink){ };
	r = set_up(nl);
	errno = saved;
	if (!r)
		return 0;
	netlink_close(nl);
	if (r == -ENODEV)
		return sbus_error_set(error, r, "the module is not loaded: modprobe symphony");
	return sbus_error_set(error, r, "cannot ask over netlink: %s", strerror(-r));
}

void netlink_close(struct netlink *nl)
{
	if (nl->socket)
		nl_socket_free(nl->socket);
	if (nl->callbacks)
		nl_cb_put(nl->callbacks);
}

static void begin(struct netlink *nl, netlink_fn fn, void *data)
{
	nl->fn = fn;
	nl->data = data;
	nl->told = 0;
	nl->err = 0;
	nl->done = false;
}

static int ask(struct netlink *nl, int command, const char *bus)
{
	struct nl_msg *msg = nlmsg_alloc();
	int r;

	if (!msg)
		return -ENOMEM;
	if (!genlmsg_put(msg, NL_AUTO_PORT, NL_AUTO_SEQ, nl->family, 0, NLM_F_DUMP, command,
			 SYMPHONY_FAMILY_VERSION) ||
	    (bus && nla_put_string(msg, SYMPHONY_A_BUS, bus))) {
		nlmsg_free(msg);
		return -ENOMEM;
	}
	r = nl_send_auto(nl->socket, msg);
	nlmsg_free(msg);
	return r < 0 ? failed(r) : 0;
}

int netlink_dump(struct netlink *nl, int command, const char *bus, netlink_fn fn, void *data)
{
	int saved = errno, r;

	begin(nl, fn, data);
	r = ask(nl, command, bus);
	while (!r && !nl->done) {
		r = nl_recvmsgs(nl->socket, nl->callbacks);
		r = r < 0 ? failed(r) : 0;
	}
	errno = saved;
	return nl->err ? nl->err : r;
}

int netlink_listen(struct netlink *nl)
{
	int saved = errno, r;

	r = genl_ctrl_resolve_grp(nl->socket, SYMPHONY_FAMILY_NAME, SYMPHONY_MCGRP_EVENTS);
	if (r >= 0)
		r = nl_socket_add_membership(nl->socket, r);
	if (r >= 0)
		r = nl_socket_set_nonblocking(nl->socket);
	errno = saved;
	return r < 0 ? failed(r) : 0;
}

int netlink_process(struct netlink *nl, netlink_fn fn, void *data)
{
	int saved = errno, r = 0;

	begin(nl, fn, data);
	while (!r && !nl->err) {
		r = nl_recvmsgs(nl->socket, nl->callbacks);
		r = r < 0 ? failed(r) : 0;
	}
	errno = saved;
	if (nl->err)
		return nl->err;
	return r == -EAGAIN ? nl->told : r;
}

uint64_t netlink_number(const struct nlattr *attr)
{
	int len = attr ? nla_len(attr) : 0;

	if (len == sizeof(uint64_t))
		return nla_get_u64(attr);
	return len == sizeof(uint32_t) ? nla_get_u32(attr) : 0;
}

const char *netlink_text(const struct nlattr *attr)
{
	int len = attr ? nla_len(attr) : 0;
	const char *text = len ? nla_data(attr) : NULL;

	return text && !text[len - 1] ? text : NULL;
}
