# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# shellcheck disable=SC2154
#
# The mediator is killed, restarted and stopped while guests use it.

# service_is STATE
service_is() {
    [ "$(unit_property "$service" ActiveState)" = "$1" ]
}

test_a_request_survives_the_mediators_death() {
    local pid restarts

    pid=$(unit_property "$service" MainPID)
    restarts=$(unit_property "$service" NRestarts)
    request_in_flight a
    host_run kill -KILL "$pid"
    equal "the guest's answer" "$(answer_of a)" $'42\nexit 0'

    equal restarts "$(unit_property "$service" NRestarts)" $((restarts + 1))
    [ "$(unit_property "$service" MainPID)" != "$pid" ]
    equal "the neighbour's next" "$(vm_run b 'vgpu add 3 4')" 7
}

test_many_deaths_in_a_row_leave_the_guest_its_service() {
    local i

    for i in 1 2 3 4 5 6 7 8; do
        host_run kill -KILL "$(unit_property "$service" MainPID)"
        equal "the answer after death $i" "$(vm_run a "vgpu add $i 1")" "$((i + 1))"
    done
}

test_a_restart_drains_what_is_in_flight() {
    local executor pid

    pid=$(unit_property "$service" MainPID)
    executor=$(pool_property ExecutorPID)
    request_in_flight a
    host_run systemctl restart --no-block "$service"
    eventually 10 service_is deactivating
    host_run kill -CONT "$executor"
    equal "the guest's answer" "$(answer_of a)" $'42\nexit 0'

    eventually 20 service_is active
    [ "$(unit_property "$service" MainPID)" != "$pid" ]
    equal "the next request" "$(vm_run a 'vgpu add 1 2')" 3
}

test_a_stop_leaves_the_socket_and_the_next_request_starts_it_again() {
    host_run systemctl stop "$service"
    equal "the service" "$(unit_property "$service" ActiveState)" inactive
    equal "the result" "$(unit_property "$service" Result)" success
    equal "the socket" "$(unit_property vgpu-mediator.socket ActiveState)" active

    equal "the next request" "$(vm_run b 'vgpu add 5 6')" 11
    equal "the service" "$(unit_property "$service" ActiveState)" active
}

test_a_VM_that_is_powered_off_leaves_the_bus() {
    equal "before" "$(vm_run a 'vgpu add 1 2')" 3
    vm_stop a
    eventually 10 vm_is_gone 1
    equal "the neighbour's next" "$(vm_run b 'vgpu add 3 4')" 7
}

test_nothing_of_ours_has_failed_in_the_end() {
    local failed

    failed=$(host_run systemctl --failed --plain --no-legend)
    equal "systemctl --failed" "$failed" ""
}
