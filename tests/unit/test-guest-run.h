/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Running a subcommand of vgpu in the process of a test. */
#ifndef TEST_GUEST_RUN_H
#define TEST_GUEST_RUN_H

#include "command.h"

/*
 * run_caught() - run it with both its outputs caught
 * @output: @size bytes, for what it printed
 *
 * Returns its exit code.
 */
int run_caught(int (*command)(const options *, char **), const options *o, char **argv,
               char *output, size_t size);

#endif
