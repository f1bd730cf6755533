/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How the emulator launcher changes command lines, and the record that it reads. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "launcher-arguments.h"
#include "machine.h"
#include "qemu-version.h"
#include "record.h"
#include "slot.h"
#include "slots.h"
#include "test.h"
#include "vgpu-protocol.h"

#define UUID "6f1d8c1e-2a47-4d0b-9f0e-0c5b7a1e4d11"
#define PLUGIN "/usr/lib/vgpu-mediator/qemu-7.2/vgpu-stub.so"

#define N_ARGUMENTS_MAX 256

static const Record record = {
    .registered = true,
    .pool = 'C',
    .priority = VGPU_PRIORITY_LOW,
    .vm_id = 4000000000u,
    .window_size = 16777216,
    .slot = SLOT_ANY,
};

/* ---- Whose command line it is --------------------------------------------------------------- */

#define ARGV(...) ((char *const[]){(char[]){"qemu"}, __VA_ARGS__, NULL})
#define S(text) ((char[]){text})

TEST(test_uuid)
{
    char uuid[UUID_TEXT_SIZE];

    assert_true(arguments_get_uuid(ARGV(S("-name"), S("a"), S("-uuid"), S(UUID)), uuid));
    assert_string_equal(uuid, UUID);
    assert_true(
        arguments_get_uuid(ARGV(S("--uuid"), S("6F1D8C1E-2A47-4D0B-9F0E-0C5B7A1E4D11")), uuid));
    assert_string_equal(uuid, UUID);
    assert_true(arguments_get_uuid(ARGV(S("-append"), S("-uuid"), S("-uuid"), S(UUID)), uuid));
}

TEST(test_no_uuid)
{
    char uuid[UUID_TEXT_SIZE] = "untouched";

    /* libvirt's probe */
    assert_false(arguments_get_uuid(ARGV(S("-S"), S("-no-user-config"), S("-nodefaults"),
                                         S("-nographic"), S("-machine"), S("none,accel=kvm:tcg"),
                                         S("-qmp"), S("unix:/x,server=on,wait=off"), S("-pidfile"),
                                         S("/y"), S("-daemonize")),
                                    uuid));
    assert_false(arguments_get_uuid(ARGV(S("-uuid")), uuid));
    assert_false(arguments_get_uuid(ARGV(S("-uuid"), S("")), uuid));
    assert_false(arguments_get_uuid(ARGV(S("-uuid"), S("../../../../../../etc/shadow")), uuid));
    assert_false(
        arguments_get_uuid(ARGV(S("-uuid"), S("6f1d8c1e-2a47-4d0b-9f0e-0c5b7a1e4d11/")), uuid));
    assert_false(
        arguments_get_uuid(ARGV(S("-uuid"), S("6f1d8c1e-2a47-4d0b-9f0e/0c5b7a1e4d11")), uuid));
    assert_false(arguments_get_uuid(ARGV(S("-append"), S("-uuid"), S(UUID)), uuid));
    assert_false(arguments_get_uuid(ARGV(S("uuid"), S(UUID)), uuid));
    assert_false(arguments_get_uuid((char *const[]){NULL}, uuid));
    assert_string_equal(uuid, "untouched");
}

/* ---- Real command lines of libvirt ------------------------------------------------------- */

/* The file's lines; comments are left out. */
static void read_arguments(const char *name, char *argv[static N_ARGUMENTS_MAX])
{
    char path[4096], line[4096];
    size_t n = 0;
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s", getenv("VGPU_LIBVIRT_ARGUMENTS"), name);
    f = fopen(path, "re");
    assert_non_null(f);
    while (fgets(line, sizeof(line), f)) {
        line[strcspn(line, "\n")] = '\0';
        if (line[0] == '#')
            continue;
        assert_true(n < N_ARGUMENTS_MAX - 1);
        argv[n++] = strdup(line);
    }
    argv[n] = NULL;
    fclose(f);
    assert_true(n > 50);
}

static void free_arguments(char **argv)
{
    for (size_t i = 0; argv[i]; i++)
        free(argv[i]);
}

