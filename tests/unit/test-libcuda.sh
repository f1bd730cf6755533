#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# test-libcuda.sh PROGRAM MEDIATORD EXECUTOR FAKE-CUDA-DIR SOURCE-ROOT - the libcuda.so.1 for guests, through a
# mediator's socket, with a session executor on the fake driver
set -uo pipefail

. "$(dirname "$0")/session-command.sh"

start_mediator "$2" "$3" "$4" "$5/tests/fake-cuda"
export VGPU_WINDOW_SIZE=67108864
check_program 'a program of the driver API' 0 '' env -u LD_LIBRARY_PATH "$1" "$5/guest/examples/saxpy.ptx"
conclude
