/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which names a VM may have, and what is said about the others. */
#include <string.h>

#include "test.h"
#include "vm-name.h"

TEST(test_names)
{
    static const char *const names[] = {
        "web1",
        " ",
        "größer als 1/2 ;=#[]",
        "図面管理サーバー",
        "\U0001f600",
        "e\u0301",
        "\u00ac",
        "\u00ae",
        "\uffa1",
        "\U0010ffff",
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        assert_true(vm_name_is_valid(names[i]));
}

TEST(test_problems)
{
    static const struct {
        const char *name, *problem;
    } rows[] = {
        {"", "it has 0 bytes, and must have 1 to 255"},
        {"two\nlines", "it has the character U+000A at byte 4, which cannot be seen"},
        {"\x7f", "it has the character U+007F at byte 1, which cannot be seen"},
        {"\xc2\x85", "it has the character U+0085 at byte 1, which cannot be seen"},
        {"ü\u00ad", "it has the character U+00AD at byte 3, which cannot be seen"},
        {"a\u200bb", "it has the character U+200B at byte 2, which cannot be seen"},
        {"\u202eb", "it has the character U+202E at byte 1, which cannot be seen"},
        {"\u2066", "it has the character U+2066 at byte 1, which cannot be seen"},
        {"\ufeff", "it has the character U+FEFF at byte 1, which cannot be seen"},
        {"a\U000e0041", "it has the character U+E0041 at byte 2, which cannot be seen"},
        {"ab\xff", "it is not UTF-8 from byte 3 on"},
        {"\x80", "it is not UTF-8 from byte 1 on"},
        {"a\xc3", "it is not UTF-8 from byte 2 on"},
        {"a\xe2\x80", "it is not UTF-8 from byte 2 on"},
        {"\xc0\x80", "it is not UTF-8 from byte 1 on"},         /* NUL in two bytes */
        {"\xe0\x82\x85", "it is not UTF-8 from byte 1 on"},     /* U+0085 in three */
        {"\xf0\x82\x80\xae", "it is not UTF-8 from byte 1 on"}, /* U+202E in four */
        {"\xed\xa0\x80", "it is not UTF-8 from byte 1 on"},     /* half a pair of UTF-16 */
        {"\xf4\x90\x80\x80", "it is not UTF-8 from byte 1 on"}, /* beyond U+10FFFF */
    };
    char buffer[VM_NAME_PROBLEM_SIZE];

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *problem = vm_name_problem(rows[i].name, buffer);

        assert_non_null(problem);
        assert_string_equal(problem, rows[i].problem);
        assert_false(vm_name_is_valid(rows[i].name));
    }
}

TEST(test_length)
{
    char name[VM_NAME_MAX + 2];

    memset(name, 'a', sizeof(name));
    name[VM_NAME_MAX + 1] = '\0';
    assert_false(vm_name_is_valid(name));
    name[VM_NAME_MAX] = '\0';
    assert_true(vm_name_is_valid(name));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_problems),
        cmocka_unit_test(test_length),
    };

    return cmocka_run_group_tests_name("vm-name", tests, NULL, NULL);
}