static void expect_added(char *const before[], char *const after[], const char *bus)
{
    char expected[512];
    size_t n = 0;

    for (; before[n]; n++)
        assert_string_equal(after[n], before[n]);
    snprintf(
        expected, sizeof(expected),
        "{\"driver\":\"vgpu-stub\",\"id\":\"vgpu-mediator\",\"pool_id\":\"C\",\"priority\":\"low\","
        "\"vm_id\":4000000000,\"window-size\":16777216,\"uuid\":\"" UUID
        "\",\"bus\":\"%s\",\"addr\":\"0x1e\"}",
        bus);
    assert_string_equal(after[n], "-plugin");
    assert_string_equal(after[n + 1], PLUGIN);
    assert_string_equal(after[n + 2], "-device");
    assert_string_equal(after[n + 3], expected);
    assert_null(after[n + 4]);
}

TEST(test_libvirts_command_lines)
{
    static const struct {
        const char *name, *bus;
    } cases[] = {
        {"9.0-q35", "pcie.0"},
        {"9.0-i440fx", "pci.0"},
        {"11.3-q35", "pcie.0"},
        {"11.3-i440fx", "pci.0"},
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        char *argv[N_ARGUMENTS_MAX], **after = NULL, uuid[UUID_TEXT_SIZE];
        const char *reason = NULL;

        read_arguments(cases[i].name, argv);
        assert_true(arguments_get_uuid(argv, uuid));
        assert_string_equal(uuid, "11111111-2222-4333-8444-555555555555");
        assert_int_equal(arguments_add_device(argv, UUID, &record, PLUGIN, &after, &reason), 0);
        expect_added(argv, after, cases[i].bus);
        arguments_free(after);
        free_arguments(argv);
    }
}

/* ---- The slot ---------------------------------------------------------------------------- */

static void expect_device(const char *value, const DeviceArgument *expected)
{
    DeviceArgument a;

    assert_int_equal(device_argument_parse(value, "pcie.0", &a), 0);
    if (a.has_slot != expected->has_slot || (a.has_slot && a.slot != expected->slot) ||
        a.on_bus != expected->on_bus || a.is_vgpu != expected->is_vgpu)
        fail_msg("%s: slot %d %u, bus %d, vgpu %d", value, a.has_slot, a.slot, a.on_bus, a.is_vgpu);
}

TEST(test_device_arguments)
{
    static const DeviceArgument none = {.on_bus = true};
    static const DeviceArgument elsewhere = {.has_slot = true, .slot = 3};
    static const DeviceArgument slot_1e = {.has_slot = true, .slot = 0x1e, .on_bus = true};

    expect_device("{\"driver\":\"x\",\"bus\":\"pcie.0\",\"addr\":\"0x1e\"}", &slot_1e);
    expect_device("{\"driver\":\"x\",\"bus\":\"pcie.0\",\"addr\":\"0x1e.0x7\"}", &slot_1e);
    expect_device("{\"driver\":\"x\",\"bus\":\"pcie.0\",\"addr\":\"1e\"}", &slot_1e);
    expect_device("{\"driver\":\"x\",\"addr\":\"1e.0\"}", &slot_1e);
    expect_device("{\"driver\":\"x\",\"bus\":\"pcie.0\",\"addr\":241}", &slot_1e);
    expect_device("{\"driver\":\"x\",\"bus\":\"pci.3\",\"addr\":\"0x3\"}", &elsewhere);
    expect_device("x,bus=pcie.0,addr=0x1e", &slot_1e);
    expect_device("driver=x,addr=1E.2,bus=pcie.0", &slot_1e);
    expect_device("x,id=a,,addr=3,addr=1e,bus=pcie.0", &slot_1e);
    expect_device("x,bus=pci.3,addr=3", &elsewhere);

    expect_device("x", &none);
    expect_device("", &none);
    expect_device("x,addr=20", &none);
    expect_device("x,addr=", &none);
    expect_device("x,addr=here", &none);
    expect_device("{", &none);
    expect_device("{}", &none);
    expect_device("{\"addr\":null,\"bus\":3,\"driver\":[]}", &none);
    expect_device("{\"addr\":256}", &none);
    expect_device("{\"addr\":-1}", &none);

    expect_device("vgpu-stub,pool_id=A", &(DeviceArgument){.on_bus = true, .is_vgpu = true});
    expect_device("{\"driver\":\"vgpu-stub\"}", &(DeviceArgument){.on_bus = true, .is_vgpu = true});
}

