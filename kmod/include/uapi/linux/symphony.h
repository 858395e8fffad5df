/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * Symphony: the device through which an application calls its extensions.
 *
 * A process opens /dev/symphony, JOINs a bus and has an endpoint. It maps the
 * endpoint's receive pool read-only; whatever the endpoint receives is written
 * there by the kernel: a struct symphony_msg, followed by the body. A message
 * is named by its offset in the pool and belongs to the process until RELEASE.
 *
 * Every operation is an ioctl that takes one of the structures below. The
 * first member, @size, is the size of the structure as the caller knows it; a
 * kernel that knows a longer one takes the rest as zero, one that knows a
 * shorter one refuses with E2BIG what it would have to ignore. Unknown flags
 * and reserved members that are not zero give EINVAL. Members marked (out)
 * are written by the kernel, (in/out) are read and written.
 *
 * Deadlines are CLOCK_MONOTONIC in the time namespace of the process that gives
 * or receives them. The kernel converts them on their way from one to another.
 *
 * Errors that any operation can give: EFAULT, EINVAL, E2BIG, ENOMEM, ENOTTY,
 * ENOTCONN (not JOINed), EPERM (the endpoint belongs to another process),
 * ESHUTDOWN (the endpoint is dead). The others stand with each operation.
 */
#ifndef _UAPI_LINUX_SYMPHONY_H
#define _UAPI_LINUX_SYMPHONY_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define SYMPHONY_ABI_VERSION	1

/* Longest name of a bus or of a service, in bytes, without a terminator. */
#define SYMPHONY_NAME_MAX	63

/* Offsets in a pool are multiples of this; so is the size of a pool. */
#define SYMPHONY_POOL_ALIGN	128
#define SYMPHONY_POOL_MIN	(64U << 10)
#define SYMPHONY_POOL_MAX	(1U << 30)

/* "No message": what an (out) offset says when there is none. */
#define SYMPHONY_NO_OFFSET	0xffffffffU

/* Most offsets that one operation releases or receives. */
#define SYMPHONY_BATCH_MAX	256

/* Room for an answer when @reply_max is 0, in bytes of body. */
#define SYMPHONY_REPLY_DEFAULT	4096

/* Most pieces of one body: the array of them is a page. */
#define SYMPHONY_VECTORS_MAX	256

/* Most file descriptors that go with one message. */
#define SYMPHONY_FDS_MAX	16

/* A call goes to another replica so often after one that received it died. */
#define SYMPHONY_REISSUES_MAX	8

/**
 * enum symphony_content - what the bytes of a body are
 * @SYMPHONY_CONTENT_RAW: bytes
 * @SYMPHONY_CONTENT_JSON: one JSON text, UTF-8
 *
 * The kernel carries the number and gives it no meaning.
 */
enum symphony_content {
	SYMPHONY_CONTENT_RAW	= 0,
	SYMPHONY_CONTENT_JSON	= 1,
};

/*
 * With the number: the body is a struct symphony_sealed, and the bytes that the
 * number is about are in the last of the message's files. Libraries agree on this.
 */
#define SYMPHONY_CONTENT_SEALED	(1U << 31)

/**
 * struct symphony_sealed - a body that is in a file
 * @len: bytes of it; the size of the file
 *
 * The file is a memfd with F_SEAL_WRITE, F_SEAL_GROW, F_SEAL_SHRINK and
 * F_SEAL_SEAL. The receiver checks that, and its size, before it maps it.
 */
struct symphony_sealed {
	__u64 len;
};

/**
 * struct symphony_piece - a piece of a body
 * @address: where it is
 * @len: its length, which can be 0
 *
 * As struct iovec, where addresses have 64 bits.
 */
struct symphony_piece {
	__u64 address;
	__u64 len;
};

/**
 * enum symphony_msg_type - what a message in the pool is
 * @SYMPHONY_MSG_CALL: a request; answer it with REPLY
 * @SYMPHONY_MSG_REPLY: the outcome of a SEND (or of a CALL, in the slice that
 *	CALL or WAIT names)
 * @SYMPHONY_MSG_GONE: the endpoint @sender, which was WATCHed, is dead
 * @SYMPHONY_MSG_ROOM: the endpoint @sender, where a SEND with NOTIFY found no
 *	room, has some again
 * @SYMPHONY_MSG_CANCELLED: the call @id, which this endpoint received and did
 *	not answer, has an outcome (@status) that the kernel made: nobody waits
 *	for the answer. Only for services CLAIMed with NOTIFY
 * @SYMPHONY_MSG_TAKEOVER: the endpoint @sender took over @handle: this endpoint
 *	is no replica of it any more. What it received it can still answer
 * @SYMPHONY_MSG_ACTIVATE: the service @handle, of which this endpoint is the
 *	activator, was called and has no replica. Said once until it has one
 */
enum symphony_msg_type {
	SYMPHONY_MSG_CALL	= 1,
	SYMPHONY_MSG_REPLY	= 2,
	SYMPHONY_MSG_GONE	= 3,
	SYMPHONY_MSG_ROOM	= 4,
	SYMPHONY_MSG_CANCELLED	= 5,
	SYMPHONY_MSG_TAKEOVER	= 6,
	SYMPHONY_MSG_ACTIVATE	= 7,
};

