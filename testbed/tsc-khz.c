// SPDX-License-Identifier: GPL-2.0
/*
 * Prints the frequency of this machine's time-stamp counter in kHz. QEMU's TCG gives that counter
 * to its machine, and a kernel in there that has to measure it while this machine is busy may be
 * wrong by a factor of ten.
 */
#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <x86intrin.h>

#define NEAR_CYCLES 2000

struct instant {
	uint64_t cycles;
	uint64_t ns;
};

/* Both clocks at one time: again, when something came in between. */
static struct instant now(void)
{
	struct timespec ts;
	uint64_t before, after;

	do {
		before = __rdtsc();
		clock_gettime(CLOCK_MONOTONIC_RAW, &ts);
		after = __rdtsc();
	} while (after - before > NEAR_CYCLES);
	return (struct instant){ after, ts.tv_sec * 1000000000ull + ts.tv_nsec };
}

int main(void)
{
	const struct timespec pause = { .tv_nsec = 20000000 };
	struct instant start = now(), end;

	nanosleep(&pause, NULL);
	end = now();
	printf("%llu\n", (unsigned long long)((end.cycles - start.cycles) * 1000000 /
					      (end.ns - start.ns)));
	return 0;
}
