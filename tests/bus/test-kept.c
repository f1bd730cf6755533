/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What outlives a restart of the mediator, and what an administrator makes last. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bus-util.h"
#include "test.h"
#include "world.h"

static int start(void **state)
{
    (void) state;
    return world_start("[Pool A]\nBackend=cpu\n[Pool B]\nBackend=cpu\n");
}

static void unregister(const char *name)
{
    call_manager(NULL, "UnregisterVM", "s", name);
}

/* ---- Over a restart ------------------------------------------------------------------------ */

TEST(test_restart)
{
    uint32_t id = register_vm("kept", 0x91, "B", "high");
    VGPUWelcome welcome;
    int fd = dial();

    hello(fd, 0x91, 0, NULL);
    welcome = expect_welcome(fd);
    call_manager(NULL, "SetVMPriority", "ssb", "kept", "low", 1);
    call_manager(NULL, "SetVMLimits", "sa{sv}b", "kept", 1, "Weight", "u", 300, 1);
    call_manager(NULL, "PauseVM", "s", "kept");

    restart_mediator(SIGKILL);
    expect_closed(fd);
    expect_text(VM("kept"), VGPU_INTERFACE_VM, "Priority", "low");
    expect_text(VM("kept"), VGPU_INTERFACE_VM, "ConfiguredPriority", "high");
    expect_text(VM("kept"), VGPU_INTERFACE_VM, "Pool", "B");
    assert_int_equal(get_u32(VM("kept"), VGPU_INTERFACE_VM, "VMID"), id);
    assert_int_equal(get_u32(VM("kept"), VGPU_INTERFACE_VM, "Weight"), 300);
    assert_true(get_bool(VM("kept"), VGPU_INTERFACE_VM, "Paused"));
    call_manager(NULL, "ResumeVM", "s", "kept");

    fd = dial();
    hello(fd, 0x91, 0, welcome.resume);
    expect_welcome(fd);
    expect_add(fd, 1, 1, 0, 2, 3);
    close(fd);

    unregister("kept");
    restart_mediator(SIGTERM);
    call_manager(VGPU_BUS_ERROR_NO_SUCH_VM, "GetVM", "s", "kept");
}

/* The file is that of a mediator that knew no weights. */
TEST(test_restart_of_an_older_one)
{
    uint32_t id = register_vm("older", 0x92, "B", "high");
    char command[300];

    call_manager(NULL, "SetVMLimits", "sa{sv}b", "older", 1, "Weight", "u", 300, 1);
    snprintf(command, sizeof(command), "sed -i '/^Weight=/d' %s/" UUID_OF("92") ".vm",
             mediator.runtime);
    assert_int_equal(system(command), 0);
    restart_mediator(SIGKILL);
    assert_int_equal(get_u32(VM("older"), VGPU_INTERFACE_VM, "VMID"), id);
    assert_int_equal(get_u32(VM("older"), VGPU_INTERFACE_VM, "Weight"), 100);
    unregister("older");
}

/* A VM whose pool is not configured any more stays known, and a reload brings its pool back. */
TEST(test_restart_without_its_pool)
{
    uint32_t id = register_vm("poolless", 0x93, "B", "high");
    VGPUWelcome welcome;
    int fd = dial();

    hello(fd, 0x93, 0, NULL);
    welcome = expect_welcome(fd);
    write_config("[Pool A]\nBackend=cpu\n");
    restart_mediator(SIGTERM);
    expect_closed(fd);
    assert_int_equal(test_mediator_wait_log(&mediator, "poolless: its pool B is not configured"),
                     0);
    assert_int_equal(get_u32(VM("poolless"), VGPU_INTERFACE_VM, "VMID"), id);

    fd = dial();
    hello(fd, 0x93, 0, welcome.resume);
    expect_welcome(fd);
    assert_true(wire_send_add(fd, 1, 1, 0, 2, 3));
    expect_response(fd, 1, VGPU_ERROR_INVALID_POOL);
    call_manager(NULL, "SetVMPriority", "ssb", "poolless", "low", 1);

    write_config("[Pool A]\nBackend=cpu\n[Pool B]\nBackend=cpu\n");
    call_manager(NULL, "Reload", NULL);
    expect_add(fd, 1, 2, 0, 2, 3);
    close(fd);
    unregister("poolless");
}

