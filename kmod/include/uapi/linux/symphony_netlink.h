/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * Symphony over generic netlink: what there is on the buses, and what happens.
 *
 * The family "symphony" answers dumps (NLM_F_DUMP) of what there is in the network
 * namespace of the socket. Who asks sees the buses whose uid it has and those it
 * may join by their mode; with CAP_NET_ADMIN or CAP_SYS_ADMIN over the namespace,
 * or CAP_DAC_OVERRIDE, it sees all. What counts are its credentials when the dump
 * starts; and, if it wrote to the socket without an address, as to any file, those
 * of whoever opened that: then both have to see the bus. Uids, gids and pids are as
 * the asker's namespaces see them.
 *
 * An entry that is there from the beginning of a dump to its end is told once.
 * One that comes or goes meanwhile may be told or not. A dump takes no snapshot.
 *
 * The group "events" tells what happens; to listen takes CAP_NET_ADMIN over the
 * namespace. A listener that is too slow gets ENOBUFS from its socket: then it has
 * missed some, and asks anew for what there is. In events, uids are as the user
 * namespace of the network namespace sees them.
 *
 * Attributes that do not apply are absent. docs/netlink/symphony.yaml describes
 * the family in the kernel's format.
 */
#ifndef _UAPI_LINUX_SYMPHONY_NETLINK_H
#define _UAPI_LINUX_SYMPHONY_NETLINK_H

#define SYMPHONY_FAMILY_NAME	"symphony"
#define SYMPHONY_FAMILY_VERSION	1

#define SYMPHONY_MCGRP_EVENTS	"events"

/**
 * enum symphony_hook - what a BPF program is asked
 * @SYMPHONY_HOOK_ADMIT: who may call whom
 * @SYMPHONY_HOOK_ROUTE: which replica
 * @SYMPHONY_HOOK_SHADOW: likewise, its answers compared only
 */
enum symphony_hook {
	SYMPHONY_HOOK_ADMIT,
	SYMPHONY_HOOK_ROUTE,
	SYMPHONY_HOOK_SHADOW,
};

/* Of a histogram of times: see SYMPHONY_A_QUEUE_TIMES. */
#define SYMPHONY_TIME_BUCKETS	24

