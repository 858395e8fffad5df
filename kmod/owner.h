/* SPDX-License-Identifier: GPL-2.0-only */
/* Owner: a process, and the endpoints that die with it. */
#ifndef SYMP_OWNER_H
#define SYMP_OWNER_H

struct symp_endpoint;

void symp_owner_link(struct symp_endpoint *ep);
void symp_owner_unlink(struct symp_endpoint *ep);
bool symp_owner_left(const struct symp_endpoint *ep);
void symp_owner_exit(void);

#endif
