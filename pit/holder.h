/* SPDX-License-Identifier: MIT */
/*
 * holder: which endpoint holds what, so that it can be taken back when the
 * endpoint dies. The Conductor itself (endpoint 0) cannot die before the Pit
 * does, and holds like any other.
 */
#ifndef PIT_HOLDER_H
#define PIT_HOLDER_H

#include <symphony/extension.h>

#include "list.h"
#include "map.h"

struct pit_holders {
	struct sbus_member *member;
	struct pit_map map;
};

struct pit_holder {
	struct pit_map_entry entry;
	struct pit_list things;
	uint64_t endpoint;
};

/* Embedded in what is held. */
struct pit_held {
	struct pit_list link;
	struct pit_holder *holder;
};

int pit_holders_init(struct pit_holders *holders, struct sbus_member *member);

/**
 * pit_holders_deinit() - everything held was let go before
 */
void pit_holders_deinit(struct pit_holders *holders);

/**
 * pit_hold() - make @endpoint the holder of @held and watch its life
 *
 * Before the thing becomes visible: what cannot be taken back is not given.
 *
 * Return: 0, -ENOMEM, or the error of sbus_member_watch().
 */
int pit_hold(struct pit_holders *holders, uint64_t endpoint,
	     struct pit_held *held);

/**
 * pit_let_go() - undo pit_hold(); O(1)
 */
void pit_let_go(struct pit_holders *holders, struct pit_held *held);

/**
 * pit_holder_first() - one of the things that @endpoint holds, or NULL
 *
 * Letting it go and asking again walks through all of them, whatever letting
 * go leads to.
 */
struct pit_held *pit_holder_first(struct pit_holders *holders,
				  uint64_t endpoint);

#endif
