/* SPDX-License-Identifier: MIT */
/* What the tests of recovery, takeover and the like share, over device.h. */
#ifndef SYMPHONY_TESTS_CLAIM_H
#define SYMPHONY_TESTS_CLAIM_H

#include "device.h"

/* Wait until @condition holds; whether it does. */
#define dev_until(condition)						\
({									\
	__u64 until_ = dev_after(DEV_LONG);				\
									\
	while (!(condition) && dev_now() < until_)			\
		dev_nap(2);						\
	(condition);							\
})

/* CLAIM of @name with SYMPHONY_CLAIM_*; @target is for TAKEOVER. */
int ep_claim_with(struct ep *ep, const char *name, __u32 flags, __u64 target,
		  __u64 *handle);
int ep_drain(struct ep *ep, __u64 handle, bool resume);
/* A SEND that can be known again: @cookie is its method and fills its body. */
struct symphony_call ep_marked(__u64 handle, __u64 cookie, void *body, __u32 len);
/* Make one with @len bytes and the least room for the answer. */
int ep_mark(struct ep *ep, __u64 handle, __u64 cookie, __u32 len);
/* Whether a request is what ep_marked() made of @cookie and @len. */
bool ep_is_marked(const struct symphony_msg *msg, __u64 cookie, __u32 len);
/* The next message, of which only @type and its cookie or method are right. */
const struct symphony_msg *ep_expect(struct ep *ep, __u16 type, __u64 cookie);
/* Take the next message, an outcome; its status, and whose it is. */
int ep_fetch(struct ep *ep, __u64 *cookie);
/* Receive the next request and answer it with nothing; its method or -errno. */
long ep_serve(struct ep *ep);
/* Nothing comes. */
bool ep_is_quiet(struct ep *ep);
/* Wait until a CALL in a thread has been made: it has its id. */
bool caller_is_in(struct caller *caller);

#endif
