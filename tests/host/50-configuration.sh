# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# shellcheck disable=SC2154
#
# What an administrator writes into /etc/vgpu/mediator.conf.d

# configure TEXT - writes the TEXT as a drop-in and restarts the service
configure() {
    printf '%s\n' "$1" >"$host_root/etc/vgpu/mediator.conf.d/50-test.conf"
    host_run systemctl restart "$service"
}

test_unregistered_VMs_can_be_refused() {
    local answer status=0

    configure $'[Unregistered]\nPolicy=refuse'
    answer=$(vm_run b 'vgpu add 1 2') || status=$?
    echo "the guest got: $answer"
    equal "the exit status" "$status" 1
    [[ $answer == *VM_QUARANTINED* ]]

    configure $'[Unregistered]\nPolicy=allow'
    equal "allowed again" "$(vm_run b 'vgpu add 1 2')" 3
}

test_a_second_pool_serves_a_VM_that_names_it() {
    configure $'[Pool B]\nBackend=cpu'
    equal NPools "$(bus_property "$manager" Manager NPools)" 2
    eventually 10 pool_b_computes
}

pool_b_computes() {
    [ "$(bus_property "$manager/pool/B" Pool Backend)" = cpu ]
}

test_a_bad_line_is_a_warning_with_file_line_and_value() {
    configure $'[Pool A]\nInFlight=many'
    host_run journalctl --no-pager -q -p warning -u "$service" -n 5 >"$cache/host/journal"
    cat "$cache/host/journal"
    grep -q '50-test.conf:2:.*many' "$cache/host/journal"
    equal "the next request" "$(vm_run b 'vgpu add 1 2')" 3
}
