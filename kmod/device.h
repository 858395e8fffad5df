/* SPDX-License-Identifier: GPL-2.0-only */
/* Device: /dev/symphony, where user space comes in. */
#ifndef SYMP_DEVICE_H
#define SYMP_DEVICE_H

#include <linux/types.h>

struct file;

int symp_device_init(void);
bool symp_device_is(const struct file *file);
void symp_device_exit(void);

#endif
