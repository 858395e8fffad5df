/* SPDX-License-Identifier: GPL-2.0-only */
/* Watch: one notice, prepared in advance, when another endpoint dies. */
#ifndef SYMP_WATCH_H
#define SYMP_WATCH_H

#include "notice.h"

struct symp_endpoint;

/**
 * struct symp_watch - one endpoint's wish to hear of another's death
 * @on: on the target's list of watchers
 * @by: on the watcher's list of watches
 * @watcher: who watches, referenced
 * @notice: the GONE message, whose room is set aside
 */
struct symp_watch {
	struct list_head on;
	struct list_head by;
	struct symp_endpoint *watcher;
	struct symp_notice *notice;
};

int symp_watch_add(struct symp_endpoint *ep, u64 target, u64 cookie);
int symp_watch_remove(struct symp_endpoint *ep, u64 target);
bool symp_watch_endpoint_died(struct symp_endpoint *ep, u32 max);

#endif
