// SPDX-License-Identifier: GPL-2.0-only
/*
 * fuzz [--dev PATH] [--seconds N] [--seed S] [--corpus DIR] [--save DIR] [--log]
 * fuzz [--dev PATH] --replay FILE
 *
 * Runs the programs of the corpus, then, for N seconds, such that are made of them and
 * of the grammar. With KCOV, what reaches code that nothing has reached is kept, as short
 * as it can be, and saved to DIR. --log prints each program before it is executed, for
 * a kernel that does not survive one.
 */
#include <dirent.h>
#include <fcntl.h>
#include <kselftest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <linux/kcov.h>
#include "fuzz.h"

#define PROGRESS 10 /* s */
#define HANG 120 /* s that one program may take */
#define BATCH 200 /* programs that one process executes */
#define MAX_CORPUS 2000
#define KCOV_ENTRIES (256u << 10)
#define SEEN (1u << 17)

/* For the process that executes, and the one that watches it */
static struct shared {
	u64 rnd;
	u64 programs;
	u32 nr_corpus, nr_seen, crashes;
	bool bad; /* the kernel has reported something: about this */
	struct program current;
	struct program corpus[MAX_CORPUS];
	u32 seen[SEEN];
} *shared;

static const char *save_dir;
static bool log_all;
static int kcov = -1;
static u64 *cover;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static void *map_shared(size_t size, int fd)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_SHARED | (fd < 0 ? MAP_ANONYMOUS : 0), fd, 0);

	if (p == MAP_FAILED)
		ksft_exit_fail_msg("mmap: %s\n", strerror(errno));
	return p;
}

static void kcov_init(void)
{
	kcov = open("/sys/kernel/debug/kcov", O_RDWR | O_CLOEXEC);
	if (kcov < 0 || ioctl(kcov, KCOV_INIT_TRACE, (unsigned long)KCOV_ENTRIES)) {
		ksft_print_msg("without KCOV\n");
		return;
	}
	cover = map_shared(KCOV_ENTRIES * sizeof(u64), kcov);
}

/* The place of this code in the table: its own, or a free one. */
static u32 *seen_place(u32 pc)
{
	u32 i = pc * 2654435761u >> 15;

	while (shared->seen[i % SEEN] && shared->seen[i % SEEN] != pc)
		i++;
	return &shared->seen[i % SEEN];
}

static void start_program(const struct program *p)
{
	shared->current = *p;
	if (log_all) {
		puts("# program");
		write_program(stdout, p);
		fflush(stdout);
	}
	if (cover)
		__atomic_store_n(&cover[0], 0, __ATOMIC_RELAXED);
}

/* Runs it; how much of what it reached is new, up to @max. */
static u32 try_program(const struct program *p, u32 *new, u32 max)
{
	u32 nr = 0;

	start_program(p);
	execute(p, false);
	shared->programs++;
	for (u64 i = 1; cover && i <= cover[0] && i < KCOV_ENTRIES && nr < max; i++) {
		u32 j;

		if (*seen_place(cover[i]))
			continue;
		for (j = 0; j < nr && new[j] != (u32)cover[i]; j++)
			;
		if (j == nr)
			new[nr++] = cover[i];
	}
	return nr;
}

static bool reaches(const u32 *pcs, u32 nr)
{
	for (u32 i = 0; i < nr; i++) {
		u64 j = 1;

		while (j <= cover[0] && j < KCOV_ENTRIES && (u32)cover[j] != pcs[i])
			j++;
		if (j > cover[0] || j >= KCOV_ENTRIES)
			return false;
	}
	return true;
}

/* Leaves out what is not needed to reach these, of which some speak for all. */
static void shorten(struct program *p, const u32 *pcs, u32 nr)
{
	u32 ignored[1];

	if (nr > 64)
		nr = 64;
	for (int at = p->nr - 1; at >= 0 && p->nr > 1; at--) {
		struct program shorter = *p;

		memmove(&shorter.ops[at], &shorter.ops[at + 1],
			(p->nr - at - 1) * sizeof(p->ops[0]));
		shorter.nr--;
		try_program(&shorter, ignored, 1);
		if (reaches(pcs, nr))
			*p = shorter;
	}
}