/* What cannot be read is named, and changes nothing. */
TEST(test_reload_of_what_cannot_be_read)
{
    sd_bus_error error = SD_BUS_ERROR_NULL;
    char directory[160], file[200];

    snprintf(directory, sizeof(directory), "%s.d", mediator.config);
    snprintf(file, sizeof(file), "%s/50-no-file.conf", directory);
    assert_int_equal(mkdir(directory, 0700), 0);
    assert_int_equal(mkfifo(file, 0600), 0);
    assert_true(sd_bus_call_method(bus, VGPU_BUS_NAME, VGPU_OBJECT_MANAGER, VGPU_INTERFACE_MANAGER,
                                   "Reload", &error, NULL, NULL) < 0);
    assert_string_equal(error.name, VGPU_BUS_ERROR_UNREADABLE);
    assert_non_null(strstr(error.message, file));
    sd_bus_error_free(&error);
    assert_int_equal(unlink(file), 0);
    call_manager(NULL, "Reload", NULL);
}

/* ---- What lasts ---------------------------------------------------------------------------- */

TEST(test_what_lasts)
{
    register_vm("lasts", 0xa1, "A", "high");
    call_manager(NULL, "SetVMPriority", "ssb", "lasts", "low", 0);
    call_manager(NULL, "SetVMPool", "ssb", "lasts", "B", 1);
    call_manager(NULL, "SetVMLimits", "sa{sv}b", "lasts", 2, "QueueLimit", "u", 7, "Weight", "u",
                 200, 0);
    call_manager(NULL, "SetVMLimits", "sa{sv}b", "lasts", 1, "Weight", "u", 300, 1);
    assert_int_equal(get_u32(VM("lasts"), VGPU_INTERFACE_VM, "Weight"), 300);
    unregister("lasts");

    register_vm("lasts", 0xa1, "A", "high");
    expect_text(VM("lasts"), VGPU_INTERFACE_VM, "Priority", "low");
    expect_text(VM("lasts"), VGPU_INTERFACE_VM, "ConfiguredPriority", "high");
    expect_text(VM("lasts"), VGPU_INTERFACE_VM, "Pool", "A");
    assert_int_equal(get_u32(VM("lasts"), VGPU_INTERFACE_VM, "QueueLimit"), 7);
    assert_int_equal(get_u32(VM("lasts"), VGPU_INTERFACE_VM, "Weight"), 200);

    /* A setting that is as configured is not kept. */
    call_manager(NULL, "SetVMPriority", "ssb", "lasts", "high", 0);
    unregister("lasts");
    register_vm("lasts", 0xa1, "A", "medium");
    expect_text(VM("lasts"), VGPU_INTERFACE_VM, "Priority", "medium");
    assert_int_equal(get_u32(VM("lasts"), VGPU_INTERFACE_VM, "QueueLimit"), 7);
    call_manager(NULL, "RevertVM", "sas", "lasts", 0);
    unregister("lasts");
}