TEST(test_free_slots)
{
    assert_int_equal(slots_find_free(0), 0x1e);
    assert_int_equal(slots_find_free(0x80000000u), 0x1e);
    assert_int_equal(slots_find_free(0x40000000u), 0x1d);
    assert_int_equal(slots_find_free(0x7ffffff8u), 2);
    assert_int_equal(slots_find_free(0x7ffffffcu), -ENOSPC);
}

/* The device's JSON, or the reason why there is none. */
static char *added_in_slot(char *const argv[], int slot)
{
    Record at = record;
    const char *reason = NULL;
    char **after = NULL, *json;
    size_t n = 0;
    int r;

    at.slot = slot;
    r = arguments_add_device(argv, UUID, &at, PLUGIN, &after, &reason);

    if (r != 0) {
        assert_true(r > 0);
        assert_null(after);
        return strdup(reason);
    }
    while (after[n])
        n++;
    json = strdup(after[n - 1]);
    arguments_free(after);
    return json;
}

static void expect_result_in_slot(char *const argv[], int slot, const char *text)
{
    char *result = added_in_slot(argv, slot);

    if (!strstr(result, text))
        fail_msg("'%s' is not in '%s'", text, result);
    free(result);
}

static void expect_result(char *const argv[], const char *text)
{
    expect_result_in_slot(argv, SLOT_ANY, text);
}

TEST(test_slots_of_a_command_line)
{
    expect_result(ARGV(S("-machine"), S("q35")), "\"bus\":\"pcie.0\",\"addr\":\"0x1e\"");
    expect_result(ARGV(S("-M"), S("type=pc,accel=tcg")), "\"bus\":\"pci.0\",\"addr\":\"0x1e\"");
    expect_result(ARGV(S("-machine"), S("pc-q35-9.2,usb=off"), S("-device"),
                       S("{\"driver\":\"i82801b11-bridge\",\"bus\":\"pcie.0\",\"addr\":\"0x1e\"}"),
                       S("-device"), S("ich9-usb-ehci1,bus=pcie.0,addr=0x1d.0x7")),
                  "\"addr\":\"0x1c\"");
    expect_result(ARGV(S("-machine"), S("pc"), S("-device"), S("x,bus=pci.1,addr=0x1e"),
                       S("-append"), S("-device"), S("y,addr=0x1e")),
                  "\"addr\":\"0x1e\"");
    expect_result(ARGV(S("-machine"), S("pc"), S("-device")), "\"addr\":\"0x1e\"");
}

/* Where the device was before it is again, if the machine's state needs that or nobody is there. */
TEST(test_the_slot_from_before)
{
    char user[] = "{\"driver\":\"x\",\"bus\":\"pci.0\",\"addr\":\"0x1d\"}";

    expect_result_in_slot(ARGV(S("-M"), S("pc")), 0x1d, "\"addr\":\"0x1d\"");
    expect_result_in_slot(ARGV(S("-M"), S("pc"), S("-incoming"), S("defer")), 0x1d,
                          "\"addr\":\"0x1d\"");
    expect_result_in_slot(ARGV(S("-M"), S("pc"), S("-device"), user), 0x1d, "\"addr\":\"0x1e\"");
    expect_result_in_slot(ARGV(S("-M"), S("pc"), S("-device"), user, S("-incoming"), S("defer")),
                          0x1d, "another device has the PCI slot");
    expect_result_in_slot(ARGV(S("-M"), S("pc"), S("-device"), user, S("-loadvm"), S("a")), 0x1d,
                          "another device has the PCI slot");
    expect_result_in_slot(ARGV(S("-M"), S("pc"), S("-append"), S("-incoming"), S("-device"), user),
                          0x1d, "\"addr\":\"0x1e\"");
    expect_result_in_slot(ARGV(S("-M"), S("pc")), SLOT_NONE, "\"addr\":\"0x1e\"");
}