static void save(const struct program *p)
{
	char path[256];
	FILE *f;

	if (!save_dir)
		return;
	snprintf(path, sizeof(path), "%s/%05u", save_dir, shared->nr_corpus);
	f = fopen(path, "w");
	if (!f)
		FAIL("%s: %s", path, strerror(errno));
	write_program(f, p);
	fclose(f);
}

static void keep(struct program *p, const u32 *pcs, u32 nr)
{
	/* A table that is nearly full would be slow. */
	for (u32 i = 0; i < nr && shared->nr_seen < SEEN / 2; i++) {
		*seen_place(pcs[i]) = pcs[i];
		shared->nr_seen++;
	}
	if (shared->nr_corpus < MAX_CORPUS) {
		save(p);
		shared->corpus[shared->nr_corpus++] = *p;
	}
}

static void next_program(u64 *r, struct program *p)
{
	u32 nr = shared->nr_corpus;

	if (nr && rnd_below(r, 16)) {
		*p = shared->corpus[rnd_below(r, nr)];
		mutate(r, p, &shared->corpus[rnd_below(r, nr)]);
		return;
	}
	memset(p, 0, sizeof(*p));
	p->nr = 1; /* a VM */
	while (p->nr < MAX_OPS && rnd_below(r, 16))
		random_op(r, &p->ops[p->nr++]);
}

/* The process that executes: ends after some programs, so that nothing adds up in it. */
static void fuzz_some(double end)
{
	static struct program p;
	static u32 new[4096];
	u64 trouble = kernel_trouble();

	executor_init();
	if (cover && ioctl(kcov, KCOV_ENABLE, KCOV_TRACE_PC))
		FAIL("KCOV_ENABLE: %s", strerror(errno));
	for (int i = 0; i < BATCH && now() < end; i++) {
		u32 nr;

		next_program(&shared->rnd, &p);
		nr = try_program(&p, new, 4096);
		if (kernel_trouble() != trouble) {
			shared->bad = true;
			_exit(0);
		}
		if (nr) {
			shorten(&p, new, nr);
			keep(&p, new, nr);
		}
	}
	_exit(0);
}

/* The process of one program of the corpus */
static void replay(const struct program *p, bool verbose)
{
	static u32 new[16384];
	u64 trouble = kernel_trouble();

	executor_init();
	if (cover && ioctl(kcov, KCOV_ENABLE, KCOV_TRACE_PC))
		FAIL("KCOV_ENABLE: %s", strerror(errno));
	if (verbose) {
		start_program(p);
		execute(p, true);
		fflush(stdout);
	} else {
		u32 nr = try_program(p, new, 16384);

		for (u32 i = 0; i < nr; i++)
			*seen_place(new[i]) = new[i];
		shared->nr_seen += nr;
	}
	shared->bad = kernel_trouble() != trouble;
	_exit(0);
}

static void report(const char *what)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	write_program(f, &shared->current);
	fclose(f);
	ksft_print_msg("%s:\n", what);
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
		ksft_print_msg("  %s\n", line);
	free(text);
}

/* Waits for the process as long as programs end; false when something is wrong. */
static bool watch(pid_t pid)
{
	double since = now();
	u64 programs = shared->programs;
	int status;

	while (waitpid(pid, &status, WNOHANG) == 0) {
		if (shared->programs != programs) {
			programs = shared->programs;
			since = now();
		}
		if (now() > since + HANG) {
			report("this does not end");
			kill(pid, SIGKILL);
			return false;
		}
		usleep(2000);
	}
	if (shared->bad) {
		report("the kernel has reported something");
		return false;
	}
	/* A guest may write to its process' memory. */
	if (status)
		shared->crashes++;
	return true;
}

static bool load(const char *path, struct program *p)
{
	FILE *f = fopen(path, "r");
	bool good = f && read_program(f, p);

	if (f)
		fclose(f);
	if (!good)
		ksft_print_msg("%s is no program\n", path);
	return good;
}

