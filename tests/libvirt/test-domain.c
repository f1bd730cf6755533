/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Our element in a domain's XML. Each case about the element alone is also shown
 * to the schema, which must be of the same opinion.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libxml/parser.h>
#include <libxml/relaxng.h>

#include "cleanup.h"
#include "domain.h"
#include "test.h"
#include "vgpu-protocol.h"
#include "xml.h"

#define UUID "6f1d8c1e-2a47-4d0b-9f0e-0c5b7a1e4d11"
#define XMLNS "xmlns:vgpu='urn:vgpu-mediator:domain:1'"
#define GOOD "pool='A' priority='high'"
#define REQUIRED (VM_SETTING_BIT(VM_SETTING_POOL) | VM_SETTING_BIT(VM_SETTING_PRIORITY))

/* ---- Helpers ------------------------------------------------------------------------------ */

static char *domain_with(const char *metadata)
{
    char *xml;

    assert_true(asprintf(&xml,
                         "<domain type='kvm'>\n  <name>web1</name>\n  <uuid>" UUID "</uuid>\n"
                         "  <metadata>%s</metadata>\n</domain>\n",
                         metadata) > 0);
    return xml;
}

/* Parses a domain with this in its metadata; the caller frees both results. */
static int parse(const char *metadata, Domain **ret, char **ret_error)
{
    char *xml = domain_with(metadata);
    int r;

    *ret = NULL;
    *ret_error = NULL;
    r = domain_parse(xml, strlen(xml), ret, ret_error);
    free(xml);
    return r;
}

static void expect_invalid(const char *metadata, const char *message)
{
    char *error;
    Domain *d;

    assert_int_equal(parse(metadata, &d, &error), DOMAIN_INVALID_DEVICE);
    assert_non_null(error);
    if (!strstr(error, message))
        fail_msg("'%s' says '%s', not '%s'", metadata, error, message);
    assert_null(strchr(error, '\n'));
    /* The hook needs the UUID to clean up. */
    assert_non_null(d);
    assert_string_equal(d->uuid, UUID);
    assert_false(d->has_device);
    domain_free(d);
    free(error);
}

static void expect_valid(const char *metadata, const DomainDevice *expected)
{
    char *error;
    Domain *d;

    if (parse(metadata, &d, &error) != 0)
        fail_msg("'%s' is refused: %s", metadata, error);
    assert_null(error);
    assert_true(d->has_device);
    assert_int_equal(d->device.given, expected->given);
    assert_int_equal(vm_settings_differ(&d->device.settings, &expected->settings), 0);
    domain_free(d);
}

/* ---- The element ---------------------------------------------------------------------------- */

