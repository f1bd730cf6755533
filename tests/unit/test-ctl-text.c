/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How vgpuctl writes times, sizes, rates and names. */
#include <locale.h>
#include <stdlib.h>
#include <string.h>

#include "test.h"
#include "text.h"

TEST(test_usec)
{
    static const struct {
        uint64_t usec;
        const char *text;
    } spans[] = {
        {0, "0"},
        {1, "1us"},
        {999, "999us"},
        {1000, "1ms"},
        {1234, "1.23ms"},
        {1500, "1.5ms"},
        {9999, "10ms"},
        {12345, "12.3ms"},
        {99960, "100ms"},
        {123456, "123ms"},
        {999499, "999ms"},
        {999500, "1s"},
        {1234567, "1.23s"},
        {59499999, "59.5s"},
        {59999999, "1min"},
        {61000000, "1min 1s"},
        {3599499999, "59min 59s"},
        {3600000000, "1h"},
        {3661000000, "1h 1min"},
        {UINT64_C(86400000000), "1d"},
        {UINT64_C(97200000000), "1d 3h"},
    };
    char buffer[TEXT_SIZE];

    for (unsigned i = 0; i < sizeof(spans) / sizeof(spans[0]); i++)
        assert_string_equal(text_usec(spans[i].usec, buffer), spans[i].text);
    text_usec(UINT64_MAX, buffer);
}

TEST(test_bytes)
{
    char buffer[TEXT_SIZE];

    assert_string_equal(text_bytes(0, buffer), "0B");
    assert_string_equal(text_bytes(1023, buffer), "1023B");
    assert_string_equal(text_bytes(1024, buffer), "1.0K");
    assert_string_equal(text_bytes(1536, buffer), "1.5K");
    assert_string_equal(text_bytes(UINT64_C(80) << 30, buffer), "80.0G");
    assert_string_equal(text_bytes(UINT64_MAX, buffer), "16.0E");
}

TEST(test_rate)
{
    char buffer[TEXT_SIZE];

    assert_string_equal(text_rate(0, buffer), "0");
    assert_string_equal(text_rate(0.5, buffer), "0.5");
    assert_string_equal(text_rate(12.34, buffer), "12.3");
    assert_string_equal(text_rate(999.6, buffer), "1000");
    assert_string_equal(text_rate(91234.5, buffer), "91234");
    text_rate(1e300, buffer);
}

static void expect_escaped(const char *text, const char *expected)
{
    char *escaped = text_escape(text);

    assert_non_null(escaped);
    assert_string_equal(escaped, expected);
    free(escaped);
}

TEST(test_escape)
{
    assert_non_null(setlocale(LC_ALL, "C.UTF-8"));
    expect_escaped("", "");
    expect_escaped("web 1", "web 1");
    expect_escaped("\033[31m\n\t", "\\x1b[31m\\x0a\\x09");
    expect_escaped("a\u202eb\u200b", "a\\xe2\\x80\\xaeb\\xe2\\x80\\x8b");
    expect_escaped("\xc3\xbc\xe2\x82\xac", "\xc3\xbc\xe2\x82\xac");
    /* A control character in two bytes, bytes that are none, one that is cut off. */
    expect_escaped("a\xc2\x9bz", "a\\xc2\\x9bz");
    expect_escaped("a\xff\xfez", "a\\xff\\xfez");
    expect_escaped("a\xe2\x82", "a\\xe2\\x82");

    assert_non_null(setlocale(LC_ALL, "C"));
    expect_escaped("\xc3\xbc", "\\xc3\\xbc");
}

/* A name must not look like another, or turn the rest of its line round. */
TEST(test_escape_invisible)
{
    assert_non_null(setlocale(LC_ALL, "C.UTF-8"));
    expect_escaped("web\xe2\x80\x8b"
                   "1",
                   "web\\xe2\\x80\\x8b1");                   /* U+200B */
    expect_escaped("\xe2\x80\xaegpj", "\\xe2\\x80\\xaegpj"); /* U+202E */
    expect_escaped("\xe2\x81\xa6"
                   "a",
                   "\\xe2\\x81\\xa6"
                   "a"); /* U+2066 */
    expect_escaped("\xef\xbb\xbf"
                   "a",
                   "\\xef\\xbb\\xbf"
                   "a");                                        /* U+FEFF */
    expect_escaped("a\xc2\xad", "a\\xc2\\xad");                 /* U+00AD */
    expect_escaped("\xf3\xa0\x81\x81", "\\xf3\\xa0\\x81\\x81"); /* U+E0041 */
    expect_escaped("e\xcc\x81", "e\xcc\x81");                   /* an accent is to be seen */
}

static void expect_utf8(const char *text, const char *expected)
{
    char *escaped = text_escape_utf8(text);

    assert_non_null(escaped);
    assert_string_equal(escaped, expected);
    free(escaped);
}

/* The locale does not matter. */
TEST(test_escape_utf8)
{
    assert_non_null(setlocale(LC_ALL, "C"));
    expect_utf8("w\xc3\xbc \xe2\x82\xac \xf0\x9f\x98\x80",
                "w\xc3\xbc \xe2\x82\xac \xf0\x9f\x98\x80");
    expect_utf8("\n\x7f\xc2\x9b\xe2\x80\xae", "\\x0a\\x7f\\xc2\\x9b\\xe2\\x80\\xae");
    /* No UTF-8: cut off, too long, a surrogate, too large, a byte that never comes first. */
    expect_utf8("a\xe2\x82", "a\\xe2\\x82");
    expect_utf8("\xc0\x80", "\\xc0\\x80");
    expect_utf8("\xed\xa0\x80", "\\xed\\xa0\\x80");
    expect_utf8("\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80");
    expect_utf8("\x80z", "\\x80z");
}

TEST(test_write_json)
{
    const char *text = "{\n \"n\": \"\xc3\xbc\xe2\x80\xae\xf3\xa0\x81\x81\xff\"}";
    char *json = NULL;
    size_t size;
    FILE *f = open_memstream(&json, &size);

    assert_non_null(f);
    text_write_json(f, text, strlen(text));
    fclose(f);
    assert_string_equal(json, "{\n \"n\": \"\xc3\xbc\\u202e\\udb40\\udc41\\ufffd\"}");
    free(json);
}

TEST(test_nearest)
{
    static const char *const words[] = {"list", "status", "top", "set-pool", "set-priority"};

    assert_string_equal(text_nearest("lsit", words, 5), "list");
    assert_string_equal(text_nearest("set-priorty", words, 5), "set-priority");
    assert_string_equal(text_nearest("stats", words, 5), "status");
    /* The only word that begins so; not one of several. */
    assert_string_equal(text_nearest("st", words, 5), "status");
    assert_string_equal(text_nearest("set-pr", words, 5), "set-priority");
    assert_null(text_nearest("se", words, 5));
    assert_null(text_nearest("foo", words, 5));
    assert_null(text_nearest("", words, 5));
    assert_null(text_nearest("x", words, 5));
    assert_null(text_nearest("a-word-that-is-much-longer-than-any-command-is", words, 5));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_usec),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_rate),
        cmocka_unit_test(test_escape),
        cmocka_unit_test(test_escape_invisible),
        cmocka_unit_test(test_escape_utf8),
        cmocka_unit_test(test_write_json),
        cmocka_unit_test(test_nearest),
    };

    return cmocka_run_group_tests_name("ctl-text", tests, NULL, NULL);
}
