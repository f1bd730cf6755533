/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The definitions of domains in libvirt. Its test driver keeps what is defined on "test:///default"
 * for as long as one connection is open, which is this test's.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libvirt/libvirt.h>

#include "cleanup.h"
#include "managed-domain.h"
#include "test-driver.h"
#include "test.h"
#include "vgpu-protocol.h"

#define URI "test:///default"
#define UUID "6f1d8c1e-2a47-4d0b-9f0e-0c5b7a1e4d11"
#define ELEMENT                                                                      \
    "<vgpu:device xmlns:vgpu='urn:vgpu-mediator:domain:1' pool='A' priority='high' " \
    "weight='250' emulator='/usr/bin/q&amp;a'/>"
#define OTHER_ELEMENT "<other:thing xmlns:other='urn:other'/>"

static virConnectPtr connection;

static virDomainPtr define(const char *metadata)
{
    return driver_define(connection, UUID, metadata);
}

static void set_to_low(void)
{
    const VMSettings settings = {.priority = VGPU_PRIORITY_LOW, .rate_limit = 7};
    ManagedDomain *d = NULL;
    char *error = NULL;

    assert_int_equal(managed_domain_open(URI, UUID, false, &d), 0);
    assert_int_equal(managed_domain_set(d, &settings,
                                        VM_SETTING_BIT(VM_SETTING_PRIORITY) |
                                            VM_SETTING_BIT(VM_SETTING_RATE_LIMIT),
                                        &error),
                     0);
    managed_domain_free(d);
}

#define HIGH "pool=\"A\" priority=\"high\" weight=\"250\" emulator=\"/usr/bin/q&amp;a\"/>"
#define LOW                                                                               \
    "<vgpu:device xmlns:vgpu=\"urn:vgpu-mediator:domain:1\" pool=\"A\" priority=\"low\" " \
    "weight=\"250\" emulator=\"/usr/bin/q&amp;a\" request-rate-limit=\"7\"/>"

/* All else in the element, and beside it, stays. */
TEST(test_a_domain_that_is_off)
{
    virDomainPtr domain = define(ELEMENT OTHER_ELEMENT);

    set_to_low();
    assert_true(driver_has(domain, VIR_DOMAIN_XML_INACTIVE, LOW));
    assert_true(driver_has(domain, VIR_DOMAIN_XML_INACTIVE, "<other:thing"));
    driver_undefine(domain);
}

/* By its name, which a domain that runs is not found by. */
TEST(test_a_domain_that_is_off_by_name)
{
    const VMSettings settings = {.priority = VGPU_PRIORITY_LOW, .rate_limit = 7};
    virDomainPtr domain = define(ELEMENT);
    ManagedDomain *d = NULL;
    char *error = NULL;

    assert_int_equal(managed_domain_open_off(URI, "none", false, &d), MANAGED_NOT);
    assert_int_equal(managed_domain_open_off(URI, "web", false, &d), 0);
    assert_false(managed_domain_is_saved(d));
    assert_int_equal(managed_domain_set(d, &settings,
                                        VM_SETTING_BIT(VM_SETTING_PRIORITY) |
                                            VM_SETTING_BIT(VM_SETTING_RATE_LIMIT),
                                        &error),
                     0);
    managed_domain_free(d);
    assert_true(driver_has(domain, VIR_DOMAIN_XML_INACTIVE, LOW));

    d = NULL;
    assert_int_equal(virDomainCreate(domain), 0);
    assert_int_equal(managed_domain_open_off(URI, "web", false, &d), MANAGED_NOT);
    assert_int_equal(virDomainManagedSave(domain, 0), 0);
    assert_int_equal(managed_domain_open_off(URI, "web", false, &d), 0);
    assert_true(managed_domain_is_saved(d));
    managed_domain_free(d);
    assert_int_equal(virDomainManagedSaveRemove(domain, 0), 0);
    driver_undefine(domain);
    domain = define("");
    assert_int_equal(managed_domain_open_off(URI, "web", false, &d), MANAGED_NOT);
    driver_undefine(domain);
}

/* What runs and what is defined are two; each keeps what only it has. */
TEST(test_a_domain_that_runs)
{
    virDomainPtr domain = define(ELEMENT);

    assert_int_equal(virDomainCreate(domain), 0);
    virDomainFree(domain);
    domain = define("<vgpu:device xmlns:vgpu='urn:vgpu-mediator:domain:1' pool='B' "
                    "priority='medium'/>");
    assert_true(driver_has(domain, 0, HIGH));
    set_to_low();
    assert_true(driver_has(domain, 0, LOW));
    assert_true(driver_has(domain, VIR_DOMAIN_XML_INACTIVE,
                           "pool=\"B\" priority=\"low\" request-rate-limit=\"7\"/>"));
    driver_undefine(domain);
}

