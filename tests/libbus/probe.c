// SPDX-License-Identifier: MIT
/* The extension "probe" as a program. */
#include "common.h"

int main(int argc, char **argv)
{
	return sbus_extension_main(&probe, argc, argv);
}
