// SPDX-License-Identifier: MIT
/* spill SERVICE [OPTIONS]: routes its calls by spill.bpf.o until a line is entered. */
#include <stdio.h>
#include <symphony/router.h>

int main(int argc, char **argv)
{
	sbus_cleanup_error struct sbus_error error = SBUS_ERROR_INIT;
	sbus_cleanup_router struct sbus_router *router = NULL;

	if (argc < 2) {
		fprintf(stderr, "usage: %s SERVICE [OPTIONS]\n", *argv);
		return 2;
	}
	if (sbus_router_attach(&router, NULL, argv[1], "./spill.bpf.o", argc > 2 ? argv[2] : NULL,
			       &error)) {
		fprintf(stderr, "%s: %s\n", *argv, sbus_error_message(&error));
		return 1;
	}
	printf("%s on bus %s is routed\n", argv[1], sbus_router_bus(router));
	fflush(stdout);
	getchar();
	return 0;
}