/* What ListOverrides says of the VM that had this UUID: "NAME Setting=value …", or "". */
static const char *overrides_of(const char *uuid)
{
    static char text[1024];
    sd_bus_message *reply = NULL;
    const char *name, *id, *setting, *type, *word;
    uint32_t number;

    text[0] = '\0';
    assert_true(sd_bus_call_method(bus, VGPU_BUS_NAME, VGPU_OBJECT_MANAGER, VGPU_INTERFACE_MANAGER,
                                   "ListOverrides", NULL, &reply, NULL) >= 0);
    assert_true(sd_bus_message_enter_container(reply, 'a', "(ssa{sv})") > 0);
    while (sd_bus_message_enter_container(reply, 'r', "ssa{sv}") > 0) {
        bool wanted;

        assert_true(sd_bus_message_read(reply, "ss", &name, &id) > 0);
        wanted = strcmp(id, uuid) == 0;
        if (wanted)
            snprintf(text, sizeof(text), "%s", name);
        assert_true(sd_bus_message_enter_container(reply, 'a', "{sv}") > 0);
        while (sd_bus_message_enter_container(reply, 'e', "sv") > 0) {
            char value[64];

            assert_true(sd_bus_message_read(reply, "s", &setting) > 0);
            assert_true(sd_bus_message_peek_type(reply, NULL, &type) > 0);
            if (*type == 's')
                assert_true(sd_bus_message_read(reply, "v", "s", &word) > 0);
            else
                assert_true(sd_bus_message_read(reply, "v", "u", &number) > 0);
            if (*type == 's')
                snprintf(value, sizeof(value), " %s=%s", setting, word);
            else
                snprintf(value, sizeof(value), " %s=%u", setting, number);
            if (wanted)
                strncat(text, value, sizeof(text) - strlen(text) - 1);
            assert_true(sd_bus_message_exit_container(reply) > 0);
        }
        assert_true(sd_bus_message_exit_container(reply) > 0);
        assert_true(sd_bus_message_exit_container(reply) > 0);
    }
    sd_bus_message_unref(reply);
    return text;
}

/* It belongs to the VM, not to its name: another VM of that name has nothing of it, and the VM
 * has it under another name. */
TEST(test_what_lasts_follows_the_uuid)
{
    register_vm("first", 0xa2, "A", "high");
    call_manager(NULL, "SetVMPriority", "ssb", "first", "low", 0);
    unregister("first");

    register_vm("first", 0xa3, "A", "high");
    expect_text(VM("first"), VGPU_INTERFACE_VM, "Priority", "high");
    register_vm("renamed", 0xa2, "A", "high");
    expect_text(VM("renamed"), VGPU_INTERFACE_VM, "Priority", "low");
    restart_mediator(SIGTERM);
    expect_text(VM("renamed"), VGPU_INTERFACE_VM, "Priority", "low");
    assert_string_equal(overrides_of(UUID_OF("a2")), "renamed Priority=low");
    assert_string_equal(overrides_of(UUID_OF("a3")), "");
    unregister("first");
    unregister("renamed");
    call_manager(NULL, "RevertVM", "sas", "renamed", 0);
}

/* A definition that was changed later counts, setting by setting. */
TEST(test_what_lasts_gives_way)
{
    register_vm("gives", 0xa4, "A", "high");
    call_manager(NULL, "SetVMPriority", "ssb", "gives", "low", 0);
    call_manager(NULL, "SetVMLimits", "sa{sv}b", "gives", 1, "Weight", "u", 300, 0);
    unregister("gives");
    register_vm("gives", 0xa4, "A", "medium");
    expect_text(VM("gives"), VGPU_INTERFACE_VM, "Priority", "medium");
    assert_int_equal(get_u32(VM("gives"), VGPU_INTERFACE_VM, "Weight"), 300);
    assert_int_equal(
        test_mediator_wait_log(&mediator, "gives: Priority was changed in its definition"), 0);
    assert_string_equal(overrides_of(UUID_OF("a4")), "gives Weight=300");

    /* It does not come back with the old definition. */
    unregister("gives");
    restart_mediator(SIGTERM);
    register_vm("gives", 0xa4, "A", "high");
    expect_text(VM("gives"), VGPU_INTERFACE_VM, "Priority", "high");
    call_manager(NULL, "RevertVM", "sas", "gives", 1, "Weight");
    assert_string_equal(overrides_of(UUID_OF("a4")), "");
    unregister("gives");
}

