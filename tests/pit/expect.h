/* SPDX-License-Identifier: MIT */
/* expect: calls and their outcomes, for tests whose fixture has a sim. */
#ifndef TESTS_PIT_EXPECT_H
#define TESTS_PIT_EXPECT_H

#include "sim.h"

/* Endpoints. */
#define A 1
#define B 2

#define CALL(method, ...) sim_call(self->sim, 0, method, __VA_ARGS__)
#define FROM(who, method, ...) sim_call(self->sim, who, method, __VA_ARGS__)

#define EXPECT_GRANTED(call) do {					\
	struct sim_call *it = (call);					\
									\
	EXPECT_TRUE(it->done);						\
	EXPECT_FALSE(it->failed) TH_LOG("%s", it->message);		\
} while (0)
#define EXPECT_WAITS(call) EXPECT_FALSE((call)->done)
#define EXPECT_FAILS(call, with) do {					\
	struct sim_call *it = (call);					\
									\
	EXPECT_TRUE(it->done && it->failed);				\
	EXPECT_EQ(with, it->code) TH_LOG("%s", it->message);		\
} while (0)

#endif
