/* SPDX-License-Identifier: GPL-2.0-only */
/* Grant: a file that lets its holder claim a name. */
#ifndef SYMP_GRANT_H
#define SYMP_GRANT_H

#include <linux/types.h>

struct symp_bus;

int symp_grant_open(const struct symp_bus *bus, const char *name,
		    __s32 __user *ufd);
int symp_grant_check(int fd, const struct symp_bus *bus, const char *name);

#endif
