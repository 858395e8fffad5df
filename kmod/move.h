/* SPDX-License-Identifier: GPL-2.0-only */
/* Move: what is done for endpoints behind their backs. */
#ifndef SYMP_MOVE_H
#define SYMP_MOVE_H

#include <linux/types.h>

struct work_struct;

int symp_move_init(void);
void symp_move_exit(void);
bool symp_move_start(struct work_struct *work);

#endif
