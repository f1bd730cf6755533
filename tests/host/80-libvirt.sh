# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# shellcheck disable=SC2154
#
# A libvirt domain's life with the device: one domain, web1, from its start to its
# end. Its guest computes in a loop meanwhile, and must not see a single error.

. "$tests/libvirt.sh"

[ -z "${vm_in[b]:-}" ] || vm_stop b
quietly libvirt-up libvirt_up >&2
# the default; the host's configuration allows QEMUs that are started by hand
printf '[Unregistered]\nPolicy=refuse\n' >"$host_root/etc/vgpu/mediator.conf.d/80-libvirt.conf"
host_run systemctl restart "$service"
domain_pipes web1
web1=$(domain_object web1)

# as_nobody COMMAND... - runs it as a user without any rights of his own
as_nobody() {
    host_run setpriv --reuid nobody --regid nogroup --clear-groups -- "$@"
}

# set_priority_as_nobody PRIORITY
set_priority_as_nobody() {
    as_nobody busctl call "$bus" "$manager" "$bus.Manager" SetVMPriority ssb web1 "$1" true
}

test_a_domain_with_the_element_gets_the_device() {
    domain_define web1 "$(element 'pool="A" priority="high" queue-limit="32" request-rate-limit="0" weight="250"')"
    domain_start web1
    equal "100 + 200" "$(vm_run web1 'vgpu add 100 200')" 300
}

test_its_registers_say_what_libvirt_attached() {
    local id

    id=$(bus_property "$web1" VM VMID)
    equal POOL_ID "$(domain_register web1 0x008)" 0x00000041
    equal PRIORITY "$(domain_register web1 0x00c)" 0x00000002
    equal VM_ID "$(domain_register web1 0x010)" "$(printf '0x%08X' "$id")"
}

test_the_bus_knows_it_by_what_was_registered() {
    equal UUID "$(bus_property "$web1" VM UUID)" "$(domain_uuid web1)"
    equal Registered "$(bus_property "$web1" VM Registered)" true
    equal Pool "$(bus_property "$web1" VM Pool)" A
    equal ConfiguredPriority "$(bus_property "$web1" VM ConfiguredPriority)" high
    equal QueueLimit "$(bus_property "$web1" VM QueueLimit)" 32
    equal Weight "$(bus_property "$web1" VM Weight)" 250
    equal Connected "$(bus_property "$web1" VM Connected)" true
    equal LeaderPID "$(bus_property "$web1" VM LeaderPID)" "$(domain_pid web1)"
}

test_QEMU_is_the_distributions_as_libvirts_user_in_its_sandbox() {
    local pid

    pid=$(domain_pid web1)
    equal "the program" "$(host_run readlink "/proc/$pid/exe")" /usr/bin/qemu-system-x86_64
    equal "the user" "$(host_run stat -c %U "/proc/$pid")" libvirt-qemu
    equal "seccomp" "$(host_run sed -n 's/^Seccomp:\t//p' "/proc/$pid/status")" 2
    domain_arguments web1 | grep -A 1 -x -e -sandbox | grep '^on,.*spawn=deny'
}

test_the_loop_begins() {
    loop_start web1
    loop_goes_on web1
}

test_root_changes_the_priority_and_the_register_stays() {
    manager_call SetVMPriority ssb web1 low true
    equal Priority "$(bus_property "$web1" VM Priority)" low
    equal ConfiguredPriority "$(bus_property "$web1" VM ConfiguredPriority)" high
    equal PRIORITY "$(domain_register web1 0x00c)" 0x00000002
    loop_goes_on web1
}

test_polkit_refuses_an_unprivileged_user() {
    local answer

    if answer=$(set_priority_as_nobody medium 2>&1); then
        echo "it was allowed"
        return 1
    fi
    echo "$answer"
    # polkit's words: nothing else asks for authentication
    [[ $answer == *'nteractive authentication required'* ]]
    equal Priority "$(bus_property "$web1" VM Priority)" low
    equal "who may read" "$(as_nobody busctl get-property "$bus" "$web1" "$bus.VM" Priority)" 's "low"'
    loop_goes_on web1
}

