/* SPDX-License-Identifier: MIT */
/* The module's family of generic netlink, as control.c and monitor.c use it. */
#ifndef LIBBUS_NETLINK_H
#define LIBBUS_NETLINK_H

#include <linux/symphony_netlink.h>
#include <netlink/netlink.h>
#include <symphony/control.h>

/* A message, by attribute: a negative result is that of the function that reads. */
typedef int (*netlink_fn)(int command, struct nlattr *const *attrs, void *data);

struct netlink {
	struct nl_sock *socket;
	struct nl_cb *callbacks;
	int family;

	/* What is being read. */
	netlink_fn fn;
	void *data;
	int told;
	int err;
	bool done;
};

int netlink_open(struct netlink *nl, struct sbus_error *error);
void netlink_close(struct netlink *nl);
/* 0, what @fn returned when that was not 0, or -errno. @bus: that one only, or NULL. */
int netlink_dump(struct netlink *nl, int command, const char *bus, netlink_fn fn, void *data);
/* Join the group of events, and do not wait for any. */
int netlink_listen(struct netlink *nl);
/* Read what has come: how many were told, or -errno. */
int netlink_process(struct netlink *nl, netlink_fn fn, void *data);

/* What attributes say; 0, false and NULL when they are not there. */
uint64_t netlink_number(const struct nlattr *attr);
const char *netlink_text(const struct nlattr *attr);

#endif /* LIBBUS_NETLINK_H */
