# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# shellcheck disable=SC2154
#
# Two virtual machines of different priority at once.

vm_start b vgpu-stub,pool_id=A,priority=low,vm_id=2 "$vectors"/[ab]-*.bin

test_two_VMs_at_once_get_right_answers() {
    local first

    add_files a int64 '' &
    first=$!
    add_files b float64 ''
    wait "$first"
}

test_the_bus_shows_both_with_their_priority() {
    equal "NVMs" "$(bus_property "$manager" Manager NVMs)" 2
    equal "the first" "$(bus_property "$(vm_path 1)" VM Priority)" high
    equal "the second" "$(bus_property "$(vm_path 2)" VM Priority)" low
    host_run busctl call "$bus" "$manager" "$bus.Manager" ListVMs | tee "$cache/host/list"
    grep -q '^a(susso) 2 ' "$cache/host/list"
    grep -q '"A" "high"' "$cache/host/list"
    grep -q '"A" "low"' "$cache/host/list"
}

test_the_counters_of_the_VMs_add_up_to_the_pool() {
    local sum=0 path

    for path in $(vm_paths); do
        sum=$((sum + $(bus_property "$path" VM RequestsCompleted)))
    done
    equal "RequestsCompleted" "$(pool_property RequestsCompleted)" "$sum"
    equal "InFlight" "$(pool_property InFlight)" 0
}
