// SPDX-License-Identifier: MIT
/* Errors with their context. */
#include "error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bus.h"

SBUS_API void sbus_error_clear(struct sbus_error *error)
{
	if (!error)
		return;
	free(error->message);
	yyjson_doc_free(error->data);
	memset(error, 0, sizeof(*error));
}

/* How many bytes the character at @at has; 0 when there is none. */
static size_t utf8_len(const unsigned char *at)
{
	size_t len;

	if (at[0] < 0x80)
		return 1;
	len = at[0] < 0xc2 ? 0 : at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : at[0] < 0xf5 ? 4 : 0;
	for (size_t i = 1; i < len; i++)
		if ((at[i] & 0xc0) != 0x80)
			return 0;
	/* Forms that are too long, halves of characters, what is beyond the last one. */
	if ((at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xed && at[1] >= 0xa0) ||
	    (at[0] == 0xf0 && at[1] < 0x90) || (at[0] == 0xf4 && at[1] >= 0x90))
		return 0;
	return len;
}

char *error_format(const char *format, va_list args)
{
	unsigned char *at;
	char *text;

	if (vasprintf(&text, format, args) < 0)
		return NULL;
	for (at = (unsigned char *)text; *at; at += utf8_len(at))
		if (!utf8_len(at))
			*at = '?';
	return text;
}

static void set_message(struct sbus_error *error, const char *format, va_list args)
{
	error->message = error_format(format, args);
}

SBUS_API int sbus_error_set(struct sbus_error *error, int err, const char *format, ...)
{
	va_list args;

	if (!error)
		return err;
	sbus_error_clear(error);
	error->error = err;
	va_start(args, format);
	set_message(error, format, args);
	va_end(args);
	return err;
}

SBUS_API int sbus_error_copy(struct sbus_error *to, const struct sbus_error *from)
{
	int err = from->error;

	if (!to || to == from)
		return err;
	sbus_error_clear(to);
	*to = *from;
	to->message = from->message ? strdup(from->message) : NULL;
	to->data = NULL;
	if (from->data) {
		yyjson_mut_doc *data = yyjson_doc_mut_copy(from->data, NULL);

		to->data = yyjson_mut_doc_imut_copy(data, NULL);
		yyjson_mut_doc_free(data);
	}
	return err;
}

SBUS_API const char *sbus_error_message(const struct sbus_error *error)
{
	return error->message ? error->message : error_text(error->error);
}

const char *error_text(int err)
{
	const char *text = strerrordesc_np(-err);

	return text ? text : "unknown error";
}

int error_foreign(struct sbus_error *error, const char *name)
{
	return sbus_error_set(error, -EPERM, "the connection to bus \"%s\" belongs to another process: open one after fork",
			      name);
}

void error_extension(struct sbus_error *error, const char *extension)
{
	if (error && extension)
		snprintf(error->extension, sizeof(error->extension), "%s", extension);
}

