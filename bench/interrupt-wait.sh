#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2154 # the files sourced before set them
#
# interrupt-wait.sh BUILD - what waiting costs: the CPU time of a guest's process whose
# requests on the ring take a second each (the host limits it to one a second), and the CPU
# time of its QEMU beyond that of an idle guest. In percent of one CPU; with interrupts and, for
# comparison, without them. Both are measured in turn; the results are medians.
#
# What it shows: whether a wait for a long request is a sleep, for the process and for
# QEMU's threads. What it does not show: KVM, where the guest's few instructions and an
# interrupt cost less than here, where QEMU translates code.

set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../tools/lib/common.sh"
. "$here/../tools/lib/host.sh"
. "$here/../tools/lib/guest.sh"
. "$here/../tests/host/lib.sh"
. "$here/../tests/host/ring-load.sh"

build=$1
repetitions=3
seconds=5

# qemu_cpu - prints the CPU time of all threads of the guest's QEMU so far, in nanoseconds
qemu_cpu() {
    host_run sh -c "cat /proc/$qemu/task/*/schedstat" |
        awk '{ sum += $1 } END { printf "%.0f\n", sum }'
}

# note_percent FILE NANOSECONDS - adds a line to FILE: the percentage of one CPU in a measurement
note_percent() {
    awk -v ns="$2" -v s="$seconds" 'BEGIN { printf "%.2f\n", ns / s / 1e7 }' >>"$1"
}

# median FILE
median() {
    sort -g "$1" | sed -n "$(((repetitions + 1) / 2))p"
}

# measure NAME PID - adds a line to the files NAME.guest, for this process of the guest, and NAME.qemu
measure() {
    local before after guest

    before=$(qemu_cpu)
    # shellcheck disable=SC2016 # expanded in the guest
    guest=$(vm_run w "f=/proc/$2/schedstat"'; read -r a rest <$f; sleep '"$seconds"'; read -r b rest <$f; echo $((b - a))')
    after=$(qemu_cpu)
    note_percent "$results/$1.guest" "$guest"
    note_percent "$results/$1.qemu" $((after - before))
}

# measure_wait NAME OPTION - the same for a vgpu with this option, which waits
measure_wait() {
    load_start w 1 "$2"
    load_goes_on w "$vm"
    limit_rate 1
    measure "$1" "$(vm_run w 'cat /load.pid')"
    load_stop w "$vm" >"$results/$1.load"
    limit_rate 0
}

# limit_rate N - limits the VM to N requests a second; 0: to no number
limit_rate() {
    host_run busctl --quiet call "$bus" "$vm" "$bus.VM" SetLimits 'a{sv}b' \
        1 RequestRateLimit u "$1" true
}

# report WHAT NAME [AIM]
report() {
    local above

    above=$(awk -v a="$(median "$results/$2.qemu")" -v b="$(median "$results/idle.qemu")" \
        'BEGIN { printf "%.2f", a - b }')
    printf '%s: process in the guest %s %%%s, QEMU %s %% above idle (%s %%)\n' \
        "$1" "$(median "$results/$2.guest")" "${3:-}" "$above" "$(median "$results/idle.qemu")"
}

reason=$(why_not)
if [ -n "$reason" ]; then
    echo "$reason"
    exit 77
fi
host_contain "$@"
host_up
quietly host-install host_install "$build"
quietly guest-image vm_image "$build"
host_run systemctl start vgpu-mediator.socket
uuid=6f1d8c1e-2a47-4d0b-9f0e-0c5b7a1e4d11
host_run vgpuctl register w "$uuid" --pool=A --priority=high >/dev/null
vm=$manager/vm/w
vm_start w "vgpu-stub,pool_id=A,priority=high,uuid=$uuid"
vm_run w 'vgpu --interrupt add 1 2' >/dev/null
qemu=$(bus_property "$vm" VM LeaderPID)
results=$cache/host/results
mkdir "$results"

for ((i = 0; i < repetitions; i++)); do
    measure idle self
    measure_wait interrupt --interrupt
    measure_wait poll ''
done
report "waiting by interrupt" interrupt " (aim < 2)"
report "waiting without" poll
