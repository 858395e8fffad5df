// SPDX-License-Identifier: MIT
/* The Pit: its members, from being added to being stopped. */
#include "pit.h"

#include <stdlib.h>

#include "error.h"

/* SYMPHONY_EXTENSION() in files of this library; absent when there are none. */
extern const struct symphony_extension *const __start_symphony_extensions[]
	__attribute__((weak, visibility("hidden")));
extern const struct symphony_extension *const __stop_symphony_extensions[]
	__attribute__((weak, visibility("hidden")));

SBUS_API int sbus_pit_new(struct sbus_pit **ret)
{
	struct sbus_pit *pit = calloc(1, sizeof(*pit));

	if (!pit || fork_mark(&pit->mark)) {
		free(pit);
		return -ENOMEM;
	}
	pit->users = 1;
	pit->refs = 1;
	pit->last = &pit->first;
	pthread_mutex_init(&pit->lock, NULL);
	clock_init(&pit->clock);
	*ret = pit;
	return 0;
}

SBUS_API struct sbus_pit *sbus_pit_ref(struct sbus_pit *pit)
{
	if (pit)
		atomic_fetch_add(&pit->users, 1);
	return pit;
}

SBUS_API struct sbus_pit *sbus_pit_unref(struct sbus_pit *pit)
{
	if (!pit || pit_is_foreign(pit) || atomic_fetch_sub(&pit->users, 1) != 1)
		return NULL;
	sbus_pit_stop(pit);
	pit->creator = sbus_unref(pit->creator);
	pit_put(pit);
	return NULL;
}

int pit_foreign(struct sbus_error *error)
{
	return sbus_error_set(error, -EPERM, "the Pit belongs to another process: make one after fork");
}

void pit_put(struct sbus_pit *pit)
{
	struct sbus_member *member;

	if (atomic_fetch_sub_explicit(&pit->refs, 1, memory_order_acq_rel) != 1)
		return;
	while ((member = pit->first)) {
		pit->first = member->next;
		member_free(member);
	}
	free(pit->ids);
	clock_deinit(&pit->clock);
	pthread_mutex_destroy(&pit->lock);
	free(pit);
}

static int copy_config(struct sbus_member *member, const yyjson_val *config)
{
	yyjson_mut_doc *doc;

	if (!config)
		return 0;
	doc = yyjson_mut_doc_new(NULL);
	yyjson_mut_doc_set_root(doc, yyjson_val_mut_copy(doc, (yyjson_val *)config));
	member->config = yyjson_mut_doc_imut_copy(doc, NULL);
	yyjson_mut_doc_free(doc);
	return member->config ? 0 : -ENOMEM;
}

static int add_id(struct sbus_pit *pit, const char *id)
{
	const char **ids = realloc(pit->ids, (pit->nr_ids + 2) * sizeof(*ids));

	if (!ids)
		return -ENOMEM;
	ids[pit->nr_ids++] = id;
	ids[pit->nr_ids] = NULL;
	pit->ids = ids;
	return 0;
}

SBUS_API int sbus_pit_add(struct sbus_pit *pit, const struct symphony_extension *extension,
			  const yyjson_val *config, struct sbus_error *error)
{
	struct sbus_member *member;
	int r;

	if (pit_is_foreign(pit))
		return pit_foreign(error);
	if (pit->started)
		return sbus_error_set(error, -EBUSY, "the Pit is started: add members before that");
	r = member_new(pit, extension, &member, error);
	if (r)
		return r;
	if (config && !yyjson_is_null((yyjson_val *)config) && !extension->init)
		r = sbus_error_set(error, -EINVAL, "extension \"%s\" takes no configuration",
				   member->id);
	else if (sbus_pit_lookup(pit, member->id))
		r = sbus_error_set(error, -EEXIST, "there is a member \"%s\" already", member->id);
	else if (copy_config(member, config) || add_id(pit, member->id))
		r = sbus_error_set(error, -ENOMEM, "out of memory");
	if (r) {
		member_free(member);
		return r;
	}
	*pit->last = member;
	pit->last = &member->next;
	return 0;
}

SBUS_API int sbus_pit_add_builtin(struct sbus_pit *pit, const yyjson_val *config,
				  struct sbus_error *error)
{
	const struct symphony_extension *const *at;
	int r = 0;

	for (at = __start_symphony_extensions; at < __stop_symphony_extensions && !r; at++)
		r = sbus_pit_add(pit, *at, yyjson_obj_get((yyjson_val *)config, (*at)->name),
				 error);
	return r;
}

SBUS_API struct sbus_member *sbus_pit_lookup(struct sbus_pit *pit, const char *id)
{
	struct sbus_member *member;

	for (member = pit->first; member; member = member->next)
		if (!strcmp(member->id, id))
			return member;
	return NULL;
}

SBUS_API const char *const *sbus_pit_ids(const struct sbus_pit *pit)
{
	static const char *const none[] = { NULL };

	return pit->ids ? pit->ids : none;
}

SBUS_API void sbus_pit_set_creator(struct sbus_pit *pit, struct sbus *bus)
{
	struct sbus *former = pit->creator;

	if (pit_is_foreign(pit))
		return;
	pit->creator = sbus_ref(bus);
	sbus_unref(former);
}

SBUS_API struct sbus_member *sbus_pit_next(struct sbus_pit *pit, struct sbus_member *member)
{
	return member ? member->next : pit->first;
}

/* Stops the members before @end, the last one first. */
static void stop_before(struct sbus_pit *pit, struct sbus_member *end)
{
	struct sbus_member *member, *last;

	while (end != pit->first) {
		last = NULL;
		for (member = pit->first; member != end; member = member->next)
			last = member;
		member_stop(last);
		end = last;
	}
}

SBUS_API int sbus_pit_start(struct sbus_pit *pit, struct sbus *bus, struct sbus_error *error)
{
	struct sbus_member *member;
	int r;

	if (pit_is_foreign(pit))
		return pit_foreign(error);
	if (pit->started)
		return sbus_error_set(error, -EALREADY, "the Pit is started already");
	pit->bus = sbus_ref(bus);
	for (member = pit->first; member; member = member->next) {
		r = member_start(member, error);
		if (r)
			goto err_stop;
	}
	pit->started = true;
	return 0;

err_stop:
	stop_before(pit, member);
	callers_forget(pit);
	clock_stop(&pit->clock);
	pit->bus = sbus_unref(pit->bus);
	return r;
}

SBUS_API void sbus_pit_stop(struct sbus_pit *pit)
{
	struct sbus *bus;

	if (pit_is_foreign(pit))
		return;
	/* A stop can come while sbus_pit_serve() begins: the server is then left. */
	if (pit->has_server) {
		sbus_stop(pit->served);
		pthread_join(pit->server, NULL);
		pit->has_server = false;
		pit_serve_end(pit);
	}
	if (!pit->started)
		return;
	stop_before(pit, NULL);
	callers_forget(pit);
	clock_stop(&pit->clock);
	pthread_mutex_lock(&pit->lock);
	bus = pit->bus;
	pit->bus = NULL;
	pthread_mutex_unlock(&pit->lock);
	sbus_unref(bus);
	pit->started = false;
}
