// SPDX-License-Identifier: GPL-2.0
/*
 * The command: minivirt SUBCOMMAND [OPTIONS].
 */
#include <stdio.h>
#include <string.h>
#include "minivirt.h"

static int cmd_help(int argc, char **argv);
static int cmd_version(int argc, char **argv);

static const struct command {
	const char *name;
	int (*main)(int argc, char **argv);
	void (*usage)(FILE *out); /* NULL: there is nothing to say */
	const char *summary;
} commands[] = {
	{ "run", cmd_run, usage_run, "boot a Linux kernel in a virtual machine" },
	{ "info", cmd_info, usage_info, "show which module is loaded and what it uses" },
	{ "help", cmd_help, NULL, "show this, or the options of a command" },
	{ "version", cmd_version, NULL, "show the version of this program" },
};

static const struct command *command_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		if (!strcmp(name, commands[i].name))
			return &commands[i];
	}
	return NULL;
}

static void print_usage(FILE *out)
{
	fprintf(out, "usage: minivirt COMMAND [OPTIONS]\n\n");
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		fprintf(out, "  %-9s %s\n", commands[i].name, commands[i].summary);
	fprintf(out, "\nSee minivirt COMMAND --help and minivirt(1).\n");
}

static int cmd_help(int argc, char **argv)
{
	const struct command *cmd = argc > 1 ? command_find(argv[1]) : NULL;

	if (argc > 1 && !cmd)
		die(STATUS_USAGE, "no command '%s'; try minivirt help", argv[1]);
	if (cmd && cmd->usage)
		cmd->usage(stdout);
	else
		print_usage(stdout);
	return 0;
}

static int cmd_version(int argc, char **argv)
{
	printf("minivirt %s\n", MINIVIRT_VERSION);
	return 0;
}

int main(int argc, char **argv)
{
	const struct command *cmd;
	const char *name;

	if (argc < 2) {
		print_usage(stderr);
		return STATUS_USAGE;
	}
	name = argv[1];
	if (!strcmp(name, "--help") || !strcmp(name, "-h"))
		name = "help";
	else if (!strcmp(name, "--version") || !strcmp(name, "-V"))
		name = "version";
	cmd = command_find(name);
	if (!cmd)
		die(STATUS_USAGE, "no command '%s'; try minivirt help", name);
	return cmd->main(argc - 1, argv + 1);
}
