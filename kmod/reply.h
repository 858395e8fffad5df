/* SPDX-License-Identifier: GPL-2.0-only */
/* Reply: how a server answers a call, and takes the next. */
#ifndef SYMP_REPLY_H
#define SYMP_REPLY_H

#include "queue.h"

struct symphony_reply;

int symp_reply(struct symp_endpoint *ep, struct symphony_reply *arg,
	       const struct symp_receive *next);

#endif
