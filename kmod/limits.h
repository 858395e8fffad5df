/* SPDX-License-Identifier: GPL-2.0-only */
/* Limits: what an endpoint, a bus and a user may have. Parameters; see main.c. */
#ifndef SYMP_LIMITS_H
#define SYMP_LIMITS_H

extern uint symp_pool_default;
extern uint symp_pool_max;
extern uint symp_calls_max;
extern uint symp_queue_max;
extern uint symp_services_max;
extern uint symp_user_buses_max;
extern uint symp_user_endpoints_max;
extern uint symp_user_pool_max;
extern uint symp_user_calls_max;
extern uint symp_user_services_max;
extern uint symp_user_files_max;
extern uint symp_user_claims_max;
extern uint symp_user_records_max;

/* What is left for others; see room.c. In percent. */
#define SYMP_SHARE_MAX	50

#endif
