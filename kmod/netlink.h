/* SPDX-License-Identifier: GPL-2.0-only */
/* Netlink: who asks is told what there is. */
#ifndef SYMP_NETLINK_H
#define SYMP_NETLINK_H

int symp_netlink_init(void);
void symp_netlink_exit(void);

#endif
