// SPDX-License-Identifier: MIT
/* Says how many ns a thousand instructions take: 1000 where the clock counts them. */
#include "bench.h"

#include <stdio.h>

int main(void)
{
	uint64_t best = UINT64_MAX;

	for (int i = 0; i < 9; i++) {
		unsigned long loops = 500000;
		uint64_t ns, start = bench_now();

		asm volatile("1: dec %0\n\tjnz 1b" : "+r"(loops));
		ns = bench_now() - start;
		if (ns < best)
			best = ns;
	}
	bench_print("clock", "1000", best, 1000);
	return 0;
}