/* ConfigureVM: the definition has another value now, which takes effect. */
TEST(test_configure)
{
    register_vm("defined", 0xa5, "A", "high");
    call_manager(NULL, "SetVMPriority", "ssb", "defined", "low", 0);
    call_manager(NULL, "ConfigureVM", "sa{sv}", "defined", 2, "Priority", "s", "medium", "Weight",
                 "u", 7);
    expect_signal(VM("defined"), "PropertiesChanged", VGPU_INTERFACE_VM);
    expect_text(VM("defined"), VGPU_INTERFACE_VM, "Priority", "medium");
    expect_text(VM("defined"), VGPU_INTERFACE_VM, "ConfiguredPriority", "medium");
    assert_int_equal(get_u32(VM("defined"), VGPU_INTERFACE_VM, "Weight"), 7);
    expect_text(VM("defined"), VGPU_INTERFACE_VM, "Pool", "A");
    assert_string_equal(overrides_of(UUID_OF("a5")), "");
    restart_mediator(SIGKILL);
    expect_text(VM("defined"), VGPU_INTERFACE_VM, "ConfiguredPriority", "medium");

    call_manager(VGPU_BUS_ERROR_NO_SUCH_POOL, "ConfigureVM", "sa{sv}", "defined", 1, "Pool", "s",
                 "Q");
    call_manager(VGPU_BUS_ERROR_NO_SUCH_POOL, "ConfigureVM", "sa{sv}", "defined", 1, "Pool", "s",
                 "AA");
    call_manager(VGPU_BUS_ERROR_INVALID_PRIORITY, "ConfigureVM", "sa{sv}", "defined", 1, "Priority",
                 "s", "urgent");
    call_manager(VGPU_BUS_ERROR_INVALID_LIMIT, "ConfigureVM", "sa{sv}", "defined", 1, "Weight", "u",
                 0);
    call_manager(VGPU_BUS_ERROR_INVALID_LIMIT, "ConfigureVM", "sa{sv}", "defined", 1, "Weight", "s",
                 "7");
    call_manager(VGPU_BUS_ERROR_INVALID_LIMIT, "ConfigureVM", "sa{sv}", "defined", 1, "Colour", "u",
                 1);
    call_manager(VGPU_BUS_ERROR_NO_SUCH_VM, "ConfigureVM", "sa{sv}", "nobody", 0);
    unregister("defined");
}

TEST(test_revert)
{
    register_vm("back", 0xa6, "A", "high");
    call_manager(NULL, "SetVMPriority", "ssb", "back", "low", 0);
    call_manager(NULL, "SetVMPool", "ssb", "back", "B", 0);
    call_manager(NULL, "SetVMLimits", "sa{sv}b", "back", 1, "Weight", "u", 300, 1);
    assert_string_equal(overrides_of(UUID_OF("a6")), "back Pool=B Priority=low");

    call_object(NULL, VM("back"), VGPU_INTERFACE_VM, "Revert", "as", 1, "Priority");
    expect_text(VM("back"), VGPU_INTERFACE_VM, "Priority", "high");
    expect_text(VM("back"), VGPU_INTERFACE_VM, "Pool", "B");
    call_manager(NULL, "RevertVM", "sas", UUID_OF("a6"), 0);
    expect_text(VM("back"), VGPU_INTERFACE_VM, "Pool", "A");
    assert_int_equal(get_u32(VM("back"), VGPU_INTERFACE_VM, "Weight"), 100);
    assert_string_equal(overrides_of(UUID_OF("a6")), "");

    /* Also of one that is gone, by its last name or its UUID. */
    call_manager(NULL, "SetVMPriority", "ssb", "back", "low", 0);
    call_manager(NULL, "SetVMPool", "ssb", "back", "B", 0);
    unregister("back");
    call_manager(NULL, "RevertVM", "sas", "back", 1, "Pool");
    assert_string_equal(overrides_of(UUID_OF("a6")), "back Priority=low");
    call_manager(NULL, "RevertVM", "sas", UUID_OF("a6"), 0);
    assert_string_equal(overrides_of(UUID_OF("a6")), "");
    call_manager(VGPU_BUS_ERROR_NO_SUCH_VM, "RevertVM", "sas", "back", 0);
    call_manager(VGPU_BUS_ERROR_INVALID_LIMIT, "RevertVM", "sas", "back", 1, "Colour");
}