/**
 * enum symphony_attr - what a message says; "uint" is 4 or 8 bytes
 * @SYMPHONY_A_BUS: string: name of the bus. In a request: of this one only
 * @SYMPHONY_A_BUS_ID: uint: never used twice, unlike the name
 * @SYMPHONY_A_UID: u32: of the bus's creator, the endpoint's owner at JOIN, the
 *	service's first claimer
 * @SYMPHONY_A_GID: u32: of the bus's creator
 * @SYMPHONY_A_MODE: u32: the bus's permission bits
 * @SYMPHONY_A_NR_ENDPOINTS: u32: how many live on the bus
 * @SYMPHONY_A_NR_SERVICES: u32: how many names were claimed or reserved there
 * @SYMPHONY_A_ENDPOINT: uint: id of the endpoint
 * @SYMPHONY_A_PID: u32: of its owner, 0 where that has none
 * @SYMPHONY_A_POOL_SIZE: u32: of its pool, in bytes
 * @SYMPHONY_A_POOL_USED: u32: bytes of it in use
 * @SYMPHONY_A_QUEUED: u32: messages that it has not received, and calls that it
 *	holds as an activator
 * @SYMPHONY_A_LOAD: u32: requests that it has not answered, received or not
 * @SYMPHONY_A_CALLS: u32: calls that it made and has not fetched the outcome of
 * @SYMPHONY_A_SERVICE: string: name of the service
 * @SYMPHONY_A_HANDLE: u32: its handle
 * @SYMPHONY_A_RECOVERY: u32: SYMPHONY_CLAIM_REQUEUE, SYMPHONY_CLAIM_REISSUE
 * @SYMPHONY_A_RESERVED: flag: it can be claimed with a grant only
 * @SYMPHONY_A_NR_REPLICAS: u32: how many serve it
 * @SYMPHONY_A_ACTIVATOR: uint: id of the endpoint that is its activator
 * @SYMPHONY_A_PARKED: u32: calls that the activator holds
 * @SYMPHONY_A_DRAINING: flag: the replica gets no new calls
 * @SYMPHONY_A_HOOK: u32: enum symphony_hook
 * @SYMPHONY_A_LINK: u32: id of the program's BPF link
 * @SYMPHONY_A_ERRORS: u32: how much of its budget of 1024 the program used
 * @SYMPHONY_A_DISABLED: string: why the program is not asked any more
 * @SYMPHONY_A_FAIL_CLOSED: flag: without the program, calls are refused
 * @SYMPHONY_A_CLOSED: flag: it has gone and they are
 * @SYMPHONY_A_SAME: uint: how often a shadow chose what was chosen
 * @SYMPHONY_A_DIFFERENT: uint: how often it did not
 * @SYMPHONY_A_REPLIES: uint: calls of the service that were answered, ever
 * @SYMPHONY_A_ERROR_REPLIES: uint: of these, by an error of the extension's
 * @SYMPHONY_A_TIMEOUTS: uint: calls that came to ETIMEDOUT or ETIME
 * @SYMPHONY_A_CANCELS: uint: ECANCELED
 * @SYMPHONY_A_RESETS: uint: ECONNRESET or ECONNABORTED
 * @SYMPHONY_A_OTHERS: uint: too large an answer, or the caller died
 * @SYMPHONY_A_REFUSALS: uint: calls that were never made, as a program refused them
 *	or nobody was there
 * @SYMPHONY_A_QUEUE_TIMES: binary: 24 numbers of 8 bytes: calls by the time from when
 *	they were there to when they were received. The first less than 2 us, each
 *	other less than twice as long as the one before, the last all that is longer.
 *	Counted while the module's parameter "stats" is on, or a program takes times
 * @SYMPHONY_A_SERVICE_TIMES: binary: likewise: from then to the outcome
 * @SYMPHONY_A_REQUEST_BYTES: uint: bytes of bodies of requests that were copied to
 *	replicas; once more for each move
 * @SYMPHONY_A_ANSWER_BYTES: uint: bytes of bodies of answers that were copied to
 *	callers
 */
enum symphony_attr {
	SYMPHONY_A_BUS = 1,
	SYMPHONY_A_BUS_ID,
	SYMPHONY_A_UID,
	SYMPHONY_A_GID,
	SYMPHONY_A_MODE,
	SYMPHONY_A_NR_ENDPOINTS,
	SYMPHONY_A_NR_SERVICES,
	SYMPHONY_A_ENDPOINT,
	SYMPHONY_A_PID,
	SYMPHONY_A_POOL_SIZE,
	SYMPHONY_A_POOL_USED,
	SYMPHONY_A_QUEUED,
	SYMPHONY_A_LOAD,
	SYMPHONY_A_CALLS,
	SYMPHONY_A_SERVICE,
	SYMPHONY_A_HANDLE,
	SYMPHONY_A_RECOVERY,
	SYMPHONY_A_RESERVED,
	SYMPHONY_A_NR_REPLICAS,
	SYMPHONY_A_ACTIVATOR,
	SYMPHONY_A_PARKED,
	SYMPHONY_A_DRAINING,
	SYMPHONY_A_HOOK,
	SYMPHONY_A_LINK,
	SYMPHONY_A_ERRORS,
	SYMPHONY_A_DISABLED,
	SYMPHONY_A_FAIL_CLOSED,
	SYMPHONY_A_CLOSED,
	SYMPHONY_A_SAME,
	SYMPHONY_A_DIFFERENT,
	SYMPHONY_A_REPLIES,
	SYMPHONY_A_ERROR_REPLIES,
	SYMPHONY_A_TIMEOUTS,
	SYMPHONY_A_CANCELS,
	SYMPHONY_A_RESETS,
	SYMPHONY_A_OTHERS,
	SYMPHONY_A_REFUSALS,
	SYMPHONY_A_QUEUE_TIMES,
	SYMPHONY_A_SERVICE_TIMES,
	SYMPHONY_A_REQUEST_BYTES,
	SYMPHONY_A_ANSWER_BYTES,

