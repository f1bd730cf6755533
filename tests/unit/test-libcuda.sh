#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# test-libcuda.sh PROGRAM MEDIATORD EXECUTOR FAKE-CUDA-DIR SOURCE-ROOT - run a test that is linked against the
# libcuda.so.1 for guests, with a mediator whose session executors have the fake driver
set -uo pipefail

. "$(dirname "$0")/session-command.sh"

start_mediator "$2" "$3" "$4" "$5/tests/fake-cuda" >"$work/start"
if ! grep -q '^ok' "$work/start"; then
    cat "$work/start"
    echo 'Bail out! The mediator has no pool.'
    exit 1
fi
export VGPU_WINDOW_SIZE=67108864
env -u LD_LIBRARY_PATH CMOCKA_MESSAGE_OUTPUT=TAP "$1" "$5"
