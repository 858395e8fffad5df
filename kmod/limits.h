/* SPDX-License-Identifier: GPL-2.0-only */
/* Limits: what one endpoint may hold. Module parameters; see main.c. */
#ifndef SYMP_LIMITS_H
#define SYMP_LIMITS_H

extern uint symp_pool_default;
extern uint symp_pool_max;
extern uint symp_calls_max;
extern uint symp_queue_max;
extern uint symp_share_max;
extern uint symp_services_max;

#endif
