# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # shared with the files sourced before
#
# Sourced by the cases about the ring: a load on a guest's ring, which goes on until it
# is told to end or gets its first wrong or failed answer. OBJECT is what the mediator's
# bus calls the VM.

# The guest command's options for the one path of a request and for the other
by_ring='--path ring'
by_registers='--path registers'

# load_start NAME [DEPTH [OPTION]] - starts it, with DEPTH requests outstanding at any time
load_start() {
    vm_run "$1" "rm -f /load.*; (sh -c 'echo \$\$ >/load.pid; exec vgpu ${3:-} bench --depth ${2:-64} -n 10000000 --json'; echo \"exit \$?\") >/load.out 2>&1 &"
}

# load_says NAME - prints its output, which is empty before its end
load_says() {
    vm_run "$1" 'cat /load.out'
}

# load_wait NAME - waits for its end; prints its output, and "exit STATUS"
load_wait() {
    # shellcheck disable=SC2016 # expanded in the guest
    vm_run "$1" 'n=0; until grep -q ^exit /load.out || [ $n -ge 300 ]; do usleep 100000; n=$((n + 1)); done; cat /load.out'
}

# load_stop NAME OBJECT - ends it; all answers must be right. Sets load_requests to their number.
load_stop() {
    local said

    # shellcheck disable=SC2016 # expanded in the guest
    vm_run "$1" 'kill -TERM "$(cat /load.pid)"'
    said=$(load_wait "$1")
    echo "the load said: $said"
    [[ $said == *'exit 0' ]] || {
        load_explain "$@"
        return 1
    }
    load_requests=$(sed -n 's/^{"requests":\([0-9]*\),.*/\1/p' <<<"$said")
}

# load_goes_on NAME OBJECT - requests are being completed, and none has failed
load_goes_on() {
    if ! eventually 20 load_moves "$2" || ! equal "what the load says" "$(load_says "$1")" ""; then
        load_explain "$@"
        return 1
    fi
}

load_moves() {
    local before after

    before=$(bus_property "$1" VM RequestsCompleted) && after=$(bus_property "$1" VM RequestsCompleted) &&
        [ "$after" -gt "$before" ]
}

# load_reaches OBJECT PROPERTY VALUE - waits until the VM's property has this value
load_reaches() {
    eventually 20 vm_property_is "$@" || {
        host_run busctl introspect "$bus" "$1" "$bus.VM"
        return 1
    }
}

vm_property_is() {
    [ "$(bus_property "$1" VM "$2")" = "$3" ]
}

# load_fills_queue OBJECT - its pool is paused: waits until the VM's queue is full, but for the one
# place that is kept for a request through the registers
load_fills_queue() {
    load_reaches "$1" QueueDepth $(($(bus_property "$1" VM QueueLimit) - 1))
    load_reaches "$1" InFlight 0
}

# load_explain NAME OBJECT - prints all that can be seen of it from outside
load_explain() {
    echo "--- the guest"
    vm_run "$1" 'cat /load.out; vgpu -t 1 info; grep uio /proc/interrupts; dmesg | tail -n 5' || true
    echo "--- the mediator"
    host_run busctl introspect "$bus" "$2" "$bus.VM" || true
    host_run busctl introspect "$bus" "$manager/pool/A" "$bus.Pool" || true
    host_run journalctl --no-pager -q -u "$service" -n 30
}

# pool_call METHOD - calls a method of pool A
pool_call() {
    host_run busctl call "$bus" "$manager/pool/A" "$bus.Pool" "$1"
}