/* Which limit it is, and what to do about it. */
static const char *const limits[] = {
	[SYMPHONY_LIMIT_POOL] = "this connection's receive pool is full: drop messages that are held, or open it with a larger pool_size",
	[SYMPHONY_LIMIT_CALLS] = "this connection has as many calls without an outcome as one may (calls_max): wait for some",
	[SYMPHONY_LIMIT_QUEUE] = "as many requests of this connection are there as of one may be (queue_max): wait for answers",
	[SYMPHONY_LIMIT_SHARE] = "this connection has its share of the receive pool there: wait for answers",
	[SYMPHONY_LIMIT_USER_SHARE] = "this user's connections have their share of the receive pool there: wait for answers",
	[SYMPHONY_LIMIT_ROOM] = "the receive pool there is full: call again later",
	[SYMPHONY_LIMIT_BODY] = "the message is larger than half the receive pool there: send it in parts, or have that opened with a larger pool_size",
	[SYMPHONY_LIMIT_REPLY] = "reply_max is larger than half of this connection's receive pool: ask for less, or open it with a larger pool_size",
	[SYMPHONY_LIMIT_SERVICES] = "the bus has as many ids as one may (the module's services_max)",
	[SYMPHONY_LIMIT_USER_BUSES] = "this user created as many buses as one may (the module's user_buses_max): close some",
	[SYMPHONY_LIMIT_USER_ENDPOINTS] = "this user has as many connections as one may (the module's user_endpoints_max): close some",
	[SYMPHONY_LIMIT_USER_POOL] = "this user's receive pools are as large as one's may be (the module's user_pool_max): close connections, or open them with a smaller pool_size",
	[SYMPHONY_LIMIT_USER_CALLS] = "this user's connections have as many calls without an outcome as one's may (the module's user_calls_max): wait for some",
	[SYMPHONY_LIMIT_USER_SERVICES] = "this user claimed as many ids as one may (the module's user_services_max)",
	[SYMPHONY_LIMIT_USER_FILES] = "this user has as many files on the way as one may (the module's user_files_max): wait until some were taken",
	[SYMPHONY_LIMIT_USER_CLAIMS] = "this user's connections have as many claims as one's may (the module's user_claims_max): give some up, or receive the notices of those that were taken over",
	[SYMPHONY_LIMIT_USER_RECORDS] = "this user's connections call and watch as many others as one's may (the module's user_records_max): close some, or end watches",
};

bool error_limit(struct sbus_error *error, int err, uint32_t limit, const char *what,
		 const char *name)
{
	if ((err != -EDQUOT && err != -EAGAIN && err != -EMSGSIZE && err != -ENOBUFS) ||
	    limit >= sizeof(limits) / sizeof(*limits) || !limits[limit])
		return false;
	sbus_error_set(error, err, "%s \"%s\": %s", what, name, limits[limit]);
	if (error)
		error->limit = limit;
	return true;
}

int error_refused(struct sbus_error *error, struct sbus *bus, const char *extension, int err,
		  uint32_t limit)
{
	if (!error_limit(error, err, limit, "no call of", extension))
		return error_call(error, bus, extension, 0, err, 0);
	if (error)
		error->retry_safe = true;
	error_extension(error, extension);
	return err;
}

int error_call(struct sbus_error *error, struct sbus *bus, const char *extension, uint64_t call,
	       int err, uint32_t needed)
{
	if (!error)
		return err;
	switch (-err) {
	case ENOENT:
		sbus_error_set(error, err, "nobody on bus \"%s\" ever claimed \"%s\": check the id, or start the extension",
			       bus->name, extension);
		break;
	case ECONNREFUSED:
		sbus_error_set(error, err, "no replica of \"%s\" is up on bus \"%s\": start one and call again",
			       extension, bus->name);
		break;
	case ECONNRESET:
		sbus_error_set(error, err, "the replica of \"%s\" that had received the call died before it answered; it may have done the work",
			       extension);
		break;
	case ECONNABORTED:
		sbus_error_set(error, err, "the replica of \"%s\" that the call was sent to died before it received the call: nothing was done, call again",
			       extension);
		break;
	case ETIMEDOUT:
		if (!call)
			goto unreceived;
		sbus_error_set(error, err, "\"%s\" did not answer by the deadline; it may still do the work",
			       extension);
		break;
	case ETIME:
	unreceived:
		sbus_error_set(error, err, "the deadline of the call of \"%s\" passed before a replica received it: nothing was done, call again with a later deadline",
			       extension);
		break;
	case ECANCELED:
		sbus_error_set(error, err, call ? "the call of \"%s\" was cancelled, or the one that it was made for; its work may have been done" :
			       "the call of \"%s\", or the one that it was made for, was cancelled before it was sent: nothing was done",
			       extension);
		break;
	case EMSGSIZE:
		if (!needed) {
			sbus_error_set(error, err, "the call of \"%s\" had to go to another replica, whose receive pool is too small for its message: send it in parts, or have that opened with a larger pool_size",
				       extension);
			break;
		}
		sbus_error_set(error, err, "\"%s\" did its work, but its answer is larger than the room for it: next time call it with reply_max = %u, or open this connection with a larger pool_size",
			       extension, needed);
		break;
	case EBADF:
	case ELOOP:
	case E2BIG:
		sbus_error_set(error, err, "no call of \"%s\": %s", extension,
			       err == -EBADF ? "one of its file descriptors is not open" :
			       err == -ELOOP ? "one of its files is a connection to a bus" :
			       "more than 16 files");
		break;
	case ENOBUFS:
		sbus_error_set(error, err, "no call of \"%s\": %u calls wait here for room already (queue_max): wait for outcomes",
			       extension, bus->queue_max);
		break;
	case EPERM:
		/* A policy can say it too. */
		if (bus->pid != getpid())
			error_foreign(error, bus->name);
		else
			sbus_error_set(error, err, "a policy on bus \"%s\" does not let this connection call \"%s\"",
				       bus->name, extension);
		break;
	case ESHUTDOWN:
		sbus_error_set(error, err, call ? "the connection to bus \"%s\" was closed before \"%s\" answered; it may still do the work" :
			       "the connection to bus \"%s\" is closed: \"%s\" was not called",
			       bus->name, extension);
		break;
	default:
		sbus_error_set(error, err, "the call of \"%s\" on bus \"%s\" failed: %s", extension,
			       bus->name, error_text(err));
	}
	error->call = call;
	error->needed = needed;
	error->retry_safe = !call || err == -ETIME || err == -ECONNABORTED;
	error_extension(error, extension);
	return err;
}