/* The user may have given any ID to a device of his. */
TEST(test_the_id_is_nobody_elses)
{
    expect_result(ARGV(S("-M"), S("q35"), S("-device"), S("virtio-gpu-pci,id=vgpu0")),
                  "\"id\":\"vgpu-mediator\"");
}

TEST(test_finding_the_device)
{
    int slot;

    assert_int_equal(arguments_find_device(ARGV(S("-M"), S("pc")), &slot), 0);
    assert_int_equal(slot, SLOT_NONE);
    assert_int_equal(arguments_find_device(ARGV(S("-M"), S("none")), &slot), 0);
    assert_int_equal(slot, SLOT_NONE);
    assert_int_equal(arguments_find_device(ARGV(S("-M"), S("pc"), S("-device"),
                                                S("{\"driver\":\"vgpu-stub\",\"bus\":\"pci.0\","
                                                  "\"addr\":\"0x1d\"}")),
                                           &slot),
                     0);
    assert_int_equal(slot, 0x1d);
    assert_int_equal(
        arguments_find_device(ARGV(S("-M"), S("pc"), S("-device"), S("vgpu-stub")), &slot), 0);
    assert_int_equal(slot, SLOT_ANY);
}

TEST(test_a_full_bus)
{
    char *argv[N_ARGUMENTS_MAX] = {S("qemu"), S("-machine"), S("pc")};
    static char option[] = "-device", devices[32][16];
    size_t n = 3;

    for (unsigned slot = 2; slot < 31; slot++) {
        snprintf(devices[slot], sizeof(devices[slot]), "x,addr=%x", slot);
        argv[n++] = option;
        argv[n++] = devices[slot];
    }
    expect_result(argv, "no free PCI slot");
}

TEST(test_machines_without_a_known_bus)
{
    static const char *const machines[] = {"none", "isapc", "microvm", "pcx", "q35x", "xenfv", ""};

    expect_result(ARGV(S("-uuid"), S(UUID)), "machine type");
    expect_result(ARGV(S("-machine"), S("microvm,x-option=pc")), "machine type");
    for (size_t i = 0; i < ELEMENTSOF(machines); i++)
        assert_null(machine_root_bus(machines[i], (unsigned) strlen(machines[i])));
}

TEST(test_machines_of_distributions)
{
    static const struct {
        const char *type, *bus;
    } cases[] = {
        {"pc", "pci.0"},
        {"pc-i440fx-7.2", "pci.0"},
        {"pc-i440fx-jammy", "pci.0"},
        {"pc-i440fx-rhel7.6.0", "pci.0"},
        {"ubuntu", "pci.0"},
        {"q35", "pcie.0"},
        {"pc-q35-10.0", "pcie.0"},
        {"pc-q35-noble-v2", "pcie.0"},
        {"ubuntu-q35", "pcie.0"},
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++)
        assert_string_equal(machine_root_bus(cases[i].type, (unsigned) strlen(cases[i].type)),
                            cases[i].bus);
}

TEST(test_a_device_that_is_there_already)
{
    expect_result(ARGV(S("-machine"), S("pc"), S("-device"), S("vgpu-stub,vm_id=1")),
                  "has one already");
}

/* ---- QEMU's version ---------------------------------------------------------------------- */

TEST(test_version)
{
    QEMUVersion version;

    assert_int_equal(
        qemu_version_parse("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)\nCopyright",
                           &version),
        0);
    assert_int_equal(version.major, 7);
    assert_int_equal(version.minor, 2);
    assert_int_equal(qemu_version_parse("QEMU emulator version 10.0.13", &version), 0);
    assert_int_equal(version.major, 10);
    assert_int_equal(qemu_version_parse("", &version), -EBADMSG);
    assert_int_equal(qemu_version_parse("QEMU emulator version seven", &version), -EBADMSG);
    assert_int_equal(qemu_version_parse("qemu-img version 7.2.22", &version), -EBADMSG);
}

TEST(test_version_of_programs)
{
    QEMUVersion version;

    assert_int_equal(qemu_version_ask("/nonexistent", &version), -ENOENT);
    assert_int_equal(qemu_version_ask("/dev/null", &version), -EACCES);
    assert_int_equal(qemu_version_ask("/bin/true", &version), -EBADMSG);
    /* much more than is looked at */
    assert_int_equal(qemu_version_ask("/bin/bash", &version), -EBADMSG);
    assert_int_equal(qemu_version_ask(getenv("VGPU_TEST_FAKE_QEMU"), &version), 0);
    assert_int_equal(version.major, 99);
    assert_int_equal(version.minor, 7);
}

