/* SPDX-License-Identifier: MIT */
/*
 * What an extension in C is: one descriptor. The same descriptor runs inside
 * the Conductor's process (a member of the Pit, see <symphony/pit.h>) or in a
 * process of its own:
 *
 *	#include <symphony/extension.h>
 *
 *	static int say(void *self, struct sbus_invocation *inv)
 *	{
 *		return sbus_answer_copy(inv, inv->params);
 *	}
 *
 *	static const struct symphony_method methods[] = {
 *		{ .name = "say", .params = "{\"type\": \"object\"}", .fn = say },
 *		{ }
 *	};
 *
 *	static const struct symphony_extension echo = {
 *		SYMPHONY_EXTENSION_INIT, .name = "echo", .version = "1", .methods = methods,
 *	};
 *
 *	int main(int argc, char **argv)
 *	{
 *		return sbus_extension_main(&echo, argc, argv);
 *	}
 *
 * Who locks. The host holds one mutex per extension around each of init, fini,
 * methods, call, cancelled, gone and timer functions: an extension's functions
 * never run at the same time, and need no lock of their own for what only they
 * touch. Different extensions run at the same time. Answers are delivered
 * after the mutex is released: an answer that is given while the mutex is held
 * (sbus_complete() from a method, say) is kept until then.
 *
 * None of these functions may block: they answer, or keep a completion.
 */
#ifndef SYMPHONY_EXTENSION_H
#define SYMPHONY_EXTENSION_H

#include <stdbool.h>
#include <symphony/bus.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SYMPHONY_EXTENSION_ABI 1

/* What a method returns when it answers later (see sbus_defer()). */
#define SBUS_PENDING 1

struct sbus_member;		/* the host's side of one extension */
struct sbus_completion;		/* an answer that is still owed */
struct sbus_timer;

/**
 * struct sbus_invocation - one call, as the extension sees it
 * @message: the whole message
 * @params: its "params", NULL when there are none
 * @method: its "method" (terminated), NULL when there is none
 * @sender: endpoint id of the caller, the kernel's word; 0 for a caller in this
 *	process (the Conductor)
 * @pid: the caller's process
 * @uid: the caller's uid
 * @gid: the caller's gid
 * @deadline: when the caller stops waiting, 0 for never. The host keeps it: an
 *	answer owed then is cancelled
 * @id: the call's id, 0 within the process
 * @member: the extension that was called
 * @host: the host's own
 *
 * Valid, with everything it points to, until the function it was given to
 * returns: copy what is needed later.
 */
struct sbus_invocation {
	yyjson_val *message;
	yyjson_val *params;
	const char *method;
	uint64_t sender;
	pid_t pid;
	uid_t uid;
	gid_t gid;
	uint64_t deadline;
	uint64_t id;
	struct sbus_member *member;
	void *host;
};

/**
 * typedef symphony_method_fn - a method, or the whole of an extension
 * @self: what init() stored, or NULL
 * @inv: the call
 *
 * Return: 0 after an answer was given (sbus_result(), sbus_answer*(); with
 * none of them the answer is null); SBUS_PENDING after sbus_defer(); a negative
 * errno: an error reply, with what sbus_fail() said, or with "code" = the
 * errno, positive, and its text.
 */
typedef int (*symphony_method_fn)(void *self, struct sbus_invocation *inv);

/**
 * struct symphony_method - a row of the method table
 * @name: the method's name; NULL ends the table. "describe" is reserved
 * @summary: one line for people, or NULL
 * @params: JSON Schema of "params", as text, or NULL for any
 * @result: JSON Schema of the result, as text, or NULL for any
 * @fn: the method
 */
struct symphony_method {
	const char *name;
	const char *summary;
	const char *params;
	const char *result;
	symphony_method_fn fn;
};