/* ---- Names and files ------------------------------------------------------------------------ */

/* Every name that is accepted is known after a restart, with what was set to last. */
TEST(test_long_names)
{
    char names[6][256];

    memset(names, 0, sizeof(names));
    snprintf(names[0], sizeof(names[0]),
             "図面管理サーバー第二世代検証環境京都支店図面管理サーバー二号機");
    memset(names[1], 'a', 255);
    memset(names[2], '-', 255);
    memset(names[3], '%', 84);
    for (unsigned i = 0; i < 127; i++)
        memcpy(names[4] + 2 * i, "é", 2);
    for (unsigned i = 0; i < 63; i++)
        memcpy(names[5] + 4 * i, "\U0001f600", 4);

    for (uint8_t i = 0; i < 6; i++) {
        register_vm(names[i], (uint8_t) (0xb0 + i), "A", "low");
        call_manager(NULL, "SetVMPriority", "ssb", names[i], "high", 0);
    }
    restart_mediator(SIGTERM);
    for (uint8_t i = 0; i < 6; i++) {
        call_manager(NULL, "GetVM", "s", names[i]);
        unregister(names[i]);
    }
    restart_mediator(SIGTERM);
    for (uint8_t i = 0; i < 6; i++) {
        char *path = bus_object_path(VGPU_OBJECT_VM, names[i]);

        register_vm(names[i], (uint8_t) (0xb0 + i), "A", "low");
        expect_text(path, VGPU_INTERFACE_VM, "Priority", "high");
        free(path);
        call_manager(NULL, "RevertVM", "sas", names[i], 0);
        unregister(names[i]);
    }
}

/* Runs @command of the shell, in which $R and $S are the mediator's directories. */
static void shell(const char *command)
{
    setenv("R", mediator.runtime, 1);
    setenv("S", mediator.state, 1);
    if (system(command) != 0)
        fail_msg("%s", command);
}

/* Files of a mediator that named them after the VM are taken over once. */
TEST(test_files_by_name)
{
    register_vm("old-one", 0xc1, "A", "high");
    assert_int_equal(test_mediator_signal_and_wait(&mediator, SIGTERM), 0);
    shell("mv $R/" UUID_OF("c1") ".vm $R/old_2done.vm");
    shell("printf '[Settings]\nPriority=low\nWeight=300\n' >$S/old_2done.vm");
    shell("cp $S/old_2done.vm $S/new_2done.vm");
    assert_int_equal(test_mediator_run(&mediator, "system"), 0);
    wait_for_name();

    assert_string_equal(overrides_of(UUID_OF("c1")), "old-one Priority=low Weight=300");
    assert_string_equal(overrides_of(""), "new-one Priority=low Weight=300");
    shell("test -e $R/" UUID_OF("c1") ".vm && test ! -e $R/old_2done.vm");
    shell("test -e $S/" UUID_OF("c1") ".vm && test ! -e $S/old_2done.vm");

    register_vm("new-one", 0xc2, "A", "high");
    expect_text(VM("new_2done"), VGPU_INTERFACE_VM, "Priority", "low");
    shell("test -e $S/" UUID_OF("c2") ".vm && test ! -e $S/new_2done.vm");
    unregister("new-one");
    register_vm("new-one", 0xc3, "A", "high");
    expect_text(VM("new_2done"), VGPU_INTERFACE_VM, "Priority", "high");
    unregister("new-one");
    unregister("old-one");
    call_manager(NULL, "RevertVM", "sas", "old-one", 0);
    call_manager(NULL, "RevertVM", "sas", "new-one", 0);
    shell("test -z \"$(ls $S $R | grep vm)\"");
}

