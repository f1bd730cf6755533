/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vgpuctl and libvirt, where it is built with it. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test-ctl-run.h"
#include "test.h"
#include "vm-settings.h"

/* libvirt's own test driver has a domain "test", of a type that has no QEMU. */
TEST(test_attach)
{
    const char *refusal = "Failed to attach a GPU to domain test: ";
    Ctl c = ctl_run("attach", "test", "--connect=test:///default");

    assert_int_equal(c.status, 1);
    assert_true(strncmp(c.err, refusal, strlen(refusal)) == 0);
    assert_non_null(strstr(c.err, "'test'"));
    ctl_release(&c);
    c = ctl_run("attach", "test", "--priority=urgent", "-c", "test:///default");
    assert_int_equal(c.status, 1);
    assert_non_null(strstr(c.err, "'urgent'"));
    ctl_release(&c);
    c = ctl_run("attach", "test", "QueueLimit=0", "-c", "test:///default");
    assert_int_equal(c.status, 1);
    assert_non_null(strstr(c.err, "'0'"));
    ctl_release(&c);
    c = ctl_run("attach", "test", "Speed=1", "-c", "test:///default");
    assert_int_equal(c.status, 1);
    assert_non_null(strstr(c.err, "'Speed=1' is no limit: it is QueueLimit=, RequestRateLimit="));
    for (unsigned i = 0; i < VM_N_SETTINGS; i++)
        if (vm_settings[i].flags & VM_SETTING_LIMIT)
            assert_non_null(strstr(c.err, vm_settings[i].name));
    ctl_release(&c);
    ctl_refuse("Failed to detach the GPU of domain none: no domain is called 'none'", "detach",
               "none", "-c", "test:///default");
    c = ctl_run("detach", "test", "-c", "test:///default");
    assert_int_equal(c.status, 0);
    assert_string_equal(c.err, "Domain test has no GPU.\n");
    ctl_release(&c);
}

TEST(test_detach_all)
{
    Ctl c = ctl_run("detach", "--all", "-c", "test:///default");

    assert_int_equal(c.status, 0); /* none has one */
    assert_string_equal(c.err, "");
    ctl_release(&c);
    ctl_refuse("detach needs the name of a domain, or --all.", "detach", "-c", "test:///default");
    ctl_refuse("detach needs the name of a domain, or --all.", "detach", "test", "--all", "-c",
               "test:///default");
}

static bool has_libvirt(void)
{
    Ctl c = ctl_run("--help");
    bool there = strstr(c.out, "attach DOMAIN") != NULL;

    ctl_release(&c);
    return there;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_attach),
        cmocka_unit_test(test_detach_all),
    };

    if (!has_libvirt()) {
        printf("1..0 # SKIP vgpuctl is built without libvirt\n");
        return EXIT_SUCCESS;
    }
    return cmocka_run_group_tests_name("ctl-attach", tests, NULL, NULL);
}
