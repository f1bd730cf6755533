/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vgpu selftest: runs the checks and prints the Test Anything Protocol. */
#include "selftest.h"

#include <inttypes.h>

#include "cleanup.h"
#include "deadline.h"

uint32_t get(selftest *t, uint32_t offset)
{
    uint32_t value = 0;

    vgpu_read_register(t->dev, offset, &value);
    return value;
}

void set(selftest *t, uint32_t offset, uint32_t value)
{
    vgpu_write_register(t->dev, offset, value);
}

void fail(selftest *t, const char *format, ...)
{
    va_list args;

    fputs("# ", stdout);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
    t->failed = true;
}

bool expect_register(selftest *t, uint32_t offset, uint32_t value, const char *when)
{
    uint32_t found = get(t, offset);

    if (found != value)
        fail(t, "%s: 0x%03" PRIx32 " reads 0x%08" PRIx32 ", not 0x%08" PRIx32, when, offset, found,
             value);
    return found == value;
}

/* The name that a result has in the tables. */
static const char *result_name(int result)
{
    return result > 0 ? vgpu_error_to_string((uint32_t) result) : vgpu_strerror(result);
}

bool expect_result(selftest *t, int result, int wanted, const char *what)
{
    if (result != wanted)
        fail(t, "%s: %s (%d), not %s (%d)", what, result_name(result), result, result_name(wanted),
             wanted);
    return result == wanted;
}

uint32_t settle(selftest *t)
{
    deadline until = deadline_after(t->options->timeout_ms);
    backoff pause = {0};
    uint32_t status;

    while ((status = get(t, VGPU_REG_STATUS)) == VGPU_STATUS_BUSY)
        if (!backoff_pause(&pause, until, 1000000)) {
            fail(t, "the device is still BUSY after the time-out");
            break;
        }

    return status;
}

static size_t count_checks(const check *checks)
{
    size_t n = 0;

    while (checks[n].name)
        n++;
    return n;
}

/* Returns whether the check has passed or was skipped. */
static bool run_check(selftest *t, const check *c, size_t number)
{
    t->failed = false;
    t->skip = NULL;

    if (c->needs_host && !t->answers)
        t->skip = "the host does not answer";
    else
        c->run(t);

    printf("%sok %zu - %s", t->failed ? "not " : "", number, c->name);
    if (t->skip && !t->failed)
        printf(" # SKIP %s", t->skip);
    putchar('\n');
    fflush(stdout);
    return !t->failed;
}

int command_selftest(const options *o, char **argv)
{
    static const check *const groups[] = {register_checks, request_checks, vector_checks,
                                          ring_checks};
    CLEANUP_VGPU vgpu_device *dev = NULL;
    selftest t = {.options = o};
    size_t total = 0, number = 0, failures = 0;
    int r;

    (void) argv;
    r = open_device(o, o->device, &dev);
    if (r != EXIT_OK)
        return r;
    t.dev = dev;
    r = vgpu_lock(dev, o->timeout_ms);
    if (r < 0)
        return complain_result(vgpu_get_address(dev), r);

    for (size_t g = 0; g < ELEMENTSOF(groups); g++)
        total += count_checks(groups[g]);
    printf("TAP version 13\n1..%zu\n# device %s\n", total, vgpu_get_address(dev));

    for (size_t g = 0; g < ELEMENTSOF(groups); g++)
        for (const check *c = groups[g]; c->name; c++)
            failures += !run_check(&t, c, ++number);

    if (failures > 0)
        complain("%zu of %zu checks failed", failures, total);
    return finish_output(failures > 0 ? EXIT_REFUSED : EXIT_OK);
}
