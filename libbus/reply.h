/* SPDX-License-Identifier: MIT */
/* Answering requests. */
#ifndef LIBBUS_REPLY_H
#define LIBBUS_REPLY_H

#include "message.h"

/* The last reference to a request goes, and nobody answered it. */
void reply_abandoned(struct sbus_message *request);
/* Its caller has an outcome of the kernel's: none has to be sent. */
void reply_needless(struct sbus_message *request);
/* The handler failed with @err; if it did not answer, that is the answer. */
void reply_failure(struct sbus_message *request, int err);
/* Takes @text, which is freed, or reports that there is none (@r). */
int reply_text(struct sbus_message *request, uint32_t flags, int r, char *text, size_t len);

/*
 * The caller has no room for the answer in @reply, which was tried: sends it in a
 * file, or lets the caller know. 0 or what came of that. Its body is in one piece.
 */
int reply_in_file(const struct sbus *bus, struct symphony_reply *reply);

#endif /* LIBBUS_REPLY_H */
