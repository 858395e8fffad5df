// SPDX-License-Identifier: MIT
/* Messages: their life, and what they say. */
#include "message.h"

#include <stdlib.h>

#include "error.h"
#include "notice.h"
#include "parcel.h"
#include "receive.h"
#include "reply.h"
#include "service.h"

#define SPARES_MAX 256

struct sbus_message *message_take_locked(struct sbus *bus)
{
	struct sbus_message *message = bus->spare_messages;

	if (unlikely(!message))
		return calloc(1, sizeof(*message));
	bus->spare_messages = message->next_spare;
	bus->nr_spare_messages--;
	return message;
}

struct sbus_message *message_take(struct sbus *bus)
{
	struct sbus_message *message;

	bus_lock(bus);
	message = message_take_locked(bus);
	bus_unlock(bus);
	return message;
}

void message_give_locked(struct sbus *bus, struct sbus_message *message)
{
	if (bus->nr_spare_messages == SPARES_MAX) {
		free(message);
		return;
	}
	message->next_spare = bus->spare_messages;
	bus->spare_messages = message;
	bus->nr_spare_messages++;
}

void message_give(struct sbus *bus, struct sbus_message *message)
{
	bus_lock(bus);
	message_give_locked(bus, message);
	bus_unlock(bus);
}

void message_spares_free(struct sbus *bus)
{
	struct sbus_message *message;

	while ((message = bus->spare_messages)) {
		bus->spare_messages = message->next_spare;
		free(message);
	}
}

static void end_more(struct sbus_message *message)
{
	if (message->entered)
		notice_leave(message);
	yyjson_doc_free(message->doc);
	message->doc = NULL;
	if (message->attached) {
		attached_free(message->attached);
		message->attached = NULL;
	}
}

/* Its last reference goes. Most have nothing but their bytes. */
static inline void end(struct sbus_message *message)
{
	if (unlikely(message->entered || message->doc || message->attached))
		end_more(message);
}

void message_reset(struct sbus_message *message)
{
	end(message);
	sbus_unref(message->bus);
}

SBUS_API struct sbus_message *sbus_message_ref(struct sbus_message *message)
{
	if (message)
		atomic_fetch_add_explicit(&message->refs, 1, memory_order_relaxed);
	return message;
}

SBUS_API struct sbus_message *sbus_message_unref(struct sbus_message *message)
{
	struct release batch;
	struct sbus *bus;

	if (!message || message_is_foreign(message) ||
	    atomic_fetch_sub_explicit(&message->refs, 1, memory_order_acq_rel) != 1)
		return NULL;
	bus = message->bus;
	if (unlikely(!atomic_load_explicit(&message->answered, memory_order_relaxed)))
		reply_abandoned(message);
	end(message);
	if (receiver_current(bus) || atomic_load_explicit(&bus->claims, memory_order_relaxed)) {
		release_offset(bus, message->offset);
		message_give(bus, message);
	} else {
		release_init(&batch);
		bus_lock(bus);
		release_keep_locked(bus, message->offset, &batch);
		message_give_locked(bus, message);
		bus_unlock(bus);
		if (unlikely(batch.nr))
			release_now(bus, &batch);
	}
	bus_put(bus);
	return NULL;
}

SBUS_API const void *sbus_message_body(const struct sbus_message *message, size_t *len)
{
	if (unlikely(message_is_foreign(message))) {
		if (len)
			*len = 0;
		return NULL;
	}
	if (unlikely(message->attached && message->attached->map)) {
		if (len)
			*len = message->attached->map_len;
		return message->attached->map;
	}
	if (len)
		*len = message->msg->body_len;
	return (const char *)message->msg + message->msg->header_len;
}

/*
 * Peers choose how deep a body nests. What copies or compares values recurses, here
 * and in yyjson, so the depth that a stack has to bear is bounded where text becomes
 * values. These stand in the order of the text: a container's end is known in advance.
 */