	/* private: */
	__SYMPHONY_A_MAX,
	SYMPHONY_A_MAX = (__SYMPHONY_A_MAX - 1)
};

/**
 * enum symphony_cmd - dumps, and events
 * @SYMPHONY_CMD_BUS_GET: buses: BUS, BUS_ID, UID, GID, MODE, NR_ENDPOINTS,
 *	NR_SERVICES
 * @SYMPHONY_CMD_ENDPOINT_GET: endpoints: BUS, BUS_ID, ENDPOINT, PID, UID,
 *	POOL_SIZE, POOL_USED, QUEUED, LOAD, CALLS
 * @SYMPHONY_CMD_SERVICE_GET: services: BUS, BUS_ID, SERVICE, HANDLE, UID,
 *	RECOVERY, RESERVED, NR_REPLICAS, ACTIVATOR, PARKED, REPLIES, ERROR_REPLIES,
 *	TIMEOUTS, CANCELS, RESETS, OTHERS, REFUSALS, QUEUE_TIMES, SERVICE_TIMES,
 *	REQUEST_BYTES, ANSWER_BYTES
 * @SYMPHONY_CMD_REPLICA_GET: replicas: BUS, BUS_ID, SERVICE, HANDLE, ENDPOINT,
 *	DRAINING, LOAD (of the endpoint, whatever it serves)
 * @SYMPHONY_CMD_PROGRAM_GET: programs attached to a bus that there is: BUS, BUS_ID,
 *	SERVICE and HANDLE unless it is for all, HOOK, LINK, ERRORS, DISABLED,
 *	FAIL_CLOSED, CLOSED, SAME and DIFFERENT of a shadow
 * @SYMPHONY_CMD_BUS_ADD_NTF: event: there is a bus: BUS, BUS_ID, UID, MODE
 * @SYMPHONY_CMD_BUS_DEL_NTF: event: its last endpoint died: likewise
 * @SYMPHONY_CMD_ENDPOINT_ADD_NTF: event: JOIN: BUS, BUS_ID, ENDPOINT, UID
 * @SYMPHONY_CMD_ENDPOINT_DEL_NTF: event: it died: likewise
 * @SYMPHONY_CMD_SERVICE_CLAIM_NTF: event: BUS, BUS_ID, SERVICE, HANDLE, ENDPOINT,
 *	and ACTIVATOR when it is that
 * @SYMPHONY_CMD_SERVICE_UNCLAIM_NTF: event: by UNCLAIM, takeover or death: likewise
 * @SYMPHONY_CMD_PROGRAM_ATTACH_NTF: event: as PROGRAM_GET, without LINK
 * @SYMPHONY_CMD_PROGRAM_REPLACE_NTF: event: likewise
 * @SYMPHONY_CMD_PROGRAM_DETACH_NTF: event: likewise; with CLOSED, calls are refused
 *	from now on
 * @SYMPHONY_CMD_PROGRAM_DISABLE_NTF: event: likewise, with DISABLED
 */
enum symphony_cmd {
	SYMPHONY_CMD_BUS_GET = 1,
	SYMPHONY_CMD_ENDPOINT_GET,
	SYMPHONY_CMD_SERVICE_GET,
	SYMPHONY_CMD_REPLICA_GET,
	SYMPHONY_CMD_PROGRAM_GET,
	SYMPHONY_CMD_BUS_ADD_NTF,
	SYMPHONY_CMD_BUS_DEL_NTF,
	SYMPHONY_CMD_ENDPOINT_ADD_NTF,
	SYMPHONY_CMD_ENDPOINT_DEL_NTF,
	SYMPHONY_CMD_SERVICE_CLAIM_NTF,
	SYMPHONY_CMD_SERVICE_UNCLAIM_NTF,
	SYMPHONY_CMD_PROGRAM_ATTACH_NTF,
	SYMPHONY_CMD_PROGRAM_REPLACE_NTF,
	SYMPHONY_CMD_PROGRAM_DETACH_NTF,
	SYMPHONY_CMD_PROGRAM_DISABLE_NTF,

	/* private: */
	__SYMPHONY_CMD_MAX,
	SYMPHONY_CMD_MAX = (__SYMPHONY_CMD_MAX - 1)
};

#endif
