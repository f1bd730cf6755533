/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Numbers in text. */
#include <errno.h>

#include "parse.h"
#include "test.h"

TEST(test_numbers)
{
    static const struct {
        const char *text;
        uint64_t min, max;
        int result;
        uint64_t value;
    } rows[] = {
        {"0", 0, 9, 0, 0},
        {"7", 7, 7, 0, 7},
        {"0012", 0, 99, 0, 12},
        {"18446744073709551615", 0, UINT64_MAX, 0, UINT64_MAX},
        {"18446744073709551616", 0, UINT64_MAX, -ERANGE, 0},
        {"99999999999999999999999999", 0, UINT64_MAX, -ERANGE, 0},
        {"6", 7, 9, -ERANGE, 0},
        {"10", 7, 9, -ERANGE, 0},
        {"", 0, 9, -EINVAL, 0},
        {" 1", 0, 9, -EINVAL, 0},
        {"1 ", 0, 9, -EINVAL, 0},
        {"+1", 0, 9, -EINVAL, 0},
        {"-1", 0, 9, -EINVAL, 0},
        {"0x1", 0, 9, -EINVAL, 0},
        {"1k", 0, 9, -EINVAL, 0},
        {"99999999999999999999x", 0, 9, -EINVAL, 0},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint64_t value = 4711;

        assert_int_equal(parse_u64(rows[i].text, rows[i].min, rows[i].max, &value), rows[i].result);
        assert_int_equal(value, rows[i].result == 0 ? rows[i].value : 4711);
    }
}

TEST(test_narrow)
{
    uint32_t value = 4711;

    assert_int_equal(parse_u32("4294967296", 0, UINT32_MAX, &value), -ERANGE);
    assert_int_equal(value, 4711);
    assert_int_equal(parse_u32("4294967295", 0, UINT32_MAX, &value), 0);
    assert_int_equal(value, UINT32_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_narrow),
    };

    return cmocka_run_group_tests_name("parse", tests, NULL, NULL);
}
