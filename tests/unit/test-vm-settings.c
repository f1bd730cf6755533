/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The table of what a VM may use. */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "test.h"
#include "vm-settings.h"

/* What is promised to those who use a setting: a row for each, in the table's order. */
static const struct {
    const char *name, *attribute, *key;
    const char *least, *most, *initial; /* as text; initial NULL: it must be given */
} rows[] = {
    {"Pool", "pool", "pool", "A", "Z", NULL},
    {"Priority", "priority", "priority", "low", "high", NULL},
    {"QueueLimit", "queue-limit", "queue_limit", "1", "65536", "64"},
    {"RequestRateLimit", "request-rate-limit", "request_rate_limit", "0", "4294967295", "0"},
    {"Weight", "weight", "weight", "1", "10000", "100"},
    {"SessionsMax", "sessions-max", "sessions_max", "0", "15", "8"},
    {"SessionMemoryMax", "session-memory-max", "session_memory_max", "0", "1125899906842624", "0"},
};
static_assert(ELEMENTSOF(rows) == VM_N_SETTINGS, "this test has a row for each setting");

TEST(test_every_setting_is_as_promised)
{
    char text[VM_SETTING_TEXT_SIZE];
    VMSettings initial, least, most;

    vm_settings_init(&initial);

    for (unsigned i = 0; i < VM_N_SETTINGS; i++) {
        const VMSetting *s = &vm_settings[i];

        assert_string_equal(s->name, rows[i].name);
        assert_string_equal(s->attribute, rows[i].attribute);
        assert_string_equal(s->key, rows[i].key);
        assert_ptr_equal(vm_setting_find(rows[i].name), s);
        assert_int_equal((s->flags & VM_SETTING_LIMIT) != 0, rows[i].initial != NULL);

        assert_int_equal(vm_setting_parse(s, rows[i].least, &least), 0);
        assert_string_equal(vm_setting_print(s, &least, text), rows[i].least);
        assert_int_equal(vm_setting_parse(s, rows[i].most, &most), 0);
        assert_string_equal(vm_setting_print(s, &most, text), rows[i].most);
        if (rows[i].initial)
            assert_string_equal(vm_setting_print(s, &initial, text), rows[i].initial);
    }
}

TEST(test_numbers_have_their_range)
{
    for (unsigned i = 0; i < VM_N_SETTINGS; i++) {
        const VMSetting *s = &vm_settings[i];
        char text[VM_SETTING_TEXT_SIZE];
        VMSettings settings;

        bool bytes = s->kind == VM_SETTING_IS_BYTES;

        if (vm_setting_is_word(s))
            continue;
        vm_settings_init(&settings);
        snprintf(text, sizeof(text), "%" PRIu64, s->max + 1);
        assert_int_equal(vm_setting_parse(s, text, &settings), -ERANGE);
        if (s->min > 0) {
            snprintf(text, sizeof(text), "%" PRIu64, s->min - 1);
            assert_int_equal(vm_setting_parse(s, text, &settings), -ERANGE);
        }
        assert_int_equal(vm_setting_parse(s, "", &settings), -EINVAL);
        assert_int_equal(vm_setting_parse(s, "1x", &settings), -EINVAL);
        assert_int_equal(vm_setting_get(s, &settings), s->initial);
        vm_setting_set(s, &settings, s->max);
        assert_int_equal(vm_setting_get(s, &settings), s->max);
        assert_string_equal(vm_setting_type(s), bytes ? "t" : "u");

        snprintf(text, sizeof(text), "%s from %" PRIu64 " to %" PRIu64,
                 bytes ? "bytes" : "a number", s->min, s->max);
        assert_string_equal(vm_setting_describe(s, (char[VM_SETTING_TEXT_SIZE]){0}), text);
    }
}

/* People write sizes with a suffix; what is printed has none. */
TEST(test_bytes_have_suffixes)
{
    static const struct {
        const char *text;
        uint64_t bytes;
    } good[] = {{"0K", 0},
                {"1K", 1024},
                {"512M", UINT64_C(512) << 20},
                {"24G", UINT64_C(24) << 30},
                {"1024T", UINT64_C(1) << 50}};
    static const char *const wrong[] = {"K", "1k", "1KB", "-1G", "1.5G", "G1", " 1G", "1G "};
    static const char *const large[] = {"1025T", "18446744073709551615T", "1125899906842625",
                                        "99999999999999999999999999999999"};
    const VMSetting *s = &vm_settings[VM_SETTING_SESSION_MEMORY_MAX];
    char text[VM_SETTING_TEXT_SIZE], expected[VM_SETTING_TEXT_SIZE];
    VMSettings settings;

    vm_settings_init(&settings);
    for (unsigned i = 0; i < ELEMENTSOF(good); i++) {
        assert_int_equal(vm_setting_parse(s, good[i].text, &settings), 0);
        assert_int_equal(settings.session_memory_max, good[i].bytes);
        snprintf(expected, sizeof(expected), "%" PRIu64, good[i].bytes);
        assert_string_equal(vm_setting_print(s, &settings, text), expected);
    }
    for (unsigned i = 0; i < ELEMENTSOF(wrong); i++)
        assert_int_equal(vm_setting_parse(s, wrong[i], &settings), -EINVAL);
    for (unsigned i = 0; i < ELEMENTSOF(large); i++)
        assert_int_equal(vm_setting_parse(s, large[i], &settings), -ERANGE);
    assert_int_equal(settings.session_memory_max, UINT64_C(1) << 50);
}

