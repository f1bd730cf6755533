# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# shellcheck disable=SC2154
#
# The data window and the ring, in a guest: all computations, many requests
# outstanding, ring and registers at once, and what the host does to a ring at work.

. "$tests/ring-load.sh"

elements=9000 # not a multiple of anything; more than is computed on the spot
inner=90      # of the matrices, which are 20 by 90 and 90 by 20
ring_vectors=$cache/host/ring-vectors
for type in int32 int64 float32 float64; do
    mkdir -p "$ring_vectors/$type"
    make_vectors "$ring_vectors/$type" "$type" "$elements"
    for operand in a b; do
        mv "$ring_vectors/$type/$operand.bin" "$ring_vectors/$operand-$type.bin"
    done
    for operand in a b; do
        head -c $((20 * inner * ($(stat -c %s "$ring_vectors/a-$type.bin") / elements))) \
            "$ring_vectors/$operand-$type.bin" >"$ring_vectors/m$operand-$type.bin"
    done
done
vm_start c vgpu-stub,pool_id=A,priority=medium,vm_id=3,uuid=6f1d8c1e-2a47-4d0b-9f0e-0c5b7a1e4d13 \
    "$ring_vectors"/*-*.bin
equal "the first request" "$(vm_run c 'vgpu add 1 2')" 3
vm_c=$(vm_path 3)

# operations TYPE - prints the operations that the type has
operations() {
    echo vecadd mul dot sum min max
    case $1 in
    float*) echo axpy matmul ;;
    esac
}

# compute OPTIONS OPERATION TYPE OUTPUT - computes in the guest, into its file OUTPUT
compute() {
    local command="vgpu $1 $2 --type $3"

    case $2 in
    matmul) vm_run c "$command --inner $inner /ma-$3.bin /mb-$3.bin -o $4" ;;
    axpy) vm_run c "$command --alpha 0.3 /a-$3.bin /b-$3.bin -o $4" ;;
    vecadd | mul) vm_run c "$command /a-$3.bin /b-$3.bin -o $4" ;;
    dot) vm_run c "$command /a-$3.bin /b-$3.bin >$4" ;;
    *) vm_run c "$command /a-$3.bin >$4" ;;
    esac
}

# check OPERATION TYPE FILE - compares the guest's FILE with the host's own computation
check() {
    local a=$ring_vectors/a-$2.bin b=$ring_vectors/b-$2.bin ours=$cache/host/result

    vm_run c "base64 $3" | base64 -d >"$ours"
    case $1 in
    matmul)
        python3 "$tests/check-results.py" matmul "$2" \
            "$ring_vectors/ma-$2.bin" "$ring_vectors/mb-$2.bin" "$ours" "$inner"
        ;;
    axpy) python3 "$tests/check-results.py" axpy "$2" "$a" "$b" "$ours" 0.3 ;;
    vecadd | mul) python3 "$tests/check-results.py" "$1" "$2" "$a" "$b" "$ours" ;;
    *) python3 "$tests/check-results.py" "$1" "$2" "$a" "$b" - <"$ours" ;;
    esac
}

test_the_guest_sees_window_and_ring() {
    local info resources

    info=$(vm_run c 'vgpu info')
    echo "$info"
    grep -qE '^ *window: +16384 KiB$' <<<"$info"
    grep -qE '^ *ring: +OFF$' <<<"$info"

    # the third line: memory, 64-bit, prefetchable, of that size
    resources=$(vm_run c 'cat /sys/bus/pci/devices/0000:00:02.0/resource')
    echo "$resources"
    read -r begin end flags <<<"$(sed -n 3p <<<"$resources")"
    equal "bytes of BAR2" $((end - begin + 1)) 16777216
    equal "its kind" $((flags & 0x102200)) $((0x102200))
}

test_all_computations_are_right() {
    local type operation

    for type in int32 int64 float32 float64; do
        for operation in $(operations "$type"); do
            compute "$by_ring" "$operation" "$type" "/$operation-$type"
            check "$operation" "$type" "/$operation-$type"
        done
    done
}

test_by_interrupt_they_give_the_same() {
    local type operation

    for type in int32 int64 float32 float64; do
        for operation in $(operations "$type"); do
            compute "--interrupt $by_ring" "$operation" "$type" /again
            vm_run c "cmp /again /$operation-$type"
        done
    done
}

test_an_interrupt_ends_the_wait() {
    wakes c 'vgpu --interrupt max --type int32 /a-int32.bin' "$(vm_run c 'cat /max-int32')"
}

test_without_a_choice_of_path_they_give_the_same() {
    local type operation

    for type in int32 float64; do
        for operation in $(operations "$type"); do
            compute '' "$operation" "$type" /again
            vm_run c "cmp /again /$operation-$type"
        done
    done
}

test_the_registers_give_the_same_sums() {
    local type

    for type in int32 int64 float32 float64; do
        compute "$by_registers" vecadd "$type" /again
        vm_run c "cmp /again /vecadd-$type"
    done
}

# bench_of_many OPTION - 20000 requests, 1024 of them outstanding; the host must count as many
bench_of_many() {
    local before after said

    before=$(bus_property "$vm_c" VM RequestsCompleted)
    said=$(vm_run c "vgpu $1 bench --depth 1024 -n 20000 --json")
    after=$(bus_property "$vm_c" VM RequestsCompleted)
    echo "$said"
    [[ $said == '{"requests":20000,'* ]]
    # the benchmark does not count its 16 requests to warm up
    equal "what the host has counted" $((after - before)) 20016
    equal RequestsFailed "$(bus_property "$vm_c" VM RequestsFailed)" 0
    equal RequestsRejected "$(bus_property "$vm_c" VM RequestsRejected)" 0
    equal QueueDepth "$(bus_property "$vm_c" VM QueueDepth)" 0
    equal InFlight "$(bus_property "$vm_c" VM InFlight)" 0
}

test_1024_outstanding_by_looking() {
    bench_of_many ''
}

test_1024_outstanding_by_interrupt() {
    local before after

    before=$(interrupts c)
    bench_of_many --interrupt
    after=$(interrupts c)
    echo "interrupts: $before before, $after after"
    # many completions share one interrupt, as the guest asks for
    [ $((after - before)) -lt 2000 ]
}

test_a_load_on_the_ring_begins() {
    load_start c
    load_goes_on c "$vm_c"
}

test_the_bus_shows_the_ring_at_work() {
    local limit

    equal RingEntries "$(bus_property "$vm_c" VM RingEntries)" 128
    equal WindowSize "$(bus_property "$vm_c" VM WindowSize)" 16777216

    # only while nothing moves can the requests in flight be counted
    limit=$(($(pool_property InFlightLimit) - 1)) # the most of one VM
    executor=$(pool_property ExecutorPID) # not local, for the trap
    trap 'host_run kill -CONT "$executor"' EXIT
    host_run kill -STOP "$executor"
    load_reaches "$vm_c" InFlight "$limit"
    load_reaches "$vm_c" QueueDepth $((64 - limit))
    host_run kill -CONT "$executor"
    load_goes_on c "$vm_c"
}

test_the_registers_work_beside_it() {
    local type

    for type in int32 float64; do
        compute "$by_registers" vecadd "$type" /again
        vm_run c "cmp /again /vecadd-$type"
    done
    # shellcheck disable=SC2016 # expanded in the guest
    vm_run c 'for i in 1 2 3 4; do vgpu bench -n 50 --json >/slow.$i 2>&1 & done; wait; cat /slow.*' |
        tee "$cache/host/slow"
    equal "how many of four were right" "$(grep -c '^{"requests":50,' "$cache/host/slow")" 4
    load_goes_on c "$vm_c"
}

test_a_second_user_of_the_ring_has_to_wait() {
    local said status=0

    said=$(vm_run c 'vgpu -t 0.2 sum --type int32 /a-int32.bin') || status=$?
    echo "$said"
    equal "the exit status" "$status" 4
    # but without a choice of path it takes the registers
    compute '' vecadd int32 /again
    vm_run c 'cmp /again /vecadd-int32'
    load_goes_on c "$vm_c"
}

test_a_VM_that_is_paused_loses_nothing() {
    host_run busctl call "$bus" "$vm_c" "$bus.VM" Pause
    load_reaches "$vm_c" InFlight 0
    equal RingEntries "$(bus_property "$vm_c" VM RingEntries)" 128
    host_run busctl call "$bus" "$vm_c" "$bus.VM" Resume
    load_goes_on c "$vm_c"
}

test_a_mediator_that_is_killed_loses_nothing() {
    local restarts

    restarts=$(unit_property "$service" NRestarts)
    for _ in 1 2 3; do
        service_kill
        load_goes_on c "$vm_c"
    done
    equal "restarts" "$(unit_property "$service" NRestarts)" $((restarts + 3))
}

# service_kill - kills the mediator and waits for the next one
service_kill() {
    local pid

    pid=$(unit_property "$service" MainPID)
    host_run kill -KILL "$pid"
    eventually 20 service_has_another_pid "$pid"
}

# service_has_another_pid PID
service_has_another_pid() {
    local pid

    pid=$(unit_property "$service" MainPID)
    [ "$pid" != 0 ] && [ "$pid" != "$1" ]
}

test_a_mediator_that_is_restarted_loses_nothing() {
    host_run systemctl restart "$service"
    load_goes_on c "$vm_c"
    host_run systemctl restart "$service"
    load_goes_on c "$vm_c"
    equal RingEntries "$(bus_property "$vm_c" VM RingEntries)" 128
}

test_the_load_has_seen_no_error() {
    load_stop c "$vm_c"
    echo "$load_requests requests, all of them right"
    [ "$load_requests" -gt 1000 ]
    equal RingEntries "$(bus_property "$vm_c" VM RingEntries)" 0
}

# While the pool is paused nothing moves: the guest's ring is full, and nearly all of its entries
# stand in the guest's memory only.
test_a_full_ring_outlives_the_mediator() {
    load_start c 1024 --interrupt
    load_goes_on c "$vm_c"
    equal RingEntries "$(bus_property "$vm_c" VM RingEntries)" 1024

    pool_call Pause
    load_fills_queue "$vm_c"
    service_kill
    load_goes_on c "$vm_c" # the next mediator does not know that the pool was paused
    pool_call Pause
    load_fills_queue "$vm_c"
    host_run systemctl restart "$service"
    load_goes_on c "$vm_c"
}

test_interrupts_of_both_paths_come_on_one_line() {
    compute "--interrupt $by_registers" vecadd int32 /again
    vm_run c 'cmp /again /vecadd-int32'
    load_goes_on c "$vm_c"
    load_stop c "$vm_c"
}

# What it had in hand is computed by the next one.
test_a_killed_executor_loses_nothing() {
    local restarts

    restarts=$(pool_property ExecutorRestarts)
    load_start c
    load_goes_on c "$vm_c"
    host_run kill -STOP "$(pool_property ExecutorPID)"
    load_reaches "$vm_c" InFlight $(($(pool_property InFlightLimit) - 1)) # the most of one VM
    host_run kill -KILL "$(pool_property ExecutorPID)"
    load_goes_on c "$vm_c"
    load_stop c "$vm_c"

    compute "$by_ring" sum float64 /again
    vm_run c 'cmp /again /sum-float64'
    equal ExecutorRestarts "$(pool_property ExecutorRestarts)" "$((restarts + 1))"
}

test_a_VM_in_quarantine_is_told_so() {
    local said

    load_start c
    load_goes_on c "$vm_c"
    host_run busctl call "$bus" "$vm_c" "$bus.VM" Quarantine
    said=$(load_wait c)
    host_run busctl call "$bus" "$vm_c" "$bus.VM" Release
    echo "the load said: $said"
    [[ $said == *VM_QUARANTINED*'exit 1' ]]
    compute "$by_ring" sum float64 /again
    vm_run c 'cmp /again /sum-float64'
}

test_a_guest_that_is_switched_off_with_its_ring_full_leaves_nothing() {
    load_start c 1024
    load_goes_on c "$vm_c"
    pool_call Pause
    trap 'pool_call Resume' EXIT
    load_fills_queue "$vm_c"
    vm_stop c
    eventually 20 vm_is_gone 3
    equal "what waits in the pool" "$(pool_property QueueDepthMedium)" 0
    pool_call Resume
    equal "the neighbour's next" "$(vm_run b 'vgpu add 3 4')" 7
}
