/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Putting the element into a domain's definition, and taking it out again. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libxml/parser.h>

#include "cleanup.h"
#include "domain-attach.h"
#include "hooks-config.h"
#include "test.h"

#define UUID "6f1d8c1e-2a47-4d0b-9f0e-0c5b7a1e4d11"
#define ELEMENT "<vgpu:device xmlns:vgpu=\"urn:vgpu-mediator:domain:1\" "

/* Attributes by the name of their setting: ATTRIBUTES(POOL("A"), ...) */
#define ATTRIBUTES(...)             \
    {                               \
        .settings = { __VA_ARGS__ } \
    }
#define POOL(value) [VM_SETTING_POOL] = (value)
#define PRIORITY(value) [VM_SETTING_PRIORITY] = (value)
#define QUEUE_LIMIT(value) [VM_SETTING_QUEUE_LIMIT] = (value)
#define WEIGHT(value) [VM_SETTING_WEIGHT] = (value)

static const DomainAttributes high = ATTRIBUTES(POOL("A"), PRIORITY("high"));
static const DomainAttributes low =
    ATTRIBUTES(POOL("B"), PRIORITY("low"), QUEUE_LIMIT("8"), WEIGHT("25"));

/* A definition as libvirt writes it, with everything that libxml2 could spoil. */
static const char plain[] = "<domain type='kvm'>\n"
                            "  <name>w\xc3\xa4"
                            "b &amp; &lt;1&gt;</name>\n"
                            "  <uuid>" UUID "</uuid>\n"
                            "  <memory unit='KiB'>1048576</memory>\n"
                            "  <os>\n"
                            "    <type arch='x86_64' machine='pc-q35-7.2'>hvm</type>\n"
                            "  </os>\n"
                            "  <!-- somebody's comment -->\n"
                            "  <devices>\n"
                            "    <emulator>/usr/bin/qemu-system-x86_64</emulator>\n"
                            "    <controller type='usb' index='0'/>\n"
                            "  </devices>\n"
                            "  <qemu:commandline xmlns:qemu='http://libvirt.org/schemas/domain/"
                            "qemu/1.0'>\n"
                            "    <qemu:arg value='-no-hpet'/>\n"
                            "  </qemu:commandline>\n"
                            "</domain>\n";

static char *attach(const char *xml, const DomainAttributes *attributes, int expected)
{
    char *after = NULL, *error = NULL;
    int r = attach_to_xml(xml, attributes, &after, &error);

    if (r != expected)
        fail_msg("%d: %s", r, error ? error : "");
    return after;
}

static char *detach(const char *xml, int expected)
{
    char *after = NULL, *error = NULL;
    int r = detach_from_xml(xml, &after, &error);

    if (r != expected)
        fail_msg("%d: %s", r, error ? error : "");
    return after;
}

static void expect_in(const char *xml, const char *text)
{
    if (!strstr(xml, text))
        fail_msg("'%s' is not in:\n%s", text, xml);
}

/* What a definition says, whatever its quotes and its indentation; to be freed. */
static char *content(const char *xml)
{
    xmlDoc *doc = xmlReadMemory(xml, (int) strlen(xml), NULL, "UTF-8", XML_PARSE_NOBLANKS);
    xmlChar *text = NULL;
    char *copy;
    int size;

    assert_non_null(doc);
    xmlDocDumpMemoryEnc(doc, &text, &size, "UTF-8");
    assert_non_null(text);
    copy = strdup((const char *) text);
    xmlFree(text);
    xmlFreeDoc(doc);
    return copy;
}

static void expect_same_content(const char *xml, const char *other)
{
    CLEANUP_FREE char *a = content(xml), *b = content(other);

    assert_string_equal(a, b);
}

/* The text is in the content. */
static void expect_content(const char *xml, const char *text)
{
    CLEANUP_FREE char *all = content(xml);

    expect_in(all, text);
}

TEST(test_attach)
{
    CLEANUP_FREE char *after = attach(plain, &high, ATTACH_CHANGED), *error = NULL;
    Domain *d;

    expect_content(after, "<metadata>" ELEMENT "pool=\"A\" priority=\"high\""
                          " emulator=\"/usr/bin/qemu-system-x86_64\"/></metadata>");
    expect_content(after, "<devices><emulator>" LAUNCHER_PATH "</emulator><controller");
    assert_int_equal(domain_parse(after, strlen(after), &d, &error), 0);
    assert_true(d->has_device);
    domain_free(d);
}

TEST(test_detach_undoes_attach)
{
    CLEANUP_FREE char *attached = attach(plain, &high, ATTACH_CHANGED);
    CLEANUP_FREE char *after = detach(attached, ATTACH_CHANGED);

    expect_same_content(after, plain);
}

TEST(test_twice_is_once)
{
    CLEANUP_FREE char *attached = attach(plain, &high, ATTACH_CHANGED);
    CLEANUP_FREE char *again = attach(attached, &high, ATTACH_UNCHANGED);
    CLEANUP_FREE char *detached = detach(again, ATTACH_CHANGED);
    CLEANUP_FREE char *detached_again = detach(detached, ATTACH_UNCHANGED);

    assert_string_equal(again, attached);
    assert_string_equal(detached_again, detached);
}

