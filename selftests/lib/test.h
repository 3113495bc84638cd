/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What every test program includes: the kernel's kselftest harness, which
 * forks a process for each TEST() and ends it when it takes longer than 30 s,
 * and main() with the options of all these programs.
 */
#ifndef SELFTESTS_TEST_H
#define SELFTESTS_TEST_H

#include <kselftest_harness.h>
#include "vm.h"

/* What a failing system call gave; 0 when it did not fail. */
#define ERRNO_OF(call) ((long)(call) == -1 ? errno : 0)
#define EXPECT_ERRNO(err, call) EXPECT_EQ(err, ERRNO_OF(call))

/* Ends the test as skipped unless the device has the capability. */
#define REQUIRE_CAP(fd, cap)                                                                       \
	do {                                                                                       \
		if (!has_cap(fd, cap))                                                             \
			SKIP(return, "no " #cap);                                                  \
	} while (0)

static void select_test(const char *name)
{
	struct __fixture_metadata *f;
	struct __test_metadata *t, *found = NULL;

	for (f = __fixture_list; f; f = f->next) {
		for (t = f->tests; t && !found; t = t->next)
			if (!strcmp(t->name, name))
				found = t;
		f->tests = found && found->fixture == f ? found : NULL;
	}
	if (!found)
		ksft_exit_fail_msg("there is no test %s\n", name);
	found->next = NULL;
}

static void test_options(int argc, char **argv)
{
	const char *env = getenv("MINIVIRT_DEV");
	int fd;

	if (env)
		dev_path = env;
	for (int i = 1; i < argc; i += 2) {
		if (i + 1 < argc && !strcmp(argv[i], "--dev"))
			dev_path = argv[i + 1];
		else if (i + 1 < argc && !strcmp(argv[i], "--test"))
			select_test(argv[i + 1]);
		else
			ksft_exit_fail_msg("usage: %s [--dev PATH] [--test NAME]\n", argv[0]);
	}
	fd = open(dev_path, O_RDWR);
	if (fd < 0)
		ksft_exit_skip("%s: %s\n", dev_path, strerror(errno));
	close(fd);
}

#define TEST_MAIN                                                                                  \
	static void __attribute__((constructor)) __constructor_order_last(void)                    \
	{                                                                                          \
		if (!__constructor_order)                                                          \
			__constructor_order = _CONSTRUCTOR_ORDER_BACKWARD;                         \
	}                                                                                          \
												   \
	int main(int argc, char **argv)                                                            \
	{                                                                                          \
		test_options(argc, argv);                                                          \
		return test_harness_run(argc, argv);                                               \
	}

#endif /* SELFTESTS_TEST_H */
