/* SPDX-License-Identifier: MIT */
/* What the tests of files with messages share, over claim.h. */
#ifndef SYMPHONY_TESTS_FILES_H
#define SYMPHONY_TESTS_FILES_H

#include "claim.h"

#define FDS_RECOVERY	(SYMPHONY_CLAIM_REQUEUE | SYMPHONY_CLAIM_REISSUE)

/* A pipe, of which the write end is sent: who reads sees when the last is closed. */
struct probe {
	int read, write;
};

int probe_open(struct probe *probe);
/* Close the write end that this process began with. */
void probe_part(struct probe *probe);
/* Nobody has it, which can take a worker of the kernel's a moment. */
bool probe_is_closed(struct probe *probe);
bool probe_is_open(struct probe *probe);
/* Is @fd the end of it that was sent? */
bool probe_is(struct probe *probe, int fd);

/* Open files of this process; files that its user has on the way. */
int files_open(void);
__u64 files_in_flight(void);

/* Three endpoints, of which @server serves "svc" and @other nothing, and a probe. */
struct files {
	struct ep client, server, other;
	struct probe probe;
	__u64 svc, used;
	int open;
};

int files_begin(struct files *f);
/* Whatever a test did, nothing is left of it. */
bool files_end(struct files *f);

struct symphony_call with_fds(__u64 svc, const int *fds, __u32 nr);
/* SEND the probe and have it no more. */
int send_probe_as(struct files *f, struct symphony_call *call);
int send_probe(struct files *f);
int fds_of(struct ep *ep, __u64 id, __u32 offset, int *fds, __u32 nr);
int take_fds(struct ep *ep, const struct symphony_msg *msg, int *fds, __u32 nr);
/* An answer to @msg, which releases that. */
struct symphony_reply answer_with_fds(struct ep *ep, const struct symphony_msg *msg,
				      const int *fds, __u32 nr);
/* Give it. @limit can be NULL. */
int reply_fds(struct ep *ep, const struct symphony_msg *msg, const int *fds, __u32 nr,
	      __u32 *limit);
/* What @ep receives next has the probe: claim it. */
bool arrives(struct files *f, struct ep *ep, const struct symphony_msg **msg);

#endif
