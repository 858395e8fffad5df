/* SPDX-License-Identifier: MIT */
/* What the programs on the tracepoints of calls and their loader share. */
#ifndef CLI_CALLS_BPF_H
#define CLI_CALLS_BPF_H

#include <linux/types.h>

#define CALLS_NAME 64

/* Names are filled up with zeros. */
union calls_name {
	char text[CALLS_NAME];
	__u64 words[CALLS_NAME / 8];
};

enum calls_stage {
	CALLS_QUEUE,		/* from in the queue until received, or the end */
	CALLS_SERVICE,		/* from received until the end */
	CALLS_TOTAL,		/* from made until the end */
	CALLS_NR_STAGES,
};

/* The bucket i is for 2^i ns and more, the last for all that is longer. */
#define CALLS_BUCKETS 40

struct calls_times_key {
	union calls_name service;
	__u64 stage;
};

struct calls_times {
	__u64 count;
	__u64 sum;
	__u64 max;
	__u64 buckets[CALLS_BUCKETS];
};

struct calls_outcome_key {
	union calls_name service;
	__s64 status;		/* 0, or a negative errno */
};

enum calls_what {
	CALLS_MADE,
	CALLS_QUEUED,
	CALLS_RECEIVED,
	CALLS_DONE,
};

struct calls_event {
	__u64 time;		/* CLOCK_MONOTONIC, ns */
	__u64 call;
	__u64 caller;		/* MADE, DONE */
	__u64 server;		/* QUEUED, RECEIVED, DONE */
	__u64 handle;		/* MADE */
	__u64 method;		/* MADE */
	__u32 what;
	__u32 body_len;		/* MADE */
	__u32 load;		/* QUEUED, RECEIVED */
	__s32 status;		/* DONE */
	union calls_name service; /* all but MADE */
};

#endif
