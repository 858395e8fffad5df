// SPDX-License-Identifier: MIT
/* What there is and what happens, as the module tells it; see told.h. */
#include <poll.h>
#include <string.h>
#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>

#include "told.h"

static int family;

/* An error that is not the kernel's own word. */
static int nl_failed(int err)
{
	switch (-err) {
	case NLE_NOMEM:
		/* As libnl has it. */
		return -ENOBUFS;
	case NLE_OBJ_NOTFOUND:
		return -ENOENT;
	case NLE_PERM:
	case NLE_NOACCESS:
		return -EPERM;
	case NLE_AGAIN:
		return -EAGAIN;
	case NLE_INVAL:
		/* Of EFAULT; what the kernel finds invalid it answers. */
		return -EFAULT;
	default:
		return -EPROTO;
	}
}

struct nl_sock *told_open(int *err)
{
	struct nl_sock *sk = nl_socket_alloc();

	*err = sk ? genl_connect(sk) : -NLE_NOMEM;
	if (!*err) {
		family = genl_ctrl_resolve(sk, SYMPHONY_FAMILY_NAME);
		*err = family < 0 ? family : 0;
	}
	if (!*err)
		return sk;
	*err = nl_failed(*err);
	told_close(sk);
	return NULL;
}

void told_close(struct nl_sock *sk)
{
	if (sk)
		nl_socket_free(sk);
}

int told_ask(struct nl_sock *sk, int cmd, const char *bus)
{
	struct nl_msg *msg = nlmsg_alloc();
	int err;

	if (!msg || !genlmsg_put(msg, NL_AUTO_PORT, NL_AUTO_SEQ, family, 0, NLM_F_DUMP,
				 cmd, SYMPHONY_FAMILY_VERSION) ||
	    (bus && nla_put_string(msg, SYMPHONY_A_BUS, bus))) {
		nlmsg_free(msg);
		return -ENOMEM;
	}
	err = nl_send_auto(sk, msg);
	nlmsg_free(msg);
	return err < 0 ? nl_failed(err) : 0;
}

static void read_row(struct row *row, struct nlmsghdr *header)
{
	struct genlmsghdr *genl = nlmsg_data(header);
	struct nlattr *attr;
	int left;

	*row = (struct row){ .cmd = genl->cmd };
	nla_for_each_attr(attr, genlmsg_attrdata(genl, 0), genlmsg_attrlen(genl, 0), left) {
		int type = nla_type(attr), len = nla_len(attr);

		if (type > SYMPHONY_A_MAX)
			continue;
		row->has[type] = true;
		if (type == SYMPHONY_A_QUEUE_TIMES)
			nla_memcpy(row->queue_times, attr, sizeof(row->queue_times));
		else if (type == SYMPHONY_A_SERVICE_TIMES)
			nla_memcpy(row->service_times, attr, sizeof(row->service_times));
		else if (len == sizeof(__u32) && type != SYMPHONY_A_BUS &&
		    type != SYMPHONY_A_SERVICE)
			row->number[type] = nla_get_u32(attr);
		else if (len == sizeof(__u64) && (type == SYMPHONY_A_BUS_ID ||
						  type == SYMPHONY_A_ENDPOINT ||
						  type == SYMPHONY_A_ACTIVATOR))
			row->number[type] = nla_get_u64(attr);
		else
			nla_strlcpy(row->text[type], attr, sizeof(row->text[type]));
	}
}

struct reading {
	struct row *rows;
	int nr, max, err;
	bool done;
};

static int on_row(struct nl_msg *msg, void *arg)
{
	struct reading *reading = arg;

	if (nlmsg_hdr(msg)->nlmsg_type != family)
		return NL_SKIP;
	if (reading->nr < reading->max)
		read_row(&reading->rows[reading->nr], nlmsg_hdr(msg));
	reading->nr++;
	return NL_OK;
}

static int on_done(struct nl_msg *msg, void *arg)
{
	struct reading *reading = arg;

	reading->err = *(int *)nlmsg_data(nlmsg_hdr(msg));
	reading->done = true;
	return NL_STOP;
}

static int on_error(struct sockaddr_nl *, struct nlmsgerr *error, void *arg)
{
	struct reading *reading = arg;

	reading->err = error->error;
	reading->done = true;
	return NL_STOP;
}

static int on_sequence(struct nl_msg *, void *)
{
	return NL_OK;
}

static int receive(struct nl_sock *sk, struct reading *reading)
{
	struct nl_cb *cb = nl_cb_alloc(NL_CB_DEFAULT);
	int err;

	if (!cb)
		return -ENOMEM;
	nl_cb_set(cb, NL_CB_VALID, NL_CB_CUSTOM, on_row, reading);
	nl_cb_set(cb, NL_CB_FINISH, NL_CB_CUSTOM, on_done, reading);
	nl_cb_err(cb, NL_CB_CUSTOM, on_error, reading);
	/* Events have none. */
	nl_cb_set(cb, NL_CB_SEQ_CHECK, NL_CB_CUSTOM, on_sequence, NULL);
	err = nl_recvmsgs(sk, cb);
	nl_cb_put(cb);
	/* What the kernel said is better than what libnl makes of it. */
	return err < 0 && !reading->done ? nl_failed(err) : 0;
}

int told_rows(struct nl_sock *sk, struct row *rows, int max)
{
	struct reading reading = { .rows = rows, .max = max };
	int err;

	while (!reading.done) {
		err = receive(sk, &reading);
		if (err)
			return err;
	}
	return reading.err ?: reading.nr;
}

int told_dump(struct nl_sock *sk, int cmd, const char *bus, struct row *rows, int max)
{
	return told_ask(sk, cmd, bus) ?: told_rows(sk, rows, max);
}

int told_listen(struct nl_sock *sk)
{
	int group = genl_ctrl_resolve_grp(sk, SYMPHONY_FAMILY_NAME, SYMPHONY_MCGRP_EVENTS);
	int err = group < 0 ? group : nl_socket_add_membership(sk, group);

	return err < 0 ? nl_failed(err) : 0;
}

int told_event(struct nl_sock *sk, struct row *row)
{
	struct reading reading = { .rows = row, .max = 1 };
	struct pollfd pfd = { .fd = nl_socket_get_fd(sk), .events = POLLIN };
	int err = 0;

	while (!err && !reading.nr && !reading.err) {
		if (poll(&pfd, 1, DEV_LONG) != 1)
			return -ETIMEDOUT;
		err = receive(sk, &reading);
	}
	return err ?: reading.err;
}
