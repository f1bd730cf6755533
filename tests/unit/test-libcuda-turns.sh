#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# test-libcuda-turns.sh MEDIATORD EXECUTOR FAKE-CUDA-DIR SOURCE-ROOT PROGRAM... - tests that are linked against the
# libcuda.so.1 for guests run at the same time, each of them a VM, and take turns on the device
set -uo pipefail

. "$(dirname "$0")/session-command.sh"

configuration='[Pool A]\nBackend=cuda\nSharing=turns\nTurnUSec=1000\nPolicy=fair\n'
start_mediator "$1" "$2" "$3" "$4/tests/fake-cuda"
export VGPU_WINDOW_SIZE=67108864 VGPU_STORM_CALLS=2000
sources=$4
shift 4

# run PROGRAM - its output, with its status at the end
run() {
    env -u LD_LIBRARY_PATH "$1" "$sources" >"$work/${1##*/}" 2>&1
    echo "status $?" >>"$work/${1##*/}"
}

running=()
for program; do
    run "$program" &
    running+=($!)
done
wait "${running[@]}"
for program; do
    grep -qx 'status 0' "$work/${program##*/}" && passed=yes || passed=
    cp "$work/${program##*/}" "$work/output"
    result "${program##*/}, by turns" "$passed"
done

# The mediator hears of the last one's end a moment later.
passed=
if await ' s of device time in ' "$#"; then
    turns=$(($(sed -n 's/.* s of device time in \([0-9]*\) turns.*/\1/p' "$work/log" | paste -sd+)))
    echo "# $turns turns"
    [ "$turns" -gt $((3 * $#)) ] && passed=yes
fi
result 'they had turns again and again' "$passed"
conclude
