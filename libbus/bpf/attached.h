/* SPDX-License-Identifier: MIT */
/* Attached: what a link has attached, asked of the kernel. */
#ifndef LIBBUS_BPF_ATTACHED_H
#define LIBBUS_BPF_ATTACHED_H

#include "options.h"

struct attached {
	uint32_t map;			/* id of the struct_ops map, 0: not known yet */
	enum sbus_hook hook;
	char policy[16];
	char bus[64];
	char service[64];		/* empty: all */
	struct options options;
};

/*
 * Another process may have replaced what @link has: @attached is made anew then,
 * and where it is empty. -ENOLINK: nothing is attached any more.
 */
int attached_refresh(struct attached *attached, int link, struct sbus_error *error);
void attached_deinit(struct attached *attached);

#endif
