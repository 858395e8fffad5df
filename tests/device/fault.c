// SPDX-License-Identifier: MIT
/* Make things fail; see fault.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "device.h"
#include "fault.h"

#define DEBUG		"/sys/kernel/debug/"
#define PARAMETERS	"/sys/module/symphony/parameters/"

/* What counts down, and to whom it applies. */
static int count[FAULT_WAYS] = { -1, -1 };
static int task = -1;

static int say(int fd, int number)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%d", number);

	return pwrite(fd, text, len, 0) == len ? 0 : -errno;
}

/* The kernel's also fails what is allocated so that it can wait, and pages. */
static bool kernel_begin(void)
{
	if (dev_write(DEBUG "failslab/ignore-gfp-wait", "N") ||
	    dev_write(DEBUG "fail_page_alloc/ignore-gfp-wait", "N"))
		return false;
	dev_write(DEBUG "fail_page_alloc/ignore-gfp-highmem", "N");
	dev_write(DEBUG "fail_page_alloc/min-order", "0");
	dev_write(DEBUG "failslab/verbose", "0");
	dev_write(DEBUG "fail_page_alloc/verbose", "0");
	dev_write(DEBUG "fail_usercopy/verbose", "0");
	count[FAULT_KERNEL] = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	return count[FAULT_KERNEL] >= 0;
}

bool fault_begin(enum fault_way way)
{
	if (count[way] >= 0)
		close(count[way]);
	if (way == FAULT_KERNEL)
		return kernel_begin();
	if (task >= 0)
		close(task);
	count[way] = open(PARAMETERS "fault", O_RDWR | O_CLOEXEC);
	task = open(PARAMETERS "fault_task", O_RDWR | O_CLOEXEC);
	return count[way] >= 0 && task >= 0;
}

int fault_arm(enum fault_way way, int nth, bool workers)
{
	int err = way == FAULT_POINTS ?
		say(task, workers ? -1 : syscall(SYS_gettid)) : 0;

	return err ?: say(count[way], nth);
}

bool fault_disarm(enum fault_way way)
{
	char left[16] = "";
	/* Reading copies, too: if it fails, that was what was left to fail. */
	bool failed = pread(count[way], left, sizeof(left) - 1, 0) > 0 && !atoi(left);

	say(count[way], 0);
	return failed;
}

const char *fault_where(void)
{
	static char where[128];
	int fd = open(PARAMETERS "fault_where", O_RDONLY | O_CLOEXEC);
	ssize_t len = fd < 0 ? -1 : read(fd, where, sizeof(where) - 1);

	if (fd >= 0)
		close(fd);
	where[len > 0 ? len : 0] = '\0';
	where[strcspn(where, "\n")] = '\0';
	return where;
}

bool fault_was_copy(void)
{
	const char *where = fault_where();

	return (strstr(where, "user") && !strstr(where, "memory")) ||
	       strstr(where, "fault_in");
}