/**
 * enum symphony_limit - which limit an operation ran into
 * @SYMPHONY_LIMIT_NONE: none
 * @SYMPHONY_LIMIT_POOL: ENOBUFS: the own pool is full; RELEASE something
 * @SYMPHONY_LIMIT_CALLS: EDQUOT: calls of the endpoint without an outcome
 *	fetched
 * @SYMPHONY_LIMIT_QUEUE: EAGAIN: messages of this endpoint at the receiver
 * @SYMPHONY_LIMIT_SHARE: EAGAIN: the receiver's pool has room, but this
 *	endpoint holds its share of it
 * @SYMPHONY_LIMIT_USER_SHARE: EAGAIN: likewise all endpoints of the user
 * @SYMPHONY_LIMIT_ROOM: EAGAIN: the receiver's pool is full
 * @SYMPHONY_LIMIT_BODY: EMSGSIZE: the body; at most half the receiver's pool
 * @SYMPHONY_LIMIT_REPLY: EMSGSIZE: @reply_max; at most half the own pool
 * @SYMPHONY_LIMIT_SERVICES: EDQUOT: services of the bus
 * @SYMPHONY_LIMIT_USER_BUSES: EDQUOT: buses that the user created
 * @SYMPHONY_LIMIT_USER_ENDPOINTS: EDQUOT: endpoints of the user
 * @SYMPHONY_LIMIT_USER_POOL: EDQUOT: bytes of the pools of the user
 * @SYMPHONY_LIMIT_USER_CALLS: EDQUOT: calls of the user without an outcome
 *	fetched
 * @SYMPHONY_LIMIT_USER_SERVICES: EDQUOT: services that the user claimed first
 * @SYMPHONY_LIMIT_USER_FILES: EDQUOT: files that the user sent and that were
 *	neither claimed nor closed
 * @SYMPHONY_LIMIT_USER_CLAIMS: EDQUOT: claims of the user's endpoints
 * @SYMPHONY_LIMIT_USER_RECORDS: EDQUOT: records of the user's endpoints at others;
 *	also where EDQUOT has no @limit beside it (WATCH)
 *
 * What a user namespace uses also counts for the users who own it and the ones
 * around it: "the user" can be one of them.
 */
enum symphony_limit {
	SYMPHONY_LIMIT_NONE		= 0,
	SYMPHONY_LIMIT_POOL		= 1,
	SYMPHONY_LIMIT_CALLS		= 2,
	SYMPHONY_LIMIT_QUEUE		= 3,
	SYMPHONY_LIMIT_SHARE		= 4,
	SYMPHONY_LIMIT_USER_SHARE	= 5,
	SYMPHONY_LIMIT_ROOM		= 6,
	SYMPHONY_LIMIT_BODY		= 7,
	SYMPHONY_LIMIT_REPLY		= 8,
	SYMPHONY_LIMIT_SERVICES		= 9,
	SYMPHONY_LIMIT_USER_BUSES	= 10,
	SYMPHONY_LIMIT_USER_ENDPOINTS	= 11,
	SYMPHONY_LIMIT_USER_POOL	= 12,
	SYMPHONY_LIMIT_USER_CALLS	= 13,
	SYMPHONY_LIMIT_USER_SERVICES	= 14,
	SYMPHONY_LIMIT_USER_FILES	= 15,
	SYMPHONY_LIMIT_USER_CLAIMS	= 16,
	SYMPHONY_LIMIT_USER_RECORDS	= 17,
};

/* symphony_msg.flags */
#define SYMPHONY_MSG_ERROR	(1U << 0)	/* REPLY: an error reply (REPLY with ERROR) */
#define SYMPHONY_MSG_ONEWAY	(1U << 1)	/* CALL: there is nobody to answer */

/**
 * struct symphony_msg - the header of a message, in the receiver's pool
 * @type: enum symphony_msg_type
 * @flags: SYMPHONY_MSG_*
 * @header_len: bytes from the message's offset to its body
 * @id: CALL, REPLY, CANCELLED: the call's id, never used twice; otherwise 0
 * @cookie: REPLY: the @cookie of the SEND; ROOM: likewise, of the one that
 *	found none; GONE: that of the WATCH
 * @sender: id of the endpoint that sent it (or that a notice is about); 0 for
 *	an outcome that the kernel made, CANCELLED and ACTIVATE
 * @handle: the service that was called, or that the notice is about
 * @method: CALL: the caller's @method
 * @key: CALL: the caller's @key
 * @deadline: CALL: CLOCK_MONOTONIC in ns, in the time namespace where the
 *	receiver's owner JOINed; 0 for none
 * @body_len: bytes of body
 * @content_type: enum symphony_content
 * @status: REPLY: 0, or the negative errno of an outcome the kernel made:
 *	ECONNRESET (a replica that had received the request died),
 *	ECONNABORTED (the replica died, and none had received the request),
 *	ETIMEDOUT (the deadline passed; a replica may have received the
 *	request), ETIME (the deadline passed, and none had), ECANCELED,
 *	EMSGSIZE (the reply was larger than the room; see @needed),
 *	ECONNREFUSED (the activator gave the service up). CANCELLED: likewise;
 *	ESHUTDOWN when the caller died
 * @needed: REPLY with EMSGSIZE: the @reply_max that would have held it; 0: it
 *	was the request, too large for the replica that it was to move to
 * @pid: thread-group id of the sender's owner, in the receiver's pid
 *	namespace; 0 when it has none there. Without a @sender, @pid, @uid and
 *	@gid are 0 and mean nobody
 * @uid: effective uid of the sender's owner when it JOINed, in the receiver's
 *	user namespace; the overflow uid when it has none there
 * @gid: likewise
 * @nr_fds: how many file descriptors came with it; see struct symphony_fds
 * @reserved: 0
 *
 * Written by the kernel; the mapping is read-only, so what was checked stays.
 */
