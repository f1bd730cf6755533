/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "test-guest-sysfs.h"
#include "test.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void make_directory(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void make_directory(const char *format, ...)
{
    char path[512];
    va_list args;

    va_start(args, format);
    vsnprintf(path, sizeof(path), format, args);
    va_end(args);
    assert_return_code(mkdir(path, 0777), 0);
}

void fake_sysfs_create(fake_sysfs *f)
{
    const char *tmp = getenv("TMPDIR");

    snprintf(f->root, sizeof(f->root), "%.40s/vgpu-test.XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(f->root));
    snprintf(f->sys, sizeof(f->sys), "%s/sys", f->root);
    snprintf(f->dev, sizeof(f->dev), "%s/dev", f->root);
    f->paths = (vgpu_paths){.sysfs = f->sys, .dev = f->dev};

    make_directory("%s", f->sys);
    make_directory("%s", f->dev);
    make_directory("%s/bus", f->sys);
    make_directory("%s/bus/pci", f->sys);
    make_directory("%s/bus/pci/devices", f->sys);
    make_directory("%s/bus/pci/drivers", f->sys);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void) st;
    (void) type;
    (void) ftw;
    return remove(path);
}

void fake_sysfs_remove(fake_sysfs *f)
{
    assert_return_code(nftw(f->root, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

const char *fake_sysfs_path(fake_sysfs *f, const char *address, const char *file)
{
    static char path[512];

    snprintf(path, sizeof(path), "%s/bus/pci/devices/%s/%s", f->sys, address, file);
    return path;
}

static void write_file(const char *path, const void *content, size_t size)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_int_equal(fwrite(content, 1, size, file), size);
    assert_return_code(fclose(file), 0);
}

void fake_sysfs_write(fake_sysfs *f, const char *address, const char *file, const char *content)
{
    write_file(fake_sysfs_path(f, address, file), content, strlen(content));
}

const char *fake_sysfs_read(fake_sysfs *f, const char *address, const char *file)
{
    static char content[256];
    FILE *stream = fopen(fake_sysfs_path(f, address, file), "r");
    size_t n;

    assert_non_null(stream);
    n = fread(content, 1, sizeof(content) - 1, stream);
    content[n] = '\0';
    fclose(stream);
    return content;
}

static void write_registers(fake_sysfs *f, const char *address)
{
    uint32_t bar[VGPU_BAR0_SIZE / sizeof(uint32_t)] = {0};

    bar[VGPU_REG_PROTOCOL_VER / 4] = VGPU_PROTOCOL_VERSION;
    bar[VGPU_REG_CAPABILITIES / 4] = VGPU_CAP_BASIC;
    bar[VGPU_REG_POOL_ID / 4] = 'B';
    bar[VGPU_REG_PRIORITY / 4] = VGPU_PRIORITY_HIGH;
    bar[VGPU_REG_VM_ID / 4] = 7;
    write_file(fake_sysfs_path(f, address, "resource0"), bar, sizeof(bar));
}

void fake_sysfs_add(fake_sysfs *f, const char *address)
{
    const uint8_t config[64] = {0xf4, 0x1a, 0x11, 0x11};

    make_directory("%s/bus/pci/devices/%s", f->sys, address);
    fake_sysfs_write(f, address, "vendor", "0x1af4\n");
    fake_sysfs_write(f, address, "device", "0x1111\n");
    fake_sysfs_write(f, address, "class", "0x120000\n");
    fake_sysfs_write(f, address, "revision", "0x02\n");
    fake_sysfs_write(f, address, "enable", "1\n");
    fake_sysfs_write(f, address, "driver_override", "(null)\n");
    write_file(fake_sysfs_path(f, address, "config"), config, sizeof(config));
    write_registers(f, address);
}

void fake_sysfs_add_driver(fake_sysfs *f, const char *driver)
{
    char path[256];

    make_directory("%s/bus/pci/drivers/%s", f->sys, driver);
    snprintf(path, sizeof(path), "%s/bus/pci/drivers/%s/bind", f->sys, driver);
    write_file(path, "", 0);
}

void fake_sysfs_bind(fake_sysfs *f, const char *address, const char *driver)
{
    char target[128], path[128];

    snprintf(target, sizeof(target), "../../../bus/pci/drivers/%s", driver);
    assert_return_code(symlink(target, fake_sysfs_path(f, address, "driver")), 0);
    if (strcmp(driver, "uio_pci_generic") != 0)
        return;

    make_directory("%s", fake_sysfs_path(f, address, "uio"));
    make_directory("%s", fake_sysfs_path(f, address, "uio/uio0"));
    snprintf(path, sizeof(path), "%s/uio0", f->dev);
    assert_return_code(mkfifo(path, 0666), 0);
}

int fake_sysfs_setup(void **state)
{
    fake_sysfs *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    fake_sysfs_create(f);
    *state = f;
    return 0;
}

int fake_sysfs_teardown(void **state)
{
    fake_sysfs_remove(*state);
    free(*state);
    return 0;
}
