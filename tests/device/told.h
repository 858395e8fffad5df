/* SPDX-License-Identifier: MIT */
/* What there is and what happens, as the module tells it over netlink. */
#ifndef SYMPHONY_TESTS_TOLD_H
#define SYMPHONY_TESTS_TOLD_H

#include <stdbool.h>
#include <netlink/netlink.h>

#include <linux/symphony_netlink.h>

#include "device.h"

/* A message: which attributes it has, and what they say. */
struct row {
	int cmd;
	bool has[SYMPHONY_A_MAX + 1];
	__u64 number[SYMPHONY_A_MAX + 1];
	char text[SYMPHONY_A_MAX + 1][80];
	__u64 queue_times[SYMPHONY_TIME_BUCKETS], service_times[SYMPHONY_TIME_BUCKETS];
};

/* A socket that knows the family; -errno in @err when there is none. */
struct nl_sock *told_open(int *err);
void told_close(struct nl_sock *sk);
/* Begin a dump, of @bus unless it is NULL. Nothing is read. */
int told_ask(struct nl_sock *sk, int cmd, const char *bus);
/* Read a dump to its end, into at most @max rows: how many there are, or -errno. */
int told_rows(struct nl_sock *sk, struct row *rows, int max);
/* Both. */
int told_dump(struct nl_sock *sk, int cmd, const char *bus, struct row *rows, int max);
/* Listen to events: 0 or -errno. They are read with told_event(). */
int told_listen(struct nl_sock *sk);
/* The next one, if it comes within DEV_LONG: 0 or -errno. */
int told_event(struct nl_sock *sk, struct row *row);

#endif
