# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# shellcheck disable=SC2154 # the files sourced before set them
#
# Sourced by run: how cases are run, and what several of them use.

bus=org.vgpu.Mediator1
manager=/org/vgpu/Mediator1
service=vgpu-mediator.service
progress=$cache/logs/host-progress
n_cases=0
n_failed=0

# why_not - prints what this machine lacks to run a host with virtual machines
why_not() {
    local program

    host_why_not
    for program in systemd-nspawn qemu-system-x86_64 cpio nsenter busctl; do
        command -v "$program" >/dev/null || echo "needs $program"
    done
}

# at TEXT - leaves word of where the run is, for tools/check to show
at() {
    mkdir -p "${progress%/*}"
    echo "$*" >"$progress"
}

# run_cases FILE - runs the cases that FILE has defined. A case fails at the first
# command that fails, and what it printed is then shown.
run_cases() {
    local name rc

    while read -r name; do
        n_cases=$((n_cases + 1))
        at "${1##*/}:$(tr _ ' ' <<<"${name#test}")"
        set +e
        (
            set -e
            "$name"
        ) >"$cache/host/case" 2>&1 </dev/null
        rc=$?
        set -e
        name=${name#test_}
        if [ "$rc" -eq 0 ]; then
            echo "ok $n_cases - ${name//_/ }"
        else
            n_failed=$((n_failed + 1))
            echo "not ok $n_cases - ${name//_/ }"
            sed 's/^/# /' "$cache/host/case"
        fi
    done < <(sed -n 's/^\(test_[A-Za-z0-9_]*\)() {.*/\1/p' "$1")
}

# skip_cases FILE REASON - instead of run_cases: reports the cases of FILE as skipped
skip_cases() {
    local name

    while read -r name; do
        n_cases=$((n_cases + 1))
        echo "ok $n_cases - ${name//_/ } # SKIP $2"
    done < <(sed -n 's/^test_\([A-Za-z0-9_]*\)() {.*/\1/p' "$1")
}

# finish - prints the plan, and the service's journal when a case failed
finish() {
    echo "1..$n_cases"
    [ "$n_failed" -eq 0 ] || host_run journalctl --no-pager -u "$service" -n 100 | sed 's/^/# /'
    exit "$((n_failed > 0))"
}

# equal WHAT ACTUAL EXPECTED - fails, and says so, where the two differ
equal() {
    [ "$2" = "$3" ] || {
        echo "$1: '$2' instead of '$3'"
        return 1
    }
}

# eventually SECONDS COMMAND... - repeats the COMMAND until it succeeds, for so long at most
eventually() {
    local end=$((SECONDS + $1))
    shift

    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$end" ] || {
            echo "still not so: $*"
            return 1
        }
    done
}

# unit_property UNIT NAME
unit_property() {
    host_run systemctl show --property "$2" --value "$1"
}

# bus_property PATH INTERFACE NAME - the bare value; INTERFACE without the common prefix
bus_property() {
    local value

    value=$(host_run busctl get-property "$bus" "$1" "$bus.$2" "$3")
    value=${value#* }
    value=${value#\"}
    printf '%s\n' "${value%\"}"
}

pool_property() {
    bus_property "$manager/pool/A" Pool "$1"
}

pool_property_is() {
    [ "$(pool_property "$1")" = "$2" ]
}

# request_in_flight VM [COMMAND] - stops the executor and starts the COMMAND in the guest, which
# makes a request: 20 + 22 by default. Its output and exit status will be in the guest's /answer.
request_in_flight() {
    local command=${2:-vgpu add 20 22}

    host_run kill -STOP "$(pool_property ExecutorPID)"
    vm_run "$1" "rm -f /answer; ($command >/tmp/answer 2>&1; echo \"exit \$?\" >>/tmp/answer; mv /tmp/answer /answer) >/dev/null 2>&1 &"
    eventually 20 pool_property_is InFlight 1
}

# answer_of VM - waits for the answer of request_in_flight and prints it
answer_of() {
    # shellcheck disable=SC2016 # expanded in the guest
    vm_run "$1" 'n=0; until [ -e /answer ] || [ $n -ge 300 ]; do usleep 100000; n=$((n + 1)); done; cat /answer'
}

# interrupts VM - how many interrupts the guest has had from the device
interrupts() {
    vm_run "$1" "awk '/uio/ { print \$2 }' /proc/interrupts"
}

# wakes VM COMMAND ANSWER - an interrupt ends the wait of COMMAND, which prints ANSWER. The executor
# is stopped until the COMMAND waits; otherwise the answer could come before the wait.
wakes() {
    local before after answer

    executor=$(pool_property ExecutorPID) # not local, for the trap
    trap 'host_run kill -CONT "$executor"' EXIT
    request_in_flight "$1" "$2"
    before=$(interrupts "$1")
    host_run kill -CONT "$executor"
    answer=$(answer_of "$1")
    after=$(interrupts "$1")
    echo "interrupts: $before before, $after after"
    equal "the answer of $2" "$answer" "$3"$'\nexit 0'
    [ "$after" -gt "$before" ]
}

# vm_paths - the objects of the VMs that the mediator knows
vm_paths() {
    host_run busctl --list tree "$bus" | grep "^$manager/vm/."
}

# vm_path ID - the object of the VM that has this number
vm_path() {
    local path

    for path in $(vm_paths); do
        if [ "$(bus_property "$path" VM VMID)" = "$1" ]; then
            printf '%s\n' "$path"
            return
        fi
    done
    echo "no VM has the number $1" >&2
    return 1
}

# vm_is_gone ID - no VM has this number
vm_is_gone() {
    ! vm_path "$1"
}

# What the tests' own GPU needs; 95-libvirt-removal.sh knows it
fake_gpu=/usr/lib/vgpu-fake-gpu

# fake_gpu_start CONFIGURATION [PLAN] - restarts the service with the tests' GPU, and with no other, also for
# the executors of sessions; PLAN is what VGPU_FAKE_CUDA of the pools' executors is
fake_gpu_start() {
    local units=$host_root/etc/systemd/system

    install -D -t "$host_root$fake_gpu" "$build/tests/fake-cuda/libcuda.so.1" \
        "$tests/../fake-cuda/executor.sh" "$tests/../fake-cuda/kernels.ptx"
    mkdir -p "$units/$service.d" "$units/vgpu-executor@.service.d"
    cat >"$units/$service.d/fake-gpu.conf" <<UNIT
[Service]
Environment=LD_LIBRARY_PATH=$fake_gpu VGPU_FAKE_CUDA=${2-}
Environment=VGPU_REAL_EXECUTOR=/usr/libexec/vgpu-mediator/vgpu-executor
Environment=VGPU_FAKE_CUDA_KERNELS=$fake_gpu/kernels.ptx
ExecStart=
ExecStart=/usr/libexec/vgpu-mediator/vgpu-mediatord --executor=$fake_gpu/executor.sh
UNIT
    printf '[Service]\nEnvironment=LD_LIBRARY_PATH=%s\n' "$fake_gpu" \
        >"$units/vgpu-executor@.service.d/fake-gpu.conf"
    printf '%s\n' "$1" >"$host_root/etc/vgpu/mediator.conf.d/80-fake-gpu.conf"
    host_run systemctl daemon-reload
    host_run systemctl restart "$service"
}

fake_gpu_end() {
    local units=$host_root/etc/systemd/system

    rm -r "$units/$service.d" "$units/vgpu-executor@.service.d" \
        "$host_root/etc/vgpu/mediator.conf.d/80-fake-gpu.conf"
    host_run systemctl daemon-reload
    host_run systemctl restart "$service"
}

# make_vectors DIR TYPE N - makes DIR/a.bin, DIR/b.bin, and DIR/sum.bin, their correct sum
make_vectors() {
    python3 "$tests/make-vectors.py" "$@"
}
