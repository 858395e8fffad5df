/* SPDX-License-Identifier: MIT */
/*
 * The Pit: extensions inside the process. A call is a function call; messages
 * are parsed values, never text. Works without the device.
 *
 *	r = sbus_pit_new(&pit);
 *	r = sbus_pit_add_builtin(pit, NULL, &error);
 *	r = sbus_pit_start(pit, NULL, &error);
 *	member = sbus_pit_lookup(pit, "pool_manager");
 *	r = sbus_pit_call(member, message, 0, sink, data, NULL);
 *
 * Locks, see <symphony/extension.h>: one mutex per member, held around its
 * functions; sinks run without it. Any thread may call any member.
 */
#ifndef SYMPHONY_PIT_H
#define SYMPHONY_PIT_H

#include <symphony/bus.h>
#include <symphony/extension.h>

#ifdef __cplusplus
extern "C" {
#endif

struct sbus_pit;
struct sbus_pending;

/**
 * sbus_pit_new() - an empty host
 * @pit: (out) one reference
 *
 * Errors: ENOMEM.
 */
SBUS_API int sbus_pit_new(struct sbus_pit **pit);

/**
 * sbus_pit_ref() - take another reference
 * @pit: the host
 *
 * Return: @pit.
 */
SBUS_API struct sbus_pit *sbus_pit_ref(struct sbus_pit *pit);

/**
 * sbus_pit_unref() - drop a reference; the last one stops and frees
 * @pit: the host, or NULL. Not from a function of a member or a sink
 *
 * Return: NULL.
 */
SBUS_API struct sbus_pit *sbus_pit_unref(struct sbus_pit *pit);

/**
 * sbus_pit_add() - add a member
 * @pit: the host, not started
 * @extension: its descriptor
 * @config: for its init(): copied; NULL or null: none
 * @error: filled on failure
 *
 * Errors: EINVAL (a descriptor that is not one, or a configuration for an extension
 * without init(): the error says what), EEXIST
 * (the id is taken), EPROTONOSUPPORT (another ABI version), EBUSY (started),
 * ENOMEM.
 */
SBUS_API int sbus_pit_add(struct sbus_pit *pit, const struct symphony_extension *extension,
			  const yyjson_val *config, struct sbus_error *error);

/**
 * sbus_pit_add_builtin() - add the members that are part of libsymphony
 * @pit: the host, not started
 * @config: an object in which the configuration of a member is the value of its id,
 *	or NULL. Other values are not looked at: they can be those of sbus_pit_load()
 * @error: filled on failure
 *
 * Errors: as sbus_pit_add().
 */
SBUS_API int sbus_pit_add_builtin(struct sbus_pit *pit, const yyjson_val *config,
				  struct sbus_error *error);

/**
 * sbus_pit_load() - add a member from a shared object
 * @pit: the host, not started
 * @path: file with a descriptor named symphony_extension (SYMPHONY_EXTENSION
 *	with -DSYMPHONY_PLUGIN), as dlopen() takes it. It runs in this process:
 *	trust it
 * @config: as in sbus_pit_add_builtin()
 * @error: filled on failure
 *
 * Errors: ELIBACC (cannot be loaded), ELIBBAD (has no descriptor), and
 * sbus_pit_add()'s.
 */
SBUS_API int sbus_pit_load(struct sbus_pit *pit, const char *path, const yyjson_val *config,
			   struct sbus_error *error);

/**
 * sbus_pit_start() - make the members ready, in the order they were added
 * @pit: the host
 * @bus: for watching callers until sbus_pit_serve() gives a connection of its
 *	own; somebody has to process it. NULL: none. A reference is taken
 * @error: filled on failure
 *
 * Errors: EALREADY, what an init() returned: then none is left started.
 */
SBUS_API int sbus_pit_start(struct sbus_pit *pit, struct sbus *bus, struct sbus_error *error);

/**
 * sbus_pit_ids() - the ids of the members, to be reserved
 * @pit: the host
 *
 * For sbus_params.reserve of the connection that may create the bus, so that
 * nobody else can claim them there.
 *
 * Return: ended by NULL; valid until a member is added.
 */
SBUS_API const char *const *sbus_pit_ids(const struct sbus_pit *pit);

/**
 * sbus_pit_set_creator() - where sbus_pit_serve() gets grants from
 * @pit: the host
 * @bus: the connection that was opened with sbus_pit_ids(); a reference is taken. If
 *	the bus was there already, this has no effect. NULL: none
 */
SBUS_API void sbus_pit_set_creator(struct sbus_pit *pit, struct sbus *bus);

/**
 * sbus_pit_serve() - serve the members to other processes as well
 * @pit: the host, started
 * @bus: a connection that nobody else processes; a reference is taken
 * @threads: how many threads to serve with, 0: 1
 * @error: filled on failure
 *
 * Claims the id of every member and answers from threads of its own until
 * sbus_pit_stop().
 *
 * Errors: EBUSY (serves already), EINVAL (not started), sbus_claim()'s and
 * sbus_serve()'s.
 */
SBUS_API int sbus_pit_serve(struct sbus_pit *pit, struct sbus *bus, unsigned int threads,
			    struct sbus_error *error);

/**
 * sbus_pit_stop() - stop serving, cancel what is owed, undo the starts
 * @pit: the host
 *
 * In the reverse order of the starts. Sinks of pending calls run, here, with
 * -ESHUTDOWN. Not from a function of a member or a sink, and not while another
 * thread is in sbus_pit_call(). Can be started again.
 */
SBUS_API void sbus_pit_stop(struct sbus_pit *pit);

/**
 * sbus_pit_lookup() - a member by its id
 * @pit: the host
 * @id: its id
 *
 * Return: valid as long as the host, NULL when there is none.
 */
SBUS_API struct sbus_member *sbus_pit_lookup(struct sbus_pit *pit, const char *id);

/**
 * sbus_pit_next() - the members, in the order they were added
 * @pit: the host
 * @member: NULL for the first
 *
 * Return: the one after @member, or NULL.
 */
SBUS_API struct sbus_member *sbus_pit_next(struct sbus_pit *pit, struct sbus_member *member);

/**
 * sbus_member_id() - a member's id
 * @member: the member
 */
SBUS_API const char *sbus_member_id(const struct sbus_member *member);

/**
 * typedef sbus_sink_fn - the outcome of a call to a member
 * @result: the answer, NULL for null (and when @error is set)
 * @error: NULL, or the failure: -EREMOTEIO for an error reply, -ECANCELED,
 *	-ETIMEDOUT, -ESHUTDOWN, -ENOMEM
 * @userdata: as given
 *
 * Both are valid until the function returns. Runs without the member's mutex,
 * and may call members.
 */
typedef void (*sbus_sink_fn)(yyjson_mut_val *result, const struct sbus_error *error,
			     void *userdata);

/**
 * sbus_pit_call() - call a member
 * @member: from sbus_pit_lookup(), started
 * @message: any value; valid until this returns. Its strings are terminated, as
 *	those that yyjson reads are
 * @deadline: when to give up a call that is pending, 0: never
 * @sink: called exactly once if this returns 0 or SBUS_PENDING
 * @userdata: for @sink
 * @pending: (out) with SBUS_PENDING: to cancel with, one reference; or NULL
 *
 * The caller is this process: sbus_invocation.sender is 0.
 *
 * Return: 0: @sink has run. SBUS_PENDING: it runs later, in whichever thread
 * completes the call (possibly before this returns). Errors: ESHUTDOWN (not
 * started).
 */
SBUS_API int sbus_pit_call(struct sbus_member *member, yyjson_val *message, uint64_t deadline,
			   sbus_sink_fn sink, void *userdata, struct sbus_pending **pending);

/**
 * sbus_pending_cancel() - give up a pending call
 * @pending: the call
 *
 * Unless the outcome came first, @sink runs, here, with -ECANCELED, and the
 * member is told.
 *
 * Errors: EALREADY (the outcome came first).
 */
SBUS_API int sbus_pending_cancel(struct sbus_pending *pending);

/**
 * sbus_pending_unref() - drop the reference; cancels nothing
 * @pending: the call, or NULL
 *
 * Return: NULL.
 */
SBUS_API struct sbus_pending *sbus_pending_unref(struct sbus_pending *pending);

SBUS_DEFINE_CLEANUP(struct sbus_pit *, sbus_cleanup_pit_unrefp, sbus_pit_unref)
#define sbus_cleanup_pit __attribute__((cleanup(sbus_cleanup_pit_unrefp)))

#ifdef __cplusplus
}
#endif

#endif /* SYMPHONY_PIT_H */
