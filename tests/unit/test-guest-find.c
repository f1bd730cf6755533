/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* libvgpu: finding, opening and binding devices, with a sysfs tree of the test's own. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "test-guest-sysfs.h"
#include "test.h"
#include "vgpu.h"

static size_t count(fake_sysfs *f)
{
    vgpu_found *list = NULL;
    size_t n;

    assert_int_equal(vgpu_find(&f->paths, &list, &n), 0);
    free(list);
    return n;
}

static int open_and_close(fake_sysfs *f, const char *name)
{
    vgpu_device *dev = NULL;
    int r = vgpu_open(&f->paths, name, &dev);

    assert_true((r == 0) == (dev != NULL));
    vgpu_close(dev);
    return r;
}

static void test_find_none(void **state)
{
    fake_sysfs *f = *state;

    assert_int_equal(count(f), 0);
    assert_int_equal(open_and_close(f, NULL), -ENODEV);
    assert_int_equal(open_and_close(f, "0"), -ENODEV);
    assert_int_equal(open_and_close(f, FAKE_ADDRESS), -ENODEV);
}

static void test_find_without_pci(void **state)
{
    fake_sysfs *f = *state;
    const vgpu_paths paths = {.sysfs = "/nonexistent"};
    vgpu_found *list = (vgpu_found *) f;
    size_t n = 1;

    assert_int_equal(vgpu_find(&paths, &list, &n), 0);
    assert_null(list);
    assert_int_equal(n, 0);
}

static void test_find_sorts(void **state)
{
    static const char *const sorted[] = {
        "0000:00:03.0", "0000:00:1f.0", "0000:01:00.0", "0001:00:00.0", "10000:00:00.0",
    };
    static const int order[] = {3, 1, 4, 0, 2};
    fake_sysfs *f = *state;
    vgpu_found *list;
    size_t n;

    for (size_t i = 0; i < 5; i++)
        fake_sysfs_add(f, sorted[order[i]]);
    fake_sysfs_write(f, sorted[2], "enable", "0\n");

    assert_int_equal(vgpu_find(&f->paths, &list, &n), 0);
    assert_int_equal(n, 5);
    for (size_t i = 0; i < 5; i++) {
        assert_string_equal(list[i].address, sorted[i]);
        assert_int_equal(list[i].enabled, i != 2);
        assert_int_equal(list[i].uio, -1);
    }
    free(list);
}

static void test_find_leaves_others_alone(void **state)
{
    static const char *const differences[][2] = {
        {"vendor", "0x1af5\n"},  {"device", "0x1110\n"}, {"class", "0x050000\n"},
        {"class", "0x120001\n"}, {"revision", "0x01\n"}, {"revision", "0x03\n"},
        {"vendor", ""},          {"vendor", "x\n"},      {"device", "0x1111 0x1111\n"},
    };
    fake_sysfs *f = *state;

    for (size_t i = 0; i < sizeof(differences) / sizeof(differences[0]); i++) {
        char address[VGPU_ADDRESS_MAX];

        snprintf(address, sizeof(address), "0000:00:%02zx.0", i);
        fake_sysfs_add(f, address);
        fake_sysfs_write(f, address, differences[i][0], differences[i][1]);
        assert_int_equal(open_and_close(f, address), -ENODEV);
    }
    assert_int_equal(count(f), 0);

    fake_sysfs_add(f, "0000:00:0f.0");
    assert_return_code(unlink(fake_sysfs_path(f, "0000:00:0f.0", "class")), 0);
    assert_int_equal(count(f), 0);
}

static void test_open_by_name(void **state)
{
    static const struct {
        const char *name, *address;
    } good[] = {
        {NULL, "0000:00:04.0"},
        {"0", "0000:00:04.0"},
        {"1", "0000:00:0a.1"},
        {"2", "0001:02:00.0"},
        {"0000:00:0a.1", "0000:00:0a.1"},
        {"00:0A.1", "0000:00:0a.1"},
        {"0:a.1", "0000:00:0a.1"},
        {"1:2:0.0", "0001:02:00.0"},
    };
    fake_sysfs *f = *state;

    fake_sysfs_add(f, "0000:00:04.0");
    fake_sysfs_add(f, "0000:00:0a.1");
    fake_sysfs_add(f, "0001:02:00.0");

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        vgpu_device *dev = NULL;

        assert_int_equal(vgpu_open(&f->paths, good[i].name, &dev), 0);
        assert_string_equal(vgpu_get_address(dev), good[i].address);
        dev = vgpu_close(dev);
        assert_null(dev);
    }
}