struct symphony_msg {
	__u16 type;
	__u16 flags;
	__u32 header_len;
	__u64 id;
	__u64 cookie;
	__u64 sender;
	__u64 handle;
	__u64 method;
	__u64 key;
	__u64 deadline;
	__u32 body_len;
	__u32 content_type;
	__s32 status;
	__u32 needed;
	__u32 pid;
	__u32 uid;
	__u32 gid;
	__u32 nr_fds;
	__u64 reserved[4];
};

/* symphony_query.features */
#define SYMPHONY_FEATURE_CALL	(1ULL << 0)	/* all operations of ABI 1 */
#define SYMPHONY_FEATURE_TENANTS (1ULL << 1)	/* grants, takeover, recovery, chains */
#define SYMPHONY_FEATURE_URING	(1ULL << 2)	/* io_uring, one-way messages */
#define SYMPHONY_FEATURE_FDS	(1ULL << 3)	/* files with messages */
#define SYMPHONY_FEATURE_VECTOR	(1ULL << 5)	/* bodies in pieces */

/**
 * struct symphony_use - how much of something a user has
 * @used: now
 * @max: at most; CAP_SYS_RESOURCE goes beyond
 */
struct symphony_use {
	__u64 used;
	__u64 max;
};

/**
 * struct symphony_query - QUERY: what this module is and allows
 * @size: sizeof(struct symphony_query)
 * @flags: 0
 * @abi_version: (out) SYMPHONY_ABI_VERSION of the module
 * @pool_default: (out) pool size, in bytes, that JOIN gives for 0
 * @features: (out) SYMPHONY_FEATURE_*
 * @pool_max: (out) largest pool, in bytes
 * @calls_max: (out) calls that one endpoint may have without an outcome
 *	fetched
 * @queue_max: (out) messages that one sender may have in one endpoint's queue
 *	and pool, and
 * @share_max: (out) the part of a pool, in percent, that one sender may hold
 *	when nobody else has anything there
 * @user_buses: (out) buses that the effective user created
 * @user_endpoints: (out) its endpoints
 * @user_pool: (out) bytes of their pools
 * @user_calls: (out) their calls without an outcome fetched, rounded up
 * @user_services: (out) services that it claimed first
 * @user_files: (out) files that they sent, neither claimed nor closed
 * @user_claims: (out) claims of theirs, each as an activator twice, and TAKEOVER
 *	messages that they did not receive yet
 * @user_records: (out) what there is of theirs at other endpoints: one for each
 *	endpoint that one of them sent to, until either is dead and nothing sent is
 *	there; one for each watch, until its GONE is received. Also CANCELLED
 *	messages that they did not receive yet
 *
 * Needs no JOIN. A user is charged for what it uses in any user namespace, and
 * so is the owner of each user namespace that it is in.
 */
struct symphony_query {
	__u32 size;
	__u32 flags;
	__u32 abi_version;
	__u32 pool_default;
	__u64 features;
	__u32 pool_max;
	__u32 calls_max;
	__u32 queue_max;
	__u32 share_max;
	struct symphony_use user_buses;
	struct symphony_use user_endpoints;
	struct symphony_use user_pool;
	struct symphony_use user_calls;
	struct symphony_use user_services;
	struct symphony_use user_files;
	struct symphony_use user_claims;
	struct symphony_use user_records;
};

/* symphony_join.flags */
#define SYMPHONY_JOIN_CREATE	(1U << 0)	/* create the bus when it is not there */
#define SYMPHONY_JOIN_EXCL	(1U << 1)	/* with CREATE: EEXIST when it is */
#define SYMPHONY_JOIN_GRANTS	(1U << 2)	/* with EXCL: a CLAIM needs a grant */
#define SYMPHONY_JOIN_INHERIT	(1U << 3)	/* be the creator, which is dead */
#define SYMPHONY_JOIN_RESERVED	(1U << 4)	/* without CREATE: are @reserve reserved? */

/* symphony_join.bus_flags */
#define SYMPHONY_BUS_MINE	(1U << 0)	/* its uid is the caller's effective one */
#define SYMPHONY_BUS_CREATED	(1U << 1)	/* this JOIN created it */
#define SYMPHONY_BUS_GRANTS	(1U << 2)	/* every CLAIM needs a grant */
#define SYMPHONY_BUS_RESERVED	(1U << 3)	/* so does that of each name at @reserve */

