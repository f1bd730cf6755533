/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How long an image is of which only the beginning is given. */
#include <elf.h>
#include <stdint.h>
#include <string.h>

#include "image-size.h"
#include "test.h"

typedef struct Container {
    uint32_t magic;
    uint16_t version, header_size;
    uint64_t size;
    unsigned char bytes[48];
} Container;

typedef struct Wrapper {
    uint32_t magic, version;
    const void *container, *more;
} Wrapper;

#define CONTAINER                                                        \
    {                                                                    \
        .magic = 0xba55ed50, .version = 1, .header_size = 16, .size = 48 \
    }

/* As a linker puts them into a program: cuBLASLt has 2,782 in a row. */
TEST(test_a_container_ends_where_the_next_begins)
{
    const Container two[] = {CONTAINER, CONTAINER};
    const Wrapper wrappers[] = {{0x466243b1, 1, &two[0], NULL}, {0x466243b1, 1, &two[1], NULL}};
    const void *begin;

    assert_int_equal(image_find(&two[0], &begin), sizeof(*two));
    assert_ptr_equal(begin, &two[0]);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(image_find(&wrappers[i], &begin), sizeof(*two));
        assert_ptr_equal(begin, &two[i]);
    }
}

TEST(test_a_wrapper_of_nothing)
{
    const Wrapper empty = {0x466243b1, 1, NULL, NULL};
    const Wrapper wrong = {0x466243b1, 1, "no container at all", NULL};
    const void *begin;

    assert_int_equal(image_find(&empty, &begin), 0);
    assert_int_equal(image_find(&wrong, &begin), 0);
}

TEST(test_what_a_program_is_linked_of)
{
    const Container two[] = {CONTAINER, CONTAINER};
    const void *const parts[] = {&two[0], &two[1], NULL}, *const bad[] = {&two[0],
                                                                          "this is no container",
                                                                          NULL};
    const Wrapper whole = {0x466243b1, 1, &two[0], parts}, linked = {0x466243b1, 2, &two[0], parts};
    Container short_one = CONTAINER;
    const void *const short_parts[] = {&short_one, NULL};
    const void *begin;

    assert_null(image_parts(&whole));
    assert_null(image_parts(&two[0]));
    assert_ptr_equal(image_parts(&linked), parts);
    assert_int_equal(image_find(&linked, &begin), sizeof(*two));
    assert_int_equal(image_parts_count(parts), 2);
    assert_int_equal(image_parts_count(parts + 2), 0);
    assert_int_equal(image_parts_count(bad), -1);
    short_one.header_size = 8;
    assert_int_equal(image_parts_count(short_parts), -1);
    assert_true(image_is_empty(16));
    assert_false(image_is_empty(sizeof(*two)));
}

TEST(test_ptx_is_a_text)
{
    static const char text[] = "//\n.version 8.0\n.target sm_75\n";
    const void *begin;

    assert_int_equal(image_find(text, &begin), sizeof(text));
    assert_ptr_equal(begin, text);
    assert_int_equal(image_find("\0\0\0\0", &begin), 0);
    assert_int_equal(image_find("what is this", &begin), 0);
}

/* An ELF file ends where the last of its parts does, and sections of zeros have no bytes. */
TEST(test_a_cubin_ends_with_its_last_part)
{
    struct {
        Elf64_Ehdr header;
        Elf64_Shdr sections[3];
        unsigned char bytes[100];
    } cubin = {0};
    const void *begin;

    memcpy(cubin.header.e_ident, ELFMAG, SELFMAG);
    cubin.header.e_shoff = offsetof(__typeof__(cubin), sections);
    cubin.header.e_shnum = 3;
    cubin.header.e_shentsize = sizeof(Elf64_Shdr);
    cubin.sections[1] = (Elf64_Shdr){
        .sh_type = SHT_PROGBITS, .sh_offset = offsetof(__typeof__(cubin), bytes), .sh_size = 70};
    cubin.sections[2] = (Elf64_Shdr){.sh_type = SHT_NOBITS,
                                     .sh_offset = offsetof(__typeof__(cubin), bytes) + 70,
                                     .sh_size = 1000000};
    assert_int_equal(image_find(&cubin, &begin), offsetof(__typeof__(cubin), bytes) + 70);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_container_ends_where_the_next_begins),
        cmocka_unit_test(test_a_wrapper_of_nothing),
        cmocka_unit_test(test_what_a_program_is_linked_of),
        cmocka_unit_test(test_ptx_is_a_text),
        cmocka_unit_test(test_a_cubin_ends_with_its_last_part),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