/* The element, without "<vgpu:device xmlns:vgpu=..." at its start. message NULL: it is valid. */
static const struct {
    const char *element;
    const char *message;
} elements[] = {
    {GOOD "/>", NULL},
    {"priority='low' pool='Z'/>", NULL},
    {GOOD "></vgpu:device>", NULL},
    {GOOD ">\n   <!-- a comment -->\n </vgpu:device>", NULL},
    {GOOD "><![CDATA[  ]]></vgpu:device>", NULL},
    {GOOD " queue-limit='1'/>", NULL},
    {GOOD " queue-limit='64' request-rate-limit='0'/>", NULL},
    {GOOD " queue-limit='65536' request-rate-limit='4294967295'/>", NULL},
    {GOOD " queue-limit='0064' request-rate-limit='00'/>", NULL},
    {GOOD " weight='1'/>", NULL},
    {GOOD " weight='0100'/>", NULL},
    {GOOD " weight='9999'/>", NULL},
    {GOOD " weight='10000'/>", NULL},
    {GOOD " emulator='/usr/bin/qemu-system-x86_64'/>", NULL},
    {GOOD " window-size='64K'/>", NULL},
    {GOOD " window-size='512K'/>", NULL},
    {GOOD " window-size='16M'/>", NULL},
    {GOOD " window-size='512G'/>", NULL},
    {GOOD " window-size='1T'/>", NULL},
    {GOOD " slot='0x1e'/>", NULL},
    {GOOD " slot='0x2'/>", NULL},
    {GOOD " slot='0x02'/>", NULL},
    {GOOD " slot='none'/>", NULL},
    {"pool='&#x41;' priority='high'/>", NULL},

    {"/>", "pool is missing: it must be one letter from A to Z"},
    {"priority='high'/>", "pool is missing"},
    {"pool='' priority='high'/>", "pool is ''"},
    {"pool='a' priority='high'/>", "pool is 'a'"},
    {"pool='AB' priority='high'/>", "pool is 'AB'"},
    {"pool=' A' priority='high'/>", "pool is ' A'"},
    {"pool='\xc3\x84' priority='high'/>", "pool is '\xc3\x84'"},
    {"pool='A\n' priority='high'/>", "pool is 'A '"},
    {"pool='A&#10;' priority='high'/>", "pool is 'A?'"},
    {"pool='A'/>", "priority is missing: it must be high, medium or low"},
    {"pool='A' priority='urgent'/>", "priority is 'urgent': it must be high, medium or low"},
    {"pool='A' priority='HIGH'/>", "priority is 'HIGH'"},
    {"pool='A' priority=' high '/>", "priority is ' high '"},
    {"pool='A' priority='2'/>", "priority is '2'"},
    {GOOD " queue-limit='0'/>", "queue-limit is '0': it must be a number from 1 to 65536"},
    {GOOD " queue-limit='65537'/>", "queue-limit is '65537'"},
    {GOOD " queue-limit='4294967297'/>", "queue-limit is '4294967297'"},
    {GOOD " queue-limit='18446744073709551617'/>", "queue-limit is '18446744073709551617'"},
    {GOOD " queue-limit='-1'/>", "queue-limit is '-1'"},
    {GOOD " queue-limit='+1'/>", "queue-limit is '+1'"},
    {GOOD " queue-limit='0x10'/>", "queue-limit is '0x10'"},
    {GOOD " queue-limit='64 '/>", "queue-limit is '64 '"},
    {GOOD " queue-limit=''/>", "queue-limit is ''"},
    {GOOD " request-rate-limit='4294967296'/>", "request-rate-limit is '4294967296'"},
    {GOOD " request-rate-limit='9999999999'/>", "request-rate-limit is '9999999999'"},
    {GOOD " request-rate-limit='many'/>", "request-rate-limit is 'many'"},
    {GOOD " weight='0'/>", "weight is '0': it must be a number from 1 to 10000"},
    {GOOD " weight='10001'/>", "weight is '10001'"},
    {GOOD " weight='100000'/>", "weight is '100000'"},
    {GOOD " weight='idle'/>", "weight is 'idle'"},
    {GOOD " weight=''/>", "weight is ''"},
    {GOOD " emulator='qemu'/>", "emulator is 'qemu': it must be an absolute path"},
    {GOOD " emulator=''/>", "emulator is ''"},
    {GOOD " emulator='/usr&#10;/bin'/>", "emulator is '/usr?/bin'"},
    {GOOD " window-size='32K'/>", "window-size is '32K': it must be a power of two from 64K to 1T"},
    {GOOD " window-size='2T'/>", "window-size is '2T'"},
    {GOOD " window-size='1024M'/>", "window-size is '1024M'"},
    {GOOD " window-size='48M'/>", "window-size is '48M'"},
    {GOOD " window-size='016M'/>", "window-size is '016M'"},
    {GOOD " window-size='0M'/>", "window-size is '0M'"},
    {GOOD " window-size='M'/>", "window-size is 'M'"},
    {GOOD " window-size='16m'/>", "window-size is '16m'"},
    {GOOD " window-size='16777216'/>", "window-size is '16777216'"},
    {GOOD " window-size='-1M'/>", "window-size is '-1M'"},
    {GOOD " window-size=' 16M'/>", "window-size is ' 16M'"},
    {GOOD " window-size='99999999999999999999M'/>", "window-size is '9999"},
    {GOOD " window-size=''/>", "window-size is ''"},
    {GOOD " slot='0x1f'/>", "slot is '0x1f': it must be 0x02 to 0x1e, or none"},
    {GOOD " slot='0x01'/>", "slot is '0x01'"},
    {GOOD " slot='0x1e.0'/>", "slot is '0x1e.0'"},
    {GOOD " slot='0x01e'/>", "slot is '0x01e'"},
    {GOOD " slot='30'/>", "slot is '30'"},
    {GOOD " slot='0x'/>", "slot is '0x'"},
    {GOOD " slot='0x-3'/>", "slot is '0x-3'"},
    {GOOD " slot=''/>", "slot is ''"},
    {GOOD " vm-id='3'/>", "vm-id is no attribute"},
    {GOOD " Pool='A'/>", "Pool is no attribute"},
    {"vgpu:pool='A' priority='high'/>", "pool is no attribute"},
    {GOOD " x:pool='A' xmlns:x='urn:x'/>", "pool is no attribute"},
    {GOOD ">A</vgpu:device>", "<device> must be empty"},
    {GOOD "><![CDATA[A]]></vgpu:device>", "<device> must be empty"},
    {GOOD "><vgpu:device/></vgpu:device>", "<device> must be empty"},
    {GOOD "><x/></vgpu:device>", "<device> must be empty"},
};