/**
 * struct symphony_join - JOIN: become an endpoint of a bus
 * @size: sizeof(struct symphony_join)
 * @flags: SYMPHONY_JOIN_*
 * @name: address of the bus's name, [a-z][a-z0-9_.-]{0,62}
 * @name_len: its length
 * @mode: for a bus that is created: permission bits as of a file, 0 for 0600;
 *	r joins, resolves and calls, w also claims
 * @pool_size: (in/out) bytes of receive pool, a multiple of the page size from
 *	SYMPHONY_POOL_MIN to the module's limit; 0 for the default
 * @limit: (out) with EDQUOT: enum symphony_limit
 * @endpoint: (out) id of the endpoint, never used twice
 * @reserve: with EXCL: address of names of services, each with a NUL behind it,
 *	that are the creator's from the beginning: a CLAIM of these needs a
 *	grant. With RESERVED: names of which @bus_flags tells
 * @reserve_len: bytes at @reserve, at most 4096
 * @bus_flags: (out) SYMPHONY_BUS_*
 * @bus_uid: (out) the bus's uid: the effective one of the process that created it,
 *	in the caller's user namespace; 0xffffffff when it has none there. Also
 *	with EACCES, EEXIST, EPERM and EBUSY
 * @bus_gid: (out) likewise its gid
 * @bus_mode: (out) its permission bits
 * @reserved: 0
 *
 * The name of a bus is taken by whoever creates it first. A caller that asked for
 * CREATE, a mode, GRANTS or reserved names looks at the (out) members before it
 * sends or claims anything: they are about the bus that this JOIN joined, and do
 * not change while the endpoint lives.
 *
 * The endpoint that created a bus needs no grant, and is the one that gives
 * them; see GRANT. When it is dead and the bus is not, another one of the bus's
 * uid can be the creator in its place, with INHERIT and neither CREATE nor EXCL.
 * Grants that were given stay good, and reserved names reserved.
 *
 * The endpoint is owned by the calling process: only it may use the file, and
 * the endpoint dies when it exits or execs, whoever else holds the file. The
 * pool is mapped with mmap(PROT_READ, MAP_SHARED, offset 0), by the owner
 * only; the mapping does not survive fork. A bus is known by its name and the
 * caller's network namespace and is gone with its last endpoint.
 *
 * Errors: EISCONN, ENOENT (no such bus), EEXIST, EACCES (the bus's mode), EPERM
 * (INHERIT: the bus is another uid's), EBUSY (INHERIT: its creator lives),
 * ENAMETOOLONG, EDQUOT (see @limit).
 */
struct symphony_join {
	__u32 size;
	__u32 flags;
	__u64 name;
	__u32 name_len;
	__u32 mode;
	__u32 pool_size;
	__u32 limit;
	__u64 endpoint;
	__u64 reserve;
	__u32 reserve_len;
	__u32 bus_flags;
	__u32 bus_uid;
	__u32 bus_gid;
	__u32 bus_mode;
	__u32 reserved;
};

/*
 * symphony_service.flags of CLAIM. REQUEUE and REISSUE are the service's: all its
 * replicas claim it with the same.
 *
 * REQUEUE: calls that a dead replica had not received go to another one.
 * REISSUE, with REQUEUE: so do those that it had received, if IDEMPOTENT, at most
 *	SYMPHONY_REISSUES_MAX times.
 * TAKEOVER: instead of all replicas, or of @endpoint.
 * ACTIVATOR: be the service's activator, no replica.
 * NOTIFY: get MSG_CANCELLED for its calls.
 * GRANT: @grant is there.
 */
#define SYMPHONY_CLAIM_REQUEUE	(1U << 0)
#define SYMPHONY_CLAIM_REISSUE	(1U << 1)
#define SYMPHONY_CLAIM_TAKEOVER	(1U << 2)
#define SYMPHONY_CLAIM_ACTIVATOR (1U << 3)
#define SYMPHONY_CLAIM_NOTIFY	(1U << 4)
#define SYMPHONY_CLAIM_GRANT	(1U << 5)

/* symphony_service.flags of DRAIN */
#define SYMPHONY_DRAIN_RESUME	(1U << 0)	/* calls come again */

/**
 * struct symphony_service - CLAIM, UNCLAIM, RESOLVE, DRAIN, GRANT
 * @size: sizeof(struct symphony_service)
 * @flags: CLAIM: SYMPHONY_CLAIM_*; DRAIN: SYMPHONY_DRAIN_*; otherwise 0
 * @name: address of the service's name, [a-z][a-z0-9_.-]{0,62}
 * @name_len: its length
 * @limit: (out) with EDQUOT: enum symphony_limit
 * @handle: (out) the service's handle on this bus; UNCLAIM and DRAIN take it
 *	(in) and ignore the name
 * @endpoint: CLAIM with TAKEOVER: the replica to replace, 0 for all
 * @grant: CLAIM with GRANT: a file that GRANT gave; GRANT: (out) the file
 * @reserved: 0
 *
 * CLAIM makes the endpoint a replica of the service. The service belongs to
 * the uid that claimed it first for as long as the bus exists. RESOLVE gives
 * the handle of a service that was claimed at some time; the handle stays good
 * for as long as the bus exists, whether or not there is a replica.
 *
 * With TAKEOVER the new replica takes the old ones' place in one step. What was
 * queued there moves to the service's replicas, what was received is answered
 * where it is, and the old ones are told with TAKEOVER messages.
 *
 * With ACTIVATOR the endpoint holds what is called while there is no replica,
 * in its pool, and is told with one ACTIVATE message; the first replica gets
 * the calls. If the activator UNCLAIMs, their outcome is ECONNREFUSED. A
 * service has at most one.
 *
 * DRAIN stops new calls to the endpoint from the service; it stays a replica,
 * which answers what it has. GRANT, by the endpoint that created the bus, opens
 * a file that lets whoever holds it CLAIM this name, where that needs one; it
 * can be inherited, or passed over a socket.
 *
 * Errors: CLAIM: EACCES (no w on the bus), EPERM (another uid's service, or no
 * grant for this one), EALREADY, EBUSY (ACTIVATOR: there is one), EINVAL (other
 * replicas claimed with another recovery), ESRCH (TAKEOVER: @endpoint is no
 * replica), EBADF, ENAMETOOLONG, EDQUOT (see @limit), ENOBUFS (there are things
 * to tell this endpoint that find no room in its pool: RELEASE something).
 * UNCLAIM, DRAIN, RESOLVE: ENOENT. GRANT: EPERM.
 */
