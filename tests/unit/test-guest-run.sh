#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# test-guest-run.sh VGPU MEDIATORD EXECUTOR FAKE-CUDA-DIR SOURCE-ROOT - vgpu run and vgpu smi through a
# mediator's socket, with a session executor on the fake driver
set -uo pipefail

vgpu=$1
mediatord=$2
executor=$3
fake=$4
source=$5/tests/fake-cuda
kernels=$source/session-kernels.ptx
. "$(dirname "$0")/session-command.sh"

# check WANTED-STATUS WANTED-TEXT ARGUMENT... - of vgpu
check() {
    local status=$1 text=$2
    shift 2
    check_program "vgpu ${*//$work/.}" "$status" "$text" "$vgpu" "$@"
}

# repeat N BYTES - four BYTES, as printf has them, N times
repeat() {
    local n=1

    printf '%b' "$2" >"$work/part"
    while [ "$n" -lt "$1" ]; do
        cat "$work/part" "$work/part" >"$work/twice"
        mv "$work/twice" "$work/part"
        n=$((2 * n))
    done
    head -c "$((4 * $1))" "$work/part"
}

# same NAME FILE N BYTES - the file has nothing else
same() {
    repeat "$3" "$4" >"$work/wanted"
    cmp -s "$2" "$work/wanted" && passed=yes || passed=
    result "$1" "$passed"
}

start_mediator "$mediatord" "$executor" "$fake" "$source"

check 0 '| Fake GPU 0  ' smi
check 0 ' memory: 8192 MiB |' smi
check 0 '"driver_version":13000' smi --json

repeat 1000 '\x00\x00\x80\x3f' >"$work/x" # 1.0
cp "$work/x" "$work/y"
check 0 '' run "$kernels" --kernel saxpy --grid 4 --block 256 u32:1000 f32:2 "in:$work/x" \
    "inout:$work/y"
same 'y is 3.0 everywhere' "$work/y" 1000 '\x00\x00\x40\x40'
same 'x is as it was' "$work/x" 1000 '\x00\x00\x80\x3f'

check 0 '20 launches' run "$kernels" --kernel fill --grid 4096 --block 256 --repeat 20 \
    "out:$work/filled:4194304" u32:0x04030201 i64:1048576
await 's of device time, 21 launches and at most 4.0 MiB of device memory' && passed=yes || passed=
result 'the log says what the session has used' "$passed"
same 'four mebibytes are filled' "$work/filled" 1048576 '\x01\x02\x03\x04'
check 0 '' run "$kernels" --kernel fill --grid 1 --block 1 "out:$work/zeros:100" u32:0 u64:0
same 'what nobody has written is zero' "$work/zeros" 25 '\x00\x00\x00\x00'

check 2 'fill has 3 parameters, and 2 arguments are given' run "$kernels" --kernel fill --grid 1 \
    --block 1 zero:64 u32:7
check 2 "argument 2, 'u64:7', has 8 bytes; that parameter of fill has 4" run "$kernels" \
    --kernel fill --grid 1 --block 1 zero:64 u64:7 u64:1
check 2 'bytes of the parameters of fill: 8 4 8; an address has 8' run "$kernels" --kernel fill --grid 1 \
    --block 1 zero:64 u64:7 u64:1
check 2 "the module has no kernel 'none'; it has:" run "$kernels" --kernel none --grid 1 --block 1
check 2 $'\n  saxpy\n' run "$kernels" --kernel none --grid 1 --block 1
check 2 $'these contain it (C++ makes names longer):\n  matmul_tile' run "$kernels" --kernel matmul --grid 1 --block 1
check 2 'a block of 2048 threads: fill can have 1024' run "$kernels" --kernel fill --grid 1 \
    --block 32,64 zero:64 u32:7 u64:1
check 1 'INVALID' run "$kernels" --kernel fill --grid 1 --block 1 --shared 100000000 zero:64 u32:7 \
    u64:1
check 2 "cannot read '/nonexistent'" run /nonexistent --kernel fill --grid 1 --block 1
VGPU_SOCKET=/nonexistent check 2 "cannot read '/no-file'" run /no-file --kernel fill --grid 1 --block 1
check 2 'is empty' run /dev/null --kernel fill --grid 1 --block 1
echo 'this is no PTX' >"$work/bad.ptx"
check 1 'CUDA error 200, INVALID_IMAGE: this is neither PTX' run "$work/bad.ptx" --kernel fill --grid 1 --block 1
{ cat "$kernels" && echo '{'; } >"$work/bad.ptx"
check 1 'CUDA error 218, INVALID_PTX' run "$work/bad.ptx" --kernel fill --grid 1 --block 1
check 1 'braces do not match' run "$work/bad.ptx" --kernel fill --grid 1 --block 1
check 1 'OUT_OF_MEMORY: there is not so much memory' run "$kernels" --kernel fill --grid 1 --block 1 \
    zero:500G u32:7 u64:1
check 1 'ILLEGAL_ADDRESS: a kernel has reached beyond its buffers' run "$kernels" --kernel fill --grid 65536 \
    --block 256 zero:64 u32:7 u64:16777216

