/* SPDX-License-Identifier: MIT */
/*
 * libsymphony: calls between an application and its extensions.
 *
 * A struct sbus is one endpoint on a named bus. Through it a program calls
 * extensions by id, and can itself be one.
 *
 *	struct sbus *bus;
 *	struct sbus_message *reply;
 *	yyjson_val *root;
 *
 *	r = sbus_open(&bus, NULL, NULL);
 *	r = sbus_call_json(bus, "echo", "{\"method\":\"say\"}", 16, 0, &reply, NULL);
 *	r = sbus_message_json(reply, &root, NULL);
 *
 * Conventions, for every function that does not say otherwise:
 *
 * - The result is 0 or a negative errno; errno itself is never set.
 * - Time is CLOCK_MONOTONIC in nanoseconds (sbus_now()). A deadline is
 *   absolute, a timeout relative; 0 means none.
 * - Any thread may call any function on any object; the exceptions are named.
 * - Out parameters are written on success only. A struct sbus_error may be
 *   NULL; where given it must be initialised, and is filled on failure.
 * - new/open give the caller one reference; ref and unref take NULL.
 * - A parameter structure starts with its own size; members not set are 0.
 *
 * A body is bytes with a content type. JSON is the rule: any value may be
 * sent; an extension with methods understands {"method": NAME, "params":
 * {...}}, its answer is the result itself, and an error reply is {"code",
 * "message", "data"}. An error reply reaches the caller as -EREMOTEIO with the
 * three in its struct sbus_error, never as a result.
 */
#ifndef SYMPHONY_BUS_H
#define SYMPHONY_BUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <yyjson.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SBUS_API __attribute__((visibility("default")))

struct sbus;
struct sbus_message;
struct sbus_slot;
struct sbus_cancel;

/* Longest id of an extension and name of a bus, without the terminator. */
#define SBUS_NAME_MAX 63

/* Most pieces of a body. */
#define SBUS_IOV_MAX 256

/* Containers inside containers, in a body that is parsed as JSON. */
#define SBUS_DEPTH_MAX 1024

/**
 * enum sbus_content - what the bytes of a body are
 * @SBUS_RAW: bytes
 * @SBUS_JSON: one JSON text, UTF-8
 */
enum sbus_content {
	SBUS_RAW = 0,
	SBUS_JSON = 1,
};

/**
 * enum sbus_code - "code" of error replies that the library itself makes
 * @SBUS_CODE_PARSE: the body is not JSON
 * @SBUS_CODE_INVALID_REQUEST: it is, but not a message the extension takes
 * @SBUS_CODE_METHOD_NOT_FOUND: the extension has no such method
 * @SBUS_CODE_INVALID_PARAMS: the method does not take these params
 * @SBUS_CODE_INTERNAL: the extension failed without saying how
 *
 * The numbers are JSON-RPC's. An extension's own codes are positive; where an
 * errno says it, the errno.
 */
enum sbus_code {
	SBUS_CODE_PARSE = -32700,
	SBUS_CODE_INVALID_REQUEST = -32600,
	SBUS_CODE_METHOD_NOT_FOUND = -32601,
	SBUS_CODE_INVALID_PARAMS = -32602,
	SBUS_CODE_INTERNAL = -32603,
};

/* --- errors ------------------------------------------------------------- */

/**
 * struct sbus_error - a failure with its context
 * @error: the negative errno that the function returned; -EREMOTEIO for an
 *	error reply
 * @code: error reply: its "code"; otherwise 0
 * @message: a sentence for people: what happened, to what, what to do next;
 *	error reply: its "message". Can be NULL (out of memory): use
 *	sbus_error_message()
 * @data: error reply: its "data", or NULL
 * @call: id of the call, 0 when there was none
 * @needed: with -EMSGSIZE: the reply_max that would have been enough; or 0
 * @retry_safe: of a call: no extension received it, so that calling again cannot do
 *	the work twice. False where that is not known, and of other failures
 * @limit: with -EDQUOT, -EAGAIN, -EMSGSIZE and -ENOBUFS: which limit it was, as
 *	enum symphony_limit of <linux/symphony.h>; otherwise 0
 * @extension: id of the extension that was called, or ""
 *
 * A plain value on the caller's side: start with SBUS_ERROR_INIT, end with
 * sbus_error_clear(). Not for use by two threads at a time.
 */
struct sbus_error {
	int error;
	int64_t code;
	char *message;
	yyjson_doc *data;
	uint64_t call;
	uint64_t needed;
	uint32_t limit;
	bool retry_safe;
	char extension[SBUS_NAME_MAX + 1];
};

#define SBUS_ERROR_INIT { 0 }

/**
 * sbus_error_clear() - free what an error holds and make it empty
 * @error: the error, or NULL
 */
SBUS_API void sbus_error_clear(struct sbus_error *error);

/**
 * sbus_error_set() - fill an error
 * @error: the error, cleared first; or NULL
 * @err: a negative errno
 * @format: printf format of the message
 *
 * Return: @err, so that "return sbus_error_set(...)" reads well.
 */
