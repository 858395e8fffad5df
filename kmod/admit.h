/* SPDX-License-Identifier: GPL-2.0-only */
/* Admit: programs that say who may call whom. */
#ifndef SYMP_ADMIT_H
#define SYMP_ADMIT_H

struct symp_endpoint;
struct symp_service;
struct symphony_call;

int symp_admit_init(void);
int symp_admit(const struct symp_service *service,
	       const struct symp_endpoint *sender,
	       const struct symphony_call *arg);

#endif