TEST(test_each_element_alone)
{
    for (size_t i = 0; i < ELEMENTSOF(elements); i++) {
        char *error, *metadata;
        Domain *d;

        assert_true(asprintf(&metadata, "<vgpu:device " XMLNS " %s", elements[i].element) > 0);
        if (elements[i].message) {
            expect_invalid(metadata, elements[i].message);
        } else {
            if (parse(metadata, &d, &error) != 0)
                fail_msg("'%s' is refused: %s", metadata, error);
            assert_true(d->has_device);
            domain_free(d);
        }
        free(metadata);
    }
}

static void ignore_error(void *userdata, xmlError *error)
{
    (void) userdata;
    (void) error;
}

static xmlRelaxNG *load_schema(void)
{
    xmlRelaxNGParserCtxt *parser = xmlRelaxNGNewParserCtxt(getenv("VGPU_DOMAIN_SCHEMA"));
    xmlRelaxNG *schema = xmlRelaxNGParse(parser);

    assert_non_null(schema);
    xmlRelaxNGFreeParserCtxt(parser);
    return schema;
}

/* Whether the schema has this element, which is written as in elements[]. */
static bool schema_has(xmlRelaxNG *schema, const char *element)
{
    xmlRelaxNGValidCtxt *validator = xmlRelaxNGNewValidCtxt(schema);
    xmlDoc *doc;
    char *text;
    bool valid;

    assert_true(asprintf(&text, "<vgpu:device " XMLNS " %s", element) > 0);
    doc = xmlReadMemory(text, (int) strlen(text), NULL, NULL, XML_PARSE_NONET);
    assert_non_null(doc);
    xmlRelaxNGSetValidStructuredErrors(validator, (xmlStructuredErrorFunc) ignore_error, NULL);
    valid = xmlRelaxNGValidateDoc(validator, doc) == 0;
    xmlRelaxNGFreeValidCtxt(validator);
    xmlFreeDoc(doc);
    free(text);
    return valid;
}

TEST(test_the_schema_agrees)
{
    xmlRelaxNG *schema = load_schema();

    for (size_t i = 0; i < ELEMENTSOF(elements); i++)
        if (schema_has(schema, elements[i].element) != (elements[i].message == NULL))
            fail_msg("vgpu-domain.rng has another opinion about '%s'", elements[i].element);
    xmlRelaxNGFree(schema);
}

static void expect_limit(xmlRelaxNG *schema, const char *attribute, const char *value, bool valid)
{
    char *element, *metadata, *error = NULL;
    Domain *d;

    assert_true(asprintf(&element, GOOD " %s='%s'/>", attribute, value) > 0);
    assert_true(asprintf(&metadata, "<vgpu:device " XMLNS " %s", element) > 0);
    if ((parse(metadata, &d, &error) == 0) != valid)
        fail_msg("the hook has another opinion about '%s': %s", element, error ? error : "");
    if (schema_has(schema, element) != valid)
        fail_msg("libvirt-hooks/vgpu-domain.rng has another opinion about '%s'", element);
    domain_free(d);
    free(error);
    free(metadata);
    free(element);
}

