/* SPDX-License-Identifier: GPL-2.0-only */
/* Device: /dev/symphony, where user space comes in. */
#ifndef SYMP_DEVICE_H
#define SYMP_DEVICE_H

int symp_device_init(void);
void symp_device_exit(void);

#endif