SBUS_API int sbus_error_set(struct sbus_error *error, int err, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/**
 * sbus_error_copy() - copy an error
 * @to: cleared first
 * @from: what to copy
 *
 * Return: @from's @error. Out of memory drops the message and the data only.
 */
SBUS_API int sbus_error_copy(struct sbus_error *to, const struct sbus_error *from);

/**
 * sbus_error_message() - the message of an error, never NULL
 * @error: the error
 *
 * Return: valid for as long as @error is not changed.
 */
SBUS_API const char *sbus_error_message(const struct sbus_error *error);

/* --- connection --------------------------------------------------------- */

/* sbus_params.flags */
#define SBUS_OPEN_CREATE	(1U << 0)	/* create the bus when it is not there */
#define SBUS_OPEN_EXCL		(1U << 1)	/* with CREATE: -EEXIST when it is */
#define SBUS_OPEN_GRANTS	(1U << 2)	/* with CREATE: claiming on it needs a grant */
#define SBUS_OPEN_OWNER		(1U << 3)	/* the bus is @owner's */
#define SBUS_OPEN_ANY_OWNER	(1U << 4)	/* the bus is whoever's */

/**
 * struct sbus_params - how to open a connection
 * @size: sizeof(struct sbus_params)
 * @flags: SBUS_OPEN_*
 * @bus: name of the bus; NULL: $SYMPHONY_BUS if that is not empty, or else
 *	"symphony-UID", with the uid of the owner
 * @device: NULL: /dev/symphony
 * @mode: permissions of a bus that is created, 0: 0600. r joins and calls, w
 *	also claims
 * @pool_size: bytes of receive pool, 0: the module's default
 * @queue_max: asynchronous calls that may wait here for room at the receiver,
 *	0: 65536
 * @sealed_min: bodies of so many bytes and more, of requests and answers, do not
 *	go through pools but in files; 0: requests that the receiver's pool cannot
 *	hold, answers for which the caller has no room, and those of 256 KiB and
 *	more; UINT32_MAX: none
 * @reserve: with CREATE: ids, ended by NULL, that are the creator's from the
 *	beginning: claiming one of these needs a grant. NULL: none
 * @owner: with SBUS_OPEN_OWNER: uid of the bus's owner, the user who created it
 * @reserve_new: likewise ids to reserve, if this creates the bus: one that is there
 *	without them is joined all the same
 *
 * The name of a bus belongs to whoever creates it first. So a bus that is there has
 * to be the caller's own (of its effective uid), or @owner's, or anybody's with
 * SBUS_OPEN_ANY_OWNER. If none of these is given and @bus is NULL, the owner is
 * $SYMPHONY_BUS_OWNER, a uid or "any", if that is not empty. Otherwise it is -EPERM,
 * and nothing was sent or claimed. A bus of @owner is not created by another user.
 *
 * @mode, @reserve and SBUS_OPEN_GRANTS are what a bus is created with. One that is
 * there already has to have as much: -EEXIST if its mode permits more than @mode,
 * if claiming on it needs no grant, or if not all of @reserve are reserved. If its
 * creator is dead and the caller is of the creator's uid, opening with @reserve,
 * @reserve_new or SBUS_OPEN_GRANTS makes the connection the creator. See
 * sbus_is_creator() and sbus_grant().
 *
 * What goes out together (the answers of a batch, see sbus_serve() and sbus_cork())
 * is one system call, over io_uring. Where that may not be used it is one for each,
 * which is said once on stderr; so it is, silently, with SYMPHONY_ENGINE=ioctl in
 * the environment.
 */
struct sbus_params {
	size_t size;
	uint32_t flags;
	uint32_t mode;
	const char *bus;
	const char *device;
	uint32_t pool_size;
	uint32_t queue_max;
	const char *const *reserve;
	uint32_t sealed_min;
	uid_t owner;
	const char *const *reserve_new;
};

/**
 * sbus_owner_parse() - whose bus it is, from text
 * @text: a uid, or "any"
 * @params: @owner and SBUS_OPEN_OWNER or SBUS_OPEN_ANY_OWNER are set
 *
 * Return: 0 or -EINVAL.
 */
SBUS_API int sbus_owner_parse(const char *text, struct sbus_params *params);

/**
 * sbus_bus_name() - the name of the bus that sbus_open() would open
 * @params: as sbus_open()'s
 * @name: (out) the name, which is not checked
 *
 * Return: @name.
 */
SBUS_API const char *sbus_bus_name(const struct sbus_params *params,
				   char name[SBUS_NAME_MAX + 1]);

/**
 * sbus_open() - connect to a bus
 * @bus: (out) the connection, one reference
 * @params: NULL: the bus of @sbus_params.bus = NULL, created when it is not
 *	there
 * @error: filled on failure
 *
 * The connection belongs to the calling process, and so does everything made with
 * it: messages, slots, and what of the Pit uses it. In a forked child all of it is
 * inert. Functions that can fail give -EPERM there, the others do nothing, a message
 * is empty, and sbus_get_fd() is not a descriptor; dropping references is allowed,
 * and frees nothing: the memory goes with the child, or when it calls exec. The child
 * opens its own connection.
 *
 * Errors: ENODEV (no /dev/symphony: the module is not loaded), ENOENT (no such
 * bus), EEXIST (with EXCL; or the bus that is there has not the protections asked
 * for), EACCES (its mode), EPERM (it is another user's), EINVAL (a name that cannot be
 * one), EPROTONOSUPPORT (a
 * module this library cannot speak to), EDQUOT, EMFILE, ENOMEM.
 */
SBUS_API int sbus_open(struct sbus **bus, const struct sbus_params *params,
		       struct sbus_error *error);

/**
 * sbus_ref() - take another reference
 * @bus: the connection
 *
 * Return: @bus.
 */
SBUS_API struct sbus *sbus_ref(struct sbus *bus);

/**
 * sbus_unref() - drop a reference; the last one closes and frees
 * @bus: the connection, or NULL
 *
 * Messages hold a reference: their bodies stay where they are.
 *
 * Return: NULL.
 */
SBUS_API struct sbus *sbus_unref(struct sbus *bus);

/**
 * sbus_close() - give up everything outstanding
 * @bus: the connection
 *
 * Every asynchronous call without an outcome is cancelled, and its callback runs,
 * here, with -ESHUTDOWN; watches are forgotten; later operations give -ESHUTDOWN. To
 * others the endpoint is dead once the last reference is dropped. Not from a
 * callback of this connection, and not while another thread is in
 * sbus_process() or sbus_serve() (sbus_stop() comes first).
 */
SBUS_API void sbus_close(struct sbus *bus);

/**
 * sbus_endpoint() - this connection's endpoint id
 * @bus: the connection
 *
 * Return: what others see as sbus_message_sender(); never 0, never reused.
 */
SBUS_API uint64_t sbus_endpoint(const struct sbus *bus);

/**
 * sbus_name() - the name of the bus
 * @bus: the connection
 *
 * Return: valid as long as the connection.
 */
SBUS_API const char *sbus_name(const struct sbus *bus);

/**
 * sbus_is_creator() - did opening this connection create the bus, or inherit it?
 * @bus: the connection
 *
 * Return: true: it claims without a grant, and sbus_grant() gives them.
 */
SBUS_API bool sbus_is_creator(const struct sbus *bus);

/**
 * sbus_resolve() - the number of an extension, which BPF programs see
 * @bus: the connection
 * @extension: its id
 * @handle: (out) the same for everybody, as long as the bus is there
 * @error: filled on failure
 *
 * Errors: ENOENT (nobody on this bus ever claimed it), EINVAL, ESHUTDOWN, ENOMEM.
 */
SBUS_API int sbus_resolve(struct sbus *bus, const char *extension, uint64_t *handle,
			  struct sbus_error *error);

/**
 * struct sbus_use - how much of something a user has
 * @used: now
 * @max: at most
 */
struct sbus_use {
	uint64_t used;
	uint64_t max;
};

/**
 * struct sbus_info - what the module is and allows
 * @size: sizeof(struct sbus_info), set by the caller
 * @abi_version: of the module
 * @features: SYMPHONY_FEATURE_* of <linux/symphony.h>
 * @pool_default: bytes
 * @pool_max: bytes
 * @calls_max: calls that one endpoint may have without an outcome fetched
 * @queue_max: messages that one sender may have in one endpoint's queue
 * @share_max: percent of a pool that one sender may hold
 * @user_buses: buses that the effective user created
 * @user_endpoints: its endpoints: connections
 * @user_pool: bytes of their pools
 * @user_calls: their calls without an outcome fetched
 * @user_services: ids that it claimed first
 * @user_files: files that they sent, neither taken nor closed
 * @user_claims: their claims
 * @user_records: other endpoints that they call or watch
 */
struct sbus_info {
	size_t size;
	uint32_t abi_version;
	uint32_t pool_default;
	uint64_t features;
	uint32_t pool_max;
	uint32_t calls_max;
	uint32_t queue_max;
	uint32_t share_max;
	struct sbus_use user_buses;
	struct sbus_use user_endpoints;
	struct sbus_use user_pool;
	struct sbus_use user_calls;
	struct sbus_use user_services;
	struct sbus_use user_files;
	struct sbus_use user_claims;
	struct sbus_use user_records;
};

/**
 * sbus_query() - what the module is and allows
 * @bus: a connection, or NULL to ask the device without joining a bus
 * @info: (out); @info->size must be set
 * @error: filled on failure
 *
 * Errors: ENODEV (the module is not loaded).
 */
SBUS_API int sbus_query(struct sbus *bus, struct sbus_info *info, struct sbus_error *error);

/**
 * sbus_check_name() - can this be an id, or the name of a bus?
 * @name: the name; NULL cannot
 * @error: filled on failure: the message says what names are made of
 *
 * Every function that takes an id or the name of a bus checks it so.
 *
 * Errors: EINVAL.
 */
SBUS_API int sbus_check_name(const char *name, struct sbus_error *error);

/**
 * sbus_now() - the clock of deadlines
 *
 * Return: CLOCK_MONOTONIC in nanoseconds.
 */
SBUS_API uint64_t sbus_now(void);

/**
 * sbus_method_id() - the number of a method, for routing without its name
 * @name: the method's name
 *
 * FNV-1a, 64 bits. The JSON and method calls below put it in the message's
 * header, so a receiver can switch on it before any JSON is parsed.
 *
 * Return: the number; 0 only for NULL.
 */
static inline uint64_t sbus_method_id(const char *name)
{
	uint64_t hash = 0xcbf29ce484222325ULL;

	if (!name)
		return 0;
	while (*name)
		hash = (hash ^ (unsigned char)*name++) * 0x100000001b3ULL;
	return hash;
}

/**
 * sbus_method_id_n() - the same of a name that is not terminated, or has NULs in it
 * @name: the method's name, or NULL
 * @len: its bytes
 */
static inline uint64_t sbus_method_id_n(const char *name, size_t len)
{
	uint64_t hash = 0xcbf29ce484222325ULL;

	if (!name)
		return 0;
	while (len--)
		hash = (hash ^ (unsigned char)*name++) * 0x100000001b3ULL;
	return hash;
}

/* --- messages ----------------------------------------------------------- */

/**
 * sbus_message_ref() - take another reference
 * @message: the message
 *
 * Return: @message.
 */
SBUS_API struct sbus_message *sbus_message_ref(struct sbus_message *message);

/**
 * sbus_message_unref() - drop a reference
 * @message: the message, or NULL
 *
 * With the last one the body and the parsed JSON are gone: the room in the
 * receive pool is given back with the connection's next operation. A request
 * that nobody answered, and nobody holds any more, gets an error reply
 * (SBUS_CODE_INTERNAL): its caller is never left waiting.
 *
 * Return: NULL.
 */
SBUS_API struct sbus_message *sbus_message_unref(struct sbus_message *message);

/**
 * sbus_message_body() - the bytes of a message
 * @message: the message
 * @len: (out) how many; may be NULL
 *
 * Return: the body, read-only, in the receive pool, or in memory of its own if it is
 * large (nothing was copied, and nobody can change it), 8-byte aligned, not terminated; valid until the last
 * reference is dropped.
 */
SBUS_API const void *sbus_message_body(const struct sbus_message *message, size_t *len);

/**
 * sbus_message_json() - the parsed body
 * @message: a message whose content type is SBUS_JSON
 * @root: (out) its root; valid until the message's last reference is dropped
 * @error: filled on failure
 *
 * Parsed at the first call. Two threads must not make the first call at once. A number
 * that neither 64 bits nor a double can hold is a YYJSON_TYPE_RAW: its digits.
 *
 * Errors: EBADMSG (not JSON, or nested deeper than SBUS_DEPTH_MAX; the error says
 * which, and where), EMEDIUMTYPE (the content type is not JSON), ENOMEM.
 */
SBUS_API int sbus_message_json(struct sbus_message *message, yyjson_val **root,
			       struct sbus_error *error);

/**
 * sbus_message_nr_fds() - how many files came with a message
 * @message: a request, or an answer
 */
SBUS_API unsigned int sbus_message_nr_fds(const struct sbus_message *message);

/**
 * sbus_message_fd() - a file that came with a message
 * @message: the message
 * @index: from 0, in the sender's order
 *
 * The first call for a message puts all of its files into this process's table. Two
 * threads must not make that at once.
 *
 * Return: the descriptor, close-on-exec; it is the message's, and closed with the
 * last reference to that. Errors: ENXIO (there is none, or it was taken), EMFILE
 * (the process has as many files as it may), ENOMEM, EPERM, ESHUTDOWN.
 */
SBUS_API int sbus_message_fd(struct sbus_message *message, unsigned int index);

/**
 * sbus_message_take_fd() - likewise, and have it
 * @message: the message
 * @index: from 0
 *
 * Return: as sbus_message_fd(); the descriptor is the caller's, to be closed.
 */
SBUS_API int sbus_message_take_fd(struct sbus_message *message, unsigned int index);

/** sbus_message_content() - enum sbus_content of the body */
SBUS_API uint32_t sbus_message_content(const struct sbus_message *message);
/** sbus_message_id() - id of the call that it asks or answers */
SBUS_API uint64_t sbus_message_id(const struct sbus_message *message);
/** sbus_message_sender() - endpoint id of the sender, the kernel's word */
SBUS_API uint64_t sbus_message_sender(const struct sbus_message *message);
/** sbus_message_pid() - the sender's process, 0 when it has no id here */
SBUS_API pid_t sbus_message_pid(const struct sbus_message *message);
/** sbus_message_uid() - the sender's effective uid when it joined */
SBUS_API uid_t sbus_message_uid(const struct sbus_message *message);
/** sbus_message_gid() - the sender's effective gid when it joined */
SBUS_API gid_t sbus_message_gid(const struct sbus_message *message);
/** sbus_message_method() - request: the caller's method id (sbus_method_id()), or 0 */
SBUS_API uint64_t sbus_message_method(const struct sbus_message *message);
/** sbus_message_key() - request: the caller's routing key, or 0 */
SBUS_API uint64_t sbus_message_key(const struct sbus_message *message);
/** sbus_message_deadline() - request: when its caller stops waiting, 0 for never */
SBUS_API uint64_t sbus_message_deadline(const struct sbus_message *message);
/** sbus_message_bus() - the connection it came by; no reference is taken */
SBUS_API struct sbus *sbus_message_bus(const struct sbus_message *message);

/**
 * sbus_message_extension() - the id that was called
 * @message: the message
 *
 * Return: valid as long as the connection; "" when the id is not known any
 * more (a request for an id that was unclaimed meanwhile).
 */
SBUS_API const char *sbus_message_extension(const struct sbus_message *message);

/* --- calling ------------------------------------------------------------ */

/* sbus_request.flags */
#define SBUS_CALL_DETACHED	(1U << 0)	/* made for no other call */
#define SBUS_CALL_IDEMPOTENT	(1U << 1)	/* may be done twice: SBUS_RECOVERY_REISSUE */

/**
 * struct sbus_request - a request to make
 * @size: sizeof(struct sbus_request)
 * @extension: id of the extension
 * @body: its bytes; read during the call of the function only
 * @body_len: how many
 * @content_type: enum sbus_content
 * @reply_max: bytes of answer for which room is set aside, 0: 4096. A larger
 *	answer takes free room of the pool if there is some, and otherwise comes in a
 *	file if the extension may send one (@sbus_params.sealed_min)
 * @method: for routers and the receiver: sbus_method_id(), or 0
 * @key: likewise: the routing key, or 0
 * @deadline: when to give up, 0: never
 * @timeout: likewise, relative; the earlier of the two counts
 * @cancel: sbus_call(): sbus_cancel_trigger() from another thread ends the
 *	call; or NULL
 * @interrupted: sbus_call(): called when a signal interrupted the wait. 0:
 *	wait on; a negative errno: the call is cancelled and sbus_call()
 *	returns that. NULL: wait on
 * @interrupted_data: passed to @interrupted
 * @parent: the request, received by the same connection, that the call is made
 *	for; NULL: the thread's current one, if the connection received it (see
 *	sbus_set_current())
 * @flags: SBUS_CALL_*
 * @fds: file descriptors whose files go with the request; they stay the caller's,
 *	which can close them when the function has returned
 * @nr_fds: how many, at most 16
 * @iov: the body in pieces, which need not be put together, instead of @body and
 *	@body_len; read, like those, during the call of the function only
 * @nr_iov: how many, at most SBUS_IOV_MAX; 0: the body is at @body
 *
 * A body that is too large for the receiver's pool (see @sbus_params.sealed_min) is
 * written to a memory file that nobody can change any more, which the receiver maps;
 * neither side sees a difference.
 *
 * A call that is made for another ends with it. The earlier of both deadlines
 * counts; when @parent has an outcome before it was answered (its caller
 * cancelled, or died, or its deadline passed), so has this call: -ECANCELED, or
 * -ETIMEDOUT or -ETIME when it was the deadline. With a @parent that was answered the call
 * is made for none.
 */
struct sbus_request {
	size_t size;
	const char *extension;
	const void *body;
	size_t body_len;
	uint32_t content_type;
	uint32_t reply_max;
	uint64_t method;
	uint64_t key;
	uint64_t deadline;
	uint64_t timeout;
	struct sbus_cancel *cancel;
	int (*interrupted)(void *data);
	void *interrupted_data;
	struct sbus_message *parent;
	uint32_t flags;
	const int *fds;
	size_t nr_fds;
	const struct iovec *iov;
	unsigned int nr_iov;
};

#define SBUS_REQUEST_INIT(id) { .size = sizeof(struct sbus_request), .extension = (id) }

/**
 * sbus_call() - call an extension and wait for its answer
 * @bus: the connection
 * @request: what to call, and with what
 * @reply: (out) the answer, one reference; NULL when it is of no interest
 * @error: filled on failure, with the extension and the call's id
 *
 * Waits for room at the receiver as long as the deadline allows. The id is
 * resolved once per connection.
 *
 * Errors: EREMOTEIO (an error reply), ENOENT (nobody ever claimed the id),
 * ECONNREFUSED (it has no replica now), ECONNRESET (the replica that had received
 * the call died), ECONNABORTED (a replica died that had not received it), ETIMEDOUT
 * (the deadline passed, and a replica may have received it), ETIME (the deadline
 * passed before one did), ECANCELED, EMSGSIZE (the body is too large for the receiver, or
 * the answer for this side: then error->needed says what to try as
 * reply_max), ENOBUFS (no room for the answer: drop messages you hold),
 * EDQUOT, EINVAL (an id that cannot be one; a file that cannot be sent; more than
 * SBUS_IOV_MAX pieces, or pieces and a @body), EBADF, ELOOP
 * (@fds: not open; a connection to a bus), E2BIG (more than 16 of them), EBADMSG (the
 * answer says that its body is in a file, and it is not), ESHUTDOWN, EPERM (after
 * fork), ENOMEM.
 */
SBUS_API int sbus_call(struct sbus *bus, const struct sbus_request *request,
		       struct sbus_message **reply, struct sbus_error *error);

/**
 * sbus_set_current() - say which request this thread works on
 * @request: it, or NULL; whoever sets it holds a reference for as long
 *
 * While a handler runs the request it handles is current, without this. It is
 * for work on a request that goes on elsewhere: in another thread, or in pieces
 * between which an event loop runs others.
 *
 * Return: what was current, to be set again afterwards; NULL: none.
 */
SBUS_API struct sbus_message *sbus_set_current(struct sbus_message *request);

/**
 * sbus_current() - the request that this thread works on
 *
 * Return: no reference is taken; NULL: none.
 */
SBUS_API struct sbus_message *sbus_current(void);

/**
 * sbus_call_raw() - sbus_call() with bytes
 * @bus: the connection
 * @extension: its id
 * @data: the body
 * @len: its length
 * @timeout: ns, 0: none
 * @reply: as in sbus_call()
 * @error: as in sbus_call()
 */
SBUS_API int sbus_call_raw(struct sbus *bus, const char *extension, const void *data, size_t len,
			   uint64_t timeout, struct sbus_message **reply, struct sbus_error *error);

/**
 * sbus_call_json() - sbus_call() with a JSON text
 * @bus: the connection
 * @extension: its id
 * @json: the text; it is sent as it is
 * @len: its length in bytes
 * @timeout: ns, 0: none
 * @reply: as in sbus_call()
 * @error: as in sbus_call()
 *
 * The text is not parsed, so the header's method is 0: use sbus_call_method()
 * or sbus_call() to set it.
 */
SBUS_API int sbus_call_json(struct sbus *bus, const char *extension, const char *json, size_t len,
			    uint64_t timeout, struct sbus_message **reply,
			    struct sbus_error *error);

/**
 * sbus_call_val() - sbus_call() with a parsed value
 * @bus: the connection
 * @extension: its id
 * @value: the message; when it has a string "method", the header's method is
 *	set from it
 * @timeout: ns, 0: none
 * @reply: as in sbus_call()
 * @error: as in sbus_call()
 */
SBUS_API int sbus_call_val(struct sbus *bus, const char *extension, const yyjson_val *value,
			   uint64_t timeout, struct sbus_message **reply, struct sbus_error *error);

/**
 * sbus_call_mut() - sbus_call() with a value that was built
 * @bus: the connection
 * @extension: its id
 * @value: as in sbus_call_val()
 * @timeout: ns, 0: none
 * @reply: as in sbus_call()
 * @error: as in sbus_call()
 */
SBUS_API int sbus_call_mut(struct sbus *bus, const char *extension, const yyjson_mut_val *value,
			   uint64_t timeout, struct sbus_message **reply, struct sbus_error *error);

/**
 * sbus_call_method() - call a method: {"method": @method, "params": @params}
 * @bus: the connection
 * @extension: its id
 * @method: the method's name
 * @params: its parameters, or NULL for none
 * @timeout: ns, 0: none
 * @reply: as in sbus_call()
 * @error: as in sbus_call()
 */
SBUS_API int sbus_call_method(struct sbus *bus, const char *extension, const char *method,
			      const yyjson_mut_val *params, uint64_t timeout,
			      struct sbus_message **reply, struct sbus_error *error);

/**
 * sbus_cancel_new() - a way to end a blocking call from another thread
 * @cancel: (out) one reference
 *
 * For one sbus_call() at a time, through sbus_request.cancel.
 *
 * Errors: ENOMEM.
 */
SBUS_API int sbus_cancel_new(struct sbus_cancel **cancel);

/**
 * sbus_cancel_trigger() - end the call that uses it
 * @cancel: the object
 *
 * The call returns -ECANCELED, unless its outcome came first; a call that is
 * made later with the same object returns -ECANCELED at once. The replica may
 * have done the work.
 */
SBUS_API void sbus_cancel_trigger(struct sbus_cancel *cancel);

/**
 * sbus_cancel_unref() - drop the reference
 * @cancel: the object, or NULL; no call may be using it
 *
 * Return: NULL.
 */
SBUS_API struct sbus_cancel *sbus_cancel_unref(struct sbus_cancel *cancel);

/* --- asynchronous calls ------------------------------------------------- */

/**
 * typedef sbus_reply_fn - the outcome of an asynchronous call
 * @reply: the answer, or NULL when @error is set; take a reference to keep it
 * @error: NULL, or why there is no answer; valid until the function returns
 * @userdata: as given
 *
 * Runs in the thread that processes the connection (sbus_process(), or one of
 * sbus_serve()'s), with no lock held: it may make and cancel calls.
 */
typedef void (*sbus_reply_fn)(struct sbus_message *reply, const struct sbus_error *error,
			      void *userdata);

/**
 * sbus_call_async() - call an extension without waiting
 * @bus: the connection
 * @request: what to call, and with what; @cancel and @interrupted must be NULL
 * @fn: called exactly once, if this function returned 0; NULL: the call is one
 *	way, and nothing is heard of what became of it. It has no parent and no
 *	answer, and is lost with the replica it was queued at
 * @userdata: for @fn
 * @slot: (out) to cancel the call with, one reference; NULL when not needed
 * @error: filled on failure
 *
 * When there is no room at the receiver, or too much is outstanding, the
 * request waits here (a copy of it) and is sent, in order for each extension,
 * as room appears: the connection has to be processed for that.
 *
 * Errors, each meaning that @fn will not run: as sbus_call()'s that come
 * before there is a call; ENOBUFS (sbus_params.queue_max requests wait
 * already).
 */
SBUS_API int sbus_call_async(struct sbus *bus, const struct sbus_request *request, sbus_reply_fn fn,
			     void *userdata, struct sbus_slot **slot, struct sbus_error *error);

/**
 * sbus_slot_ref() - take another reference
 * @slot: the slot
 *
 * Return: @slot.
 */
SBUS_API struct sbus_slot *sbus_slot_ref(struct sbus_slot *slot);

/**
 * sbus_slot_unref() - drop a reference; cancels nothing
 * @slot: the slot, or NULL
 *
 * Return: NULL.
 */
SBUS_API struct sbus_slot *sbus_slot_unref(struct sbus_slot *slot);

/**
 * sbus_slot_cancel() - give up what the slot stands for
 * @slot: a call, or a watch
 *
 * A call: its callback still runs, once, with -ECANCELED or with the outcome
 * that came first. A watch: its callback does not run after this returns,
 * unless it is running in another thread now.
 *
 * Errors: EALREADY (the callback ran, or is about to).
 */
SBUS_API int sbus_slot_cancel(struct sbus_slot *slot);

/* --- event loop --------------------------------------------------------- */

/**
 * sbus_get_fd() - the descriptor to poll
 * @bus: the connection
 *
 * Return: valid as long as the connection; not to be read, written or closed.
 */
SBUS_API int sbus_get_fd(const struct sbus *bus);

/**
 * sbus_get_events() - what to poll it for
 * @bus: the connection
 *
 * Return: POLLIN.
 */
SBUS_API int sbus_get_events(const struct sbus *bus);

/**
 * sbus_get_timeout() - by when to process, whatever the descriptor says
 * @bus: the connection
 *
 * Changes with every call made or processed: ask after each. It is finite only
 * while requests wait for room at a receiver, or to be uncorked with a deadline, or
 * have an outcome that was made here.
 *
 * Return: absolute time in ns, UINT64_MAX for never, 0 for now.
 */
SBUS_API uint64_t sbus_get_timeout(struct sbus *bus);

/**
 * sbus_process() - receive what is there and run the callbacks; never waits
 * @bus: the connection
 *
 * One thread at a time. Not while sbus_serve() runs on the same connection.
 *
 * Return: how many messages were handled, at most a batch (call again); 0 when
 * there was nothing. Errors: EBUSY (another thread is in here), ESHUTDOWN,
 * EPERM.
 */
SBUS_API int sbus_process(struct sbus *bus);

/**
 * sbus_wait() - wait until there is something to process
 * @bus: the connection
 * @deadline: 0: for ever
 *
 * Return: 1 when sbus_process() should be called, 0 when the deadline passed.
 * Errors: EINTR.
 */
SBUS_API int sbus_wait(struct sbus *bus, uint64_t deadline);

/* --- serving ------------------------------------------------------------ */

/**
 * sbus_claim() - become an extension (a replica of it)
 * @bus: the connection
 * @extension: its id, [a-z][a-z0-9_.-]{0,62}
 * @error: filled on failure
 *
 * Requests then reach the handler set with sbus_set_handler().
 *
 * Errors: EACCES (the bus's mode), EPERM (the id is another user's, or needs a
 * grant: sbus_claim_with()), EALREADY,
 * EINVAL (not an id), EDQUOT, ENOMEM.
 */
SBUS_API int sbus_claim(struct sbus *bus, const char *extension, struct sbus_error *error);

/* sbus_claim_params.flags */
#define SBUS_CLAIM_TAKEOVER	(1U << 0)	/* instead of those who are */
#define SBUS_CLAIM_ACTIVATOR	(1U << 1)	/* hold calls until there is a replica */
#define SBUS_CLAIM_GRANT	(1U << 2)	/* @grant is there */

/**
 * enum sbus_recovery - what becomes of the calls that a replica has when it dies
 * @SBUS_RECOVERY_FAIL: they fail, -ECONNRESET
 * @SBUS_RECOVERY_REQUEUE: those it had not received go to another replica
 * @SBUS_RECOVERY_REISSUE: those it had received too, where the caller said
 *	SBUS_CALL_IDEMPOTENT
 */
enum sbus_recovery {
	SBUS_RECOVERY_FAIL = 0,
	SBUS_RECOVERY_REQUEUE = 1,
	SBUS_RECOVERY_REISSUE = 2,
};

/**
 * struct sbus_claim_params - how to claim
 * @size: sizeof(struct sbus_claim_params)
 * @flags: SBUS_CLAIM_*
 * @recovery: enum sbus_recovery, the same for all replicas of an extension
 * @grant: with GRANT: a descriptor of sbus_grant()'s; it stays the caller's
 * @endpoint: with TAKEOVER: the one replica to replace, 0: all
 *
 * TAKEOVER: in one step, this connection is a replica and those are not. What
 * was queued there comes here; what was received there is answered there. They
 * are told with SBUS_NOTICE_TAKEOVER.
 *
 * ACTIVATOR: not a replica. What is called while there is none is held in this
 * connection's pool, of which it is told with SBUS_NOTICE_ACTIVATE; the first
 * replica gets it. sbus_unclaim() refuses what is held. One for each extension.
 */
struct sbus_claim_params {
	size_t size;
	uint32_t flags;
	uint32_t recovery;
	int grant;
	uint64_t endpoint;
};

/**
 * sbus_claim_with() - become an extension, and say how
 * @bus: the connection
 * @extension: its id
 * @params: NULL: as sbus_claim()
 * @error: filled on failure
 *
 * Errors: sbus_claim()'s; EPERM also without the grant that the id needs; EBADF
 * (@grant is none); EINVAL also when other replicas claimed with another
 * recovery; ESRCH (TAKEOVER: @endpoint is no replica); EBUSY (ACTIVATOR: there is
 * one).
 */
SBUS_API int sbus_claim_with(struct sbus *bus, const char *extension,
			     const struct sbus_claim_params *params, struct sbus_error *error);

/**
 * sbus_grant() - a descriptor that lets its holder claim an id
 * @bus: the connection that created the bus
 * @extension: the id; nobody needs to have claimed it
 * @error: filled on failure
 *
 * To be inherited by a child or sent over a socket. It holds for as long as it is
 * open and the bus exists, for connections of the same user.
 *
 * Return: the descriptor, close-on-exec. Errors: EPERM (another connection created
 * the bus), EINVAL (not an id), EMFILE, ENOMEM.
 */
SBUS_API int sbus_grant(struct sbus *bus, const char *extension, struct sbus_error *error);

/**
 * sbus_drain() - get no new requests
 * @bus: the connection
 * @extension: an id that it claimed
 * @resume: true: get requests again
 *
 * It stays a replica, and answers what it has.
 *
 * Errors: ENOENT (not claimed by this connection), ENOMEM.
 */
SBUS_API int sbus_drain(struct sbus *bus, const char *extension, bool resume);

/**
 * sbus_unclaim() - stop being an extension
 * @bus: the connection
 * @extension: its id
 *
 * Errors: ENOENT (not claimed by this connection).
 */
SBUS_API int sbus_unclaim(struct sbus *bus, const char *extension);

/**
 * typedef sbus_request_fn - handles a request
 * @request: the request; take a reference to keep it
 * @userdata: as given
 *
 * Answers with one of sbus_reply_*() before it returns, or keeps a reference
 * and answers later, from any thread. Answering from within is cheapest: it
 * shares one system call with receiving the next request. Runs in a thread
 * that serves or processes; with sbus_serve() and more than one thread,
 * several run at once. sbus_message_extension() tells which id was called.
 *
 * Return: 0, or a negative errno: then, if the request is not answered, it
 * gets an error reply that says so.
 */
typedef int (*sbus_request_fn)(struct sbus_message *request, void *userdata);

/**
 * sbus_set_handler() - say who handles requests
 * @bus: the connection
 * @fn: the handler
 * @userdata: for @fn
 *
 * Before the first sbus_claim(), and not changed while requests are served.
 */
SBUS_API void sbus_set_handler(struct sbus *bus, sbus_request_fn fn, void *userdata);

/**
 * sbus_message_cancelled() - does nobody wait for the answer any more?
 * @request: a request that was received
 *
 * Costs a system call, as long as somebody waits. A request that was cancelled is
 * answered, or dropped, like any other; that reaches nobody.
 *
 * Return: 0, or why: -ECANCELED (the caller gave it up), -ETIMEDOUT (its deadline
 * passed), -ECONNRESET (the caller died; -ECANCELED too, until the kernel's notice of it
 * was received).
 */
SBUS_API int sbus_message_cancelled(const struct sbus_message *request);

/**
 * enum sbus_notice_type - what the kernel has to tell whoever claimed
 * @SBUS_NOTICE_CANCELLED: nobody waits for the answer to the request @call
 * @SBUS_NOTICE_TAKEOVER: the connection @endpoint took @extension over; this one
 *	gets no more requests for it, and answers those it has
 * @SBUS_NOTICE_ACTIVATE: @extension, of which this connection is the activator,
 *	was called and has no replica. Told once until it has one
 */
enum sbus_notice_type {
	SBUS_NOTICE_CANCELLED = 1,
	SBUS_NOTICE_TAKEOVER = 2,
	SBUS_NOTICE_ACTIVATE = 3,
};

/**
 * struct sbus_notice - what the kernel has to tell
 * @size: sizeof(struct sbus_notice) of the library
 * @type: enum sbus_notice_type
 * @reason: CANCELLED: as sbus_message_cancelled()
 * @call: CANCELLED: sbus_message_id() of the request
 * @endpoint: TAKEOVER: endpoint id of who took over
 * @extension: id of the extension; "" when it is not known any more
 */
struct sbus_notice {
	size_t size;
	uint32_t type;
	int reason;
	uint64_t call;
	uint64_t endpoint;
	const char *extension;
};

/**
 * typedef sbus_notice_fn - takes a notice
 * @notice: valid until the function returns
 * @userdata: as given
 *
 * Runs in a thread that serves or processes, with no lock held.
 *
 * CANCELLED names a call, not an object: the request may have been answered
 * meanwhile, or, with several threads, be one whose handler has not started. So a
 * handler that is to hear of it first enters its request where this function
 * finds it, and then asks sbus_message_cancelled() once.
 */
typedef void (*sbus_notice_fn)(const struct sbus_notice *notice, void *userdata);

/**
 * sbus_set_notice_handler() - say who takes notices
 * @bus: the connection
 * @fn: the function; NULL: nobody
 * @userdata: for @fn
 *
 * Before the first sbus_claim(), and not changed while requests are served.
 */
SBUS_API void sbus_set_notice_handler(struct sbus *bus, sbus_notice_fn fn, void *userdata);

/**
 * struct sbus_serve_params - how to serve
 * @size: sizeof(struct sbus_serve_params)
 * @threads: how many, the calling one included; 0: 1
 * @interrupted: called in the calling thread when a signal interrupted its
 *	wait; non-zero ends sbus_serve(), which returns that. NULL: wait on
 * @interrupted_data: passed to @interrupted
 * @batch: messages that a thread takes at a time, at most 64; 0: 1. Their answers
 *	go out together, but the first does not wait longer than 200 us for the
 *	others. What a thread has taken no other thread takes, nor another replica
 *	when this process dies: a batch is for short handlers and many callers
 */
struct sbus_serve_params {
	size_t size;
	unsigned int threads;
	int (*interrupted)(void *data);
	void *interrupted_data;
	unsigned int batch;
};

/**
 * sbus_serve() - receive and handle until told to stop
 * @bus: the connection
 * @params: NULL: in the calling thread alone
 * @error: filled on failure
 *
 * Handles requests, outcomes of asynchronous calls and watches. Threads that
 * are started have all signals blocked and are gone when this returns; handlers
 * have returned then.
 *
 * Return: 0 after sbus_stop(). Errors: EBUSY (served or processed already),
 * EINVAL (no handler), ESHUTDOWN, EPERM, EDQUOT, EAGAIN (no thread), ENOMEM.
 */
SBUS_API int sbus_serve(struct sbus *bus, const struct sbus_serve_params *params,
			struct sbus_error *error);

/**
 * sbus_stop() - make sbus_serve() return
 * @bus: the connection
 *
 * From any thread, from a handler, or from a signal handler: it is async-signal-safe.
 * It allocates nothing, takes no lock and opens nothing, so that it also works at a
 * limit, in a sandbox that forbids what the process did before, and after the process
 * changed its user, its root or its namespaces. If nobody serves, the next
 * sbus_serve() returns at once.
 */
SBUS_API void sbus_stop(struct sbus *bus);

/**
 * sbus_reply_raw() - answer with bytes
 * @request: the request; the reference stays the caller's
 * @data: the body; it is copied
 * @len: its length
 *
 * Errors of all sbus_reply_*(): EALREADY (answered before), ESRCH (the caller
 * no longer waits: it cancelled, its deadline passed, it died), EMSGSIZE (the
 * caller has no room for it: it sees that too), ENOMEM, ESHUTDOWN, EPERM. From
 * within a handler the answer can be sent after it returned; then only
 * EALREADY and ENOMEM are seen, and the rest concerns the caller alone.
 */
SBUS_API int sbus_reply_raw(struct sbus_message *request, const void *data, size_t len);

/**
 * sbus_reply_json() - answer with a JSON text
 * @request: the request
 * @json: the text; it is copied
 * @len: its length
 */
SBUS_API int sbus_reply_json(struct sbus_message *request, const char *json, size_t len);

/**
 * sbus_reply_val() - answer with a parsed value
 * @request: the request
 * @value: NULL: null
 */
SBUS_API int sbus_reply_val(struct sbus_message *request, const yyjson_val *value);

/**
 * sbus_reply_mut() - answer with a value that was built
 * @request: the request
 * @value: NULL: null
 */
SBUS_API int sbus_reply_mut(struct sbus_message *request, const yyjson_mut_val *value);

/**
 * sbus_reply_take() - answer with bytes that are not copied
 * @request: the request
 * @content_type: enum sbus_content
 * @data: the body
 * @len: its length
 * @destroy: called with @data, once, when the answer was sent or could not be;
 *	NULL when @data stays valid until the next request is received by the
 *	same thread (it is copied where the connection is corked)
 *
 * For large answers from within a handler.
 */
SBUS_API int sbus_reply_take(struct sbus_message *request, uint32_t content_type, const void *data,
			     size_t len, void (*destroy)(void *data));

/**
 * sbus_reply_iov() - answer with bytes that are in pieces
 * @request: the request
 * @content_type: enum sbus_content
 * @iov: the pieces; what they have together is the body, and is copied
 * @nr_iov: how many, at most SBUS_IOV_MAX
 *
 * 8 KiB and less are put together, and can be sent later, like any answer. More is
 * sent at once, from the pieces, also by a connection that is corked.
 *
 * Errors: sbus_reply_raw()'s, of which all are seen for an answer that is sent at
 * once; EINVAL (more than SBUS_IOV_MAX pieces), EFAULT. After ENOMEM, EINVAL and
 * EFAULT the request is not answered.
 */
SBUS_API int sbus_reply_iov(struct sbus_message *request, uint32_t content_type,
			    const struct iovec *iov, unsigned int nr_iov);

/**
 * sbus_reply_error() - answer with an error reply
 * @request: the request
 * @code: an enum sbus_code, or the extension's own, positive
 * @data: its "data", or NULL. Left out when JSON cannot say it
 * @format: printf format of its "message"; bytes that are not UTF-8 are sent as "?"
 */
SBUS_API int sbus_reply_error(struct sbus_message *request, int64_t code, const yyjson_mut_val *data,
			      const char *format, ...) __attribute__((format(printf, 4, 5)));

/**
 * sbus_reply_errorv() - sbus_reply_error() of a struct sbus_error
 * @request: the request
 * @error: its code (or, when that is 0, its errno), message and data are sent
 */
SBUS_API int sbus_reply_errorv(struct sbus_message *request, const struct sbus_error *error);

/**
 * sbus_reply_push_fd() - the answer to a request takes a file along
 * @request: the request, which is not answered yet
 * @fd: the descriptor; on success it is the request's, which closes it when the
 *	answer was sent, or with the last reference
 *
 * For an answer by any sbus_reply_*(), which is sent at once then. That can fail with
 * EDQUOT, EBADF, ELOOP (a connection to a bus) or EINVAL (a file that cannot be
 * sent): then the request was not answered, and still has the files. An error
 * reply takes none.
 *
 * Errors: EALREADY, E2BIG (16 are there), EBADF, ENOMEM.
 */
SBUS_API int sbus_reply_push_fd(struct sbus_message *request, int fd);

/**
 * enum sbus_corked - what is held back
 */
enum sbus_corked {
	SBUS_ANSWERS = 1,
	SBUS_CALLS = 2,
};

/**
 * sbus_cork() - hold answers or calls back
 * @bus: the connection
 * @what: enum sbus_corked, or both
 *
 * Until sbus_uncork(), which sends them together: for who answers or makes many in
 * a row, such as an event loop. Nobody else sends the answers, and each keeps its
 * connection: every sbus_cork() is followed by an sbus_uncork(). What is answered
 * meanwhile cannot say any more that it came too late or was too large, as if from
 * within a handler.
 *
 * Of calls, those of sbus_call_async() with up to 16 KiB of body, which is copied, are
 * held back. What fails only then is told to their callback (after sbus_uncork(), look
 * at sbus_get_timeout()). A call of another kind is made at once.
 */
SBUS_API void sbus_cork(struct sbus *bus, unsigned int what);

/**
 * sbus_uncork() - send what was held back
 * @bus: the connection; it need not be corked
 * @what: enum sbus_corked, or both. Calls are sent in any case, before answers,
 *	and are held back on if they are not in @what
 */
SBUS_API void sbus_uncork(struct sbus *bus, unsigned int what);

/* --- watching ----------------------------------------------------------- */

/**
 * typedef sbus_gone_fn - an endpoint that was watched is dead
 * @endpoint: its id
 * @userdata: as given
 *
 * Runs once, in the thread that processes the connection, with no lock held.
 */
typedef void (*sbus_gone_fn)(uint64_t endpoint, void *userdata);

/**
 * sbus_watch() - be told when another endpoint dies
 * @bus: the connection
 * @endpoint: its id, as in sbus_message_sender(), on the same bus
 * @fn: called once when it is dead
 * @userdata: for @fn
 * @slot: (out) to stop watching with sbus_slot_cancel(), one reference; or NULL
 *
 * An endpoint may be watched any number of times.
 *
 * Errors: ESRCH (dead already, or never was), ENOBUFS, EDQUOT, ENOMEM.
 */
SBUS_API int sbus_watch(struct sbus *bus, uint64_t endpoint, sbus_gone_fn fn, void *userdata,
			struct sbus_slot **slot);

/* --- cleanup: variables that release what they hold at the end of scope --- */

#define SBUS_DEFINE_CLEANUP(type, name, func)			\
	static inline void name(type *pointer)			\
	{							\
		if (*pointer)					\
			func(*pointer);				\
	}

SBUS_DEFINE_CLEANUP(struct sbus *, sbus_cleanup_unrefp, sbus_unref)
SBUS_DEFINE_CLEANUP(struct sbus_message *, sbus_cleanup_message_unrefp, sbus_message_unref)
SBUS_DEFINE_CLEANUP(struct sbus_slot *, sbus_cleanup_slot_unrefp, sbus_slot_unref)
SBUS_DEFINE_CLEANUP(struct sbus_cancel *, sbus_cleanup_cancel_unrefp, sbus_cancel_unref)

#define sbus_cleanup_bus __attribute__((cleanup(sbus_cleanup_unrefp)))
#define sbus_cleanup_message __attribute__((cleanup(sbus_cleanup_message_unrefp)))
#define sbus_cleanup_slot __attribute__((cleanup(sbus_cleanup_slot_unrefp)))
#define sbus_cleanup_cancel __attribute__((cleanup(sbus_cleanup_cancel_unrefp)))
#define sbus_cleanup_error __attribute__((cleanup(sbus_error_clear)))

#ifdef __cplusplus
}
#endif

#endif /* SYMPHONY_BUS_H */
