/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The fake CUDA driver: images and modules */
#include "test-fake-cuda-fixture.h"

#include <elf.h>

enum { INVALID_PTX = 218 };
enum { INFO_LOG = 3, INFO_LOG_SIZE = 4, ERROR_LOG = 5, ERROR_LOG_SIZE = 6, OPTIMIZATION = 7 };

#define PTX(body) ".version 7.0\n.target sm_75\n.address_size 64\n" body

static CUresult load(const void *image, CUmodule *ret)
{
    return cu.module_load_data_ex(ret, image, 0, NULL, NULL);
}

/* ---- PTX ------------------------------------------------------------------------------------- */

static void try_ptx(void)
{
    static const char text[] = PTX("// .entry saxpy(\n"
                                   "/* .entry fill( */\n"
                                   ".extern .global .align 4 .u32 elsewhere;\n"
                                   ".visible .global .align 8 .u64 one;\n"
                                   ".global .align 1 .b8 text[6] = {1, 2, 3, 4, 5, 6};\n"
                                   ".global .align 4 .f32 grid[3][5];\n"
                                   ".visible .entry nothing()\n{\n"
                                   "ld.global.u32 %r1, [%rd1]; // }\n"
                                   "}\n"
                                   ".visible .entry unknown_kernel()\n{\nret;\n}\n"
                                   ".entry\ttrap()\n{\ntrap;\n}\n");
    static const struct {
        const char *name;
        size_t size;
    } globals[] = {{"one", 8}, {"text", 6}, {"grid", 60}};
    CUfunction functions[4], again;
    const char *name;
    CUmodule m;
    unsigned n;

    OK(load(text, &m));
    OK(cu.module_get_function_count(&n, m));
    EXPECT(n == 2);
    OK(cu.module_enumerate_functions(functions, 4, m));
    OK(cu.func_get_name(&name, functions[0]));
    EXPECT(strcmp(name, "nothing") == 0);
    OK(cu.func_get_name(&name, functions[1]));
    EXPECT(strcmp(name, "trap") == 0);
    OK(BASE.module_get_function(&again, m, "trap"));
    EXPECT(again == functions[1]);
    EXPECT_RESULT(BASE.module_get_function(&again, m, "saxpy"), CUDA_ERROR_NOT_FOUND);
    EXPECT_RESULT(BASE.module_get_function(&again, m, "fill"), CUDA_ERROR_NOT_FOUND);
    EXPECT_RESULT(BASE.module_get_function(&again, m, "unknown_kernel"), CUDA_ERROR_NOT_FOUND);

    for (size_t i = 0; i < 3; i++) {
        CUdeviceptr address;
        size_t size;

        OK(cu.module_get_global(&address, &size, m, globals[i].name));
        EXPECT(size == globals[i].size && address % 512 == 0);
    }
    EXPECT_RESULT(cu.module_get_global(NULL, &(size_t){0}, m, "elsewhere"), CUDA_ERROR_NOT_FOUND);
    OK(BASE.module_unload(m));
}

static void try_logs(void)
{
    char info[64] = "x", error[64] = "x";
    int options[] = {INFO_LOG, INFO_LOG_SIZE, ERROR_LOG, ERROR_LOG_SIZE, OPTIMIZATION};
    void *values[] = {info, (void *) sizeof(info), error, (void *) sizeof(error), (void *) 4};
    CUmodule m;

    OK(cu.module_load_data_ex(&m, PTX(".entry nothing()\n{\n}\n"), 5, options, values));
    EXPECT((size_t) values[1] == strlen(info) && strstr(info, "1 kernels"));
    EXPECT((size_t) values[3] == 0 && error[0] == '\0');

    values[1] = (void *) sizeof(info);
    values[3] = (void *) sizeof(error);
    EXPECT_RESULT(
        cu.module_load_data_ex(&m, PTX(".entry nothing()\n{\n{\n}\n"), 5, options, values),
        INVALID_PTX);
    EXPECT((size_t) values[3] == strlen(error) && strstr(error, "line 8"));
    EXPECT((size_t) values[1] == 0);
    EXPECT_RESULT(load(PTX("}\n"), &m), INVALID_PTX);
    EXPECT_RESULT(load("no image at all", &m), CUDA_ERROR_INVALID_IMAGE);
    options[4] = 1000;
    EXPECT_RESULT(cu.module_load_data_ex(&m, PTX(""), 5, options, values),
                  CUDA_ERROR_INVALID_VALUE);
}

TEST(test_ptx)
{
    assert_good("", try_ptx);
    assert_good("", try_logs);
}

/* ---- Cubins and containers ------------------------------------------------------------------- */

typedef struct Cubin {
    Elf64_Ehdr header;
    char names[64];
    Elf64_Shdr section[3];
} Cubin;

/* With two kernels */
static Cubin new_cubin(void)
{
    Cubin c = {
        .header =
            {
                .e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
                .e_machine = 190,
                .e_shoff = offsetof(Cubin, section),
                .e_shentsize = sizeof(Elf64_Shdr),
                .e_shnum = 3,
                .e_shstrndx = 0,
            },
        .names = "\0.text.nothing\0.text.saxpy",
        .section =
            {
                {.sh_offset = offsetof(Cubin, names), .sh_size = 64},
                {.sh_name = 1},
                {.sh_name = 15},
            },
    };

    return c;
}

