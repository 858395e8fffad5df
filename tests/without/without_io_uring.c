// SPDX-License-Identifier: MIT
/*
 * without_io_uring [--check] command...: run a command to which, and to all that it
 * starts, io_uring is forbidden. --check forbids nothing and sees that it is. The
 * command is not run, and the status is 125, where io_uring could be used all the same.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "rings.h"

int main(int argc, char **argv)
{
	bool check = argc > 1 && !strcmp(argv[1], "--check");
	char **command = argv + 1 + check;
	int ret;

	if (argc < 2 + check) {
		fprintf(stderr, "usage: without_io_uring [--check] command...\n");
		return 125;
	}
	ret = check ? 0 : rings_forbid();
	if (ret) {
		fprintf(stderr, "without_io_uring: no filter: %s\n", strerror(-ret));
		return 125;
	}
	if (!rings_are_forbidden()) {
		fprintf(stderr, "without_io_uring: io_uring is not forbidden here\n");
		return 125;
	}
	execvp(*command, command);
	fprintf(stderr, "without_io_uring: %s: %m\n", *command);
	return 127;
}
