/* SPDX-License-Identifier: MIT */
/* The checker: proves from the records of a storm what held in it; see check.c. */
#ifndef SYMPHONY_STORM_CHECK_H
#define SYMPHONY_STORM_CHECK_H

#include <stdio.h>

#include "log.h"

struct tally {
	__u64 records, calls, refused, outcomes, unfetched;
	__u64 replies, errors, timeouts, cancels, resets, refusals, too_large;
	__u64 received, twice, answers, parents, endpoints, ends, kills;
	__u64 oneway, kept, lost, late, files, files_back, claims;
	__u64 watches, gone, cancelled, room, notices;
	__u64 faults;
};

/* @records are sorted meanwhile. What is wrong is told to @out; how much it is. */
__u64 check_records(const struct record **records, size_t nr, FILE *out,
		    struct tally *tally);
/* The records of the storm that is attached. */
__u64 check_storm(FILE *out, struct tally *tally);

#endif