TEST(test_words)
{
    const VMSetting *pool = &vm_settings[VM_SETTING_POOL],
                    *priority = &vm_settings[VM_SETTING_PRIORITY];
    VMSettings settings = {.pool = 'Q', .priority = 1};

    for (unsigned i = 0; i < 4; i++) {
        const char *no_pool[] = {"", "a", "AB", " A"}, *no_priority[] = {"", "HIGH", "1", "low "};

        assert_int_equal(vm_setting_parse(pool, no_pool[i], &settings), -EINVAL);
        assert_int_equal(vm_setting_parse(priority, no_priority[i], &settings), -EINVAL);
    }
    assert_int_equal(settings.pool, 'Q');
    assert_int_equal(settings.priority, 1);
    assert_string_equal(vm_setting_type(pool), "s");
    assert_string_equal(vm_setting_type(priority), "s");
}

TEST(test_unknown_names)
{
    assert_null(vm_setting_find(""));
    assert_null(vm_setting_find("weight"));
    assert_null(vm_setting_find("VMID"));
}

/* Each setting is taken alone, and no other with it. */
TEST(test_sets)
{
    VMSettings from, zero = {0};

    assert_int_equal(VM_SETTINGS_ALL, (1u << VM_N_SETTINGS) - 1);
    for (unsigned i = 0; i < VM_N_SETTINGS; i++)
        assert_int_equal(vm_setting_parse(&vm_settings[i], rows[i].most, &from), 0);
    assert_int_equal(vm_settings_differ(&from, &zero), VM_SETTINGS_ALL);

    for (unsigned i = 0; i < VM_N_SETTINGS; i++) {
        VMSettings to = zero;

        vm_settings_take(&to, &from, VM_SETTING_BIT(i));
        assert_int_equal(vm_settings_differ(&to, &zero), VM_SETTING_BIT(i));
        vm_settings_take(&to, &from, VM_SETTINGS_ALL & ~VM_SETTING_BIT(i));
        assert_int_equal(vm_settings_differ(&to, &from), 0);
    }
}

/* ---- What people read ----------------------------------------------------------------------- */

/* The text of a file of the project, until the next call. */
static const char *contents(const char *file)
{
    static char text[256 * 1024];
    CLEANUP_FREE char *path = NULL;
    size_t size;
    FILE *f;

    assert_true(asprintf(&path, "%s/%s", getenv("VGPU_PROJECT_SOURCE"), file) > 0);
    f = fopen(path, "re");
    if (!f)
        fail_msg("%s cannot be read", path);
    size = fread(text, 1, sizeof(text) - 1, f);
    assert_true(size < sizeof(text) - 1);
    text[size] = '\0';
    fclose(f);
    return text;
}

/* The text has a paragraph, from @start to @end, in which this stands. */
static bool has_paragraph(const char *text, const char *start, const char *end, const char *wanted)
{
    const char *p = strstr(text, start), *found;

    if (!p)
        return false;
    p += strlen(start);
    found = strstr(p, wanted);
    return found && found < strstr(p, end);
}

static void expect_paragraph(const VMSetting *s, const char *file, const char *start,
                             const char *end, const char *wanted)
{
    if (!has_paragraph(contents(file), start, end, wanted))
        fail_msg("%s has nothing about %s: '%s', with '%s' before '%s'", file, s->name, start,
                 wanted, end);
}

/*
 * Limits are documented by hand, once for programs and once for people. The schema has another
 * test, which tries it; here it is only named.
 */
TEST(test_every_limit_is_documented)
{
    for (unsigned i = 0; i < VM_N_SETTINGS; i++) {
        const VMSetting *s = &vm_settings[i];
        char start[256], range[64];

        if (!(s->flags & VM_SETTING_LIMIT))
            continue;
        snprintf(range, sizeof(range), ", %" PRIu64 " to %" PRIu64, s->min, s->max);

        snprintf(start, sizeof(start), "<property name=\"%s\" type=\"%s\" access=\"read\">",
                 s->name, vm_setting_type(s));
        expect_paragraph(s, "dbus/org.vgpu.Mediator1.xml", start, "</property>", range);
        expect_paragraph(s, "dbus/org.vgpu.Mediator1.xml", start, "</property>", ">A limit:");
        snprintf(start, sizeof(start), "\n.It Cm %s Pq Cm %s\n", s->name, s->attribute);
        expect_paragraph(s, "docs/man/vgpuctl.1", start, "\n.", range);
        snprintf(start, sizeof(start), "<attribute name=\"%s\">", s->attribute);
        expect_paragraph(s, "libvirt-hooks/vgpu-domain.rng", start, "</attribute>",
                         s->kind == VM_SETTING_IS_BYTES ? "unsignedLong" : "unsignedInt");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_setting_is_as_promised),
        cmocka_unit_test(test_numbers_have_their_range),
        cmocka_unit_test(test_bytes_have_suffixes),
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_unknown_names),
        cmocka_unit_test(test_sets),
        cmocka_unit_test(test_every_limit_is_documented),
    };

    return cmocka_run_group_tests_name("vm-settings", tests, NULL, NULL);
}