static void try_cubin(void)
{
    Cubin c = new_cubin();
    CUfunction f;
    CUmodule m;

    OK(load(&c, &m));
    OK(BASE.module_get_function(&f, m, "saxpy"));
    OK(BASE.module_get_function(&f, m, "nothing"));
    EXPECT_RESULT(BASE.module_get_function(&f, m, "fill"), CUDA_ERROR_NOT_FOUND);

    c.header.e_machine = EM_X86_64;
    EXPECT_RESULT(load(&c, &m), CUDA_ERROR_INVALID_IMAGE);
    c = new_cubin();
    c.header.e_shstrndx = 3;
    EXPECT_RESULT(load(&c, &m), CUDA_ERROR_INVALID_IMAGE);
    c = new_cubin();
    c.section[1].sh_name = 64;
    EXPECT_RESULT(load(&c, &m), CUDA_ERROR_INVALID_IMAGE);
    c = new_cubin();
    c.section[0].sh_size = UINT64_MAX;
    EXPECT_RESULT(load(&c, &m), CUDA_ERROR_INVALID_IMAGE);
}

typedef struct Entry {
    uint16_t kind, version;
    uint32_t header_size;
    uint64_t size;
    uint32_t unused[6];
    uint64_t flags, unused2[2];
} Entry;

typedef struct Container {
    uint32_t magic;
    uint16_t version, header_size;
    uint64_t size;
    Entry first;
    char text[128];
    Entry second;
    Cubin cubin;
} Container;

static Container new_container(void)
{
    Container c = {
        .magic = 0xba55ed50,
        .version = 1,
        .header_size = 16,
        .size = sizeof(c) - 16,
        .first = {.kind = 1, .header_size = sizeof(Entry), .size = 128},
        .text = PTX(".entry trap()\n{\n}\n"),
        .second = {.kind = 2, .header_size = sizeof(Entry), .size = sizeof(Cubin)},
        .cubin = new_cubin(),
    };

    return c;
}

static void try_fatbin(void)
{
    Container c = new_container();
    CUfunction f;
    CUmodule m;

    OK(load(&c, &m));
    OK(BASE.module_get_function(&f, m, "trap"));
    EXPECT_RESULT(BASE.module_get_function(&f, m, "saxpy"), CUDA_ERROR_NOT_FOUND);
    /* PTX without a kernel: then it is the cubin's. */
    strcpy(c.text, PTX(""));
    OK(load(&c, &m));
    OK(BASE.module_get_function(&f, m, "saxpy"));
    /* Compressed: it may have any. */
    c = new_container();
    c.first.flags = 0x2000;
    c.size = sizeof(Entry) + sizeof(c.text);
    OK(load(&c, &m));
    OK(BASE.module_get_function(&f, m, "fill"));
    EXPECT_RESULT(BASE.module_get_function(&f, m, "unknown"), CUDA_ERROR_NOT_FOUND);

    c.size = 0;
    EXPECT_RESULT(load(&c, &m), CUDA_ERROR_NO_BINARY_FOR_GPU);
    c.size = sizeof(Entry) - 1;
    EXPECT_RESULT(load(&c, &m), CUDA_ERROR_INVALID_IMAGE);
    c = new_container();
    c.version = 9;
    EXPECT_RESULT(load(&c, &m), CUDA_ERROR_INVALID_IMAGE);
    c = new_container();
    c.first.size = UINT64_MAX;
    EXPECT_RESULT(load(&c, &m), CUDA_ERROR_INVALID_IMAGE);
    c = new_container();
    c.first.kind = 77;
    EXPECT_RESULT(load(&c, &m), CUDA_ERROR_INVALID_IMAGE);
}

TEST(test_binaries)
{
    assert_good("", try_cubin);
    assert_good("", try_fatbin);
}

/* ---- Modules --------------------------------------------------------------------------------- */

static void try_globals_memory(void)
{
    size_t before, after, total;
    CUmodule m;

    OK(BASE.mem_get_info(&before, &total));
    OK(load(PTX(".global .align 4 .b8 large[4000000];\n.entry nothing()\n{\n}\n"), &m));
    OK(BASE.mem_get_info(&after, &total));
    EXPECT(after == before - ((size_t) 4 << 20));
    EXPECT_RESULT(load(PTX(".global .align 4 .b8 huge[40000000];\n.entry nothing()\n{\n}\n"), &m),
                  CUDA_ERROR_OUT_OF_MEMORY);
    /* Nothing of it stays. */
    OK(BASE.mem_get_info(&before, &total));
    EXPECT(before == after);
}

static void use_unloaded_function(void)
{
    CUfunction f = function("nothing");

    OK(BASE.module_unload(module));
    launch(f, 1, NULL, NULL);
}

static void unload_twice(void)
{
    CUmodule m = load_module();

    OK(BASE.module_unload(m));
    BASE.module_unload(m);
}

TEST(test_modules)
{
    assert_good("total=16", try_globals_memory);
    assert_misuse("", use_unloaded_function, "no handle");
    assert_misuse("", unload_twice, "no handle");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ptx),
        cmocka_unit_test(test_binaries),
        cmocka_unit_test(test_modules),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