struct symphony_service {
	__u32 size;
	__u32 flags;
	__u64 name;
	__u32 name_len;
	__u32 limit;
	__u64 handle;
	__u64 endpoint;
	__s32 grant;
	__u32 reserved;
};

/* symphony_call.flags */
#define SYMPHONY_CALL_DONTWAIT	(1U << 0)	/* CALL: EAGAIN rather than wait for room */
#define SYMPHONY_CALL_NOTIFY	(1U << 1)	/* SEND: after EAGAIN, one ROOM message */
#define SYMPHONY_CALL_IDEMPOTENT (1U << 2)	/* may be done twice: see CLAIM_REISSUE */
#define SYMPHONY_CALL_ONEWAY	(1U << 3)	/* SEND: no answer is wanted */
#define SYMPHONY_CALL_VECTOR	(1U << 4)	/* the body is in pieces */

/**
 * struct symphony_call - CALL and SEND: make a request
 * @size: sizeof(struct symphony_call)
 * @flags: SYMPHONY_CALL_*
 * @handle: the service, from RESOLVE or CLAIM
 * @method: for routing and the receiver; the kernel gives it no meaning
 * @key: likewise
 * @body: address of the body; with VECTOR, of an array of struct symphony_piece
 * @body_len: its length (with VECTOR, how many pieces); at most half the
 *	receiver's pool, with the header and rounded up by less than an eighth
 * @content_type: enum symphony_content
 * @reply_max: bytes of body for which room is set aside in the caller's own
 *	pool; 0 for SYMPHONY_REPLY_DEFAULT. A larger reply takes free room of
 *	the pool if there is some and the replica's share there allows it
 * @nr_release: (in/out) how many offsets to release first; set to 0 when done
 * @release: address of those offsets, __u32 each
 * @deadline: CLOCK_MONOTONIC in ns by which there is an outcome; 0 for never
 * @cookie: SEND: comes back in the outcome
 * @parent: id of the received call that this one is made for; 0 for none. The
 *	earlier of both deadlines counts. When @parent has an outcome before it
 *	was answered, so has this one: ECANCELED, or ETIMEDOUT or ETIME if that was
 *	@parent's
 * @parent_slot: the offset of its message; 0 without @parent
 * @nr_fds: how many file descriptors go with it, at most SYMPHONY_FDS_MAX
 * @fds: address of them, __s32 each; see struct symphony_fds
 * @id: (in/out) 0; the call's id is written here before anyone can answer.
 *	CALL entered again with the id waits for that call instead
 * @slot: (in/out) likewise: the offset of the room set aside for the answer.
 *	WAIT and CANCEL name a call by both
 * @status: (out) CALL: 0 for a reply (which can be an error reply: see the
 *	message's flags), or the negative errno of an outcome that the kernel
 *	made, as in struct symphony_msg
 * @offset: (out) CALL: the reply's message, SYMPHONY_NO_OFFSET for an outcome
 *	that the kernel made
 * @needed: (out) CALL: with EMSGSIZE, the @reply_max that would have held it
 * @limit: (out) when the operation fails with EDQUOT, EAGAIN, EMSGSIZE or
 *	ENOBUFS: enum symphony_limit; in the place of @needed
 *
 * With VECTOR the body is what the pieces have together, in their order, at most
 * SYMPHONY_VECTORS_MAX of them: it is copied from there to where it is received.
 * The array is read once. To whoever looks at the message, or decides about it,
 * such a body is like any other; one of 4 GiB and more counts as one of
 * 4 GiB - 1, which fits nowhere.
 *
 * With ONEWAY, and neither @reply_max nor @parent, nothing is received of what
 * became of it, and it cannot be answered or cancelled. It counts as a call of
 * this endpoint until it is received. It outlives this endpoint; it is lost when
 * its @deadline passes, or its replica dies and the service does not REQUEUE,
 * before it was received.
 *
 * An error means that there is no call: nobody saw it, nothing is owed. When
 * CALL returns 0, @status and @offset are the outcome. When SEND returns 0,
 * exactly one SYMPHONY_MSG_REPLY will be received. EINTR from CALL with @id
 * set is the exception: the call stands; enter again, WAIT, or CANCEL.
 *
 * Errors: ENOENT (no such handle), ECONNREFUSED (no replica), EMSGSIZE (body
 * too large for the receiver's pool, or @reply_max for the caller's), EAGAIN
 * (SEND, DONTWAIT: no room at the receiver now), ENOBUFS (no room in the
 * caller's own pool for the answer: RELEASE something), EDQUOT (too many
 * calls without an outcome fetched, or files), ETIME (the deadline passed, or
 * there was no room by then), ESRCH (@parent is not a call to answer), EINTR,
 * EBADF and ELOOP (see struct symphony_fds). And
 * EACCES, EPERM, EBUSY, ECONNREFUSED or ETIME when a BPF program refuses it.
 */
