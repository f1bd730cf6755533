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

test_a_read_only_state_directory_keeps_no_VM_from_its_GPU() {
    local status=0

    host_run mount -t tmpfs -o ro,mode=0755 none /var/lib/vgpu-mediator
    trap 'host_run umount /var/lib/vgpu-mediator; host_run vgpuctl unregister read-only' EXIT
    host_run systemctl restart "$service"
    equal "the next request" "$(vm_run b 'vgpu add 1 2')" 3
    host_run journalctl --no-pager -q -p warning -u "$service" -n 5 | tee "$cache/host/journal"
    grep -q 'no change can be made to last in /var/lib/vgpu-mediator: Read-only' "$cache/host/journal"

    host_run vgpuctl register read-only 30000000-0000-4000-8000-000000000003
    host_run vgpuctl set-priority read-only low >"$cache/host/answer" 2>&1 || status=$?
    cat "$cache/host/answer"
    equal "the exit status" "$status" 1
    grep -q 'is in effect, but could not be kept: Read-only file system' "$cache/host/answer"
    equal Priority "$(bus_property "$manager/vm/read_2donly" VM Priority)" low
}

test_the_state_directory_is_back() {
    host_run systemctl restart "$service"
    host_run vgpuctl register writable 30000000-0000-4000-8000-000000000004
    host_run vgpuctl set-priority writable low
    host_run vgpuctl unregister writable
    host_run vgpuctl revert writable
    equal "what is left" "$(host_run ls -A /var/lib/vgpu-mediator)" ''
}

test_a_VM_whose_pool_is_missing_stays_known() {
    configure $'[Pool B]\nBackend=cpu'
    host_run vgpuctl register pool-away 30000000-0000-4000-8000-000000000005 --pool=B
    configure ''
    host_run vgpuctl status pool-away | grep -q 'Pool: B'
    printf '[Pool B]\nBackend=cpu\n' >"$host_root/etc/vgpu/mediator.conf.d/50-test.conf"
    host_run systemctl reload "$service"
    host_run vgpuctl status pool-away | grep -q 'Pool: B'
    host_run vgpuctl unregister pool-away
}

test_a_reload_names_the_file_that_cannot_be_read() {
    local file=/etc/vgpu/mediator.conf.d/60-unreadable.conf

    host_run install -m 600 /dev/null "$file"
    host_run vgpuctl reload 2>"$cache/host/answer" && return 1
    host_run rm "$file"
    cat "$cache/host/answer"
    grep -q "Cannot read $file: Permission denied" "$cache/host/answer"
}

test_a_bad_line_is_a_warning_with_file_line_and_value() {
    configure $'[Pool A]\nInFlight=many'
    host_run journalctl --no-pager -q -p warning -u "$service" -n 5 >"$cache/host/journal"
    cat "$cache/host/journal"
    grep -q '50-test.conf:2:.*many' "$cache/host/journal"
    equal "the next request" "$(vm_run b 'vgpu add 1 2')" 3
}