/* A NUL, which this library does not send, would hide what comes after it. */
static void set_string(struct sbus_error *error, yyjson_val *message)
{
	size_t len = yyjson_get_len(message);

	sbus_error_clear(error);
	error->error = -EREMOTEIO;
	error->message = malloc(len + 1);
	for (size_t i = 0; error->message && i <= len; i++)
		error->message[i] = yyjson_get_str(message)[i] || i == len ?
					    yyjson_get_str(message)[i] : '?';
}

int error_reply(struct sbus_error *error, const char *extension, struct sbus_message *reply)
{
	yyjson_val *root, *message, *data;
	yyjson_mut_doc *copy;

	if (!error)
		return -EREMOTEIO;
	if (sbus_message_json(reply, &root, NULL)) {
		sbus_error_set(error, -EREMOTEIO, "\"%s\" answered with an error that is not JSON",
			       extension);
		error->code = SBUS_CODE_INTERNAL;
		error->call = sbus_message_id(reply);
		error_extension(error, extension);
		return -EREMOTEIO;
	}
	message = yyjson_obj_get(root, "message");
	data = yyjson_obj_get(root, "data");
	if (yyjson_is_str(message))
		set_string(error, message);
	else
		sbus_error_set(error, -EREMOTEIO, "\"%s\" answered with an error", extension);
	error->code = yyjson_get_sint(yyjson_obj_get(root, "code"));
	if (data) {
		copy = yyjson_mut_doc_new(NULL);
		yyjson_mut_doc_set_root(copy, yyjson_val_mut_copy(copy, data));
		error->data = yyjson_mut_doc_imut_copy(copy, NULL);
		yyjson_mut_doc_free(copy);
	}
	error->call = sbus_message_id(reply);
	error_extension(error, extension);
	return -EREMOTEIO;
}

int error_remote(struct sbus_error *error, const char *extension, int64_t code,
		 yyjson_mut_doc *data, const char *format, va_list args)
{
	sbus_error_clear(error);
	error->error = -EREMOTEIO;
	error->code = code;
	set_message(error, format, args);
	if (data) {
		error->data = yyjson_mut_doc_imut_copy(data, NULL);
		yyjson_mut_doc_free(data);
	}
	error_extension(error, extension);
	return -EREMOTEIO;
}
