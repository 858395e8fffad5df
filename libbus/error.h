/* SPDX-License-Identifier: MIT */
/* Saying what failed, to what, and what to do next. */
#ifndef LIBBUS_ERROR_H
#define LIBBUS_ERROR_H

#include <stdarg.h>
#include <stdbool.h>
#include <symphony/bus.h>

struct sbus_message;

/* What a negative errno means, never NULL. */
const char *error_text(int err);

/* A message: valid UTF-8, as it may travel as JSON; "?" is in place of other bytes. */
char *error_format(const char *format, va_list args) __attribute__((format(printf, 1, 0)));

/*
 * Fills @error with what @err means for a call of @extension, and returns @err.
 * @call: the call's id, 0 when there is none. @needed: see struct sbus_error.
 */
int error_call(struct sbus_error *error, struct sbus *bus, const char *extension, uint64_t call,
	       int err, uint32_t needed);
/* The same, when there is no call because of @limit (enum symphony_limit), if any. */
int error_refused(struct sbus_error *error, struct sbus *bus, const char *extension, int err,
		  uint32_t limit);
/*
 * Did @err come of @limit? Then @error is filled: @what, @name in quotation marks, which
 * limit, and what to do about it.
 */
bool error_limit(struct sbus_error *error, int err, uint32_t limit, const char *what,
		 const char *name);
/* Fills @error from an error reply; returns -EREMOTEIO. */
int error_reply(struct sbus_error *error, const char *extension, struct sbus_message *reply);
/* Fills @error as an error reply: takes @data. Returns -EREMOTEIO. */
int error_remote(struct sbus_error *error, const char *extension, int64_t code,
		 yyjson_mut_doc *data, const char *format, va_list args);
/* The connection to bus @name belongs to another process: fills @error, returns -EPERM. */
int error_foreign(struct sbus_error *error, const char *name);
/* Names the extension in @error, if there is one. */
void error_extension(struct sbus_error *error, const char *extension);

#endif /* LIBBUS_ERROR_H */
