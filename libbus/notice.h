/* SPDX-License-Identifier: MIT */
/* What the kernel tells a connection beside requests and outcomes. */
#ifndef LIBBUS_NOTICE_H
#define LIBBUS_NOTICE_H

#include "message.h"

/* Takes a message that is neither a request nor an outcome. */
void notice_take(struct sbus *bus, const struct symphony_msg *msg);
/*
 * Enters a request that is not answered yet, so that it is found by its id when it
 * is cancelled: 0 or -ENOMEM. It leaves with its last reference.
 */
int notice_enter_locked(struct sbus_message *request);
void notice_enter(struct sbus_message *request);
void notice_leave(struct sbus_message *request);
/* sbus_message_cancelled(), as far as the kernel's notices were received. */
int notice_cancelled(const struct sbus_message *request);

#endif /* LIBBUS_NOTICE_H */
