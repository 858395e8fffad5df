/* SPDX-License-Identifier: GPL-2.0-only */
/* Monitor: listeners are told what happens. */
#ifndef SYMP_MONITOR_H
#define SYMP_MONITOR_H

#include <linux/types.h>
#include <linux/symphony_netlink.h>

struct symp_bus;
struct symp_endpoint;
struct symp_program;
struct symp_service;

void symp_monitor_bus(enum symphony_cmd what, const struct symp_bus *bus);
void symp_monitor_endpoint(enum symphony_cmd what,
			   const struct symp_endpoint *ep);
void symp_monitor_claim(enum symphony_cmd what, const struct symp_endpoint *ep,
			const struct symp_service *service, bool activates);
void symp_monitor_program(enum symphony_cmd what,
			  const struct symp_program *program);

#endif
