# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# shellcheck disable=SC2154
#
# What libvirt does to a domain, web3, whose ring is at work or full. Its machine is of the older
# type (pc): its guest can eject from the root bus what can be plugged into it.

. "$tests/libvirt.sh"
. "$tests/ring-load.sh"

domain_pipes web3 "$ring_vectors"/[ab]-int32.bin
web3=$(domain_object web3)

# sums_are_right OPTIONS - its guest adds two vectors, and the sums are right
sums_are_right() {
    vm_run web3 "vgpu $1 vecadd --type int32 /a-int32.bin /b-int32.bin -o /c.bin"
    vm_run web3 'base64 /c.bin' | base64 -d | cmp - "$ring_vectors/int32/sum.bin"
}

# device_is_there - as web3's guest sees it
device_is_there() {
    vm_run web3 'grep -q 0x1111 /sys/bus/pci/devices/*/device'
}

test_a_domain_with_a_load_on_its_ring() {
    domain_define web3 "$(element 'pool="A" priority="medium" window-size="32M"')" "$launcher" pc
    domain_start web3
    sums_are_right "$by_ring"
    load_start web3
    load_goes_on web3 "$web3"
    equal RingEntries "$(bus_property "$web3" VM RingEntries)" 128
    equal WindowSize "$(bus_property "$web3" VM WindowSize)" 33554432
}

test_its_priority_changes_under_way() {
    manager_call SetVMPriority ssb web3 low true
    equal Priority "$(bus_property "$web3" VM Priority)" low
    load_goes_on web3 "$web3"
    manager_call SetVMPriority ssb web3 high true
    load_goes_on web3 "$web3"
}

test_suspend_and_resume_under_load() {
    virsh suspend web3
    # nobody may write into the memory of a suspended machine
    load_reaches "$web3" RingEntries 0
    load_reaches "$web3" InFlight 0
    virsh resume web3
    load_goes_on web3 "$web3"
}

test_save_and_restore_under_load() {
    virsh save web3 /var/lib/libvirt/qemu/web3.saved
    no_trace_of web3
    equal "what waits in the pool" "$(pool_property QueueDepthHigh)" 0
    virsh restore /var/lib/libvirt/qemu/web3.saved
    load_goes_on web3 "$web3"
    equal RingEntries "$(bus_property "$web3" VM RingEntries)" 128
}

test_save_and_restore_of_a_full_ring() {
    load_stop web3 "$web3"
    load_start web3 1024 --interrupt
    load_goes_on web3 "$web3"
    pool_call Pause
    trap 'pool_call Resume' EXIT
    load_fills_queue "$web3"
    virsh save web3 /var/lib/libvirt/qemu/web3.saved
    pool_call Resume
    virsh restore /var/lib/libvirt/qemu/web3.saved
    load_goes_on web3 "$web3"
}

test_vgpuctl_detach_is_for_the_next_start() {
    host_run vgpuctl detach web3
    load_goes_on web3 "$web3"
    host_run vgpuctl attach web3 --pool=A --priority=medium
    load_goes_on web3 "$web3"
}

test_the_load_has_seen_none_of_that() {
    load_stop web3 "$web3"
    echo "$load_requests requests, all of them right"
}

# fill_ring - pauses the pool until the case's end, and waits until the ring is full
fill_ring() {
    load_start web3 1024
    load_goes_on web3 "$web3"
    trap 'pool_call Resume' EXIT
    pool_call Pause
    load_fills_queue "$web3"
}

test_a_reset_with_the_ring_full() {
    fill_ring
    virsh reset web3
    domain_answer web3
    equal RingEntries "$(bus_property "$web3" VM RingEntries)" 0
    equal QueueDepth "$(bus_property "$web3" VM QueueDepth)" 0
    pool_call Resume
    sums_are_right "$by_ring"
    sums_are_right "$by_registers"
}

# In a guest of this machine type, each slot that can be switched off has a directory
test_its_guest_cannot_eject_it() {
    # shellcheck disable=SC2016 # expanded in the guest
    in_guest web3 'ls /sys/bus/pci/slots; for power in /sys/bus/pci/slots/*/power; do
        [ ! -e "$power" ] || echo 0 >"$power"; done; sleep 1'
    device_is_there
    fails domain_monitor_takes web3 "device_del $(domain_device web3)"
    device_is_there
    sums_are_right "$by_ring"
    equal Connected "$(bus_property "$web3" VM Connected)" true
}

test_destroy_with_the_ring_full() {
    fill_ring
    virsh destroy web3
    no_trace_of web3
    equal "what waits in the pool" "$(pool_property QueueDepthMedium)" 0
}
