// SPDX-License-Identifier: GPL-2.0-only
/* A 32-bit VMM under a 64-bit kernel: compat32, a process for each part. */
#include <fcntl.h>
#include <limits.h>
#include <sys/wait.h>
#include <unistd.h>
#include "test.h"

#define NOT_RUN 100

static int run_compat32(const char *part)
{
	char path[PATH_MAX] = "", *name; /* readlink() ends no string */
	int status;
	pid_t pid;

	if (readlink("/proc/self/exe", path, sizeof(path) - 16) < 0)
		FAIL("/proc/self/exe: %s", strerror(errno));
	name = strrchr(path, '/') + 1;
	strcpy(name, "compat32");
	pid = fork();
	if (!pid) {
		execl(path, path, dev_path, part, NULL);
		if (errno != ENOEXEC)
			fprintf(stderr, "# %s: %s\n", path, strerror(errno));
		_exit(errno == ENOEXEC ? NOT_RUN : 1);
	}
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		FAIL("compat32 %s: status %#x", part, status);
	return WEXITSTATUS(status);
}

#define TEST_PART(name)                                                                            \
	TEST(name)                                                                                 \
	{                                                                                          \
		int status = run_compat32(#name);                                                  \
												   \
		if (status == NOT_RUN)                                                             \
			SKIP(return, "this kernel runs no 32-bit programs");                       \
		if (status == 4)                                                                   \
			SKIP(return, "the device has not got it");                                 \
		EXPECT_EQ(0, status);                                                              \
	}

TEST_PART(device)
TEST_PART(run)
TEST_PART(dirty_log)
TEST_PART(msr_filter)
TEST_PART(signal_mask)
TEST_PART(state)
TEST_PART(segments)

TEST_MAIN
