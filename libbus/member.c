// SPDX-License-Identifier: MIT
/* One extension in the Pit: its descriptor checked, its mutex, its methods. */
#include <dlfcn.h>
#include <stdlib.h>

#include "completion.h"
#include "error.h"
#include "pit.h"

/*
 * Methods are looked up for every call, so by two loads instead of a hash of
 * the whole name.
 */
static uint64_t ends_of(const char *name, size_t len)
{
	uint32_t first = 0, last = 0;

	if (likely(len >= 4)) {
		memcpy(&first, name, 4);
		memcpy(&last, name + len - 4, 4);
	} else {
		memcpy(&first, name, len);
	}
	return (uint64_t)last << 32 | first;
}

static size_t place_of(const struct sbus_member *member, uint64_t ends, size_t len)
{
	return (((ends ^ len) * 0x9e3779b97f4a7c15ULL) >> 32) & member->methods_mask;
}

const struct symphony_method *member_method(const struct sbus_member *member, const char *name,
					    size_t len)
{
	uint64_t ends = ends_of(name, len);
	const struct method_slot *slot;
	size_t place;

	for (place = place_of(member, ends, len);; place = (place + 1) & member->methods_mask) {
		slot = &member->methods[place];
		if (unlikely(!slot->method))
			return NULL;
		if (slot->ends == ends && slot->len == len &&
		    (len <= 8 || !memcmp(slot->method->name, name, len)))
			return slot->method;
	}
}

static int add_method(struct sbus_member *member, const struct symphony_method *method)
{
	size_t len = strlen(method->name), place;
	uint64_t ends = ends_of(method->name, len);

	if (member_method(member, method->name, len))
		return -EEXIST;
	place = place_of(member, ends, len);
	while (member->methods[place].method)
		place = (place + 1) & member->methods_mask;
	member->methods[place] = (struct method_slot){ .ends = ends, .len = len, .method = method };
	return 0;
}

static bool is_object(const char *text)
{
	yyjson_doc *doc = text ? yyjson_read(text, strlen(text), 0) : NULL;
	bool object = !text || yyjson_is_obj(yyjson_doc_get_root(doc));

	yyjson_doc_free(doc);
	return object;
}

static int add_methods(struct sbus_member *member, struct sbus_error *error)
{
	const struct symphony_method *method;
	size_t nr = 1, size = 4;

	for (method = member->extension.methods; method && method->name; method++)
		nr++;
	while (size < 2 * nr)
		size *= 2;
	member->methods = calloc(size, sizeof(*member->methods));
	if (!member->methods)
		return sbus_error_set(error, -ENOMEM, "out of memory");
	member->methods_mask = size - 1;
	add_method(member, &describe_method);
	for (method = member->extension.methods; method && method->name; method++) {
		if (!method->fn)
			return sbus_error_set(error, -EINVAL, "extension \"%s\": method \"%s\" has no function",
					      member->id, method->name);
		if (!is_object(method->params) || !is_object(method->result))
			return sbus_error_set(error, -EINVAL, "extension \"%s\": a schema of method \"%s\" is not a JSON object",
					      member->id, method->name);
		if (add_method(member, method))
			return sbus_error_set(error, -EINVAL, "extension \"%s\": method \"%s\" is there twice (\"describe\" is the host's)",
					      member->id, method->name);
	}
	return 0;
}

static int check(const struct symphony_extension *extension, struct sbus_error *error)
{
	if (!extension)
		return sbus_error_set(error, -EINVAL, "there is no descriptor");
	if (extension->abi_version != SYMPHONY_EXTENSION_ABI)
		return sbus_error_set(error, -EPROTONOSUPPORT, "the extension speaks version %u of the interface, this library version %u: build it again",
				      extension->abi_version, SYMPHONY_EXTENSION_ABI);
	if (extension->size < sizeof(*extension))
		return sbus_error_set(error, -EINVAL, "the descriptor has %u bytes, %zu are needed: start it with SYMPHONY_EXTENSION_INIT",
				      extension->size, sizeof(*extension));
	if (sbus_check_name(extension->name, error))
		return -EINVAL;
	if (!extension->methods && !extension->call)
		return sbus_error_set(error, -EINVAL, "extension \"%s\" has neither methods nor a call function",
				      extension->name);
	return 0;
}

int member_new(struct sbus_pit *pit, const struct symphony_extension *extension,
	       struct sbus_member **ret, struct sbus_error *error)
{
	struct sbus_member *member;
	int r;

	r = check(extension, error);
	if (r)
		return r;
	member = calloc(1, sizeof(*member));
	if (!member)
		return sbus_error_set(error, -ENOMEM, "out of memory");
	member->pit = pit;
	member->extension = *extension;
	strcpy(member->id, extension->name);
	pthread_mutex_init(&member->lock, NULL);
	pthread_mutex_init(&member->owed_lock, NULL);
	list_init(&member->ready);
	list_init(&member->timers);
	list_init(&member->owed);
	r = add_methods(member, error);
	if (r) {
		member_free(member);
		return r;
	}
	*ret = member;
	return 0;
}

void member_free(struct sbus_member *member)
{
	free(member->methods);
	yyjson_doc_free(member->config);
	idmap_deinit(&member->watches);
	pthread_mutex_destroy(&member->owed_lock);
	pthread_mutex_destroy(&member->lock);
	if (member->library)
		dlclose(member->library);
	free(member);
}

static void drop_timers_locked(struct sbus_member *member)
{
	while (!list_empty(&member->timers))
		sbus_timer_free(container_of(member->timers.next, struct sbus_timer, node));
}

int member_start(struct sbus_member *member, struct sbus_error *error)
{
	int r = 0;

	member_enter(member);
	member->self = NULL;
	if (member->extension.init)
		r = member->extension.init(member, yyjson_doc_get_root(member->config),
					   &member->self, error);
	member->started = r >= 0;
	if (r < 0) {
		drop_timers_locked(member);
		idmap_deinit(&member->watches);
		if (error && !error->error)
			sbus_error_set(error, r, "extension \"%s\" did not start: %s", member->id,
				       error_text(r));
		error_extension(error, member->id);
	}
	member_leave(member);
	return r < 0 ? r : 0;
}

void member_stop(struct sbus_member *member)
{
	member_enter(member);
	member->started = false;
	member_leave(member);
	completion_cancel_all(member, 0, -ESHUTDOWN);
	member_enter(member);
	if (member->extension.fini)
		member->extension.fini(member->self);
	member->self = NULL;
	drop_timers_locked(member);
	idmap_deinit(&member->watches);
	member_leave(member);
}

SBUS_API const char *sbus_member_id(const struct sbus_member *member)
{
	return member->id;
}

SBUS_API void *sbus_member_self(const struct sbus_member *member)
{
	return member->self;
}

SBUS_API void sbus_member_lock(struct sbus_member *member)
{
	if (!pit_is_foreign(member->pit))
		member_enter(member);
}

SBUS_API void sbus_member_unlock(struct sbus_member *member)
{
	if (!pit_is_foreign(member->pit))
		member_leave(member);
}
