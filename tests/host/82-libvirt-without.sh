# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# shellcheck disable=SC2154
#
# Domains that get no device: because they want none, because they ask for one in a wrong way,
# or because the mediator does not work.

. "$tests/libvirt.sh"

domain_pipes web2
good=$(element 'pool="A" priority="high"')
plugins=$host_root/usr/lib/vgpu-mediator

# start_of_web2_is_refused WORDS - virsh start fails with these WORDS, and no trace is left
start_of_web2_is_refused() {
    local answer

    if answer=$(virsh start web2 2>&1); then
        echo "it started"
        return 1
    fi
    echo "$answer"
    [[ $answer == *"vgpu-mediator: domain 'web2': "*"$1"* ]]
    equal "the state" "$(virsh domstate web2)" "shut off"
    no_trace_of web2
}

# web2_starts_without_device SECONDS - it starts within that time, and the journal says why it has
# no device
web2_starts_without_device() {
    local start end since

    since=$(host_run date '+%Y-%m-%d %H:%M:%S')
    start=$(date +%s%N)
    virsh start web2
    end=$(date +%s%N)
    echo "virsh start took $(((end - start) / 1000000)) ms"
    [ $((end - start)) -lt $(($1 * 1000000000)) ]
    fails has_record web2

    domain_answer web2
    fails vm_run web2 'vgpu info'
    host_run journalctl -q --no-pager -t vgpu-mediator-hook --since "$since" | tee "$cache/host/journal"
    grep -q "domain 'web2': starts without its vgpu device: " "$cache/host/journal"
}

# web2_is_off - switches it off, however the case ended
web2_is_off() {
    ! domain_is running web2 || virsh destroy web2
}

test_a_domain_without_the_element_starts_as_without_us() {
    local ours theirs

    host_run systemctl stop "$service"
    domain_define web2 '' /usr/bin/qemu-system-x86_64
    domain_start web2
    theirs=$(domain_arguments web2)
    virsh destroy web2

    domain_define web2 '' "$launcher"
    domain_start web2
    ours=$(domain_arguments web2)
    virsh destroy web2

    equal "QEMU's command line" "$ours" "$theirs"
    # the hook has asked the mediator nothing
    equal "the service" "$(unit_property "$service" ActiveState)" inactive
}

test_a_wrong_pool_refuses_the_start() {
    domain_define web2 "$(element 'pool="Q" priority="high"')"
    start_of_web2_is_refused "'Q'"
}

test_a_wrong_element_refuses_the_start() {
    domain_define web2 "$(element 'pool="A" priority="urgent"')"
    start_of_web2_is_refused "priority is 'urgent': it must be high, medium or low"
}

test_a_VM_of_the_same_name_refuses_the_start() {
    manager_call RegisterVM 'ssssa{sv}' web2 "$(domain_uuid other)" A low 0
    domain_define web2 "$good"
    fails virsh start web2
    # the other VM is still there
    equal UUID "$(bus_property "$(domain_object web2)" VM UUID)" "$(domain_uuid other)"
    manager_call UnregisterVM s web2
}

test_a_mediator_that_is_stopped_and_masked_stops_nobody() {
    domain_define web2 "$good"
    trap 'mediator_is_back' EXIT
    host_run systemctl mask --runtime --now vgpu-mediator.socket "$service"
    web2_starts_without_device 14
    domain_log web2 | grep 'starts without its vgpu device: .*masked'
    eventually 20 domain_says_slot web2 none
    fails domain_says_slot web2 none --inactive
    virsh destroy web2
    fails has_record web2
}

mediator_is_back() {
    web2_is_off
    host_run systemctl unmask --runtime vgpu-mediator.socket "$service"
    host_run systemctl start vgpu-mediator.socket "$service"
}

# mediator_hangs - stops the mediator until mediator_goes_on, which is called at the case's end at
# the latest
mediator_hangs() {
    host_run systemctl start "$service"
    mediator_pid=$(unit_property "$service" MainPID)
    trap 'mediator_goes_on; web2_is_off' EXIT
    host_run kill -STOP "$mediator_pid"
}

mediator_goes_on() {
    host_run kill -CONT "$mediator_pid"
}

test_a_mediator_that_hangs_stops_nobody() {
    mediator_hangs
    web2_starts_without_device 14
    mediator_goes_on
    virsh destroy web2
    no_trace_of web2
}

test_a_mediator_that_hangs_at_the_end_holds_up_nobody() {
    local start end

    domain_start web2
    mediator_hangs
    start=$(date +%s%N)
    virsh destroy web2
    end=$(date +%s%N)
    mediator_goes_on
    echo "virsh destroy took $(((end - start) / 1000000)) ms"
    [ $((end - start)) -lt 14000000000 ]
    fails has_record web2

    # the next start takes over what this one may have left
    domain_start web2
    equal "1 + 2" "$(vm_run web2 'vgpu add 1 2')" 3
    virsh destroy web2
    no_trace_of web2
}

test_a_plugin_that_is_missing_costs_the_device_alone() {
    trap 'mv "$plugins.away" "$plugins"; web2_is_off' EXIT
    mv "$plugins" "$plugins.away"
    domain_start web2
    fails vm_run web2 'vgpu info'
    domain_log web2 | grep 'starts without its vgpu device: no plugin for QEMU'
    [[ $(bus_property "$(domain_object web2)" VM DeviceProblem) == 'no plugin for QEMU '* ]]
    virsh destroy web2
    no_trace_of web2
}

test_an_emulator_that_is_not_ours_costs_the_device_and_is_said() {
    domain_define web2 "$good" /usr/bin/qemu-system-x86_64
    web2_starts_without_device 14
    grep "its <emulator> is /usr/bin/qemu-system-x86_64" "$cache/host/journal"
    [[ $(bus_property "$(domain_object web2)" VM DeviceProblem) == 'its <emulator> is '* ]]
    equal LeaderPID "$(bus_property "$(domain_object web2)" VM LeaderPID)" "$(domain_pid web2)"
    virsh destroy web2
    no_trace_of web2
    domain_define web2 "$good"
}

test_a_machine_type_without_PCI_costs_the_device_alone() {
    domain_define web2 "$good" "$launcher" isapc
    virsh start web2
    domain_log web2 | grep 'starts without its vgpu device: its machine type'
    virsh destroy web2
    no_trace_of web2
}