struct symphony_call {
	__u32 size;
	__u32 flags;
	__u64 handle;
	__u64 method;
	__u64 key;
	__u64 body;
	__u32 body_len;
	__u32 content_type;
	__u32 reply_max;
	__u32 nr_release;
	__u64 release;
	__u64 deadline;
	__u64 cookie;
	__u64 parent;
	__u32 parent_slot;
	__u32 nr_fds;
	__u64 fds;
	__u64 id;
	__u32 slot;
	__s32 status;
	__u32 offset;
	union {
		__u32 needed;
		__u32 limit;
	};
};

/**
 * struct symphony_send_batch - SEND_BATCH: several SENDs in one operation
 * @size: sizeof(struct symphony_send_batch)
 * @flags: 0
 * @calls: address of an array of struct symphony_call
 * @stride: bytes from one to the next, a multiple of 8: sizeof(struct
 *	symphony_call)
 * @nr: (in/out) how many, 1 to SYMPHONY_BATCH_MAX; how many were made
 *
 * As if each had been given to SEND in turn, up to the first that fails: what
 * comes after it is not looked at. When at least one was made, the operation
 * succeeds, and the error of the one at @nr is told by making it again. A signal
 * can end it early likewise.
 *
 * Errors: those of SEND, for the first one; @nr is 0 then, or, with EINTR, as it
 * was.
 */
struct symphony_send_batch {
	__u32 size;
	__u32 flags;
	__u64 calls;
	__u32 stride;
	__u32 nr;
};

/* symphony_wait.flags */
#define SYMPHONY_WAIT_DONTWAIT	(1U << 0)	/* EAGAIN when there is no outcome yet */

/* symphony_wait.flags of CANCEL */
#define SYMPHONY_CANCEL_RECV	(1U << 0)	/* a RECV that a ring submitted */
#define SYMPHONY_CANCEL_RECEIVERS (1U << 1)	/* every thread that waits in RECV */
#define SYMPHONY_CANCEL_RESUME	(1U << 2)	/* threads may wait in RECV again */

/**
 * struct symphony_wait - WAIT and CANCEL: a call that was made
 * @size: sizeof(struct symphony_wait)
 * @flags: WAIT: SYMPHONY_WAIT_*; CANCEL: SYMPHONY_CANCEL_*
 * @id: the call's id; with SYMPHONY_CANCEL_RECV, @offsets of the RECV
 * @slot: the call's slot
 * @status: (out) WAIT: as in struct symphony_call
 * @offset: (out) WAIT: as in struct symphony_call
 * @needed: (out) WAIT: as in struct symphony_call
 *
 * WAIT fetches the outcome of a CALL that a signal interrupted; the outcome of
 * a SEND is received, never waited for (EINVAL). CANCEL makes ECANCELED the
 * outcome, which is then fetched or received like any other; the replica may
 * have done the work. With SYMPHONY_CANCEL_RECV it ends the RECVs of rings that
 * would write to @id: they complete with ECANCELED.
 *
 * With SYMPHONY_CANCEL_RECEIVERS it wakes every thread of the endpoint that waits
 * in RECV or in REPLY with RECV. From then on no thread waits there: a RECV that
 * finds no message gives ECANCELED, and a REPLY with RECV returns with @nr 0. That
 * ends with SYMPHONY_CANCEL_RESUME. Both allocate nothing and cannot fail while
 * the endpoint lives; @id and @slot are 0. RECVs of rings are left alone. At most
 * one flag can be given.
 *
 * Errors: ESRCH (no such call, or its outcome was fetched), EALREADY (CANCEL:
 * there is an outcome already), EBUSY (WAIT: another thread waits for it),
 * EAGAIN, EINTR.
 */
struct symphony_wait {
	__u32 size;
	__u32 flags;
	__u64 id;
	__u32 slot;
	__s32 status;
	__u32 offset;
	__u32 needed;
};

/* symphony_recv.flags */
#define SYMPHONY_RECV_DONTWAIT	(1U << 0)	/* EAGAIN when there is no message */

/**
 * struct symphony_recv - RECV: take the next messages
 * @size: sizeof(struct symphony_recv)
 * @flags: SYMPHONY_RECV_*
 * @deadline: CLOCK_MONOTONIC in ns until which to wait; 0 for ever
 * @offsets: address of room for @max offsets, __u32 each
 * @max: how many messages to take at most, 1 to SYMPHONY_BATCH_MAX
 * @nr: (out) how many were taken
 * @release: address of offsets to release first, __u32 each
 * @nr_release: (in/out) how many; set to 0 when done
 * @reserved: 0
 *
 * Any number of threads may receive on one endpoint; a message goes to one of
 * them, the one that waited the shortest time.
 *
 * Errors: EAGAIN (DONTWAIT or O_NONBLOCK), ETIMEDOUT, EINTR, ECANCELED (see
 * SYMPHONY_CANCEL_RECEIVERS).
 */
