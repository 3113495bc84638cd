/* SPDX-License-Identifier: GPL-2.0-only */
/* Included before everything: how the module's kernel messages begin. */
#define pr_fmt(fmt) "minivirt: " fmt
