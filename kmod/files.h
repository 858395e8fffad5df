/* SPDX-License-Identifier: GPL-2.0-only */
/* Files: what is sent with a message, beside its bytes. */
#ifndef SYMP_FILES_H
#define SYMP_FILES_H

#include <linux/rbtree_types.h>
#include <linux/types.h>

struct symp_endpoint;
struct symp_files;
struct symphony_fds;

struct symp_files *symp_files_open(struct symp_endpoint *ep, u64 address,
				   u32 nr);
void symp_files_put(struct symp_files *files);
void symp_files_place(struct symp_endpoint *ep, u32 offset,
		      struct symp_files *files);
struct symp_files *symp_files_take(struct symp_endpoint *ep, u32 offset);
void symp_files_released(struct symp_endpoint *ep, u32 offset);
void symp_files_settled(struct symp_endpoint *ep, u32 offset);
void symp_files_clear(struct rb_root *files);
int symp_files_claim(struct symp_endpoint *ep, const struct symphony_fds *arg);

#endif