struct symphony_recv {
	__u32 size;
	__u32 flags;
	__u64 deadline;
	__u64 offsets;
	__u32 max;
	__u32 nr;
	__u64 release;
	__u32 nr_release;
	__u32 reserved;
};

/* symphony_reply.flags */
#define SYMPHONY_REPLY_ERROR	(1U << 0)	/* an error reply: MSG_ERROR at the caller */
#define SYMPHONY_REPLY_RELEASE	(1U << 1)	/* release the request's message too */
#define SYMPHONY_REPLY_RECV	(1U << 2)	/* then RECV */
#define SYMPHONY_REPLY_DONTWAIT	(1U << 3)	/* with RECV: as RECV_DONTWAIT */
#define SYMPHONY_REPLY_VECTOR	(1U << 4)	/* the body is in pieces */
#define SYMPHONY_REPLY_TRY	(1U << 5)	/* EMSGSIZE leaves the call as it is */

/**
 * struct symphony_reply - REPLY: answer a call, and take the next
 * @size: sizeof(struct symphony_reply)
 * @flags: SYMPHONY_REPLY_*
 * @id: the call's id, from its message
 * @slot: the offset of its message
 * @content_type: enum symphony_content
 * @body: address of the body; with VECTOR, of its pieces
 * @body_len: its length; with VECTOR, how many pieces: see struct symphony_call
 * @nr_fds: how many file descriptors go with it, at most SYMPHONY_FDS_MAX
 * @fds: address of them, __s32 each; see struct symphony_fds
 * @deadline: with RECV: as in struct symphony_recv
 * @offsets: with RECV: as in struct symphony_recv
 * @max: with RECV: as in struct symphony_recv
 * @nr: (out) with RECV: as in struct symphony_recv; can be 0
 * @release: address of offsets to release first, __u32 each
 * @nr_release: (in/out) how many; set to 0 when done
 * @limit: (out) with EDQUOT: enum symphony_limit
 *
 * A request can be released before it is answered: it stays where it is until
 * it is. An error means that the call was not answered. With RECV, 0 means
 * that it was; when then no message came (a signal, the deadline, DONTWAIT),
 * @nr is 0.
 *
 * A reply that does not fit the caller's room ends the call with EMSGSIZE at
 * the caller, and gives EMSGSIZE here. With SYMPHONY_REPLY_TRY the call goes on, and
 * can be answered with less: with SYMPHONY_CONTENT_SEALED, for example.
 *
 * Errors: ESRCH (no such call, answered before, or the caller no longer waits:
 * it cancelled, its deadline passed, it died), EMSGSIZE, EDQUOT (see @limit),
 * EBADF and ELOOP (see struct symphony_fds).
 */
struct symphony_reply {
	__u32 size;
	__u32 flags;
	__u64 id;
	__u32 slot;
	__u32 content_type;
	__u64 body;
	__u32 body_len;
	__u32 nr_fds;
	__u64 fds;
	__u64 deadline;
	__u64 offsets;
	__u32 max;
	__u32 nr;
	__u64 release;
	__u32 nr_release;
	__u32 limit;
};

/* symphony_watch.flags */
#define SYMPHONY_WATCH_REMOVE	(1U << 0)	/* stop watching */

/**
 * struct symphony_watch - WATCH: be told when another endpoint dies
 * @size: sizeof(struct symphony_watch)
 * @flags: SYMPHONY_WATCH_*
 * @endpoint: id of an endpoint of the same bus
 * @cookie: comes back in the GONE message
 *
 * One GONE message, for which the room is set aside now. A watch that is
 * removed sends none, unless it already did.
 *
 * Errors: ESRCH (no such endpoint on this bus, or it is dead already; REMOVE:
 * it is not watched), EALREADY (watched already), ENOBUFS (no room in the own
 * pool), EDQUOT (SYMPHONY_LIMIT_USER_RECORDS).
 */
struct symphony_watch {
	__u32 size;
	__u32 flags;
	__u64 endpoint;
	__u64 cookie;
};

/**
 * struct symphony_release - RELEASE: give messages back
 * @size: sizeof(struct symphony_release)
 * @flags: 0
 * @release: address of offsets, __u32 each
 * @nr_release: (in/out) how many, at most SYMPHONY_BATCH_MAX; set to 0 when
 *	done
 * @reserved: 0
 *
 * Here and in every other operation with a release array: the offsets are
 * released in order; at the first that is not a message of this endpoint the
 * operation ends with EINVAL, with the ones before it released and
 * @nr_release left at the number of those that were not.
 */
struct symphony_release {
	__u32 size;
	__u32 flags;
	__u64 release;
	__u32 nr_release;
	__u32 reserved;
};