static void test_open_bad_names(void **state)
{
    static const char *const invalid[] = {
        "",
        " ",
        "-1",
        "+0",
        "0 ",
        "0x0",
        "first",
        "00:04",
        "00:04.0 ",
        "00:04.0.0",
        "04.0",
        ":",
        "99999999999999999999999",
        "0000:00:04.0/..",
    };
    static const char *const absent[] = {"1", "4294967296", "00:05.0", "0001:00:04.0"};
    fake_sysfs *f = *state;

    fake_sysfs_add(f, FAKE_ADDRESS);
    for (size_t i = 0; i < sizeof(invalid) / sizeof(invalid[0]); i++)
        assert_int_equal(open_and_close(f, invalid[i]), -EINVAL);
    for (size_t i = 0; i < sizeof(absent) / sizeof(absent[0]); i++)
        assert_int_equal(open_and_close(f, absent[i]), -ENODEV);
}

static void test_open_enables_memory(void **state)
{
    fake_sysfs *f = *state;

    fake_sysfs_add(f, FAKE_ADDRESS);
    fake_sysfs_write(f, FAKE_ADDRESS, "enable", "0\n");
    assert_int_equal(open_and_close(f, NULL), 0);
    assert_string_equal(fake_sysfs_read(f, FAKE_ADDRESS, "enable"), "1\n");

    /* The library must not enable a device that has a driver: the kernel would say EBUSY. */
    fake_sysfs_write(f, FAKE_ADDRESS, "enable", "2\n");
    assert_int_equal(open_and_close(f, NULL), 0);
    assert_string_equal(fake_sysfs_read(f, FAKE_ADDRESS, "enable"), "2\n");
}

static void write_register(fake_sysfs *f, uint32_t offset, uint32_t value)
{
    FILE *file = fopen(fake_sysfs_path(f, FAKE_ADDRESS, "resource0"), "r+");

    assert_non_null(file);
    assert_return_code(fseek(file, offset, SEEK_SET), 0);
    assert_int_equal(fwrite(&value, sizeof(value), 1, file), 1);
    fclose(file);
}

static void test_open_checks_the_device(void **state)
{
    fake_sysfs *f = *state;
    const char *resource;

    fake_sysfs_add(f, FAKE_ADDRESS);
    write_register(f, VGPU_REG_PROTOCOL_VER, VGPU_PROTOCOL_VERSION + 0x10000);
    assert_int_equal(open_and_close(f, NULL), -EPROTONOSUPPORT);
    write_register(f, VGPU_REG_PROTOCOL_VER, 0);
    assert_int_equal(open_and_close(f, NULL), -EPROTONOSUPPORT);
    write_register(f, VGPU_REG_PROTOCOL_VER, UINT32_MAX);
    assert_int_equal(open_and_close(f, NULL), -ENODEV);

    write_register(f, VGPU_REG_PROTOCOL_VER, VGPU_PROTOCOL_VERSION);
    resource = fake_sysfs_path(f, FAKE_ADDRESS, "resource0");
    assert_return_code(truncate(resource, VGPU_BAR0_SIZE - 1), 0);
    assert_int_equal(open_and_close(f, NULL), -ENODEV);
    assert_return_code(unlink(resource), 0);
    assert_int_equal(open_and_close(f, NULL), -ENOENT);
}