/* ---- The record -------------------------------------------------------------------------- */

static char directory[64], domains[96], path[160];

static int make_directory(void **state)
{
    (void) state;
    strcpy(directory, "/tmp/vgpu-test-XXXXXX");
    if (!mkdtemp(directory))
        return -1;
    snprintf(domains, sizeof(domains), "%s/domains", directory);
    snprintf(path, sizeof(path), "%s/" UUID, domains);
    return 0;
}

static int remove_directory(void **state)
{
    (void) state;
    (void) unlink(path);
    (void) rmdir(path);
    (void) rmdir(domains);
    return rmdir(directory);
}

static void write_text(const char *text)
{
    FILE *f = fopen(path, "we");

    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    assert_int_equal(chmod(path, 0644), 0);
}

static int read_record(Record *ret)
{
    return record_read(domains, UUID, geteuid(), ret);
}

TEST(test_record)
{
    static const Record all = {
        .registered = true,
        .pool = 'D',
        .vm_id = 7,
        .needs_machine = true,
        .slot = 0x1d,
        .name = "web 1",
        .emulator = "/opt/my qemu",
        .problem = "one line",
    };
    static const Record problem = {
        .window_size = 16777216, .slot = SLOT_NONE, .problem = "no mediator"};
    mode_t mask = umask(077);
    struct stat st;
    Record r;

    assert_int_equal(read_record(&r), -ENOENT);
    assert_int_equal(record_write(domains, UUID, &record), 0);
    umask(mask);
    assert_int_equal(stat(domains, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0755);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0644);

    assert_int_equal(read_record(&r), 0);
    assert_memory_equal(&r, &record, sizeof(r));

    assert_int_equal(record_write(domains, UUID, &all), 0);
    assert_int_equal(read_record(&r), 0);
    assert_memory_equal(&r, &all, sizeof(r));

    assert_int_equal(record_write(domains, UUID, &problem), 0);
    assert_int_equal(read_record(&r), 0);
    assert_memory_equal(&r, &problem, sizeof(r));

    assert_int_equal(record_remove(domains, UUID), 0);
    assert_int_equal(record_remove(domains, UUID), -ENOENT);
    /* The directory is empty. */
    assert_int_equal(rmdir(domains), 0);
}

static bool web1_runs;

static bool is_running(const char *name, const char *uuid)
{
    assert_string_equal(name, "web1");
    assert_string_equal(uuid, UUID);
    return web1_runs;
}

TEST(test_records_of_domains_that_ended)
{
    static const struct timespec long_ago[2] = {{.tv_sec = 1}, {.tv_sec = 1}};
    Record web1 = record;

    strcpy(web1.name, "web1");
    record_tidy(domains, geteuid(), is_running);
    assert_int_equal(record_write(domains, UUID, &web1), 0);
    web1_runs = false;
    record_tidy(domains, geteuid(), is_running); /* it may be starting */
    assert_int_equal(access(path, F_OK), 0);

    assert_int_equal(utimensat(AT_FDCWD, path, long_ago, 0), 0);
    web1_runs = true;
    record_tidy(domains, geteuid(), is_running);
    assert_int_equal(access(path, F_OK), 0);
    web1_runs = false;
    record_tidy(domains, geteuid(), is_running);
    assert_int_equal(access(path, F_OK), -1);
}

TEST(test_record_of_somebody_else)
{
    Record r;

    assert_int_equal(record_write(domains, UUID, &record), 0);
    assert_int_equal(record_read(domains, UUID, geteuid() + 1, &r), -EPERM);
    assert_int_equal(chmod(path, 0664), 0);
    assert_int_equal(read_record(&r), -EPERM);
    assert_int_equal(chmod(path, 0646), 0);
    assert_int_equal(read_record(&r), -EPERM);
    assert_int_equal(unlink(path), 0);

    assert_int_equal(symlink("/etc/passwd", path), 0);
    assert_int_equal(read_record(&r), -ELOOP);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0644), 0);
    assert_int_equal(read_record(&r), -EPERM);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0755), 0);
    assert_int_equal(read_record(&r), -EPERM);
}

