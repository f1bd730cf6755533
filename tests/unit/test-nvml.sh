#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# test-nvml.sh PROGRAM MEDIATORD EXECUTOR FAKE-CUDA-DIR SOURCE-ROOT - the libnvidia-ml.so.1 for guests, with a
# mediator whose session executors have the fake driver
set -uo pipefail

. "$(dirname "$0")/session-command.sh"

# opened - how many sessions there have been
opened() {
    grep -c 'CUDA session [0-9]* opened' "$work/log"
}

start_mediator "$2" "$3" "$4" "$5/tests/fake-cuda"
check_program 'a monitor looks again and again' 0 'looked 30 times' env -u LD_LIBRARY_PATH "$1" watch
passed=
[ "$(opened)" -eq 1 ] && passed=yes
result 'and has one executor started in all' "$passed"
await 'the guest closed it' && passed=yes || passed=
result 'which ends when it has answered' "$passed"
CMOCKA_MESSAGE_OUTPUT=STANDARD check_program 'the tests of the library pass' 0 'PASSED' \
    env -u LD_LIBRARY_PATH "$1" "$5"
sed 's/^/# /' "$work/output"
conclude