static void test_registers(void **state)
{
    fake_sysfs *f = *state;
    vgpu_counters counters;
    vgpu_device *dev;
    uint32_t value = 0;

    fake_sysfs_add(f, FAKE_ADDRESS);
    assert_int_equal(vgpu_open(&f->paths, NULL, &dev), 0);

    assert_int_equal(vgpu_read_register(dev, VGPU_REG_POOL_ID, &value), 0);
    assert_int_equal(value, 'B');
    assert_int_equal(vgpu_write_register(dev, VGPU_BAR0_SIZE - 4, 0x12345678), 0);
    assert_int_equal(vgpu_read_register(dev, VGPU_BAR0_SIZE - 4, &value), 0);
    assert_int_equal(value, 0x12345678);
    assert_int_equal(vgpu_read_register(dev, VGPU_BAR0_SIZE, &value), -EINVAL);
    assert_int_equal(vgpu_read_register(dev, UINT32_MAX - 3, &value), -EINVAL);
    assert_int_equal(vgpu_read_register(dev, 2, &value), -EINVAL);
    assert_int_equal(vgpu_write_register(dev, VGPU_BAR0_SIZE, 0), -EINVAL);
    assert_int_equal(vgpu_write_register(dev, 1, 0), -EINVAL);

    vgpu_get_counters(dev, &counters);
    assert_int_equal(counters.reads, 3); /* and one by vgpu_open() */
    assert_int_equal(counters.writes, 1);
    assert_int_equal(counters.requests, 0);
    vgpu_close(dev);
}

static void test_bind(void **state)
{
    fake_sysfs *f = *state;
    char path[256], text[32];
    FILE *file;

    fake_sysfs_add(f, FAKE_ADDRESS);
    assert_int_equal(vgpu_bind_uio(&f->paths, "0000:00:05.0"), -ENODEV);
    assert_int_equal(vgpu_bind_uio(&f->paths, FAKE_ADDRESS), -ENOENT);
    assert_string_equal(fake_sysfs_read(f, FAKE_ADDRESS, "driver_override"), "(null)\n");

    fake_sysfs_add_driver(f, "uio_pci_generic");
    assert_int_equal(vgpu_bind_uio(&f->paths, FAKE_ADDRESS), 0);
    assert_memory_equal(fake_sysfs_read(f, FAKE_ADDRESS, "driver_override"), "uio_pci_generic",
                        strlen("uio_pci_generic"));
    snprintf(path, sizeof(path), "%s/bus/pci/drivers/uio_pci_generic/bind", f->sys);
    file = fopen(path, "r");
    assert_non_null(file);
    assert_non_null(fgets(text, sizeof(text), file));
    assert_string_equal(text, FAKE_ADDRESS);
    fclose(file);
}

static void test_bind_refused(void **state)
{
    fake_sysfs *f = *state;
    char path[256];

    fake_sysfs_add(f, FAKE_ADDRESS);
    fake_sysfs_add_driver(f, "uio_pci_generic");

    /* A file that accepts no byte stands for a driver that does not take the device. */
    snprintf(path, sizeof(path), "%s/bus/pci/drivers/uio_pci_generic/bind", f->sys);
    assert_return_code(unlink(path), 0);
    assert_return_code(symlink("/dev/full", path), 0);
    assert_int_equal(vgpu_bind_uio(&f->paths, FAKE_ADDRESS), -ENOSPC);
    assert_int_equal(fake_sysfs_read(f, FAKE_ADDRESS, "driver_override")[0], '\n');
}

static void test_bind_leaves_drivers_alone(void **state)
{
    fake_sysfs *f = *state;

    fake_sysfs_add(f, FAKE_ADDRESS);
    fake_sysfs_add(f, "0000:00:05.0");
    fake_sysfs_bind(f, FAKE_ADDRESS, "uio_pci_generic");
    fake_sysfs_bind(f, "0000:00:05.0", "vfio-pci");

    assert_int_equal(vgpu_bind_uio(&f->paths, FAKE_ADDRESS), 0);
    assert_string_equal(fake_sysfs_read(f, FAKE_ADDRESS, "driver_override"), "(null)\n");
    assert_int_equal(vgpu_bind_uio(&f->paths, "0000:00:05.0"), -EBUSY);
}

