// SPDX-License-Identifier: MIT
/* Waiting: for a file, for a time, for the user to end it. */
#include "loop.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <time.h>

#include <symphony/bus.h>

static volatile sig_atomic_t ended, resized;
static sigset_t outside;

static void take(int number)
{
	if (number == SIGWINCH)
		resized = 1;
	else
		ended = 1;
}

void loop_begin(void)
{
	static const int numbers[] = { SIGINT, SIGTERM, SIGWINCH };
	const struct sigaction action = { .sa_handler = take };
	sigset_t block;

	sigemptyset(&block);
	for (unsigned int i = 0; i < sizeof(numbers) / sizeof(*numbers); i++) {
		sigaddset(&block, numbers[i]);
		sigaction(numbers[i], &action, NULL);
	}
	sigprocmask(SIG_BLOCK, &block, &outside);
	/* Whoever started us may have them blocked. */
	for (unsigned int i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
		sigdelset(&outside, numbers[i]);
}

enum loop_event loop_wait(int fd, uint64_t until)
{
	struct pollfd poll = { .fd = fd, .events = POLLIN };
	int r;

	do {
		uint64_t now = sbus_now(), left = until > now ? until - now : 0;
		struct timespec time = {
			.tv_sec = left / 1000000000,
			.tv_nsec = left % 1000000000,
		};

		r = ppoll(&poll, 1, until ? &time : NULL, &outside);
		if (ended)
			return LOOP_ENDED;
		if (resized) {
			resized = 0;
			return LOOP_RESIZED;
		}
	} while (r < 0 && errno == EINTR);
	return r > 0 ? LOOP_READABLE : LOOP_TIME;
}
