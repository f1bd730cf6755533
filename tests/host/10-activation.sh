# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# shellcheck disable=SC2154
#
# The first request of a virtual machine starts the service.

host_run systemctl start vgpu-mediator.socket

vectors=$cache/host/vectors
for type in int32 int64 float32 float64; do
    mkdir -p "$vectors/$type"
    make_vectors "$vectors/$type" "$type" 1000
    mv "$vectors/$type/a.bin" "$vectors/a-$type.bin"
    mv "$vectors/$type/b.bin" "$vectors/b-$type.bin"
    mv "$vectors/$type/sum.bin" "$vectors/sum-$type.bin"
done
vm_start a vgpu-stub,pool_id=A,priority=high,vm_id=1,uuid=6f1d8c1e-2a47-4d0b-9f0e-0c5b7a1e4d11 \
    "$vectors"/[ab]-*.bin

test_the_service_does_not_run_before_the_first_request() {
    equal "the socket" "$(unit_property vgpu-mediator.socket SubState)" listening
    equal "the service" "$(unit_property "$service" ActiveState)" inactive
}

test_the_first_request_starts_it_and_is_answered() {
    equal "100 + 200" "$(vm_run a 'vgpu add 100 200')" 300
    equal "the service" "$(unit_property "$service" ActiveState)" active
    equal "restarts" "$(unit_property "$service" NRestarts)" 0
}

test_the_service_runs_as_its_own_user() {
    local pid

    pid=$(unit_property "$service" MainPID)
    equal "the user" "$(host_run ps -o user= -p "$pid")" vgpu
    equal "the program" "$(host_run readlink "/proc/$pid/exe")" \
        /usr/libexec/vgpu-mediator/vgpu-mediatord
}

test_the_VM_is_on_the_bus_while_it_is_connected() {
    local path

    path=$(vm_path 1)
    equal Connected "$(bus_property "$path" VM Connected)" true
    equal Pool "$(bus_property "$path" VM Pool)" A
    equal UUID "$(bus_property "$path" VM UUID)" 6f1d8c1e-2a47-4d0b-9f0e-0c5b7a1e4d11
    equal LeaderPID "$(bus_property "$path" VM LeaderPID)" "$(unit_property vm-a.service MainPID)"
    equal RequestsCompleted "$(bus_property "$path" VM RequestsCompleted)" 1
}
