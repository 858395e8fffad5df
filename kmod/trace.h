/* SPDX-License-Identifier: GPL-2.0-only */
/* Trace: tracepoints in the life of a call; its stages are those of call.c. */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM symphony

#if !defined(SYMP_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define SYMP_TRACE_H

#include <linux/tracepoint.h>

#include "bus.h"
#include "call.h"
#include "service.h"

/**
 * trace_symphony_call_made - somebody makes a call; it can still be refused
 * @call: the call, without a server; its deadline is by the host's CLOCK_MONOTONIC
 * @arg: what the sender wrote
 */
TRACE_EVENT(symphony_call_made,
	TP_PROTO(const struct symp_call *call, const struct symphony_call *arg),
	TP_ARGS(call, arg),
	TP_STRUCT__entry(
		__field(u64, call)
		__field(u64, caller)
		__field(u64, handle)
		__field(u64, method)
		__field(u64, key)
		__field(u64, deadline)
		__field(u64, parent)
		__field(u32, body_len)
		__field(bool, async)
		__string(bus, call->caller->bus->name)
	),
	TP_fast_assign(
		__entry->call = call->id;
		__entry->caller = call->caller->id;
		__entry->handle = call->handle;
		__entry->method = arg->method;
		__entry->key = arg->key;
		__entry->deadline = call->deadline;
		__entry->parent = arg->parent;
		__entry->body_len = arg->body_len;
		__entry->async = call->async;
		__assign_str(bus);
	),
	TP_printk("call=%llu caller=%llu bus=%s handle=%llu method=%#llx key=%#llx deadline=%llu parent=%llu body_len=%u %s",
		  __entry->call, __entry->caller, __get_str(bus), __entry->handle,
		  __entry->method, __entry->key, __entry->deadline,
		  __entry->parent, __entry->body_len,
		  __entry->async ? "SEND" : "CALL")
);

DECLARE_EVENT_CLASS(symphony_call_at_server,
	TP_PROTO(const struct symp_call *call),
	TP_ARGS(call),
	TP_STRUCT__entry(
		__field(u64, call)
		__field(u64, server)
		__field(u32, load)
		__string(bus, call->caller->bus->name)
		__string(service, call->service->name)
	),
	TP_fast_assign(
		__entry->call = call->id;
		__entry->server = call->server->id;
		__entry->load = READ_ONCE(call->server->load);
		__assign_str(bus);
		__assign_str(service);
	),
	TP_printk("call=%llu bus=%s service=%s server=%llu load=%u",
		  __entry->call, __get_str(bus), __get_str(service),
		  __entry->server, __entry->load)
);

/**
 * trace_symphony_call_queued - the request is in a server's queue
 * @call: the call; again when it moves
 */
DEFINE_EVENT(symphony_call_at_server, symphony_call_queued,
	TP_PROTO(const struct symp_call *call), TP_ARGS(call));

/**
 * trace_symphony_call_received - a thread of the server has it
 * @call: the call
 */
DEFINE_EVENT(symphony_call_at_server, symphony_call_received,
	TP_PROTO(const struct symp_call *call), TP_ARGS(call));

/**
 * trace_symphony_call_done - the outcome stands
 * @call: the call
 */
TRACE_EVENT(symphony_call_done,
	TP_PROTO(const struct symp_call *call),
	TP_ARGS(call),
	TP_STRUCT__entry(
		__field(u64, call)
		__field(u64, caller)
		__field(u64, server)
		__field(int, status)
		__string(bus, call->caller->bus->name)
		__string(service, call->server ? call->service->name : "")
	),
	TP_fast_assign(
		__entry->call = call->id;
		__entry->caller = call->caller->id;
		__entry->server = call->server ? call->server->id : 0;
		__entry->status = call->status;
		__assign_str(bus);
		__assign_str(service);
	),
	TP_printk("call=%llu caller=%llu bus=%s service=%s server=%llu status=%d",
		  __entry->call, __entry->caller, __get_str(bus),
		  __get_str(service), __entry->server, __entry->status)
);

#endif

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