/* The next start has no GPU, and gets none by this. */
TEST(test_a_domain_that_was_detached_while_it_runs)
{
    virDomainPtr domain = define(ELEMENT);

    assert_int_equal(virDomainCreate(domain), 0);
    virDomainFree(domain);
    domain = define("");
    set_to_low();
    assert_true(driver_has(domain, 0, LOW));
    assert_false(driver_has(domain, VIR_DOMAIN_XML_INACTIVE, "vgpu"));
    driver_undefine(domain);
}

TEST(test_a_transient_domain)
{
    virDomainPtr domain = virDomainCreateXML(
        connection,
        "<domain type='test'><name>web</name><uuid>" UUID "</uuid><metadata>" ELEMENT
        "</metadata><memory>8192</memory><os><type>hvm</type></os></domain>",
        0);

    assert_non_null(domain);
    set_to_low();
    assert_true(driver_has(domain, 0, LOW));
    assert_int_equal(virDomainDestroy(domain), 0);
    virDomainFree(domain);
}

TEST(test_none)
{
    ManagedDomain *d = NULL;
    virDomainPtr domain = define(OTHER_ELEMENT);

    assert_int_equal(managed_domain_open(URI, UUID, false, &d), MANAGED_NOT);
    assert_int_equal(managed_domain_open(URI, "00000000-1111-4222-8333-444444444444", false, &d),
                     MANAGED_NOT);
    assert_int_equal(
        managed_domain_open("qemu+unix:///system?socket=/nonexistent", UUID, false, &d),
        MANAGED_NOT);
    assert_null(d);
    driver_undefine(domain);
}

TEST(test_an_element_that_is_wrong)
{
    const VMSettings settings = {.priority = VGPU_PRIORITY_LOW};
    virDomainPtr domain = define("<vgpu:gpu xmlns:vgpu='urn:vgpu-mediator:domain:1'/>");
    ManagedDomain *d = NULL;
    char *error = NULL;

    assert_int_equal(managed_domain_open(URI, UUID, false, &d), 0);
    assert_int_equal(managed_domain_set(d, &settings, VM_SETTING_BIT(VM_SETTING_PRIORITY), &error),
                     MANAGED_FAILED);
    assert_non_null(strstr(error, "<gpu> is unknown"));
    free(error);
    managed_domain_free(d);
    driver_undefine(domain);
}

static int on_domain(void *userdata, const ManagedDomainInfo *info)
{
    unsigned *n = userdata;

    assert_string_equal(info->name, "web");
    assert_string_equal(info->uuid, UUID);
    assert_int_equal(info->settings->pool, 'A');
    assert_int_equal(info->settings->weight, 250);
    assert_true(info->given & VM_SETTING_BIT(VM_SETTING_WEIGHT));
    assert_false(info->given & VM_SETTING_BIT(VM_SETTING_QUEUE_LIMIT));
    *n += info->active ? 10 : 1;
    return 0;
}

/* The test driver has a domain of its own, without our element. */
TEST(test_list)
{
    virDomainPtr domain = define(ELEMENT);
    unsigned n = 0;

    assert_int_equal(managed_domain_list(URI, false, on_domain, &n), 0);
    assert_int_equal(n, 1);
    assert_int_equal(virDomainCreate(domain), 0);
    assert_int_equal(managed_domain_list(URI, false, on_domain, &n), 0);
    assert_int_equal(n, 11);
    driver_undefine(domain);
    assert_int_equal(
        managed_domain_list("qemu+unix:///system?socket=/nonexistent", false, on_domain, &n),
        MANAGED_NOT);
}

static int connect_libvirt(void **state)
{
    (void) state;

    connection = virConnectOpen(URI);
    return connection ? 0 : -1;
}

static int disconnect_libvirt(void **state)
{
    (void) state;

    virConnectClose(connection);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_domain_that_is_off),
        cmocka_unit_test(test_a_domain_that_is_off_by_name),
        cmocka_unit_test(test_a_domain_that_runs),
        cmocka_unit_test(test_a_domain_that_was_detached_while_it_runs),
        cmocka_unit_test(test_a_transient_domain),
        cmocka_unit_test(test_none),
        cmocka_unit_test(test_an_element_that_is_wrong),
        cmocka_unit_test(test_list),
    };

    return cmocka_run_group_tests_name("managed-domain", tests, connect_libvirt,
                                       disconnect_libvirt);
}
