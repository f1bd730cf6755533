#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# test-guest-examples.sh VGPU MEDIATORD EXECUTOR FAKE-CUDA-DIR SOURCE-ROOT EXAMPLE... - the
# examples, by themselves and by vgpu run, through a mediator's socket, with a session executor on the fake driver
set -uo pipefail

vgpu=$(realpath "$1")
mediatord=$2
executor=$3
fake=$4
examples=$5/guest/examples
programs=${6%/*}
. "$(dirname "$0")/session-command.sh"

start_mediator "$mediatord" "$executor" "$fake" "$5/tests/fake-cuda"

# example NAME WANTED - the program, with the module that is beside its source
example() {
    check_program "$1" 0 "$2" "$programs/example-$1" "$examples/$1.ptx"
}

example saxpy '1000000 numbers, 0 wrong'
example block-sums 'is 7500000, right'
example matmul-tiled '300 by 200 numbers, 0 wrong'
check_program 'another module' 1 'saxpy: CUDA error 500, NOT_FOUND' "$programs/example-saxpy" \
    "$examples/matmul-tiled.ptx"
check_program 'no module' 1 '/nonexistent: No such file' "$programs/example-saxpy" /nonexistent
echo '.version 9.0 .target sm_75 {' >"$work/bad.ptx"
check_program 'a module with an error' 1 'braces do not match' "$programs/example-saxpy" "$work/bad.ptx"
VGPU_SOCKET=$work/none check_program 'no mediator' 1 'cannot open a CUDA session' \
    "$programs/example-saxpy" "$examples/saxpy.ptx"

# by_command NAME - the lines that the example's comment gives for the command; they read and write files here
by_command() {
    cp "$examples/$1.ptx" "$work/"
    sed -n 's/^ \*     //p' "$examples/$1.c" >"$work/lines"
    check_program "what $1.c says of vgpu run" 0 '' env -C "$work" PATH="${vgpu%/*}:$PATH" bash -e lines
}

# ones NAME COUNT - a file of 1.0
ones() {
    local i=0
    printf '\x00\x00\x80\x3f' >"$work/one"
    cp "$work/one" "$work/$1"
    while [ "$((1 << i))" -lt "$2" ]; do
        cat "$work/$1" "$work/$1" >"$work/twice"
        mv "$work/twice" "$work/$1"
        i=$((i + 1))
    done
    truncate -s "$((4 * $2))" "$work/$1"
}

# first NAME NUMBER - the file's first float
first() {
    [ "$(od -An -t f4 -N 4 "$work/$1" | tr -d ' ')" = "$2" ] && passed=yes || passed=
    result "$1 begins with $2" "$passed"
}

ones x.bin 1000000
ones y.bin 1000000
ones a.bin 75000
ones b.bin 50000
by_command saxpy
first y.bin 3
by_command block-sums
first sum.bin 1e+06
by_command matmul-tiled
first c.bin 250

conclude
