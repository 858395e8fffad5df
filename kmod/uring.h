/* SPDX-License-Identifier: GPL-2.0-only */
/* Uring: operations that a ring submitted and that wait. */
#ifndef SYMP_URING_H
#define SYMP_URING_H

#include <linux/types.h>

struct io_uring_cmd;
struct symp_call;
struct symp_endpoint;
struct symp_receive;

void symp_uring_begin_call(struct io_uring_cmd *cmd, unsigned int issue_flags);
int symp_uring_end_call(struct io_uring_cmd *cmd, int ret,
			unsigned int issue_flags);
void symp_uring_bind(struct io_uring_cmd *cmd, struct symp_call *call);
int symp_uring_receive(struct io_uring_cmd *cmd, struct symp_endpoint *ep,
		       const struct symp_receive *how, bool answered,
		       unsigned int issue_flags);
int symp_uring_end(struct io_uring_cmd *cmd, int ret, unsigned int issue_flags);

void symp_uring_complete(struct io_uring_cmd *cmd);
void symp_uring_wake_one(struct symp_endpoint *ep);
void symp_uring_wake_all(struct symp_endpoint *ep);
int symp_uring_cancel_receive(struct symp_endpoint *ep, u64 offsets);
int symp_uring_cancel(struct io_uring_cmd *cmd);

#endif