/* The hook follows the table of settings by itself, but the schema is written by hand. */
TEST(test_the_schema_has_every_limit)
{
    static const char *const wrong[] = {"",    "-1",  "+1",       "0x10",    "many",
                                        "64 ", " 64", "64&#10;1", "&#10;64", "99999999999999999999",
                                        "G",   "8g",  "8GB",      "8.5G",    "G8"};
    xmlRelaxNG *schema = load_schema();

    for (unsigned i = 0; i < VM_N_SETTINGS; i++) {
        const VMSetting *s = &vm_settings[i];
        char text[32];

        if (!(s->flags & VM_SETTING_LIMIT))
            continue;
        snprintf(text, sizeof(text), "%" PRIu64, s->min);
        expect_limit(schema, s->attribute, text, true);
        snprintf(text, sizeof(text), "00%" PRIu64, s->max);
        expect_limit(schema, s->attribute, text, true);
        snprintf(text, sizeof(text), "%lld", (long long) s->min - 1);
        expect_limit(schema, s->attribute, text, false);
        snprintf(text, sizeof(text), "%" PRIu64, s->max + 1);
        expect_limit(schema, s->attribute, text, false);
        for (size_t j = 0; j < ELEMENTSOF(wrong); j++)
            expect_limit(schema, s->attribute, wrong[j], false);
        expect_limit(schema, s->attribute, "8G", s->kind == VM_SETTING_IS_BYTES);
    }
    xmlRelaxNGFree(schema);
}

TEST(test_values)
{
    expect_valid("<vgpu:device " XMLNS " " GOOD "/>",
                 &(DomainDevice){.settings = {.pool = 'A', .priority = VGPU_PRIORITY_HIGH},
                                 .given = REQUIRED});
    expect_valid("<device xmlns='urn:vgpu-mediator:domain:1' pool='C' priority='low'"
                 " queue-limit='65536' request-rate-limit='4294967295' weight='10000'"
                 " sessions-max='2' session-memory-max='8G'/>",
                 &(DomainDevice){.settings = {.pool = 'C',
                                              .priority = VGPU_PRIORITY_LOW,
                                              .queue_limit = 65536,
                                              .rate_limit = UINT32_MAX,
                                              .weight = 10000,
                                              .sessions_max = 2,
                                              .session_memory_max = UINT64_C(8) << 30},
                                 .given = REQUIRED | VM_SETTING_BIT(VM_SETTING_QUEUE_LIMIT) |
                                          VM_SETTING_BIT(VM_SETTING_RATE_LIMIT) |
                                          VM_SETTING_BIT(VM_SETTING_WEIGHT) |
                                          VM_SETTING_BIT(VM_SETTING_SESSIONS_MAX) |
                                          VM_SETTING_BIT(VM_SETTING_SESSION_MEMORY_MAX)});
    expect_valid("<x:y xmlns:x='urn:x'><x:z/></x:y><!-- --><q:device xmlns:q='urn:vgpu-mediator:"
                 "domain:1' pool='B' priority='medium' request-rate-limit='0'/>text",
                 &(DomainDevice){.settings = {.pool = 'B', .priority = VGPU_PRIORITY_MEDIUM},
                                 .given = REQUIRED | VM_SETTING_BIT(VM_SETTING_RATE_LIMIT)});
}

TEST(test_a_long_value_is_cut_short_in_the_message)
{
    char metadata[4096] = "<vgpu:device " XMLNS " priority='high' pool='", *error;
    Domain *d;

    memset(metadata + strlen(metadata), 'A', 3000);
    strcat(metadata, "'/>");
    assert_int_equal(parse(metadata, &d, &error), DOMAIN_INVALID_DEVICE);
    assert_true(strlen(error) < 200);
    domain_free(d);
    free(error);
}

/* ---- Where it stands ------------------------------------------------------------------------ */

TEST(test_two_elements)
{
    expect_invalid("<vgpu:device " XMLNS " " GOOD "/><vgpu:device " XMLNS " " GOOD "/>", "twice");
}

TEST(test_what_is_ours_and_unknown)
{
    expect_invalid("<vgpu:devices " XMLNS "/>", "<devices> is unknown");
    expect_invalid("<vgpu:device xmlns:vgpu='urn:vgpu-mediator:domain:2' " GOOD "/>",
                   "namespace 'urn:vgpu-mediator:domain:2'");
}