static void test_bind_vfio(void **state)
{
    fake_sysfs *f = *state;

    fake_sysfs_add(f, FAKE_ADDRESS);
    assert_int_equal(vgpu_bind_vfio(&f->paths, "0000:00:05.0"), -ENODEV);
    assert_int_equal(vgpu_bind_vfio(&f->paths, FAKE_ADDRESS), -ENOENT);
    fake_sysfs_add_driver(f, "vfio-pci");
    assert_int_equal(vgpu_bind_vfio(&f->paths, FAKE_ADDRESS), 0);
    assert_memory_equal(fake_sysfs_read(f, FAKE_ADDRESS, "driver_override"), "vfio-pci", 8);
    fake_sysfs_bind(f, FAKE_ADDRESS, "vfio-pci");
    assert_int_equal(vgpu_bind_vfio(&f->paths, FAKE_ADDRESS), 0);
    assert_int_equal(vgpu_bind_uio(&f->paths, FAKE_ADDRESS), -EBUSY);
}

static void test_enable_interrupts(void **state)
{
    fake_sysfs *f = *state;
    vgpu_found *list;
    vgpu_device *dev;
    size_t n;

    fake_sysfs_add(f, FAKE_ADDRESS);
    assert_int_equal(vgpu_open(&f->paths, NULL, &dev), 0);
    assert_string_equal(vgpu_get_access(dev), "sysfs");
    assert_int_equal(vgpu_enable_interrupts(dev), -ENXIO);

    fake_sysfs_bind(f, FAKE_ADDRESS, "uio_pci_generic");
    assert_int_equal(vgpu_find(&f->paths, &list, &n), 0);
    assert_int_equal(list[0].uio, 0);
    free(list);
    vgpu_close(dev);
}

static void test_enable_interrupts_of_another_driver(void **state)
{
    fake_sysfs *f = *state;
    vgpu_device *dev;

    fake_sysfs_add(f, FAKE_ADDRESS);
    fake_sysfs_bind(f, FAKE_ADDRESS, "some_uio_driver");
    assert_return_code(mkdir(fake_sysfs_path(f, FAKE_ADDRESS, "uio"), 0777), 0);
    assert_return_code(mkdir(fake_sysfs_path(f, FAKE_ADDRESS, "uio/uio0"), 0777), 0);

    assert_int_equal(vgpu_open(&f->paths, NULL, &dev), 0);
    assert_int_equal(vgpu_enable_interrupts(dev), -ENXIO);
    vgpu_close(dev);
}

static void test_reset(void **state)
{
    fake_sysfs *f = *state;
    vgpu_device *dev;

    fake_sysfs_add(f, FAKE_ADDRESS);
    assert_int_equal(vgpu_open(&f->paths, NULL, &dev), 0);
    assert_int_equal(vgpu_reset(dev), -ENOLCK);
    assert_int_equal(vgpu_lock(dev, 0), 0);
    assert_int_equal(vgpu_reset(dev), -EOPNOTSUPP);

    fake_sysfs_write(f, FAKE_ADDRESS, "reset", "");
    fake_sysfs_write(f, FAKE_ADDRESS, "reset_method", "pm bus\n");
    assert_int_equal(vgpu_reset(dev), -EOPNOTSUPP);
    assert_string_equal(fake_sysfs_read(f, FAKE_ADDRESS, "reset"), "");

    fake_sysfs_write(f, FAKE_ADDRESS, "reset_method", "flr bus\n");
    assert_int_equal(vgpu_reset(dev), 0);
    assert_string_equal(fake_sysfs_read(f, FAKE_ADDRESS, "reset"), "1");
    vgpu_close(dev);
}

int main(void)
{
#define CASE(function) \
    cmocka_unit_test_setup_teardown(function, fake_sysfs_setup, fake_sysfs_teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_find_none),
        CASE(test_find_without_pci),
        CASE(test_find_sorts),
        CASE(test_find_leaves_others_alone),
        CASE(test_open_by_name),
        CASE(test_open_bad_names),
        CASE(test_open_enables_memory),
        CASE(test_open_checks_the_device),
        CASE(test_registers),
        CASE(test_bind),
        CASE(test_bind_vfio),
        CASE(test_bind_refused),
        CASE(test_bind_leaves_drivers_alone),
        CASE(test_enable_interrupts),
        CASE(test_enable_interrupts_of_another_driver),
        CASE(test_reset),
    };

    return cmocka_run_group_tests_name("guest-find", tests, NULL, NULL);
}