/* Nothing in the directories keeps the mediator from starting, or from keeping what it has to. */
TEST(test_hostile_files)
{
    uint32_t id = register_vm("safe", 0xc4, "A", "high");

    call_manager(NULL, "SetVMPriority", "ssb", "safe", "low", 0);
    shell("mkfifo $R/" UUID_OF("c5") ".vm $R/fifo.vm $S/" UUID_OF("c5") ".vm $S/fifo.vm");
    shell("ln -s /dev/zero $R/link.vm; ln -s /dev/zero $S/" UUID_OF("c6") ".vm; mkdir $S/dir.vm");
    shell("truncate -s 1G $R/" UUID_OF("c7") ".vm $S/" UUID_OF("c7") ".vm");
    shell("echo nonsense >$R/" UUID_OF("c8") ".vm; : >$S/" UUID_OF("c8") ".vm");
    shell("mkfifo $R/" UUID_OF("c4") ".vm.new $S/" UUID_OF("c4") ".vm.new");
    restart_mediator(SIGTERM);
    assert_int_equal(get_u32(VM("safe"), VGPU_INTERFACE_VM, "VMID"), id);
    call_manager(NULL, "SetVMPriority", "ssb", "safe", "medium", 0);
    assert_int_equal(test_mediator_wait_log(&mediator, UUID_OF("c5") ".vm: It is no regular file"),
                     0);
    assert_int_equal(test_mediator_wait_log(&mediator, UUID_OF("c7") ".vm: File too large"), 0);
    restart_mediator(SIGTERM);
    assert_string_equal(overrides_of(UUID_OF("c4")), "safe Priority=medium");
    shell("rm -r $R/*.vm $S/*.vm");
    unregister("safe");
    call_manager(NULL, "RevertVM", "sas", "safe", 0);
}

/* A change that is in effect and could not be kept is an error that says so. */
TEST(test_not_kept)
{
    register_vm("full", 0xc9, "A", "high");
    shell("mv $S $S.away");
    call_manager(VGPU_BUS_ERROR_NOT_KEPT, "SetVMPriority", "ssb", "full", "low", 0);
    expect_text(VM("full"), VGPU_INTERFACE_VM, "Priority", "low");
    assert_int_equal(test_mediator_wait_log(&mediator, "full: cannot keep its settings"), 0);
    assert_string_equal(overrides_of(UUID_OF("c9")), "");
    call_manager(NULL, "SetVMPriority", "ssb", "full", "medium", 1);

    shell("mv $S.away $S");
    call_manager(NULL, "SetVMPriority", "ssb", "full", "low", 0);
    shell("mv $S $S.away; mkdir -p $S/" UUID_OF("c9") ".vm");
    call_manager(VGPU_BUS_ERROR_NOT_KEPT, "RevertVM", "sas", "full", 0);
    expect_text(VM("full"), VGPU_INTERFACE_VM, "Priority", "high");
    assert_string_equal(overrides_of(UUID_OF("c9")), "full Priority=low");
    shell("rm -r $S; mv $S.away $S");
    call_manager(NULL, "RevertVM", "sas", "full", 0);

    /* The registration, too; but a VM gets known all the same. */
    shell("mv $R $R.away");
    call_manager(VGPU_BUS_ERROR_NOT_KEPT, "PauseVM", "s", "full");
    assert_true(get_bool(VM("full"), VGPU_INTERFACE_VM, "Paused"));
    register_vm("full-too", 0xca, "A", "high");
    assert_int_equal(test_mediator_wait_log(&mediator, "full-too: cannot keep its registration"),
                     0);
    shell("mv $R.away $R");
    unregister("full-too");
    unregister("full");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_restart),
        cmocka_unit_test(test_restart_of_an_older_one),
        cmocka_unit_test(test_restart_without_its_pool),
        cmocka_unit_test(test_reload_of_what_cannot_be_read),
        cmocka_unit_test(test_what_lasts),
        cmocka_unit_test(test_what_lasts_follows_the_uuid),
        cmocka_unit_test(test_what_lasts_gives_way),
        cmocka_unit_test(test_configure),
        cmocka_unit_test(test_revert),
        cmocka_unit_test(test_long_names),
        cmocka_unit_test(test_files_by_name),
        cmocka_unit_test(test_hostile_files),
        cmocka_unit_test(test_not_kept),
    };

    return cmocka_run_group_tests_name("kept", tests, start, world_end);
}