/**
 * struct symphony_extension - the descriptor
 * @abi_version: SYMPHONY_EXTENSION_ABI
 * @size: sizeof(struct symphony_extension)
 * @name: the id, [a-z][a-z0-9_.-]{0,62}
 * @version: the extension's version, any text
 * @summary: one line for people, or NULL
 * @methods: the method table, or NULL
 * @init: makes the extension ready and stores its state in @self, or NULL.
 *	@config is a value from whoever starts the host, NULL for none, valid
 *	for the time of the call. A negative errno: it does not start; @error
 *	says why
 * @fini: undoes init(), or NULL. Answers still owed were cancelled before
 * @call: takes each message that names no method of the table, or NULL: they
 *	get SBUS_CODE_METHOD_NOT_FOUND or SBUS_CODE_INVALID_REQUEST
 * @cancelled: an answer that is owed is no longer wanted; @reason is -ECANCELED,
 *	-ETIMEDOUT (the deadline), -ECONNRESET (the caller died) or -ESHUTDOWN
 *	(the host stops). The caller has its outcome already. The completion has
 *	to be completed all the same, here or later. NULL: told by
 *	sbus_complete()'s result only
 * @gone: an endpoint that sbus_member_watch() named is dead, or NULL
 *
 * Constant, and there as long as the host.
 */
struct symphony_extension {
	uint32_t abi_version;
	uint32_t size;
	const char *name;
	const char *version;
	const char *summary;
	const struct symphony_method *methods;
	int (*init)(struct sbus_member *member, yyjson_val *config, void **self,
		    struct sbus_error *error);
	void (*fini)(void *self);
	symphony_method_fn call;
	void (*cancelled)(void *self, struct sbus_completion *completion, int reason);
	void (*gone)(void *self, uint64_t endpoint);
};

#define SYMPHONY_EXTENSION_INIT				\
	.abi_version = SYMPHONY_EXTENSION_ABI,		\
	.size = sizeof(struct symphony_extension)

/*
 * SYMPHONY_EXTENSION(desc) registers a descriptor: in a file that is linked
 * into libsymphony it becomes a member that sbus_pit_add_builtin() adds; in a
 * file compiled with -DSYMPHONY_PLUGIN into a .so of its own it is what
 * sbus_pit_load() finds.
 */
#ifdef SYMPHONY_PLUGIN
#define SYMPHONY_EXTENSION(desc)					\
	SBUS_API extern const struct symphony_extension *const symphony_extension;	\
	const struct symphony_extension *const symphony_extension = &(desc)
#else
#define SYMPHONY_EXTENSION(desc)					\
	static const struct symphony_extension *const symphony_registered	\
		__attribute__((used, retain, section("symphony_extensions"))) = &(desc)
#endif

/* --- answering ---------------------------------------------------------- */

/**
 * sbus_result() - the document to build the answer in
 * @inv: the call
 *
 * Set its root; nothing else has to be done. It is the host's: it must not be
 * freed, and is gone when the function returned and the answer is delivered.
 *
 * Return: the same document every time for one call, NULL when out of memory
 * (then return -ENOMEM).
 */
SBUS_API yyjson_mut_doc *sbus_result(struct sbus_invocation *inv);

/**
 * sbus_answer() - answer with a document of the extension's own
 * @inv: the call
 * @doc: the answer is its root; the host takes it and frees it. NULL: null
 *
 * Return: 0, so that a method can end with it.
 */
SBUS_API int sbus_answer(struct sbus_invocation *inv, yyjson_mut_doc *doc);

/**
 * sbus_answer_copy() - answer with a copy of a parsed value
 * @inv: the call
 * @value: NULL: null
 *
 * Return: 0 or -ENOMEM, so that a method can end with it.
 */
SBUS_API int sbus_answer_copy(struct sbus_invocation *inv, yyjson_val *value);

/**
 * sbus_fail() - answer with an error reply
 * @inv: the call
 * @code: an enum sbus_code, or the extension's own, positive
 * @format: printf format of the "message"
 *
 * Return: -EREMOTEIO, which the method has to return.
 */
