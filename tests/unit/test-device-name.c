/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "test.h"

#include "device-name.h"

#define UUID "01234567-89ab-cdef-0123-456789abcdef"

TEST(test_names)
{
    static const struct {
        const char *text, *name;
    } good[] = {
        {"0", "0"},
        {"255", "255"},
        {"007", "7"},
        {"GPU-" UUID, "GPU-" UUID},
        {"MIG-" UUID, "MIG-" UUID},
        {"MIG-01234567-89AB-CDEF-0123-456789ABCDEF", "MIG-01234567-89AB-CDEF-0123-456789ABCDEF"},
    };
    char name[DEVICE_NAME_SIZE];

    for (unsigned i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_true(device_name_parse(good[i].text, strlen(good[i].text), name));
        assert_string_equal(name, good[i].name);
    }
}

TEST(test_others)
{
    static const char *const bad[] = {
        "",
        " ",
        "-1",
        "+1",
        "256",
        "0x1",
        "1 ",
        "all",
        UUID,
        "GPU-",
        "MIG-",
        "CPU-" UUID,
        "gpu-" UUID,
        "GPU-" UUID "0",
        "GPU-0123456789ab-cdef-0123-456789abcdef-",
        "GPU-01234567-89ab-cdef-0123-456789abcde",
        "GPU-01234567-89ab-cdef-0123-456789abcdeg",
        "MIG-GPU-" UUID "/1/0",
        "MIG-GPU-" UUID "/100000/100000000",
        "GPU_01234567-89ab-cdef-0123-456789abcdef",
    };
    char name[DEVICE_NAME_SIZE] = "untouched";

    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(device_name_parse(bad[i], strlen(bad[i]), name));
    assert_false(device_name_parse("1\0", 2, name));
    assert_string_equal(name, "untouched");
    assert_true(device_name_parse("12", 1, name)); /* a part of a text */
    assert_string_equal(name, "1");
}

TEST(test_numbers)
{
    uint32_t number = 0;

    assert_true(device_name_is_number("12", &number));
    assert_int_equal(number, 12);
    assert_false(device_name_is_number("MIG-" UUID, &number));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_others),
        cmocka_unit_test(test_numbers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