test_a_polkit_rule_allows_that_user_this_VM_alone() {
    local rule=$host_root/etc/polkit-1/rules.d/10-nobody.rules

    cat >"$rule" <<'RULE'
polkit.addRule(function(action, subject) {
    if (action.id == "org.vgpu.mediator1.manage-vms" && action.lookup("vm") == "web1" &&
        subject.user == "nobody") {
        return polkit.Result.YES;
    }
});
RULE
    chmod 644 "$rule"
    # polkit watches the directory for new rules
    eventually 20 set_priority_as_nobody medium
    equal Priority "$(bus_property "$web1" VM Priority)" medium
    fails as_nobody busctl call "$bus" "$manager" "$bus.Manager" UnregisterVM s web1

    rm "$rule"
    eventually 20 fails set_priority_as_nobody high
    loop_goes_on web1
}

test_suspend_and_resume() {
    virsh suspend web1
    equal "the state" "$(virsh domstate web1)" paused
    is_known web1
    virsh resume web1
    loop_goes_on web1
}

test_a_restart_of_libvirtd_leaves_VM_and_registration_alone() {
    local pid id

    pid=$(domain_pid web1)
    id=$(bus_property "$web1" VM VMID)
    host_run systemctl restart libvirtd.service
    domain_is running web1
    equal "QEMU" "$(domain_pid web1)" "$pid"
    equal VMID "$(bus_property "$web1" VM VMID)" "$id"
    # the restart has not undone the change
    equal Priority "$(bus_property "$web1" VM Priority)" medium
    has_record web1
    loop_goes_on web1
}

test_save_and_restore() {
    virsh save web1 /var/lib/libvirt/qemu/web1.saved
    equal "the state" "$(virsh domstate web1)" "shut off"
    no_trace_of web1

    virsh restore /var/lib/libvirt/qemu/web1.saved
    is_known web1
    has_record web1
    loop_goes_on web1
    equal LeaderPID "$(bus_property "$web1" VM LeaderPID)" "$(domain_pid web1)"
}

test_the_loop_has_seen_no_error() {
    loop_stop web1
}

test_a_VM_that_the_mediator_has_forgotten_is_registered_again() {
    local id

    id=$(bus_property "$web1" VM VMID)
    manager_call UnregisterVM s web1
    fails vm_run web1 'vgpu add 1 2'

    host_run systemctl restart libvirtd.service
    virsh domstate web1
    eventually 20 is_known web1
    equal VMID "$(bus_property "$web1" VM VMID)" "$id"
    equal "1 + 2" "$(vm_run web1 'vgpu add 1 2')" 3
}

test_a_reset_and_a_reboot() {
    virsh reset web1
    domain_answer web1
    equal "after the reset" "$(vm_run web1 'vgpu add 1 2')" 3

    # virsh presses the power button, and the guest powers itself off.
    virsh reboot web1 --mode acpi
    vm_run web1 'poweroff -f' || true
    equal "after the reboot" "$(vm_run web1 'vgpu add 3 4')" 7
    equal LeaderPID "$(bus_property "$web1" VM LeaderPID)" "$(domain_pid web1)"
}

test_destroy_leaves_nothing() {
    virsh destroy web1
    no_trace_of web1
    equal "its object" "$(vm_paths | grep -c web1 || true)" 0
}

test_a_guest_that_powers_off_leaves_nothing() {
    domain_start web1
    vm_run web1 'vgpu add 1 2; (sleep 0.1; poweroff -f) >/dev/null 2>&1 &'
    eventually 20 domain_is 'shut off' web1
    eventually 10 no_trace_of web1
}

test_a_machine_of_the_older_type_gets_it_as_well() {
    domain_define web1 "$(element 'pool="A" priority="low"')" "$launcher" pc
    domain_start web1
    equal "1 + 2" "$(vm_run web1 'vgpu add 1 2')" 3
    equal PRIORITY "$(domain_register web1 0x00c)" 0x00000000
    virsh destroy web1
    no_trace_of web1
}

test_vgpuctl_attaches_and_detaches() {
    domain_define web1 '' /usr/bin/qemu-system-x86_64
    host_run vgpuctl attach web1 --pool A --priority medium
    equal "the emulator" "$(virsh dumpxml --inactive web1 --xpath '//emulator/text()')" "$launcher"
    domain_start web1
    equal "1 + 2" "$(vm_run web1 'vgpu add 1 2')" 3
    equal Priority "$(bus_property "$web1" VM Priority)" medium

    host_run vgpuctl detach web1
    virsh destroy web1
    no_trace_of web1
    equal "the emulator" "$(virsh dumpxml --inactive web1 --xpath '//emulator/text()')" \
        /usr/bin/qemu-system-x86_64
    domain_start web1
    equal "what the guest has" "$(vm_run web1 'vgpu info' || true)" "vgpu: no vgpu device found"
    virsh destroy web1
}
