/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vgpuctl: settings that last of VMs that libvirt manages. libvirt's test driver reads the domains
 * from a file for each vgpuctl; what is written into them another test looks at. Here it is seen
 * by what the mediator is told.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test-ctl-run.h"
#include "test.h"
#include "world.h"

#define DOMAIN(name, digit, attributes) DOMAIN_IN(name, digit, attributes, "")
#define DOMAIN_IN(name, digit, attributes, state)                                         \
    "<domain type='test' xmlns:test='http://libvirt.org/schemas/domain/test/1.0'>" state  \
    "<name>" name "</name><uuid>" digit digit digit digit "-" digit digit "-" digit digit \
    "-" digit digit "-" digit digit digit digit digit digit                               \
    "</uuid><metadata><vgpu:device xmlns:vgpu='urn:vgpu-mediator:domain:1' " attributes   \
    "/></metadata><memory>8192</memory><os><type>hvm</type></os></domain>"
#define OFF "<test:runstate>5</test:runstate>" /* VIR_DOMAIN_SHUTOFF */
#define SAVED OFF "<test:hasmanagedsave/>"

static char file[96], uri[128];

static int start(void **state)
{
    FILE *f;

    if (world_start("[Pool A]\nBackend=cpu\n[Pool B]\nBackend=cpu\n") < 0)
        return -1;
    (void) state;
    snprintf(file, sizeof(file), "%s/node.xml", mediator.directory);
    snprintf(uri, sizeof(uri), "test://%s", file);
    setenv("LIBVIRT_DEFAULT_URI", uri, 1);
    f = fopen(file, "we");
    if (!f)
        return -1;
    fputs("<node>" DOMAIN("web", "11", "pool='A' priority='high'")
              DOMAIN_IN("off", "44", "pool='A' priority='high'", OFF)
                  DOMAIN_IN("saved", "55", "pool='A' priority='high'", SAVED)
                      DOMAIN("bad", "22",
                             "pool='A' priority='high'/><vgpu:device "
                             "xmlns:vgpu='urn:vgpu-mediator:domain:2'") "</node>",
          f);
    return fclose(f);
}

static void expect_no_overrides(const char *name)
{
    Ctl c = ctl_run("list", "--all", "--no-legend");
    char *line = strstr(c.out, name);

    assert_int_equal(c.status, 0);
    assert_non_null(line);
    *strchr(line, '\n') = '\0';
    assert_int_equal(line[strlen(line) - 1], '-');
    ctl_release(&c);
}

TEST(test_the_definition_has_it)
{
    register_vm("web", 0x11, "A", "high");
    ctl_expect("", "set-priority", "web", "low");
    vm_text_is("web", "Priority", "low");
    vm_text_is("web", "ConfiguredPriority", "low");
    ctl_expect("", "set-pool", "web", "B");
    vm_text_is("web", "Pool", "B");
    vm_text_is("web", "ConfiguredPool", "B");
    ctl_expect("", "set-limits", "web", "Weight=300", "QueueLimit=7");
    assert_int_equal(vm_number("web", "Weight"), 300);
    assert_int_equal(vm_number("web", "QueueLimit"), 7);
    expect_no_overrides("web");

    /* Not with --runtime. */
    ctl_expect("", "set-priority", "web", "medium", "--runtime");
    vm_text_is("web", "Priority", "medium");
    vm_text_is("web", "ConfiguredPriority", "low");
    ctl_expect("", "revert", "web");
    vm_text_is("web", "Priority", "low");

    /* An override that another client made gives way. */
    call_manager(NULL, "SetVMPriority", "ssb", "web", "high", 0);
    ctl_expect("", "set-priority", "web", "medium");
    expect_no_overrides("web");

    ctl_refuse("Failed to set priority of VM web: 'urgent' is no priority: it is high, medium or "
               "low.",
               "set-priority", "web", "urgent");
    unregister_vm("web");
}

/* A VM that libvirt does not know. */
TEST(test_no_definition)
{
    register_vm("other", 0x33, "A", "high");
    ctl_expect("", "set-priority", "other", "low");
    vm_text_is("other", "ConfiguredPriority", "high");
    ctl_expect("", "revert", "other");
    vm_text_is("other", "Priority", "high");
    unregister_vm("other");
}

TEST(test_what_cannot_be_kept)
{
    register_vm("bad", 0x22, "A", "high");
    ctl_refuse("The change of VM bad is in effect, but could not be kept in libvirt's definition: "
               "<device> is of the namespace 'urn:vgpu-mediator:domain:2': this version knows only "
               "'urn:vgpu-mediator:domain:1'",
               "set-priority", "bad", "low");
    vm_text_is("bad", "Priority", "low");
    vm_text_is("bad", "ConfiguredPriority", "high");
    unregister_vm("bad");
}

/* Domains that the mediator does not know: one runs, and another does not. */
TEST(test_list_all)
{
    Ctl c = ctl_run("list", "--all", "--json=short");

    assert_int_equal(c.status, 0);
    assert_non_null(strstr(c.out, "\"uuid\":\"11111111-1111-1111-1111-111111111111\","
                                  "\"state\":\"no device\",\"pool\":\"A\","));
    assert_non_null(strstr(c.out, "\"uuid\":\"44444444-4444-4444-4444-444444444444\","
                                  "\"state\":\"off\",\"pool\":\"A\","));
    ctl_release(&c);
}

/* A domain that does not run is not with the mediator, and has a definition all the same. */
TEST(test_off)
{
    ctl_expect("", "set-priority", "off", "low");
    ctl_expect("", "set-pool", "off", "B");
    ctl_expect("", "set-limits", "off", "Weight=300", "queuelimit=7");
    ctl_refuse("Failed to set priority of VM off: Priority is 'urgent', and must be high, medium "
               "or low.",
               "set-priority", "off", "urgent");
    ctl_refuse("Failed to set limits of VM off: Weight is '0', and must be a number from 1 to "
               "10000.",
               "set-limits", "off", "QueueLimit=7", "Weight=0");
    ctl_refuse("Failed to set priority of VM off: No VM 'off' is known.", "set-priority", "off",
               "low", "--runtime");
    ctl_refuse("Failed to set priority of VM none: No VM 'none' is known.", "set-priority", "none",
               "low");
}

/* Its next start is refused, so that is said now. */
TEST(test_off_and_no_pool)
{
    Ctl c = ctl_run("set-pool", "off", "Z");

    assert_int_equal(c.status, 0);
    assert_string_equal(c.err, "The mediator of this host has no pool Z: the domain cannot start "
                               "before mediator.conf(5) has one.\n");
    ctl_release(&c);
}

TEST(test_saved)
{
    Ctl c = ctl_run("set-priority", "saved", "low");

    assert_int_equal(c.status, 0);
    assert_string_equal(c.err, "Domain saved has a saved state, and starts with that and its old "
                               "definition: the change takes effect at the start after that. To "
                               "drop the state: virsh managedsave-remove saved\n");
    ctl_release(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_list_all),      cmocka_unit_test(test_the_definition_has_it),
        cmocka_unit_test(test_no_definition), cmocka_unit_test(test_what_cannot_be_kept),
        cmocka_unit_test(test_off),           cmocka_unit_test(test_off_and_no_pool),
        cmocka_unit_test(test_saved),
    };

    return cmocka_run_group_tests_name("ctl-definition", tests, start, world_end);
}