TEST(test_what_is_not_ours)
{
    static const char *const metadata[] = {
        "",
        "<device " GOOD "/>",
        "<vgpu:device xmlns:vgpu='urn:other' pool='nonsense'/>",
        "<vgpu:device xmlns:vgpu='URN:vgpu-mediator:domain:1' pool='nonsense'/>",
        "<!-- <vgpu:device " XMLNS " pool='nonsense'/> -->",
        "<![CDATA[<vgpu:device " XMLNS " pool='nonsense'/>]]>",
        "<x:a xmlns:x='urn:x'><vgpu:device " XMLNS " pool='nonsense'/></x:a>",
    };

    for (size_t i = 0; i < ELEMENTSOF(metadata); i++) {
        char *error;
        Domain *d;

        assert_int_equal(parse(metadata[i], &d, &error), 0);
        assert_false(d->has_device);
        assert_string_equal(d->name, "web1");
        assert_string_equal(d->uuid, UUID);
        domain_free(d);
    }
}

TEST(test_metadata_elsewhere_is_none)
{
    static const char xml[] =
        "<domain><name>n</name><uuid>" UUID "</uuid><devices><metadata><vgpu:device " XMLNS " " GOOD
        "/></metadata></devices></domain>";
    char *error;
    Domain *d;

    assert_int_equal(domain_parse(xml, strlen(xml), &d, &error), 0);
    assert_false(d->has_device);
    domain_free(d);
}

/* ---- The domain ------------------------------------------------------------------------------ */

static void expect_no_domain(const char *xml, size_t size, const char *message)
{
    char *error = NULL;
    Domain *d = NULL;

    assert_int_equal(domain_parse(xml, size, &d, &error), DOMAIN_INVALID_XML);
    assert_null(d);
    if (!strstr(error, message))
        fail_msg("it says '%s', not '%s'", error, message);
    assert_null(strchr(error, '\n'));
    free(error);
}

TEST(test_what_is_no_domain)
{
    static const struct {
        const char *xml, *message;
    } cases[] = {
        {"", "there is no domain XML"},
        {"nonsense", "cannot parse"},
        {"<domain>", "cannot parse"},
        {"<domain><name>a</name></domain", "cannot parse"},
        {"<network/>", "not <domain>"},
        {"<x:domain xmlns:x='urn:x'/>", "not <domain>"},
        {"<domain/>", "no name"},
        {"<domain><name/><uuid>" UUID "</uuid></domain>", "no name"},
        {"<domain><name>a</name></domain>", "no proper UUID"},
        {"<domain><name>a</name><uuid>../../etc/passwd</uuid></domain>", "no proper UUID"},
        {"<domain><name>a</name><uuid>6f1d8c1e2a474d0b9f0e0c5b7a1e4d11</uuid></domain>",
         "no proper UUID"},
        {"<domain><name>&undeclared;</name><uuid>" UUID "</uuid></domain>", "cannot parse"},
        {"<domain a='1' a='2'/>", "cannot parse"},
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++)
        expect_no_domain(cases[i].xml, strlen(cases[i].xml), cases[i].message);
}

TEST(test_an_upper_case_uuid_is_normalized)
{
    static const char xml[] =
        "<domain><name>a</name><uuid>6F1D8C1E-2A47-4D0B-9F0E-0C5B7A1E4D11</uuid></domain>";
    char *error;
    Domain *d;

    assert_int_equal(domain_parse(xml, strlen(xml), &d, &error), 0);
    assert_string_equal(d->uuid, UUID);
    domain_free(d);
}

/* ---- Hostile input --------------------------------------------------------------------------- */

TEST(test_a_doctype_is_refused)
{
    static const char *const doctypes[] = {
        "<!DOCTYPE domain>",
        "<!DOCTYPE domain SYSTEM 'http://192.0.2.1/x.dtd'>",
        "<!DOCTYPE domain [<!ENTITY x SYSTEM 'file:///etc/passwd'>]>",
        /* a billion laughs */
        "<!DOCTYPE domain [<!ENTITY a 'ha'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;'>"
        "<!ENTITY c '&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;'><!ENTITY d '&c;&c;&c;&c;&c;&c;&c;&c;&c;&c;'>"
        "<!ENTITY e '&d;&d;&d;&d;&d;&d;&d;&d;&d;&d;'><!ENTITY f '&e;&e;&e;&e;&e;&e;&e;&e;&e;&e;'>"
        "<!ENTITY g '&f;&f;&f;&f;&f;&f;&f;&f;&f;&f;'><!ENTITY h '&g;&g;&g;&g;&g;&g;&g;&g;&g;&g;'>"
        "<!ENTITY x '&h;&h;&h;&h;&h;&h;&h;&h;&h;&h;'>]>",
    };

    for (size_t i = 0; i < ELEMENTSOF(doctypes); i++) {
        char *xml;

        assert_true(asprintf(&xml,
                             "<?xml version='1.0'?>%s<domain><name>%s</name><uuid>" UUID
                             "</uuid></domain>",
                             doctypes[i], i >= 2 ? "&x;" : "a") > 0);
        expect_no_domain(xml, strlen(xml), "has a DOCTYPE");
        free(xml);
    }
}