TEST(test_attach_replaces_and_keeps_the_former_emulator)
{
    CLEANUP_FREE char *first = attach(plain, &low, ATTACH_CHANGED), *second = NULL, *after = NULL;

    expect_in(first, "queue-limit=\"8\"");
    expect_in(first, "weight=\"25\"");
    second = attach(first, &high, ATTACH_CHANGED);
    expect_in(second, "emulator=\"/usr/bin/qemu-system-x86_64\"");
    expect_in(second, "priority=\"high\"");
    assert_null(strstr(second, "queue-limit"));
    assert_null(strstr(second, "weight"));

    after = detach(second, ATTACH_CHANGED);
    expect_same_content(after, plain);
}

/* libvirt quotes otherwise than libxml2, and that is no change. */
TEST(test_nothing_to_detach_in_what_libvirt_writes)
{
    CLEANUP_FREE char *after = detach(plain, ATTACH_UNCHANGED);

    expect_same_content(after, plain);
}

/* Where the device was it is to be again, and what is written while a domain runs is no attribute
 * of attach. */
TEST(test_attach_keeps_the_slot)
{
    static const char xml[] = "<domain type='kvm'><metadata>" ELEMENT
                              "pool='A' priority='low' slot='0x1d'/></metadata><devices/></domain>";
    CLEANUP_FREE char *after = attach(xml, &high, ATTACH_CHANGED);

    expect_content(after, "slot=\"0x1d\"");
    expect_content(after, "priority=\"high\"");
}

TEST(test_the_launchers_former_place)
{
    static const char xml[] =
        "<domain type='kvm'><metadata>" ELEMENT
        "pool='A' priority='high' emulator='/usr/bin/kvm'/></metadata>"
        "<devices><emulator>" FORMER_LAUNCHER_PATH "</emulator></devices></domain>";
    CLEANUP_FREE char *attached = attach(xml, &high, ATTACH_CHANGED);
    CLEANUP_FREE char *after = detach(xml, ATTACH_CHANGED);

    expect_content(attached, "emulator=\"/usr/bin/kvm\"");
    expect_content(attached, "<emulator>" LAUNCHER_PATH "</emulator>");
    expect_content(after, "<emulator>/usr/bin/kvm</emulator>");
}

TEST(test_other_metadata_stays)
{
    static const char xml[] = "<domain type=\"qemu\">\n"
                              "  <name>a</name>\n"
                              "  <metadata>\n"
                              "    <x:y xmlns:x=\"urn:x\">\n      <x:z/>\n    </x:y>\n"
                              "  </metadata>\n"
                              "  <devices>\n"
                              "    <emulator>/opt/qemu</emulator>\n"
                              "  </devices>\n"
                              "</domain>";
    CLEANUP_FREE char *attached = attach(xml, &high, ATTACH_CHANGED), *after = NULL;

    expect_content(attached, "<x:z/></x:y>" ELEMENT);
    expect_content(attached, "emulator=\"/opt/qemu\"/></metadata>");
    after = detach(attached, ATTACH_CHANGED);
    expect_same_content(after, xml);
}

/* An administrator may have left a comment there. */
TEST(test_metadata_that_is_not_empty_stays)
{
    static const char xml[] = "<domain type=\"qemu\">\n"
                              "  <metadata>\n    <!-- mine -->\n  </metadata>\n"
                              "  <devices>\n    <emulator>/opt/qemu</emulator>\n  </devices>\n"
                              "</domain>\n";
    CLEANUP_FREE char *attached = attach(xml, &high, ATTACH_CHANGED), *after = NULL;

    after = detach(attached, ATTACH_CHANGED);
    expect_same_content(after, xml);
}

TEST(test_no_emulator_before_none_after)
{
    static const char xml[] = "<domain type=\"qemu\">\n"
                              "  <name>a</name>\n"
                              "  <devices>\n"
                              "    <console type=\"pty\"/>\n"
                              "  </devices>\n"
                              "</domain>\n";
    CLEANUP_FREE char *attached = attach(xml, &high, ATTACH_CHANGED), *after = NULL;

    expect_content(attached, "<emulator>" LAUNCHER_PATH "</emulator></devices>");
    assert_null(strstr(attached, "emulator="));
    after = detach(attached, ATTACH_CHANGED);
    expect_same_content(after, xml);
}

TEST(test_one_line)
{
    static const char xml[] = "<domain type=\"kvm\"><name>a</name><devices/></domain>";
    CLEANUP_FREE char *attached = attach(xml, &high, ATTACH_CHANGED), *after = NULL;
    CLEANUP_FREE char *error = NULL;
    Domain *d;

    after = detach(attached, ATTACH_CHANGED);
    expect_in(after, "<name>a</name>");
    assert_null(strstr(after, "metadata"));
    assert_null(strstr(after, "emulator"));
    assert_int_equal(domain_parse(after, strlen(after), &d, &error), DOMAIN_INVALID_XML);
    expect_in(error, "no proper UUID");
}

