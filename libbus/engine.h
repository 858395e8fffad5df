/* SPDX-License-Identifier: MIT */
/*
 * Several operations at a time: one system call for all where io_uring may be used,
 * otherwise one for each. Only operations that wait for nobody go this way, so
 * that all are done when it returns, and a ring never holds on to anything.
 */
#ifndef LIBBUS_ENGINE_H
#define LIBBUS_ENGINE_H

struct engine;
struct sbus;

/**
 * struct operation - what the device is to do
 * @code: SYMPHONY_IOC_SEND, _REPLY (without RECV), _CANCEL or _RELEASE
 * @arg: its structure
 * @result: (out) 0 or -errno
 */
struct operation {
	unsigned long code;
	void *arg;
	int result;
};

struct engine *engine_new(void);
void engine_free(struct engine *engine);
/* Does all of them, in order. Of any thread; no lock is needed. */
void engine_run(struct sbus *bus, struct operation *operations, unsigned int nr);

#endif /* LIBBUS_ENGINE_H */
