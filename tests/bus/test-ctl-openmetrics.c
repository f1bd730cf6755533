/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What vgpuctl writes for a collector, read by the reference implementation's parser, which is
 * strict. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test-ctl-run.h"
#include "test.h"
#include "world.h"

static int start(void **state)
{
    (void) state;
    if (world_start("[Pool A]\nBackend=cpu\n") < 0)
        return -1;
    register_vm("web1", 1, "A", "high");
    register_vm("back\\slash \"quoted\"", 2, "A", "medium");
    return 0;
}

/* Writes @text to a file of this name in the mediator's directory. */
static void save(const char *name, const char *text, char path[128])
{
    FILE *f;

    snprintf(path, 128, "%s/%s", mediator.directory, name);
    f = fopen(path, "we");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

TEST(test_metrics_are_valid)
{
    char path[128], script[1024];
    Ctl c, parsed;

    c = ctl_run("metrics", "--format=openmetrics");
    assert_int_equal(c.status, 0);
    assert_string_equal(c.err, "");
    save("metrics", c.out, path);
    snprintf(
        script, sizeof(script),
        "/usr/bin/python3 - %s <<'END'\n"
        "import sys\n"
        "from prometheus_client.openmetrics.parser import text_string_to_metric_families\n"
        "families = list(text_string_to_metric_families(open(sys.argv[1]).read()))\n"
        "assert all(f.documentation for f in families)\n"
        "kinds = {f.name: f.type for f in families}\n"
        "assert kinds['vgpu_vm_wait_seconds'] == 'histogram', kinds\n"
        "assert kinds['vgpu_pool_requests_completed'] == 'counter', kinds\n"
        "names = {s.labels['vm'] for f in families if f.name == 'vgpu_vm' for s in f.samples}\n"
        "assert names == {'web1', 'back\\\\slash \"quoted\"'}, names\n"
        "print(len(families))\n"
        "END\n",
        path);
    parsed = ctl_shell(script);
    if (parsed.status != 0)
        fail_msg("%s", parsed.err);
    assert_true(atoi(parsed.out) >= 35);
    ctl_release(&parsed);
    ctl_release(&c);
}

static bool has_parser(void)
{
    Ctl c = ctl_shell("/usr/bin/python3 -c 'import prometheus_client.openmetrics.parser'");
    bool there = c.status == 0;

    ctl_release(&c);
    return there;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_metrics_are_valid),
    };

    if (!has_parser()) {
        printf("1..0 # SKIP python3-prometheus-client is not installed\n");
        return EXIT_SUCCESS;
    }
    return cmocka_run_group_tests_name("ctl-openmetrics", tests, start, world_end);
}
