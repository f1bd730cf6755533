/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "test-guest-run.h"
#include "test.h"

#include <stdio.h>
#include <unistd.h>

int run_caught(int (*command)(const options *, char **), const options *o, char **argv,
               char *output, size_t size)
{
    FILE *caught = tmpfile();
    int out, err, code;
    size_t n;

    assert_non_null(caught);
    fflush(stdout);
    out = dup(STDOUT_FILENO);
    err = dup(STDERR_FILENO);
    dup2(fileno(caught), STDOUT_FILENO);
    dup2(fileno(caught), STDERR_FILENO);
    code = command(o, argv);
    fflush(stdout);
    dup2(out, STDOUT_FILENO);
    dup2(err, STDERR_FILENO);
    close(out);
    close(err);

    rewind(caught);
    n = fread(output, 1, size - 1, caught);
    output[n] = '\0';
    fclose(caught);
    return code;
}
