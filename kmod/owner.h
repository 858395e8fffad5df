/* SPDX-License-Identifier: GPL-2.0-only */
/* Owner: a process, and the endpoints that die with it. */
#ifndef SYMP_OWNER_H
#define SYMP_OWNER_H

struct symp_endpoint;
struct symp_owner;

struct symp_owner *symp_owner_get(void);
void symp_owner_put(struct symp_owner *owner);
bool symp_owner_is_current(struct symp_owner *owner);
bool symp_owner_left(const struct symp_endpoint *ep);
void symp_owner_exit(void);
bool symp_owner_link(struct symp_owner *owner, struct symp_endpoint *ep);
void symp_owner_unlink(struct symp_owner *owner, struct symp_endpoint *ep);

#endif
