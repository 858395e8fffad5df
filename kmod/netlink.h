/* SPDX-License-Identifier: GPL-2.0-only */
/* Netlink: who asks is told what there is. */
#ifndef SYMP_NETLINK_H
#define SYMP_NETLINK_H

#include <linux/types.h>

struct genl_family;
struct sk_buff;
struct symp_bus;
struct symp_program;
struct symp_service;

enum {
	SYMP_EVENTS,
};

extern struct genl_family symp_netlink_family;

int symp_netlink_init(void);
void symp_netlink_exit(void);
bool symp_netlink_put_bus(struct sk_buff *skb, const struct symp_bus *bus);
bool symp_netlink_put_service(struct sk_buff *skb,
			      const struct symp_service *service);
bool symp_netlink_put_program(struct sk_buff *skb,
			      const struct symp_program *program);

#endif
