# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# shellcheck disable=SC2154
#
# Three domains of three priorities want more than the GPU can do. It is the tests' fake one, which
# takes 50 ms for each request and runs one at a time. Each guest has its next request ready long
# before, so the queue is never empty.

. "$tests/libvirt.sh"

saturated=(first second third)
declare -A attached=([first]=high [second]=medium [third]=low)
for name in "${saturated[@]}"; do
    domain_pipes "$name"
done

# completed NAME - how many of the VM's requests are completed
completed() {
    bus_property "$(domain_object "$1")" VM RequestsCompleted
}

pool_has_completed() {
    [ "$(pool_property RequestsCompleted)" -ge "$1" ]
}

# shares - sets share[NAME] to each VM's percentage of the next 60 requests
shares() {
    local name sum=0
    local -A before=()

    share=()
    for name in "${saturated[@]}"; do
        before[$name]=$(completed "$name")
    done
    eventually 60 pool_has_completed $(($(pool_property RequestsCompleted) + 60))
    for name in "${saturated[@]}"; do
        share[$name]=$(($(completed "$name") - before[$name]))
        sum=$((sum + share[$name]))
    done
    for name in "${saturated[@]}"; do
        share[$name]=$((share[$name] * 100 / sum))
        echo "$name: ${share[$name]} %"
    done
}

test_three_domains_of_three_priorities() {
    local name

    fake_gpu_start $'[Pool A]\nBackend=cuda\nInFlight=1' slow=50
    for name in "${saturated[@]}"; do
        domain_define "$name" "$(element "pool=\"A\" priority=\"${attached[$name]}\"")"
        domain_start "$name"
    done
    equal "the backend" "$(vm_run first 'vgpu add 1 2 >/dev/null; vgpu info' | sed -n 's/^ *backend: *//p')" cuda
    for name in "${saturated[@]}"; do
        vm_run "$name" 'vgpu bench -n 100000 >/bench 2>&1 &'
    done
}

# A guest has one request at a time. While the first guest's is on its way back and forth, the second
# guest's has the highest priority; the third guest's never has.
test_the_lowest_priority_waits_for_the_others() {
    local -A share

    shares
    [ "${share[first]}" -ge 40 ]
    [ "${share[second]}" -ge 40 ]
    [ "${share[third]}" -le 10 ]
}

test_a_change_of_priority_moves_it_in_mid_run() {
    local -A share

    manager_call SetVMPriority ssb first low true
    manager_call SetVMPriority ssb third high true
    shares
    [ "${share[first]}" -le 10 ]
    [ "${share[second]}" -ge 40 ]
    [ "${share[third]}" -ge 40 ]
}

test_nobody_has_lost_or_been_refused_a_request() {
    local name

    for name in "${saturated[@]}"; do
        equal "RequestsFailed of $name" "$(bus_property "$(domain_object "$name")" VM RequestsFailed)" 0
        equal "RequestsRejected of $name" "$(bus_property "$(domain_object "$name")" VM RequestsRejected)" 0
        equal "what $name says" "$(vm_run "$name" 'cat /bench')" ""
    done
    host_run busctl call "$bus" "$manager/pool/A" "$bus.Pool" Pause
    eventually 10 pool_property_is InFlight 0
    equal "RequestsCompleted" "$(($(completed first) + $(completed second) + $(completed third)))" \
        "$(pool_property RequestsCompleted)"
}

# As "virsh --live --config" does, so that it goes along with the domain.
test_what_is_set_to_last_is_in_the_definition() {
    local flag attribute

    host_run vgpuctl set-priority second low
    host_run vgpuctl set-limits second Weight=300 RequestRateLimit=70
    for flag in '' --inactive; do
        # shellcheck disable=SC2086
        virsh dumpxml $flag second | grep '<vgpu:device ' | tee "$cache/host/element"
        for attribute in 'priority="low"' 'weight="300"' 'request-rate-limit="70"'; do
            grep -q " $attribute" "$cache/host/element"
        done
    done
    equal ConfiguredPriority "$(bus_property "$(domain_object second)" VM ConfiguredPriority)" low
    equal "the overrides" "$(manager_call ListOverrides)" 'a(ssa{sv}) 0'

    host_run vgpuctl set-limits second Weight=100 --runtime
    virsh dumpxml second | grep -q 'weight="300"'
}

test_all_three_end_at_once() {
    local name

    for name in "${saturated[@]}"; do
        virsh destroy "$name" &
    done
    wait
    for name in "${saturated[@]}"; do
        no_trace_of "$name"
    done
    equal "NVMs" "$(bus_property "$manager" Manager NVMs)" 0
    equal "attach records" "$(host_run ls "$records")" ""
    host_run vgpuctl list --all --no-legend | tee "$cache/host/list"
    grep -q '^second  *[-0-9a-f]*  *off  *A  *low  *-$' "$cache/host/list"
    fake_gpu_end
}

test_a_domain_that_is_off_is_changed_in_its_definition() {
    host_run vgpuctl set-priority second high
    virsh dumpxml --inactive second | grep '<vgpu:device .*priority="high"'
    virsh start second
    equal Priority "$(bus_property "$(domain_object second)" VM Priority)" high
    virsh destroy second
    no_trace_of second
}

test_nothing_has_failed_with_libvirt() {
    equal "systemctl --failed" "$(host_run systemctl --failed --plain --no-legend)" ""
}
