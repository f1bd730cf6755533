/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vgpuctl: settings that last, without libvirt. What is kept is listed, and taken back. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test-ctl-run.h"
#include "test.h"
#include "world.h"

static int start(void **state)
{
    (void) state;

    return world_start("[Pool A]\nBackend=cpu\n[Pool B]\nBackend=cpu\n");
}

#define UUID_OF_02 "02020202-0202-0202-0202-020202020202"

TEST(test_list_all)
{
    register_vm("web", 0x01, "A", "high");
    register_vm("gone", 0x02, "A", "high");
    ctl_expect("", "set-priority", "web", "low");
    ctl_expect("", "set-priority", "gone", "medium");
    ctl_expect("", "set-limits", "gone", "Weight=300");
    ctl_expect("", "set-pool", "web", "B", "--runtime");
    unregister_vm("gone");

    ctl_expect("NAME UUID                                 STATE   POOL PRIORITY OVERRIDES\n"
               "gone " UUID_OF_02 " absent  -    -        Priority=medium Weight=300\n"
               "web  01010101-0101-0101-0101-010101010101 waiting B    low      Priority=low\n"
               "\n2 VMs listed.\n",
               "list", "--all");
    ctl_expect("{\"vms\":[{\"name\":\"gone\",\"uuid\":\"" UUID_OF_02
               "\",\"state\":\"absent\",\"pool\":null,\"priority\":null,"
               "\"overrides\":\"Priority=medium Weight=300\"},"
               "{\"name\":\"web\",\"uuid\":\"01010101-0101-0101-0101-010101010101\","
               "\"state\":\"waiting\",\"pool\":\"B\",\"priority\":\"low\","
               "\"overrides\":\"Priority=low\"}]}\n",
               "list", "--all", "--json=short");

    ctl_expect("", "revert", "gone", "Weight");
    ctl_expect("", "revert", "web");
    vm_text_is("web", "Priority", "high");
    vm_text_is("web", "Pool", "A");
    ctl_expect("{\"vms\":[{\"name\":\"gone\",\"uuid\":\"" UUID_OF_02
               "\",\"state\":\"absent\",\"pool\":null,\"priority\":null,"
               "\"overrides\":\"Priority=medium\"},"
               "{\"name\":\"web\",\"uuid\":\"01010101-0101-0101-0101-010101010101\","
               "\"state\":\"waiting\",\"pool\":\"A\",\"priority\":\"high\","
               "\"overrides\":null}]}\n",
               "list", "--all", "--json=short");
    ctl_expect("", "revert", UUID_OF_02);
    ctl_refuse("Failed to revert settings of VM gone: No VM 'gone' is known, and no setting is "
               "kept for one.",
               "revert", "gone");
    ctl_refuse("Failed to revert settings of VM web: There is no setting 'Colour'.", "revert",
               "web", "Colour");
    unregister_vm("web");
}

/* What is in effect, but is not kept, is a failure. */
TEST(test_not_kept)
{
    char command[300];

    register_vm("full", 0x03, "A", "high");
    snprintf(command, sizeof(command), "mv %s %s.away", mediator.state, mediator.state);
    assert_int_equal(system(command), 0);
    ctl_refuse("Failed to set priority of VM full: The change of VM 'full' is in effect, but could "
               "not be kept: No such file or directory. The journal says where.",
               "set-priority", "full", "low");
    vm_text_is("full", "Priority", "low");
    ctl_refuse("Failed to set limits of VM full: The change of VM 'full' is in effect, but could "
               "not be kept: No such file or directory. The journal says where.",
               "set-limits", "full", "Weight=300");
    ctl_refuse("Failed to set pool of VM full: The change of VM 'full' is in effect, but could not "
               "be kept: No such file or directory. The journal says where.",
               "set-pool", "full", "B");
    ctl_expect("", "set-priority", "full", "medium", "--runtime");
    snprintf(command, sizeof(command), "mv %s.away %s", mediator.state, mediator.state);
    assert_int_equal(system(command), 0);
    ctl_expect("", "set-priority", "full", "low");
    ctl_expect("", "revert", "full");
    unregister_vm("full");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_list_all),
        cmocka_unit_test(test_not_kept),
    };

    return cmocka_run_group_tests_name("ctl-overrides", tests, start, world_end);
}
