# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# Sourced by the tests of programs that have CUDA sessions by a mediator's socket: a mediator with the fake
# driver, and results as TAP.
number=0
failures=0
work=$(mktemp -d)
mediator=
trap '[ -z "$mediator" ] || kill "$mediator"; wait; rm -rf "$work"' EXIT
: >"$work/output"

# result NAME OK - one result; OK is empty when it failed
result() {
    number=$((number + 1))
    if [ -n "$2" ]; then
        echo "ok $number - $1"
    else
        failures=$((failures + 1))
        echo "not ok $number - $1"
        sed 's/^/# /' "$work/output" "$work/log"
    fi
}

# check_program NAME WANTED-STATUS WANTED-TEXT COMMAND... - the text is in either output
check_program() {
    local name=$1 status=$2 text=$3 got=0 passed=
    shift 3
    "$@" >"$work/output" 2>&1 || got=$?
    [ "$got" -eq "$status" ] && [[ $(<"$work/output") == *"$text"* ]] && passed=yes
    result "$name" "$passed"
}

# await TEXT [N] - the mediator's log has it N times (1 without it)
await() {
    for _ in {1..200}; do
        [ "$(grep -cF -e "$1" "$work/log")" -ge "${2:-1}" ] && return 0
        sleep 0.1
    done
    return 1
}

# start_mediator MEDIATORD EXECUTOR FAKE-CUDA-DIR SOURCES-OF-IT - and have $VGPU_SOCKET name it; $configuration is
# what its file has
configuration='[Pool A]\nBackend=cuda\n'
start_mediator() {
    local passed=

    printf '%b' "$configuration" >"$work/mediator.conf"
    LD_LIBRARY_PATH=$3 VGPU_REAL_EXECUTOR=$2 VGPU_FAKE_CUDA_KERNELS=$4/kernels.ptx \
        "$1" --bus=none --listen="$work/socket" --config="$work/mediator.conf" --executor="$4/executor.sh" \
        >"$work/log" 2>&1 &
    mediator=$!
    await 'computing with backend' && passed=yes
    result 'the mediator has a pool' "$passed"
    export VGPU_SOCKET=$work/socket VGPU_WINDOW_SIZE=16777216
}

# conclude - the plan, and the exit status
conclude() {
    echo "1..$number"
    exit $((failures > 0))
}
