// SPDX-License-Identifier: GPL-2.0
/*
 * minivirt info: which module is loaded and what it uses.
 */
#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <linux/minivirt.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include "minivirt.h"

static_assert(sizeof(struct minivirt_info) == MINIVIRT_INFO_SIZE_V0, "struct minivirt_info");

static const struct {
	uint64_t bit;
	const char *name;
	const char *meaning;
} features[] = {
	{ MINIVIRT_FEATURE_VPID, "vpid", "tagged TLB" },
	{ MINIVIRT_FEATURE_AD_BITS, "ad-bits", "accessed and dirty bits in the second stage" },
	{ MINIVIRT_FEATURE_PAGE_2M, "page-2m", "2 MiB second-stage pages" },
	{ MINIVIRT_FEATURE_PAGE_1G, "page-1g", "1 GiB second-stage pages" },
	{ MINIVIRT_FEATURE_APICV, "apicv", "APIC virtualization and virtual-interrupt delivery" },
	{ MINIVIRT_FEATURE_PREEMPTION_TIMER, "preemption-timer", "VMX-preemption timer" },
	{ MINIVIRT_FEATURE_TSC_SCALING, "tsc-scaling", "TSC multiplier" },
	{ MINIVIRT_FEATURE_XSAVES, "xsaves", "XSAVES in the guest" },
	{ MINIVIRT_FEATURE_NEXT_RIP, "next-rip", "next-RIP save" },
	{ MINIVIRT_FEATURE_VGIF, "vgif", "virtual GIF" },
	{ MINIVIRT_FEATURE_PLE, "ple", "PAUSE-loop exiting" },
	{ MINIVIRT_FEATURE_PML, "pml", "page-modification logging" },
	{ MINIVIRT_FEATURE_TPR_SHADOW, "tpr-shadow", "CR8 without exits" },
};

void usage_info(FILE *out)
{
	fprintf(out,
		"usage: minivirt info [OPTIONS]\n"
		"\n"
		"Shows which module is loaded and what it uses.\n"
		"\n"
		"  -j, --json       as one JSON object\n"
		"  -d, --dev PATH   device, default $MINIVIRT_DEV or /dev/minivirt\n"
		"  -h, --help       this help\n");
}

static const char *backend_name(uint32_t backend)
{
	switch (backend) {
	case MINIVIRT_BACKEND_VMX:
		return "vmx";
	case MINIVIRT_BACKEND_SVM:
		return "svm";
	default:
		return "unknown";
	}
}

static void print_text(const char *path, const struct minivirt_info *info)
{
	printf("device:         %s\n", path);
	printf("version:        %s\n", info->version);
	printf("backend:        %s\n", backend_name(info->backend));
	printf("address width:  %u bits\n", info->phys_bits);
	printf("machines:       %u\n", info->vms);
	printf("features:\n");
	for (size_t i = 0; i < ARRAY_SIZE(features); i++) {
		if (info->features & features[i].bit)
			printf("  %-17s %s\n", features[i].name, features[i].meaning);
	}
}

static void print_json_string(const char *s)
{
	putchar('"');
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			printf("\\%c", *s);
		else if ((unsigned char)*s < ' ')
			printf("\\u%04x", *s);
		else
			putchar(*s);
	}
	putchar('"');
}

static void print_json(const char *path, const struct minivirt_info *info)
{
	const char *separator = "";

	printf("{\"device\":");
	print_json_string(path);
	printf(",\"version\":");
	print_json_string(info->version);
	printf(",\"backend\":\"%s\",\"phys_bits\":%u,\"vms\":%u,\"features\":[",
	       backend_name(info->backend), info->phys_bits, info->vms);
	for (size_t i = 0; i < ARRAY_SIZE(features); i++) {
		if (info->features & features[i].bit) {
			printf("%s\"%s\"", separator, features[i].name);
			separator = ",";
		}
	}
	printf("]}\n");
}

int cmd_info(int argc, char **argv)
{
	static const struct option long_options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "dev", required_argument, NULL, 'd' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL },
	};
	struct minivirt_info info = { .size = sizeof(info) };
	const char *path = NULL;
	bool json = false;
	int fd, c;

	while ((c = getopt_long(argc, argv, "jd:h", long_options, NULL)) != -1) {
		switch (c) {
		case 'j':
			json = true;
			break;
		case 'd':
			path = optarg;
			break;
		case 'h':
			usage_info(stdout);
			return 0;
		default:
			die(STATUS_USAGE, "try minivirt info --help");
		}
	}
	if (optind < argc)
		die(STATUS_USAGE, "'%s' is one argument too many; try minivirt info --help",
		    argv[optind]);
	path = device_path(path);
	fd = device_open(path);
	if (ioctl(fd, KVM_CHECK_EXTENSION, MINIVIRT_CAP_INFO) <= 0)
		die(STATUS_HOST_ERROR, "%s speaks the KVM ABI but is not minivirt's", path);
	if (ioctl(fd, MINIVIRT_GET_INFO, &info) < 0)
		die(STATUS_HOST_ERROR, "MINIVIRT_GET_INFO failed: %s", strerror(errno));
	info.version[sizeof(info.version) - 1] = '\0';
	if (json)
		print_json(path, &info);
	else
		print_text(path, &info);
	return 0;
}
