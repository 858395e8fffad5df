// SPDX-License-Identifier: GPL-2.0-only
/*
 * On the tracepoints of calls of one bus: times by service and stage, and an event for
 * each thing that happens, as the loader asks for.
 */
#include <linux/bpf.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>

#include "calls_bpf.h"

char _license[] SEC("license") = "GPL";

/* The entries of kmod/trace.h; where their members are, the module's BTF says. */
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct trace_event_raw_symphony_call_made {
	__u64 call;
	__u64 caller;
	__u64 handle;
	__u64 method;
	__u32 body_len;
	__u32 __data_loc_bus;
};

struct trace_event_raw_symphony_call_at_server {
	__u64 call;
	__u64 server;
	__u32 load;
	__u32 __data_loc_bus;
	__u32 __data_loc_service;
};

struct trace_event_raw_symphony_call_done {
	__u64 call;
	__u64 caller;
	__u64 server;
	int status;
	__u32 __data_loc_bus;
	__u32 __data_loc_service;
};
#pragma clang attribute pop

/* What is asked for. */
const volatile union calls_name want_bus = {};
const volatile union calls_name want_service = {};	/* empty: all */
const volatile bool want_times = false;
const volatile bool want_events = false;

/* When a call came how far; those of services that are not wanted stay until others come. */
struct progress {
	__u64 made;
	__u64 queued;
	__u64 received;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, __u64);
	__type(value, struct progress);
} calls SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, struct calls_times_key);
	__type(value, struct calls_times);
} times SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, struct calls_outcome_key);
	__type(value, __u64);
} outcomes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4 << 20);
} events SEC(".maps");

/* Events that found no room. */
__u64 lost;

static const struct calls_times no_times;

static void read_name(union calls_name *name, const void *entry, __u32 data_loc)
{
	__builtin_memset(name, 0, sizeof(*name));
	bpf_probe_read_kernel_str(name->text, sizeof(name->text), entry + (data_loc & 0xffff));
}

static bool is_wanted(const volatile union calls_name *want, const union calls_name *name)
{
	__u64 difference = 0;

	for (int i = 0; i < CALLS_NAME / 8; i++)
		difference |= want->words[i] ^ name->words[i];
	return !difference;
}

static bool is_bus(const void *entry, __u32 data_loc)
{
	union calls_name bus;

	read_name(&bus, entry, data_loc);
	return is_wanted(&want_bus, &bus);
}

static bool is_service(union calls_name *service, const void *entry, __u32 data_loc)
{
	read_name(service, entry, data_loc);
	return !want_service.words[0] || is_wanted(&want_service, service);
}

static struct calls_event *event_begin(__u32 what, __u64 call)
{
	struct calls_event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);

	if (!event) {
		__sync_fetch_and_add(&lost, 1);
		return NULL;
	}
	__builtin_memset(event, 0, sizeof(*event));
	event->time = bpf_ktime_get_ns();
	event->what = what;
	event->call = call;
	return event;
}

static int bucket_of(__u64 ns)
{
	int bucket = 0;

	for (int step = 32; step; step >>= 1) {
		if (ns >> step) {
			ns >>= step;
			bucket += step;
		}
	}
	return bucket < CALLS_BUCKETS ? bucket : CALLS_BUCKETS - 1;
}

static void add_time(struct calls_times_key *key, __u64 stage, __u64 from, __u64 to)
{
	__u64 ns = to > from ? to - from : 0;
	struct calls_times *at;
	__u32 bucket = bucket_of(ns);

	if (!from)
		return;
	key->stage = stage;
	at = bpf_map_lookup_elem(&times, key);
	if (!at) {
		bpf_map_update_elem(&times, key, &no_times, BPF_NOEXIST);
		at = bpf_map_lookup_elem(&times, key);
		if (!at)
			return;
	}
	__sync_fetch_and_add(&at->count, 1);
	__sync_fetch_and_add(&at->sum, ns);
	/* Of two at the same moment the smaller can win: it is off by that, once. */
	if (ns > at->max)
		at->max = ns;
	if (bucket < CALLS_BUCKETS)
		__sync_fetch_and_add(&at->buckets[bucket], 1);
}