/* @size bytes, of which the first are @start, the last @end and all others @c. */
static char *filled(size_t size, const char *start, char c, const char *end)
{
    char *xml = malloc(size + 1);

    assert_non_null(xml);
    memset(xml, c, size);
    memcpy(xml, start, strlen(start));
    memcpy(xml + size - strlen(end), end, strlen(end) + 1);
    return xml;
}

TEST(test_size_has_a_limit)
{
    static const char start[] = "<domain><name>a</name><uuid>" UUID "</uuid><!--";
    char *xml = filled(XML_SIZE_MAX, start, 'x', "--></domain>"), *error;
    Domain *d;

    assert_int_equal(domain_parse(xml, XML_SIZE_MAX, &d, &error), 0);
    domain_free(d);
    free(xml);

    xml = filled(XML_SIZE_MAX + 1, start, 'x', "--></domain>");
    expect_no_domain(xml, XML_SIZE_MAX + 1, "too large");
    free(xml);
}

TEST(test_depth_has_a_limit)
{
    size_t n = 100000;
    char *xml = malloc(n * 3 + 64);

    assert_non_null(xml);
    strcpy(xml, "<domain>");
    for (size_t i = 0; i < n; i++)
        memcpy(xml + 8 + i * 3, "<a>", 3);
    expect_no_domain(xml, 8 + n * 3, "cannot parse");
    free(xml);
}

TEST(test_bytes_that_are_no_text)
{
    static const char zero[] = "<domain><name>a\0b</name></domain>";
    static const char latin1[] = "<domain><name>\xe4</name></domain>";

    expect_no_domain(zero, sizeof(zero) - 1, "cannot parse");
    expect_no_domain(latin1, sizeof(latin1) - 1, "cannot parse");
}

/* Each prefix of a domain, and a domain with any one byte wrong, is read or refused with a message.
 */
TEST(test_mutilated_domains)
{
    char *xml = domain_with("<vgpu:device " XMLNS " " GOOD " queue-limit='64'/>");
    size_t size = strlen(xml) - 1; /* without the last line's end, which may be missing */

    for (size_t i = 0; i < size; i++) {
        char *copy = malloc(size), *error = NULL;
        Domain *d = NULL;

        memcpy(copy, xml, i);
        assert_int_not_equal(domain_parse(copy, i, &d, &error), 0);
        domain_free(d);
        free(error);

        d = NULL;
        error = NULL;
        memcpy(copy, xml, size);
        copy[i] = (char) (copy[i] ^ 0x15);
        assert_true((domain_parse(copy, size, &d, &error) == 0) == (error == NULL));
        domain_free(d);
        free(error);
        free(copy);
    }
    free(xml);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_element_alone),
        cmocka_unit_test(test_the_schema_agrees),
        cmocka_unit_test(test_the_schema_has_every_limit),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_a_long_value_is_cut_short_in_the_message),
        cmocka_unit_test(test_two_elements),
        cmocka_unit_test(test_what_is_ours_and_unknown),
        cmocka_unit_test(test_what_is_not_ours),
        cmocka_unit_test(test_metadata_elsewhere_is_none),
        cmocka_unit_test(test_what_is_no_domain),
        cmocka_unit_test(test_an_upper_case_uuid_is_normalized),
        cmocka_unit_test(test_a_doctype_is_refused),
        cmocka_unit_test(test_size_has_a_limit),
        cmocka_unit_test(test_depth_has_a_limit),
        cmocka_unit_test(test_bytes_that_are_no_text),
        cmocka_unit_test(test_mutilated_domains),
    };
    int r = cmocka_run_group_tests(tests, NULL, NULL);

    xmlCleanupParser();
    return r;
}
