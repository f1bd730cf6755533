/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The reader of mediator.conf and of state files: what it tells of a text, byte by byte. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "settings-file.h"
#include "test.h"

static char directory[] = "/tmp/vgpu-settings-XXXXXX";
static char path[64];
static char told[4096]; /* by the handler, a line a call */

static void tell(const char *format, unsigned line, const char *a, const char *b, const char *c)
{
    size_t size = strlen(told);

    snprintf(told + size, sizeof(told) - size, format, line, a, b, c);
}

static void on_section(void *userdata, unsigned line, const char *section)
{
    assert_ptr_equal(userdata, told);
    tell("%u [%s]\n", line, section, "", "");
}

static void on_setting(void *userdata, unsigned line, const char *section, const char *key,
                       const char *value)
{
    assert_ptr_equal(userdata, told);
    tell("%u %s.%s=<%s>\n", line, section ? section : "none", key, value);
}

static void on_other(void *userdata, unsigned line, const char *reason)
{
    assert_ptr_equal(userdata, told);
    assert_true(strlen(reason) > 0);
    tell("%u !\n", line, "", "", "");
}

static int read_it(unsigned flags, size_t size_max)
{
    const SettingsFileHandler handler = {on_section, on_setting, on_other, told};

    told[0] = '\0';
    return settings_file_read(path, flags, size_max, &handler);
}

static void write_bytes(const char *bytes, size_t size)
{
    FILE *f = fopen(path, "we");

    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, size, f), size);
    fclose(f);
}

TEST(test_lines)
{
    static const struct {
        const char *text, *expected;
    } rows[] = {
        {"", ""},
        {"\n\n  \n\t\n", ""},
        {"[A]\nk=v", "1 [A]\n2 A.k=<v>\n"},
        {"[A]\r\nk=v\r\n", "1 [A]\n2 A.k=<v>\n"},
        {"\xef\xbb\xbf[A]\nk=v\n", "1 [A]\n2 A.k=<v>\n"},
        {"  [A b]  \n\t k \t=\t v w \n", "1 [A b]\n2 A b.k=<v w>\n"},
        {"[A]\nk==v;#\n", "1 [A]\n2 A.k=<=v;#>\n"},
        {"[A]\nk=\n", "1 [A]\n2 A.k=<>\n"},
        {"k=v\n", "1 none.k=<v>\n"},
        {"#[A]\n;[B]\n  # k=v\n", ""},
        /* A backslash joins lines. */
        {"[A]\nk=a\\\nb\\\n c\nl=d\n", "1 [A]\n2 A.k=<a b  c>\n5 A.l=<d>\n"},
        {"[A]\nk=a\\\r\nb\r\n", "1 [A]\n2 A.k=<a b>\n"},
        {"[A]\nk=a\\\n# no\\\n;no\nb\nl=c\n", "1 [A]\n2 A.k=<a b>\n6 A.l=<c>\n"},
        {"[A]\n# a\\\nk=v\n", "1 [A]\n3 A.k=<v>\n"},
        {"[A]\nk=a\\ \nl=b\n", "1 [A]\n2 A.k=<a\\>\n3 A.l=<b>\n"},
        {"[A]\nk=a\\", "1 [A]\n2 A.k=<a>\n"},
        {"\\\n\\\n[A]\n", "1 [A]\n"},
        /* What is wrong, and what follows it. */
        {"[A]\nnonsense\nk=v\n", "1 [A]\n2 !\n3 A.k=<v>\n"},
        {"[A]\n=v\n", "1 [A]\n2 !\n"},
        {"[A]\n[B\nk=v\n", "1 [A]\n2 !\n3 none.k=<v>\n"},
        {"[A]\n[]\nk=v\n", "1 [A]\n2 !\n3 none.k=<v>\n"},
        {"[A]\n[B]]\nk=v\n", "1 [A]\n2 !\n3 none.k=<v>\n"},
        {"[A]\n[B] x\nk=v\n", "1 [A]\n2 !\n3 none.k=<v>\n"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        write_bytes(rows[i].text, strlen(rows[i].text));
        assert_int_equal(read_it(0, 4096), 0);
        assert_string_equal(told, rows[i].expected);
    }
}

TEST(test_bytes_of_zero)
{
    static const char text[] = "[A]\nk=a\0\nl=b\\\nc\0d\n#\0\nm=e\n\0";

    write_bytes(text, sizeof(text) - 1);
    assert_int_equal(read_it(0, 4096), 0);
    assert_string_equal(told, "1 [A]\n2 !\n3 !\n5 !\n6 A.m=<e>\n7 !\n");
}

/* No part of the file but the whole has a limit. */
TEST(test_sizes)
{
    static char text[100001];

    memset(text, 'x', sizeof(text) - 1);
    text[40000] = '=';
    write_bytes(text, sizeof(text) - 1);
    assert_int_equal(read_it(0, sizeof(text) - 1), 0);
    assert_memory_equal(told, "1 none.xxx", 10);
    assert_int_equal(read_it(0, sizeof(text) - 2), -EFBIG);
    assert_string_equal(told, "");
}

/* Nothing that stands in the file's place makes us wait, or leads elsewhere. */
TEST(test_what_is_no_file)
{
    (void) unlink(path);
    assert_int_equal(read_it(0, 100), 1);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(read_it(0, 100), -EBADFD);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(read_it(0, 100), -EISDIR);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(symlink("/dev/zero", path), 0);
    assert_int_equal(read_it(0, 100), -EBADFD);
    assert_int_equal(read_it(SETTINGS_FILE_NO_LINK, 100), -ELOOP);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink("/dev/null", path), 0);
    assert_int_equal(read_it(0, 100), 0);
    assert_int_equal(read_it(SETTINGS_FILE_NO_LINK, 100), -ELOOP);
    assert_string_equal(told, "");
    assert_int_equal(unlink(path), 0);
}

static int make_directory(void **state)
{
    (void) state;

    if (!mkdtemp(directory))
        return -1;
    snprintf(path, sizeof(path), "%s/file", directory);
    return 0;
}

static int remove_directory(void **state)
{
    (void) state;

    (void) unlink(path);
    return rmdir(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_bytes_of_zero),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_what_is_no_file),
    };

    return cmocka_run_group_tests_name("settings-file", tests, make_directory, remove_directory);
}