static void add_outcome(const union calls_name *service, int status)
{
	struct calls_outcome_key key = { .service = *service, .status = status };
	__u64 *at = bpf_map_lookup_elem(&outcomes, &key), none = 0;

	if (!at) {
		bpf_map_update_elem(&outcomes, &key, &none, BPF_NOEXIST);
		at = bpf_map_lookup_elem(&outcomes, &key);
	}
	if (at)
		__sync_fetch_and_add(at, 1);
}

SEC("tp/symphony/symphony_call_made")
int on_made(struct trace_event_raw_symphony_call_made *entry)
{
	struct progress progress = { .made = bpf_ktime_get_ns() };
	struct calls_event *event;
	__u64 call = entry->call;

	if (!is_bus(entry, entry->__data_loc_bus))
		return 0;
	if (want_times)
		bpf_map_update_elem(&calls, &call, &progress, BPF_ANY);
	event = want_events ? event_begin(CALLS_MADE, call) : NULL;
	if (event) {
		event->caller = entry->caller;
		event->handle = entry->handle;
		event->method = entry->method;
		event->body_len = entry->body_len;
		bpf_ringbuf_submit(event, 0);
	}
	return 0;
}

static int at_server(struct trace_event_raw_symphony_call_at_server *entry, __u32 what)
{
	struct calls_event *event;
	struct progress *progress;
	union calls_name service;
	__u64 call = entry->call;

	if (!is_bus(entry, entry->__data_loc_bus) ||
	    !is_service(&service, entry, entry->__data_loc_service))
		return 0;
	progress = want_times ? bpf_map_lookup_elem(&calls, &call) : NULL;
	/* A call that moves has been in the queue since it was the first time. */
	if (progress && what == CALLS_QUEUED && !progress->queued)
		progress->queued = bpf_ktime_get_ns();
	else if (progress && what == CALLS_RECEIVED)
		progress->received = bpf_ktime_get_ns();
	event = want_events ? event_begin(what, call) : NULL;
	if (event) {
		event->server = entry->server;
		event->load = entry->load;
		event->service = service;
		bpf_ringbuf_submit(event, 0);
	}
	return 0;
}

SEC("tp/symphony/symphony_call_queued")
int on_queued(struct trace_event_raw_symphony_call_at_server *entry)
{
	return at_server(entry, CALLS_QUEUED);
}

SEC("tp/symphony/symphony_call_received")
int on_received(struct trace_event_raw_symphony_call_at_server *entry)
{
	return at_server(entry, CALLS_RECEIVED);
}

SEC("tp/symphony/symphony_call_done")
int on_done(struct trace_event_raw_symphony_call_done *entry)
{
	struct calls_times_key key = {};
	__u64 call = entry->call, now = bpf_ktime_get_ns();
	struct calls_event *event;
	struct progress *progress;

	if (!is_bus(entry, entry->__data_loc_bus) ||
	    !is_service(&key.service, entry, entry->__data_loc_service))
		return 0;
	progress = want_times ? bpf_map_lookup_elem(&calls, &call) : NULL;
	if (progress) {
		add_time(&key, CALLS_QUEUE, progress->queued,
			 progress->received ? progress->received : now);
		add_time(&key, CALLS_SERVICE, progress->received, now);
		add_time(&key, CALLS_TOTAL, progress->made, now);
		add_outcome(&key.service, entry->status);
		bpf_map_delete_elem(&calls, &call);
	}
	event = want_events ? event_begin(CALLS_DONE, call) : NULL;
	if (event) {
		event->caller = entry->caller;
		event->server = entry->server;
		event->status = entry->status;
		event->service = key.service;
		bpf_ringbuf_submit(event, 0);
	}
	return 0;
}
