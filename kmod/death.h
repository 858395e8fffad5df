/* SPDX-License-Identifier: GPL-2.0-only */
/* Death: an endpoint ends, because its owner did or its file was released. */
#ifndef SYMP_DEATH_H
#define SYMP_DEATH_H

struct symp_endpoint;

void symp_death_init(struct symp_endpoint *ep);
void symp_endpoint_kill(struct symp_endpoint *ep);
void symp_death_wait(struct symp_endpoint *ep);
void symp_deaths_wait(void);

#endif