# The first launch is not timed, and leaves nothing behind.
repeat 4 '\x00\x00\x80\x3f' >"$work/x"
cp "$work/x" "$work/y"
check 0 '1 launch:' run "$kernels" --kernel saxpy --grid 1 --block 32 --repeat 1 u32:4 f32:2 "in:$work/x" \
    "inout:$work/y"
same 'y has been launched at once' "$work/y" 4 '\x00\x00\x40\x40'

printf '\x00\x00\x00\x00' >"$work/number"
check 0 '' run "$kernels" --kernel print_number --grid 1 --block 1 "raw:$work/number"
check 2 'has 2 bytes; that parameter of print_number has 4' run "$kernels" --kernel print_number --grid 1 \
    --block 1 i16:-32768
for bad in i8:128 i8:-129 u8:256 u8:-1 i16:32768 u16:65536 i64:9223372036854775808 u64:18446744073709551616; do
    check 2 'the number is too large for its type' run "$kernels" --kernel nothing --grid 1 --block 1 "$bad"
done
check 2 "give the buffer's size" run "$kernels" --kernel nothing --grid 1 --block 1 zero:1T
check 2 "give the buffer's size" run "$kernels" --kernel nothing --grid 1 --block 1 zero:2048G
check 2 "give the buffer's size" run "$kernels" --kernel nothing --grid 1 --block 1 zero:1Kx
check 2 "cannot write '/nonexistent/file': No such file" run "$kernels" --kernel fill --grid 1 --block 1 \
    out:/nonexistent/file:64 u32:1 u64:1
check 2 "cannot write '.': Is a directory" run "$kernels" --kernel fill --grid 1 --block 1 out:.:64 u32:1 u64:1
check 0 '' run "$kernels" --kernel fill --grid 4 --block 256 zero:4K u32:1 u64:1024
check 1 'CUDA error 700, ILLEGAL_ADDRESS' run "$kernels" --kernel illegal_address --grid 1 --block 1
check 1 'CUDA error 719, LAUNCH_FAILED' run "$kernels" --kernel trap --grid 1 --block 1

# Several at once: each has a process of its own on the host.
for i in 1 2 3 4; do
    "$vgpu" run "$kernels" --kernel fill --grid 64 --block 256 --repeat 500 "out:$work/at-once-$i:65536" \
        "u32:$((i * 0x01010101))" u64:16384 >"$work/output-$i" 2>&1 &
    jobs[i]=$!
done
passed=yes
for i in 1 2 3 4; do
    wait "${jobs[i]}" || passed=
done
result 'four at once' "$passed"
for i in 1 2 3 4; do
    same "number $i has its own memory" "$work/at-once-$i" 16384 "\\x0$i\\x0$i\\x0$i\\x0$i"
done

# begin - start a process that works for long, as $process, and wait for its executor, $executor_pid
begin() {
    local opened
    opened=$(grep -c 'its executor is process' "$work/log")
    "$vgpu" run "$kernels" --kernel fill --grid 1 --block 1 --repeat 10000000 zero:64 u32:1 u64:1 \
        >"$work/output" 2>&1 &
    process=$!
    await 'its executor is process' $((opened + 1))
    executor_pid=$(sed -n 's/.*its executor is process \([0-9]*\)$/\1/p' "$work/log" | tail -n 1)
    sleep 0.5
}

begin
kill -KILL "$process"
wait "$process" 2>/dev/null
passed=
for _ in {1..200}; do
    kill -0 "$executor_pid" 2>/dev/null || { passed=yes && break; }
    sleep 0.1
done
result 'a process that is killed in the middle of its work has no executor' "$passed"

begin
kill -KILL "$executor_pid"
wait "$process"
[ $? -eq 1 ] && grep -q 'CUDA error' "$work/output" && passed=yes || passed=
result 'a process whose executor is killed is told' "$passed"
check 0 'Fake GPU 0' smi

# What kernels print is the program's, and comes before what the program prints after them.
printf 'number 17\nnumber 17\nnumber 17\n' >"$work/wanted"
"$vgpu" run "$kernels" --kernel print_number --grid 3 --block 1 i32:17 >"$work/output" 2>"$work/error"
cmp -s "$work/output" "$work/wanted" && [ ! -s "$work/error" ] && passed=yes || passed=
result 'three blocks print' "$passed"
"$vgpu" run "$kernels" --kernel print_number --grid 1 --block 1 --repeat 2 i32:17 >"$work/output" 2>&1
[[ $(<"$work/output") == 'number 17'$'\n''number 17'$'\n''2 launches:'* ]] && passed=yes || passed=
result 'what is timed prints, and the launch before it does not' "$passed"
"$vgpu" run "$kernels" --kernel assert_positive --grid 1 --block 1 i32:-1 >"$work/output" 2>"$work/error"
[[ $? -eq 1 && ! -s "$work/output" && $(<"$work/error") == *'number > 0'*' failed.'$'\n'*'CUDA error 710'* ]] &&
    passed=yes || passed=
result 'an assertion says what failed' "$passed"
grep -q 'Assertion\|number 17' "$work/log" && passed= || passed=yes
result 'the log has nothing of it' "$passed"

conclude
