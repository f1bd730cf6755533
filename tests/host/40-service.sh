# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# shellcheck disable=SC2154
#
# The service as systemd and the bus see it, while it serves two machines.

test_no_error_in_the_journal_so_far() {
    host_run journalctl --no-pager -q -p err -u "$service" -u vgpu-mediator.socket >"$cache/host/journal"
    cat "$cache/host/journal"
    [ ! -s "$cache/host/journal" ]
}

test_the_journal_explains_its_lines() {
    host_run journalctl --no-pager -q -x -u "$service" >"$cache/host/explained"
    grep -A 3 'Defined-By: vgpu-mediator' "$cache/host/explained"
}

test_the_units_are_without_fault() {
    host_run systemd-analyze verify --man=no vgpu-mediator.socket "$service" vgpu-metrics.timer \
        vgpu-metrics.service vgpu-executor.socket vgpu-executor@1-2-3.service
}

test_the_units_exposure_is_at_most_15_tenths() {
    host_run systemd-analyze security --no-pager --threshold=15 "$service" | tail -n 20
}

# The mediator's unit has started it, and a session is a connection to it.
test_executors_of_sessions_can_be_started() {
    equal "the socket" "$(unit_property vgpu-executor.socket SubState)" listening
    equal "its mode" "$(host_run stat -c '%U %a' /run/vgpu/executor.sock)" 'vgpu 600'
}

# The memory controller is not there to try it with.
test_a_process_that_is_killed_for_memory_ends_alone() {
    equal OOMPolicy "$(unit_property "$service" OOMPolicy)" continue
}

test_the_services_memory_is_limited() {
    [[ $(unit_property "$service" MemoryHigh) =~ ^[0-9]+$ ]] &&
        [[ $(unit_property "$service" MemoryMax) =~ ^[0-9]+$ ]]
}

test_the_mediators_memory_stays_under_6_MB() {
    local rss

    rss=$(host_run ps -o rss= -p "$(unit_property "$service" MainPID)")
    echo "RSS $rss KiB"
    [ "$rss" -le 6144 ]
}

test_a_user_outside_group_kvm_cannot_reach_the_socket() {
    connect_as nobody >"$cache/host/refusal" 2>&1 && return 1
    cat "$cache/host/refusal"
    grep -q 'Permission denied' "$cache/host/refusal"
}

test_a_user_in_group_kvm_can() {
    connect_as nobody --groups kvm
}

# connect_as USER [SETPRIV-OPTION...]
connect_as() {
    local user=$1
    shift
    [ $# -gt 0 ] || set -- --clear-groups

    host_run setpriv --reuid "$user" --regid nogroup "$@" python3 -c \
        'import socket; socket.socket(socket.AF_UNIX).connect("/run/vgpu/mediator.sock")'
}

test_everyone_may_read_the_bus_objects() {
    local path

    for path in "$manager" "$manager/pool/A" $(vm_paths); do
        host_run setpriv --reuid nobody --regid nogroup --clear-groups \
            busctl introspect "$bus" "$path" >"$cache/host/objects"
        grep -q '^org\.vgpu\.Mediator1\.' "$cache/host/objects"
    done
}

test_the_live_interfaces_are_those_of_the_XML_files() {
    local path

    for path in "$manager" "$manager/pool/A" "$(vm_path 1)"; do
        host_run busctl --xml-interface introspect "$bus" "$path" >"$cache/host/live.xml"
        python3 "$tests/compare-xml.py" "$tests"/../../dbus/*.xml <"$cache/host/live.xml"
    done
}