static bool replay_file(const char *path, bool verbose)
{
	static struct program p;
	u32 seen = shared->nr_seen;
	pid_t pid;

	if (!load(path, &p))
		return false;
	fflush(stdout);
	pid = fork();
	if (!pid)
		replay(&p, verbose);
	if (!watch(pid)) {
		ksft_print_msg("%s\n", path);
		return false;
	}
	if (log_all)
		ksft_print_msg("%s reaches %u more\n", path, shared->nr_seen - seen);
	if (shared->nr_corpus < MAX_CORPUS)
		shared->corpus[shared->nr_corpus++] = p;
	return true;
}

static bool replay_corpus(const char *dir)
{
	struct dirent **names;
	bool good = true;
	char path[512];
	int nr = scandir(dir, &names, NULL, alphasort);

	if (nr < 0) {
		ksft_print_msg("%s: %s\n", dir, strerror(errno));
		return false;
	}
	for (int i = 0; i < nr; i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]->d_name);
		if (names[i]->d_name[0] != '.')
			good &= replay_file(path, false);
	}
	ksft_print_msg("%u programs reach %u places\n", shared->nr_corpus, shared->nr_seen);
	return good && shared->nr_corpus;
}

static bool fuzz(double seconds)
{
	double start = now(), told = start;

	while (now() < start + seconds) {
		pid_t pid;

		fflush(stdout);
		pid = fork();
		if (!pid)
			fuzz_some(start + seconds);
		if (!watch(pid))
			return false;
		/* Programs that crash their process are not to be made again and again. */
		rnd(&shared->rnd);
		if (now() > told + PROGRESS || now() > start + seconds) {
			told = now();
			ksft_print_msg("progress fuzz: %.0f of %.0f s, %llu programs, %u crashed\n",
				       told - start, seconds, (unsigned long long)shared->programs,
				       shared->crashes);
			ksft_print_msg("progress fuzz: %u are kept, which reach %u places\n",
				       shared->nr_corpus, shared->nr_seen);
			fflush(stdout);
		}
	}
	return true;
}

int main(int argc, char **argv)
{
	const char *env = getenv("MINIVIRT_DEV"), *corpus = NULL, *file = NULL;
	u64 seed = time(NULL) ^ (u64)getpid() << 32;
	double seconds = 30;
	int fd;

	if (env)
		dev_path = env;
	for (int i = 1; i < argc; i++) {
		bool more = i + 1 < argc;

		if (!strcmp(argv[i], "--log"))
			log_all = true;
		else if (more && !strcmp(argv[i], "--dev"))
			dev_path = argv[++i];
		else if (more && !strcmp(argv[i], "--seconds"))
			seconds = atof(argv[++i]);
		else if (more && !strcmp(argv[i], "--seed"))
			seed = strtoull(argv[++i], NULL, 0);
		else if (more && !strcmp(argv[i], "--corpus"))
			corpus = argv[++i];
		else if (more && !strcmp(argv[i], "--save"))
			save_dir = argv[++i];
		else if (more && !strcmp(argv[i], "--replay"))
			file = argv[++i];
		else
			ksft_exit_fail_msg("fuzz.c tells the options\n");
	}
	fd = open(dev_path, O_RDWR);
	if (fd < 0)
		ksft_exit_skip("%s: %s\n", dev_path, strerror(errno));
	close(fd);
	shared = map_shared(sizeof(*shared), -1);
	shared->rnd = rnd_seed(seed);
	kcov_init();
	ksft_print_header();
	ksft_set_plan(file || !corpus ? 1 : 2);
	if (file) {
		ksft_test_result(replay_file(file, true), "replay\n");
		ksft_finished();
	}
	if (corpus)
		ksft_test_result(replay_corpus(corpus), "corpus\n");
	ksft_print_msg("seed %llu\n", (unsigned long long)seed);
	ksft_test_result(fuzz(seconds), "fuzz\n");
	ksft_finished();
}
