// SPDX-License-Identifier: MIT
/*
 * Objects in a child that was forked after they were made.
 *
 * The endpoint, its pool and the threads of a Pit are the parent's. What the child
 * inherits is a copy of memory that was in use, with locks that some thread of the
 * parent may have held, and descriptors of the same open files: an epoll of the parent
 * would lose a descriptor that the child takes out of it. So in the child the objects
 * are inert. Using one raises NotPermitted. Closing or dropping one frees Python objects only:
 * nothing is given back, removed from a loop, or said to the kernel.
 */
#include "fork.h"
#include "errors.h"

#include <errno.h>
#include <pthread.h>

unsigned int fork_count;

static int watched;

static void in_child(void)
{
	fork_count++;
}

static void watch(void)
{
	watched = -pthread_atfork(NULL, NULL, in_child);
}

int fork_watch(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, watch);
	if (!watched)
		return 0;
	PyErr_NoMemory();
	return -1;
}

PyObject *fork_raise(struct state *st, const char *extension)
{
	return errors_raise_text(st, -EPERM, extension,
				 "this was opened before a fork and belongs to the parent process: open a new IPCBus, or make a new Extension, in the child");
}
