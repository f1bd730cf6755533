# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# shellcheck disable=SC2154
#
# CUDA sessions: processes of a guest with executors of their own, which systemd starts in their sandbox.
# The GPU is the tests' fake one.

session_files=("$tests/../fake-cuda/session-kernels.ptx")
for example in saxpy block-sums matmul-tiled; do
    session_files+=("$tests/../../guest/examples/$example.ptx" "$build/guest/examples/example-$example")
done
fake_gpu_start $'[Pool A]\nBackend=cuda'
uuid_d=6f1d8c1e-2a47-4d0b-9f0e-0c5b7a1e4d14
id_d=$(host_run vgpuctl register sessions "$uuid_d" --pool=A)
vm_start d "vgpu-stub,pool_id=A,priority=medium,vm_id=$id_d,uuid=$uuid_d,window-size=67108864" "${session_files[@]}"
endless='vgpu run /session-kernels.ptx --kernel fill --grid 1 --block 1 --repeat 10000000 zero:8M u32:1 u64:1'

# executor_units - the units of executors that run, also while they start and end
executor_units() {
    host_run systemctl list-units --plain --no-legend --state=active,activating,deactivating 'vgpu-executor@*.service'
}

executor_units_are() {
    [ "$(executor_units | wc -l)" -eq "$1" ]
}

# session_begin - starts a process in the guest that works until somebody ends it, and waits until it does
session_begin() {
    vm_run d "rm -f /done; ($endless >/answer 2>&1; echo \"exit \$?\" >>/answer; touch /done) >/dev/null 2>&1 &"
    eventually 20 session_works
}

session_works() {
    host_run vgpuctl sessions --no-legend sessions | grep -q '8\.0M'
}

# session_number - that process's session
session_number() {
    host_run vgpuctl sessions --no-legend sessions | awk '{ print $1 }'
}

# session_answer - what that process has said in the end
session_answer() {
    # shellcheck disable=SC2016 # expanded in the guest
    vm_run d 'n=0; until [ -e /done ] || [ $n -ge 200 ]; do usleep 100000; n=$((n + 1)); done; cat /answer'
}

no_sessions() {
    [ -z "$(host_run vgpuctl sessions --no-legend)" ] && executor_units_are 0
}

test_a_process_of_a_guest_has_the_GPU() {
    local shown

    shown=$(vm_run d 'vgpu smi')
    echo "$shown"
    grep -q '^| Fake GPU 0 ' <<<"$shown"
    grep -q 'sessions: 0 of 15' <<<"$shown"
}

test_the_examples_are_right() {
    local example

    for example in saxpy block-sums matmul-tiled; do
        vm_run d "/example-$example /$example.ptx"
    done
    eventually 20 no_sessions
}

test_a_session_is_a_unit_in_a_sandbox() {
    local unit pid

    session_begin
    executor_units | tee "$cache/host/units"
    unit=$(awk '{ print $1 }' "$cache/host/units")
    pid=$(unit_property "$unit" MainPID)
    equal "the parent" "$(host_run ps -o ppid= -p "$pid" | tr -d ' ')" 1
    host_run ps -o user= -p "$pid" >"$cache/host/user"
    cat "$cache/host/user"
    ! grep -qx -e vgpu -e root "$cache/host/user"
    equal "its capabilities" "$(host_run sed -n 's/^CapEff:\t*//p' "/proc/$pid/status")" 0000000000000000
    equal NoNewPrivs "$(host_run sed -n 's/^NoNewPrivs:\t*//p' "/proc/$pid/status")" 1
}

test_an_administrator_sees_it() {
    host_run vgpuctl sessions | tee "$cache/host/shown"
    grep -qE "^ *[0-9]+ +sessions +[0-9]+ +vgpu +A +0 +open .* 8\.0M" "$cache/host/shown"
    equal "what the guest sees" "$(vm_run d "vgpu smi | grep -c ' on  *8 MiB  vgpu'")" 1
}

test_an_administrator_ends_it() {
    local answer

    host_run vgpuctl end-session "$(session_number)"
    answer=$(session_answer)
    echo "the process said: $answer"
    [[ $answer == *'CUDA error'*'exit 1' ]]
    eventually 20 no_sessions
    vm_run d 'vgpu smi' | grep 'Fake GPU 0'
}

test_a_quota_of_sessions_holds() {
    local answer

    host_run vgpuctl set-limits --runtime sessions SessionsMax=1
    trap 'host_run vgpuctl set-limits --runtime sessions SessionsMax=8' EXIT
    session_begin
    answer=$(vm_run d 'vgpu smi') && return 1
    echo "$answer"
    [[ $answer == *'as many CUDA sessions as it may have (SessionsMax=)'* ]]
    grep -q ' on  *8 MiB  vgpu' <<<"$answer"
    host_run vgpuctl end-session "$(session_number)"
    session_answer
    eventually 20 no_sessions
}

test_a_quota_of_memory_holds() {
    local answer

    host_run vgpuctl set-limits --runtime sessions SessionMemoryMax=16M
    trap 'host_run vgpuctl set-limits --runtime sessions SessionMemoryMax=0' EXIT
    vm_run d 'vgpu smi' | tee "$cache/host/shown"
    grep -q 'memory: 0 of 16 MiB' "$cache/host/shown"
    answer=$(vm_run d 'vgpu run /session-kernels.ptx --kernel fill --grid 1 --block 1 zero:32M u32:1 u64:1') &&
        return 1
    echo "$answer"
    [[ $answer == *OUT_OF_MEMORY* ]]
}

test_a_fault_ends_one_session_alone() {
    local answer

    session_begin
    answer=$(vm_run d 'vgpu run /session-kernels.ptx --kernel illegal_address --grid 1 --block 1') && return 1
    echo "$answer"
    [[ $answer == *'CUDA error 700'* ]]
    eventually 20 executor_units_are 1
    session_works
}

test_a_process_that_is_killed_leaves_nothing() {
    # shellcheck disable=SC2016 # expanded in the guest
    vm_run d 'for p in /proc/[0-9]*; do tr "\0" " " <$p/cmdline | grep "^vgpu run" && kill -9 ${p#/proc/}; done; :'
    eventually 20 no_sessions
    equal "what executors have left" "$(host_run ls /run/vgpu-executor)" ''
}

test_a_session_ends_with_the_mediator() {
    local answer

    session_begin
    host_run systemctl restart "$service"
    answer=$(session_answer)
    echo "the process said: $answer"
    [[ $answer == *'CUDA error'*'exit 1' ]]
    eventually 20 no_sessions
    vm_run d '/example-saxpy /saxpy.ptx'
}

test_a_process_on_the_host_has_it_by_the_socket() {
    host_run vgpu smi | tee "$cache/host/shown"
    grep -q '^| by /run/vgpu/mediator.sock ' "$cache/host/shown"
    host_run setpriv --reuid nobody --regid nogroup --groups kvm vgpu smi | grep 'Fake GPU 0'
}

test_the_end_of_sessions_is_no_failure() {
    equal "systemctl --failed" "$(host_run systemctl --failed --plain --no-legend)" ''
    vm_stop d
    fake_gpu_end
    host_run vgpuctl unregister sessions
    equal "the neighbour's next" "$(vm_run b 'vgpu add 3 4')" 7
}
