# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh
#
# CUDA sessions of processes in a machine, one ring each: by polling, by interrupt, several at once, and
# when a process is killed. device_name: part of the GPU's name; the fake driver's without it

cd /root || exit 1

# fill FILE VALUE COUNT [REPEAT] - a kernel that fills a buffer, which the FILE has then
fill() {
    vgpu run session-kernels.ptx --kernel fill --grid 400 --block 256 "out:$1:$((4 * $3))" "u32:$2" \
        "u64:$3" --repeat "${4:-1}"
}

# has FILE TEXT SIZE - the file begins with the text, which it repeats
has() {
    [ "$(head -c ${#2} "$1")" = "$2" ] && [ "$(wc -c <"$1")" -eq "$3" ]
}

# several - three processes at once, each with results of its own
several() {
    fill one 0x41414141 100000 300 &
    one=$!
    fill two 0x42424242 100000 300 &
    two=$!
    fill three 0x43434343 100000 300 &
    wait $one && wait $two && wait $! && has one AAAA 400000 && has two BBBB 400000 &&
        has three CCCC 400000
}

# sessions N - vgpu smi shows so many beside its own
sessions() {
    vgpu smi | grep "sessions: *$1 of 15"
}

# memory MIB - vgpu smi shows a session that has so much, and that all have no more
memory() {
    vgpu smi >shown
    grep "memory: $1 of " shown && grep " on  *$1 MiB  vgpu" shown
}

# await COMMAND... - it succeeds within some time
await() {
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        "$@" && return
        sleep 1
    done
    return 1
}

# killed - a process that is killed in the middle of its work loses its session, with no other there
killed() {
    vgpu run session-kernels.ptx --kernel fill --grid 1 --block 1 --repeat 10000000 zero:64M u32:1 u64:1 &
    victim=$!
    await sessions 1 && await memory 64 || return
    kill -9 $victim
    await sessions 0
}

head -c 4000 /dev/zero >zeros
rmmod uio_pci_generic
check 'the device as a session has it' ends 0 "${device_name:-Fake GPU 0}" vgpu smi
check 'a kernel, by polling' ends 0 'launches' fill polled 0x41424344 1000 100
check 'its result' has polled DCBADCBA 4000
modprobe uio_pci_generic
check 'the built-in operations, by interrupt' ends 0 42 vgpu -i add 40 2
check 'a kernel, by interrupt' ends 0 'launches' fill interrupted 0x41424344 1000 1000
check 'its result' has interrupted DCBADCBA 4000
check 'three processes at once' several
check 'nobody has a session now' await sessions 0
check 'a process that is killed' killed
check 'an error of the kernel, by its own number' ends 1 'CUDA error 700' \
    vgpu run session-kernels.ptx --kernel illegal_address --grid 1 --block 1
check 'the next process has none of it' ends 0 'launch' fill after 0x41424344 1000
for example in saxpy block-sums matmul-tiled; do
    check "the example $example" ends 0 "$example: " "./example-$example" "$example.ptx"
done
check 'a product of matrices with vgpu run' ends 0 '10 launches' vgpu run matmul-tiled.ptx --kernel matmul_tiled \
    --grid 2,2 --block 16,16 --repeat 10 in:zeros inout:zeros out:product:3600 u32:30 u32:30 u32:30
check 'ring 0 beside it' vgpu vecadd zeros zeros -o sums