TEST(test_an_emulator_changed_since_then_is_left_alone)
{
    static const char xml[] =
        "<domain type=\"kvm\">\n  <name>a</name>\n  <metadata>\n    " ELEMENT
        "pool=\"A\" priority=\"low\" emulator=\"/usr/bin/kvm\"/>\n  </metadata>\n"
        "  <devices>\n    <emulator>/opt/mine</emulator>\n  </devices>\n</domain>\n";
    CLEANUP_FREE char *after = detach(xml, ATTACH_CHANGED);

    expect_in(after, "<emulator>/opt/mine</emulator>");
    assert_null(strstr(after, "metadata"));
}

TEST(test_a_declaration_stays)
{
    static const char xml[] = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                              "<!-- made by hand -->\n"
                              "<domain type=\"kvm\"><name>\xc3\xa4</name><devices/></domain>\n";
    CLEANUP_FREE char *after = detach(xml, ATTACH_UNCHANGED);

    assert_string_equal(after, xml);
}

static void expect_failure(const char *xml, const DomainAttributes *attributes, const char *message)
{
    CLEANUP_FREE char *after = NULL, *error = NULL;

    assert_int_equal(attach_to_xml(xml, attributes, &after, &error), ATTACH_FAILED);
    assert_null(after);
    expect_in(error, message);
}

TEST(test_wrong_attributes)
{
    static const struct {
        DomainAttributes attributes;
        const char *message;
    } cases[] = {
        {ATTRIBUTES(PRIORITY("high")), "pool is missing"},
        {ATTRIBUTES(POOL("A"), PRIORITY("now")), "priority is 'now'"},
        {ATTRIBUTES(POOL("A"), PRIORITY("low"), QUEUE_LIMIT("0")), "queue-limit is '0'"},
        {ATTRIBUTES(POOL("A"), PRIORITY("low"), WEIGHT("10001")), "weight is '10001'"},
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++)
        expect_failure(plain, &cases[i].attributes, cases[i].message);
}

TEST(test_domains_that_cannot_have_it)
{
    expect_failure("<domain type='lxc'><devices/></domain>", &high, "type is 'lxc'");
    expect_failure("<domain><devices/></domain>", &high, "type is ''");
    expect_failure("<domain type='kvm'/>", &high, "no <devices>");
    expect_failure("<domain type='kvm'><os><type arch='aarch64' machine='virt'>hvm</type></os>"
                   "<devices/></domain>",
                   &high, "architecture is 'aarch64'");
    expect_failure(
        "<domain type='kvm'><os><type machine='isapc'>hvm</type></os><devices/></domain>", &high,
        "machine type is 'isapc'");
    expect_failure("<domain type='kvm'><metadata>" ELEMENT "/>" ELEMENT
                   "/></metadata><devices/></domain>",
                   &high, "twice");
    expect_failure("<!DOCTYPE domain><domain type='kvm'><devices/></domain>", &high, "DOCTYPE");
    expect_failure("", &high, "no domain XML");
}

TEST(test_what_cannot_be_written_again_is_refused)
{
    expect_failure("<domain type='kvm'><metadata><x:y xmlns:x='a&#60;b'/></metadata><devices/>"
                   "</domain>",
                   &high, "cannot be written again");
}

TEST(test_an_element_that_is_wrong_is_put_right)
{
    static const char xml[] = "<domain type='kvm'>\n  <metadata>\n    " ELEMENT
                              "pool='wrong'/>\n  </metadata>\n  <devices/>\n</domain>\n";
    CLEANUP_FREE char *after = attach(xml, &high, ATTACH_CHANGED);

    expect_content(after, ELEMENT "pool=\"A\" priority=\"high\"/>");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_attach),
        cmocka_unit_test(test_detach_undoes_attach),
        cmocka_unit_test(test_twice_is_once),
        cmocka_unit_test(test_attach_replaces_and_keeps_the_former_emulator),
        cmocka_unit_test(test_nothing_to_detach_in_what_libvirt_writes),
        cmocka_unit_test(test_attach_keeps_the_slot),
        cmocka_unit_test(test_the_launchers_former_place),
        cmocka_unit_test(test_other_metadata_stays),
        cmocka_unit_test(test_metadata_that_is_not_empty_stays),
        cmocka_unit_test(test_no_emulator_before_none_after),
        cmocka_unit_test(test_one_line),
        cmocka_unit_test(test_an_emulator_changed_since_then_is_left_alone),
        cmocka_unit_test(test_a_declaration_stays),
        cmocka_unit_test(test_wrong_attributes),
        cmocka_unit_test(test_domains_that_cannot_have_it),
        cmocka_unit_test(test_what_cannot_be_written_again_is_refused),
        cmocka_unit_test(test_an_element_that_is_wrong_is_put_right),
    };
    int r = cmocka_run_group_tests(tests, NULL, NULL);

    xmlCleanupParser();
    return r;
}
