#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# test-guest-usage.sh VGPU - the options of vgpu, on a machine without a device
set -uo pipefail

vgpu=$1
number=0
failures=0

# check WANTED-STATUS WANTED-TEXT ARGUMENT... - the text is in either output
check() {
    local status=$1 text=$2 output got=0
    shift 2

    number=$((number + 1))
    output=$("$vgpu" "$@" 2>&1) || got=$?
    if [ "$got" -eq "$status" ] && [[ $output == *"$text"* ]]; then
        echo "ok $number - vgpu $*"
    else
        failures=$((failures + 1))
        echo "not ok $number - vgpu $*"
        printf '# exit status %d, wanted %d; output: %s\n' "$got" "$status" "${output//$'\n'/ }"
    fi
}

if grep -lx 0x1111 /sys/bus/pci/devices/*/device >/dev/null 2>&1; then
    echo '1..0 # SKIP this machine has a device like ours'
    exit 0
fi

check 0 'Usage: vgpu' --help
check 0 'Usage: vgpu' info --help
check 0 'Usage: vgpu run' run --help
check 0 'Usage: vgpu [' --help unknown
check 0 'vgpu (vgpu-mediator)' --version
check 2 'missing command'
check 2 "unknown command 'subtract'" subtract 1 2
check 2 "missing operand for 'add'" add 1
check 2 "extra operand '3'" add 1 2 3
check 2 "extra operand 'x'" info x
check 2 'unrecognized option' add --frobnicate 1 2
check 2 'requires an argument' add 1 2 --device
check 2 "not for 'add'" add --json 1 2
check 2 "not for 'add'" add --type int32 1 2
check 2 "not for 'info'" info --count 5
check 2 "not for 'bench'" bench -o /dev/null
check 2 "not for 'vecadd'" vecadd --json a b -o c
check 2 "'int16' for --type" vecadd --type int16 a b -o c
check 2 "'' for --timeout" add --timeout= 1 2
check 2 "'-1' for --timeout" add --timeout=-1 1 2
check 2 "'nan' for --timeout" add --timeout nan 1 2
check 2 "'5s' for --timeout" add --timeout 5s 1 2
check 2 "'1000001' for --timeout" add --timeout 1000001 1 2
check 2 "'0' for --count" bench --count 0
check 2 "'10000001' for --count" bench --count 10000001
check 2 "'-5' for --count" bench -n -5
check 2 "'medium' for --path" vecadd --path medium a b -o c
check 2 "'fast' for --path" vecadd --path fast a b -o c
check 2 "'ring' for --lane" vecadd --lane ring a b -o c
check 2 "'0' for --depth" bench --depth 0
check 2 "'1025' for --depth" bench --depth 1025
check 2 "'x' for --alpha" axpy --alpha x a b -o c
check 2 "'0' for --inner" matmul --inner 0 a b -o c
check 2 "not for 'mul'" mul --alpha 2 a b -o c
check 2 "not for 'dot'" dot -o c a b
check 2 "not for 'add'" add --path ring 1 2
check 2 "not for 'add'" add --lane fast 1 2
check 2 "not for 'doctor'" doctor --count 5
check 2 "extra operand 'x'" doctor x
check 2 "invalid device 'x'" doctor -d x
check 1 'FAIL  device' doctor
check 1 "no vgpu device '7'" doctor --device 7
check 1 '{"checks":[{"check":"device","state":"FAIL"' doctor --json
check 3 'no vgpu device found' bench --path ring
check 3 'no vgpu device found' bench --lane fast
check 3 'no vgpu device found' bench --lane auto --depth 2
check 2 'does not go with --path=registers' bench --path registers --depth 2
check 2 'does not go with --path=registers' bench --lane slow --depth 2
check 2 "not for 'vecadd'" vecadd --depth 2 a b -o c
check 2 "missing operand for 'run'" run --kernel k --grid 1 --block 1
check 2 'needs --kernel, --grid and --block' run m.ptx --kernel k --grid 1
check 2 "'0' for --grid" run m.ptx --kernel k --grid 0 --block 1
check 2 "'1,2,3,4' for --block" run m.ptx --kernel k --grid 1 --block 1,2,3,4
check 2 "'1,,2' for --block" run m.ptx --kernel k --grid 1 --block 1,,2
check 2 "'-1' for --shared" run m.ptx --kernel k --grid 1 --block 1 --shared -1
check 2 "'0' for --repeat" run m.ptx --kernel k --grid 1 --block 1 --repeat 0
check 2 'the number is too large' run m.ptx --kernel k --grid 1 --block 1 i32:2147483648
check 2 'the number is too large' run m.ptx --kernel k --grid 1 --block 1 u32:-1
check 2 'no number stands' run m.ptx --kernel k --grid 1 --block 1 f32:
check 2 'write out:FILE:BYTES' run m.ptx --kernel k --grid 1 --block 1 out:file
check 2 "buffer's size in bytes" run m.ptx --kernel k --grid 1 --block 1 zero:0
check 2 'write i32:' run m.ptx --kernel k --grid 1 --block 1 5
check 2 "not for 'smi'" smi --kernel k
check 2 "extra operand 'b'" sum a b
check 2 "missing operand for 'matmul'" matmul --inner 2 a
check 2 'needs an output' mul a b
check 2 'needs a factor' axpy --type float32 a b -o c
check 2 'needs --type=float32' axpy --alpha 2 a b -o c
check 2 'needs the number of columns' matmul --type float32 a b -o c
check 2 'only one of the operands' dot - -
check 2 "cannot open '/nonexistent'" max /nonexistent
check 2 "invalid number '-1'" add -- -1 2
check 2 "invalid device 'x'" -d x add 1 2
check 3 'no vgpu device found' add 1 2
check 3 'no vgpu device found' info --json
check 3 'no vgpu device found' -t 0.5 selftest
check 3 'no vgpu device found' bench -t infinity
check 3 "cannot open device '00:04.0'" -d 00:04.0 add 1 2
check 3 "cannot open device '7'" --device=7 --interrupt add 1 2

echo "1..$number"
exit $((failures > 0))