SBUS_API int sbus_fail(struct sbus_invocation *inv, int64_t code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/**
 * sbus_fail_data() - the same with "data"
 * @inv: the call
 * @code: as in sbus_fail()
 * @data: a document whose root is the "data"; the host takes it. NULL: none
 * @format: as in sbus_fail()
 *
 * Return: -EREMOTEIO, which the method has to return.
 */
SBUS_API int sbus_fail_data(struct sbus_invocation *inv, int64_t code, yyjson_mut_doc *data,
			    const char *format, ...) __attribute__((format(printf, 4, 5)));

/**
 * sbus_defer() - answer later
 * @inv: the call
 * @userdata: the extension's own, given back by sbus_completion_data()
 *
 * The method then returns SBUS_PENDING, and the completion is completed
 * exactly once, from any thread: with sbus_complete() or
 * sbus_complete_error(), also after cancelled().
 *
 * Return: the completion, NULL when out of memory (then return -ENOMEM).
 */
SBUS_API struct sbus_completion *sbus_defer(struct sbus_invocation *inv, void *userdata);

/**
 * sbus_completion_data() - the userdata given to sbus_defer()
 * @completion: not completed yet
 */
SBUS_API void *sbus_completion_data(const struct sbus_completion *completion);

/**
 * sbus_complete() - give an answer that is owed
 * @completion: gone when this returns, whatever the result
 * @doc: the answer is its root; taken and freed. NULL: null
 *
 * Return: 0: the caller gets it (when the mutex of the extension is held here:
 * as soon as it is released, and nothing can prevent that any more). Errors:
 * -ECANCELED, -ETIMEDOUT, -ECONNRESET, -ESHUTDOWN: the caller was told that
 * before, so what the answer granted is still the extension's.
 */
SBUS_API int sbus_complete(struct sbus_completion *completion, yyjson_mut_doc *doc);

/**
 * sbus_complete_error() - give an error reply that is owed
 * @completion: gone when this returns, whatever the result
 * @code: as in sbus_fail()
 * @data: as in sbus_fail_data()
 * @format: as in sbus_fail()
 *
 * Return: as sbus_complete().
 */
SBUS_API int sbus_complete_error(struct sbus_completion *completion, int64_t code,
				 yyjson_mut_doc *data, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* --- parameters --------------------------------------------------------- */

/* flags of sbus_param_*() */
#define SBUS_OPTIONAL (1U << 0)	/* absent or null: 0 and *value unchanged */

/**
 * sbus_param_val() - a parameter of one JSON type
 * @inv: the call
 * @name: the member of "params"
 * @type: YYJSON_TYPE_*; YYJSON_TYPE_NONE for any
 * @flags: SBUS_OPTIONAL
 * @value: (out) the value
 *
 * Return: 0, or what the method has to return: sbus_fail() was called and says
 * which parameter is missing or of which type it is.
 */
SBUS_API int sbus_param_val(struct sbus_invocation *inv, const char *name, yyjson_type type,
			    unsigned int flags, yyjson_val **value);

/**
 * sbus_param_str() - a string
 * @inv: the call
 * @name: the member of "params"
 * @flags: SBUS_OPTIONAL
 * @value: (out) the string, terminated; one with a NUL inside is refused
 *
 * Return: as sbus_param_val().
 */
SBUS_API int sbus_param_str(struct sbus_invocation *inv, const char *name, unsigned int flags,
			    const char **value);

/**
 * sbus_param_u64() - an integer in a range
 * @inv: the call
 * @name: the member of "params"
 * @flags: SBUS_OPTIONAL
 * @min: smallest value taken
 * @max: largest value taken
 * @value: (out) the integer
 *
 * Return: as sbus_param_val().
 */
SBUS_API int sbus_param_u64(struct sbus_invocation *inv, const char *name, unsigned int flags,
			    uint64_t min, uint64_t max, uint64_t *value);

/**
 * sbus_param_bool() - true or false
 * @inv: the call
 * @name: the member of "params"
 * @flags: SBUS_OPTIONAL
 * @value: (out) the value
 *
 * Return: as sbus_param_val().
 */
SBUS_API int sbus_param_bool(struct sbus_invocation *inv, const char *name, unsigned int flags,
			     bool *value);

/* --- time and death ----------------------------------------------------- */

/**
 * sbus_timer_new() - a timer of the extension
 * @member: the extension, from init() or an invocation
 * @fn: called with the extension's self and @arg when the time has come, with
 *	the extension's mutex held
 * @arg: for @fn
 * @timer: (out) the timer, not armed
 *
 * Errors: ENOMEM.
 */
SBUS_API int sbus_timer_new(struct sbus_member *member, void (*fn)(void *self, void *arg),
			    void *arg, struct sbus_timer **timer);

/**
 * sbus_timer_set() - arm or disarm a timer
 * @timer: the timer
 * @when: absolute time in ns (at or before now: as soon as possible), 0: never
 *
 * Once: a timer that ran is not armed. Called with the extension's mutex held
 * (from its functions): then a timer that is disarmed does not run any more.
 *
 * Errors: ENOMEM, EAGAIN (no thread): it is not armed.
 */
SBUS_API int sbus_timer_set(struct sbus_timer *timer, uint64_t when);

/**
 * sbus_timer_free() - disarm and free
 * @timer: the timer, or NULL; may be the one that runs
 *
 * Called with the extension's mutex held. Timers left at fini are freed by the
 * host.
 */
SBUS_API void sbus_timer_free(struct sbus_timer *timer);

/**
 * sbus_member_watch() - have gone() called when a caller dies
 * @member: the extension
 * @endpoint: sbus_invocation.sender; 0 (within the process) is fine: nothing
 *	will ever be told
 *
 * Once for each endpoint: watching again what is watched is fine. Called with
 * the extension's mutex held. For a caller whose answer is owed this is not
 * needed: cancelled() tells.
 *
 * Errors: ESRCH (it is dead already: gone() is not called), ENODEV (the host
 * has no connection, so there are no such callers), ENOBUFS, EDQUOT, ENOMEM.
 */
SBUS_API int sbus_member_watch(struct sbus_member *member, uint64_t endpoint);

/**
 * sbus_member_unwatch() - stop that
 * @member: the extension
 * @endpoint: the endpoint; one that is not watched is fine
 *
 * Called with the extension's mutex held: gone() is not called after.
 */
SBUS_API void sbus_member_unwatch(struct sbus_member *member, uint64_t endpoint);

/**
 * sbus_member_self() - the extension's state
 * @member: the extension
 *
 * Return: what init() stored.
 */
SBUS_API void *sbus_member_self(const struct sbus_member *member);

/**
 * sbus_member_lock() - take the extension's mutex
 * @member: the extension
 *
 * For threads of the extension's own, when they touch what its functions
 * touch. Never from one of its functions.
 */
SBUS_API void sbus_member_lock(struct sbus_member *member);

/**
 * sbus_member_unlock() - release it and deliver what was completed meanwhile
 * @member: the extension
 */
SBUS_API void sbus_member_unlock(struct sbus_member *member);

/* --- a process of its own ------------------------------------------------ */

/**
 * sbus_extension_main() - main() of a process that is one extension
 * @extension: the descriptor
 * @argc: of main()
 * @argv: of main(): [--bus NAME] [--id ID] [--threads N] [--config JSON]
 *	[--takeover] [--recovery fail|requeue|reissue] [--grant FD] [--describe]
 *	[--help]
 *
 * Joins the bus (and creates it if need be), claims the id, with the grant that
 * --grant or $SYMPHONY_GRANT names if it needs one, and serves until SIGTERM or
 * SIGINT, or until another connection took the id over and what was received is
 * answered. Failures are told on stderr.
 *
 * Return: exit status: 0, 1 for a failure, 2 for bad options.
 */
SBUS_API int sbus_extension_main(const struct symphony_extension *extension, int argc, char **argv);

#ifdef __cplusplus
}
#endif

#endif /* SYMPHONY_EXTENSION_H */