/**
 * struct symphony_uring - an operation as a command of a ring
 * @arg: address of the operation's structure, which is read, and written, before
 *	the submission returns
 * @reserved: 0
 *
 * CALL, SEND, SEND_BATCH, RECV, REPLY (also with RECV), CANCEL and RELEASE can be
 * submitted as IORING_OP_URING_CMD: the ioctl's number in cmd_op, this in cmd. A completion's
 * result is the operation's error, or
 *  - of CALL, the offset of a SYMPHONY_MSG_REPLY, as a SEND's outcome would be
 *    received, and an outcome that the kernel made as well. An error means that
 *    there was no call; but ECANCELED: that the ring, or the thread that had
 *    submitted it, ended before the outcome was told. Like SEND it does not wait
 *    for room, and takes NOTIFY;
 *  - of RECV, and REPLY with RECV, the number of messages. Their offsets are at
 *    @offsets, which have to stay there until then; @nr is not written. There is
 *    no @deadline; CANCEL with SYMPHONY_CANCEL_RECV ends the wait;
 *  - of the others, 0.
 *
 * From Linux 6.18 on RECV can be a multishot command (IORING_URING_CMD_MULTISHOT
 * and IOSQE_BUFFER_SELECT): each completion but the last has IORING_CQE_F_MORE and
 * a buffer, in which the offsets are, and its result is their length in bytes. The
 * last one has no buffer. It tells of an error: ENOBUFS (no buffer is left), or one
 * of RECV; or its result is a number of messages whose offsets are at @offsets,
 * because there was no room for a completion of the other kind: then the buffer
 * of that completion, the oldest not told of, is to be offered again.
 *
 * A message wakes one RECV, which then takes all there are: it should be of a
 * thread that comes back to its ring. An endpoint whose file was closed lives on
 * until the ring, too, has let go of it, or its owner exits.
 *
 * Errors of their own: EOPNOTSUPP (not an operation for a ring), EINVAL (with
 * other uring_cmd_flags; a buffer is too small), EDQUOT (RECV: as many wait as there may be calls).
 */
struct symphony_uring {
	__u64 arg;
	__u64 reserved;
};

/**
 * struct symphony_fds - FDS: claim the file descriptors of a message
 * @size: sizeof(struct symphony_fds)
 * @flags: 0
 * @id: of the message
 * @offset: of the message
 * @nr: room at @fds
 * @fds: address of room for the message's @nr_fds numbers, __s32 each
 *
 * A request (CALL, SEND) and an answer (REPLY) take along what the descriptors
 * in @fds refer to when they are made; the sender keeps its own. They belong to
 * that message and move with it to another replica. FDS puts them, close-on-exec
 * and in their order, into the process's table: all, or none of them; what is
 * at @fds after an error means nothing. They can be claimed once. What is not is
 * closed when the message is RELEASEd or its endpoint dies, when the call ends
 * before it was received, and when the answer comes too late.
 *
 * With an IDEMPOTENT call they are kept until it has its outcome, claimed or
 * not, and come again with the request if that is reissued.
 *
 * The sender's user is charged for them from when the message is made until they
 * are claimed (or kept no more) or closed: EDQUOT. A file of this device is
 * refused with ELOOP, an io_uring with EINVAL.
 *
 * Errors: ESRCH (no such message, or it was released), ENOENT (nothing came with
 * it, or it was claimed), EBUSY (another thread is claiming it), ERANGE (@nr is
 * too small), EMFILE (the process's table is full), and whatever a security
 * module refuses a file with.
 */
struct symphony_fds {
	__u32 size;
	__u32 flags;
	__u64 id;
	__u32 offset;
	__u32 nr;
	__u64 fds;
};

#define SYMPHONY_IOC_MAGIC	0xB5

#define SYMPHONY_IOC_QUERY	_IO(SYMPHONY_IOC_MAGIC, 0x00)
#define SYMPHONY_IOC_JOIN	_IO(SYMPHONY_IOC_MAGIC, 0x01)
#define SYMPHONY_IOC_CLAIM	_IO(SYMPHONY_IOC_MAGIC, 0x02)
#define SYMPHONY_IOC_UNCLAIM	_IO(SYMPHONY_IOC_MAGIC, 0x03)
#define SYMPHONY_IOC_RESOLVE	_IO(SYMPHONY_IOC_MAGIC, 0x04)
#define SYMPHONY_IOC_CALL	_IO(SYMPHONY_IOC_MAGIC, 0x05)
#define SYMPHONY_IOC_SEND	_IO(SYMPHONY_IOC_MAGIC, 0x06)
#define SYMPHONY_IOC_RECV	_IO(SYMPHONY_IOC_MAGIC, 0x07)
#define SYMPHONY_IOC_REPLY	_IO(SYMPHONY_IOC_MAGIC, 0x08)
#define SYMPHONY_IOC_CANCEL	_IO(SYMPHONY_IOC_MAGIC, 0x09)
#define SYMPHONY_IOC_WAIT	_IO(SYMPHONY_IOC_MAGIC, 0x0a)
#define SYMPHONY_IOC_WATCH	_IO(SYMPHONY_IOC_MAGIC, 0x0b)
#define SYMPHONY_IOC_RELEASE	_IO(SYMPHONY_IOC_MAGIC, 0x0c)
/* 0x0d and 0x0e are reserved for PUBLISH and SUBSCRIBE. */
#define SYMPHONY_IOC_DRAIN	_IO(SYMPHONY_IOC_MAGIC, 0x0f)
#define SYMPHONY_IOC_GRANT	_IO(SYMPHONY_IOC_MAGIC, 0x10)
#define SYMPHONY_IOC_FDS	_IO(SYMPHONY_IOC_MAGIC, 0x11)
#define SYMPHONY_IOC_SEND_BATCH	_IO(SYMPHONY_IOC_MAGIC, 0x12)

#endif /* _UAPI_LINUX_SYMPHONY_H */