static bool too_deep(yyjson_doc *doc)
{
	yyjson_val *val = yyjson_doc_get_root(doc), *ends[SBUS_DEPTH_MAX];
	size_t depth = 0;

	for (size_t left = yyjson_doc_get_val_count(doc); left; left--, val++) {
		while (depth && val == ends[depth - 1])
			depth--;
		if (!unsafe_yyjson_is_ctn(val))
			continue;
		if (depth == SBUS_DEPTH_MAX)
			return true;
		ends[depth++] = unsafe_yyjson_get_next(val);
	}
	return false;
}

SBUS_API int sbus_message_json(struct sbus_message *message, yyjson_val **root,
			       struct sbus_error *error)
{
	yyjson_read_err problem;
	const char *body;
	size_t len;

	if (message_is_foreign(message))
		return error_foreign(error, message->bus->name);
	if (!message->doc) {
		if (sbus_message_content(message) != SYMPHONY_CONTENT_JSON)
			return sbus_error_set(error, -EMEDIUMTYPE, "the body's content type is %u, not JSON",
					      sbus_message_content(message));
		body = sbus_message_body(message, &len);
		/* Not in place: the pool cannot be written. */
		message->doc = yyjson_read_opts((char *)body, len, YYJSON_READ_BIGNUM_AS_RAW, NULL,
						&problem);
		if (!message->doc && problem.code == YYJSON_READ_ERROR_MEMORY_ALLOCATION)
			return sbus_error_set(error, -ENOMEM, "out of memory");
		if (!message->doc)
			return sbus_error_set(error, -EBADMSG, "the body is not JSON: %s at byte %zu of %zu",
					      problem.msg, problem.pos, len);
		/* Each level takes two bytes at least. */
		if (unlikely(len > 2 * SBUS_DEPTH_MAX && too_deep(message->doc))) {
			yyjson_doc_free(message->doc);
			message->doc = NULL;
			return sbus_error_set(error, -EBADMSG, "the body nests deeper than %d levels",
					      SBUS_DEPTH_MAX);
		}
	}
	*root = yyjson_doc_get_root(message->doc);
	return 0;
}

SBUS_API uint32_t sbus_message_content(const struct sbus_message *message)
{
	return message_is_foreign(message) ? 0 :
		message->msg->content_type & ~SYMPHONY_CONTENT_SEALED;
}

SBUS_API uint64_t sbus_message_id(const struct sbus_message *message)
{
	return message->id;
}

SBUS_API uint64_t sbus_message_sender(const struct sbus_message *message)
{
	return message_is_foreign(message) ? 0 : message->msg->sender;
}

SBUS_API pid_t sbus_message_pid(const struct sbus_message *message)
{
	return message_is_foreign(message) ? 0 : message->msg->pid;
}

SBUS_API uid_t sbus_message_uid(const struct sbus_message *message)
{
	return message_is_foreign(message) ? 0 : message->msg->uid;
}

SBUS_API gid_t sbus_message_gid(const struct sbus_message *message)
{
	return message_is_foreign(message) ? 0 : message->msg->gid;
}

SBUS_API uint64_t sbus_message_method(const struct sbus_message *message)
{
	return message_is_foreign(message) ? 0 : message->msg->method;
}

SBUS_API uint64_t sbus_message_key(const struct sbus_message *message)
{
	return message_is_foreign(message) ? 0 : message->msg->key;
}

SBUS_API uint64_t sbus_message_deadline(const struct sbus_message *message)
{
	return message_is_foreign(message) ? 0 : message->msg->deadline;
}

SBUS_API struct sbus *sbus_message_bus(const struct sbus_message *message)
{
	return message->bus;
}

SBUS_API const char *sbus_message_extension(const struct sbus_message *message)
{
	struct service *service;

	if (message_is_foreign(message))
		return "";
	service = service_by_handle(message->bus, message->msg->handle);
	return service ? service->id : "";
}