TEST(test_records_that_make_no_sense)
{
#define WHOLE "POOL=A\nPRIORITY=high\nVM_ID=1\nWINDOW_SIZE=65536\n"
    static const char *const texts[] = {
        "",
        "MACHINE=yes\n",
        "PRIORITY=high\nVM_ID=1\nWINDOW_SIZE=65536\n",
        "POOL=A\nVM_ID=1\nWINDOW_SIZE=65536\n",
        "POOL=A\nPRIORITY=high\nWINDOW_SIZE=65536\n",
        "POOL=A\nPRIORITY=high\nPROBLEM=half\n",
        WHOLE "POOL=AB\n",
        WHOLE "POOL=a\n",
        WHOLE "POOL=\n",
        WHOLE "PRIORITY=higher\n",
        WHOLE "VM_ID=-1\n",
        WHOLE "VM_ID=4294967296\n",
        WHOLE "VM_ID=99999999999999999999\n",
        WHOLE "VM_ID=1 \n",
        WHOLE "VM_ID=\n",
        WHOLE "WINDOW_SIZE=1M\n",
        WHOLE "SLOT=0x1f\n",
        WHOLE "SLOT=\n",
        "nonsense",
    };
    char large[4096] = WHOLE;
    Record r;

    assert_int_equal(record_write(domains, UUID, &record), 0);
    for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
        write_text(texts[i]);
        if (read_record(&r) != -EBADMSG)
            fail_msg("accepted: %s", texts[i]);
    }
    memset(large + strlen(large), '#', 4000);
    write_text(large);
    assert_int_equal(read_record(&r), -EBADMSG);
    strcpy(large, WHOLE "EMULATOR=/");
    memset(large + strlen(large), 'x', RECORD_TEXT_SIZE);
    write_text(large);
    assert_int_equal(read_record(&r), -EBADMSG);

    write_text("FUTURE=x\nnonsense\nWINDOW_SIZE=0\nVM_ID=1\nPOOL=A\nPRIORITY=medium");
    assert_int_equal(read_record(&r), 0);
    assert_int_equal(r.priority, VGPU_PRIORITY_MEDIUM);

    /* as the first hook wrote it, for a domain that has run since then */
    write_text("POOL=A\nPRIORITY=high\nVM_ID=1\n");
    assert_int_equal(read_record(&r), 0);
    assert_true(r.registered);
    assert_int_equal(r.window_size, 16777216);
    assert_int_equal(r.slot, SLOT_ANY);
}

TEST(test_record_where_it_cannot_be)
{
    assert_int_equal(record_write("/nonexistent/domains", UUID, &record), -ENOENT);
    assert_int_equal(record_write("/dev/null", UUID, &record), -ENOTDIR);
}

int main(void)
{
#define WITH_DIRECTORY(test) cmocka_unit_test_setup_teardown(test, make_directory, remove_directory)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_uuid),
        cmocka_unit_test(test_no_uuid),
        cmocka_unit_test(test_libvirts_command_lines),
        cmocka_unit_test(test_device_arguments),
        cmocka_unit_test(test_free_slots),
        cmocka_unit_test(test_slots_of_a_command_line),
        cmocka_unit_test(test_the_slot_from_before),
        cmocka_unit_test(test_the_id_is_nobody_elses),
        cmocka_unit_test(test_finding_the_device),
        cmocka_unit_test(test_a_full_bus),
        cmocka_unit_test(test_machines_without_a_known_bus),
        cmocka_unit_test(test_machines_of_distributions),
        cmocka_unit_test(test_a_device_that_is_there_already),
        cmocka_unit_test(test_version),
        cmocka_unit_test(test_version_of_programs),
        WITH_DIRECTORY(test_record),
        WITH_DIRECTORY(test_records_of_domains_that_ended),
        WITH_DIRECTORY(test_record_of_somebody_else),
        WITH_DIRECTORY(test_records_that_make_no_sense),
        WITH_DIRECTORY(test_record_where_it_cannot_be),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
