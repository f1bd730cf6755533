#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# test-launcher-program.sh LAUNCHER FAKE-QEMU WORK-DIRECTORY
#
# The emulator launcher, built for a fake QEMU, with records and plugins in the
# work directory. Prints TAP.
set -euo pipefail
launcher=$1 qemu=$2 work=$3
uuid=6f1d8c1e-2a47-4d0b-9f0e-0c5b7a1e4d11
record=$work/domains/$uuid
plugin=$work/plugins/qemu-99.7/vgpu-stub.so
machine=(-machine "pc-q35-7.2,usb=off" -uuid "$uuid")
n=0
failed=0

if [ "$(id -u)" -ne 0 ]; then
    echo "1..0 # SKIP needs root: a record must be root's"
    exit 0
fi

# check NAME - the launcher's output and standard error are as expected
check() {
    n=$((n + 1))
    if [ "$output" = "$expected" ] && [ "$error" = "$expected_error" ]; then
        echo "ok $n - $1"
    else
        failed=1
        echo "not ok $n - $1"
        printf '%s\n' "output:" "$output" "error:" "$error" "expected:" "$expected" "$expected_error" | sed 's/^/# /'
    fi
}

# run ARGUMENT... - the launcher, as libvirt runs it: with a descriptor for QEMU
run() {
    local argument

    output=$(TEST_VARIABLE='a b' "$launcher" "$@" 9>/dev/null 2>"$work/error") || output+=" status $?"
    error=$(cat "$work/error")
    expected="argument $qemu"
    for argument; do
        expected+=$'\n'"argument $argument"
    done
    tail=$'\n''TEST_VARIABLE=a b, descriptor yes'
    expected_error=
}

# without REASON - what it says, and tells the hook by QEMU's environment, when it leaves the device out
without() {
    expected+=$tail$'\n'"VGPU_DEVICE_PROBLEM=$1"
    expected_error="vgpu-mediator: the domain starts without its vgpu device: $1"
}

# with SLOT - what it adds and says
with() {
    expected+=$'\n'"argument -plugin"$'\n'"argument $plugin"$'\n'"argument -device"$'\n'
    expected+='argument {"driver":"vgpu-stub","id":"vgpu-mediator","pool_id":"B","priority":"medium","vm_id":3,'
    expected+='"window-size":1048576,"uuid":"'"$uuid"'","bus":"pcie.0","addr":"'"$1"'"}'$tail
    expected_error="vgpu-mediator: the domain starts with a vgpu device in PCI slot $1: number 3, pool B, priority medium"
}

fresh() {
    rm -rf "$work"
    mkdir -p "$work/domains" "${plugin%/*}"
    printf 'POOL=B\nPRIORITY=medium\nVM_ID=3\nWINDOW_SIZE=1048576\nMACHINE=no\n' >"$record"
    : >"$plugin"
}

fresh
run "${machine[@]}" -name 'two words' ''
with 0x1e
check "a domain with a record gets the device"

VGPU_DEVICE_PROBLEM='of another time' run "${machine[@]}"
with 0x1e
check "what an environment says of another start is forgotten"

run -S -no-user-config -nodefaults -nographic -machine none,accel=kvm:tcg -daemonize
expected+=$tail
check "a probe passes through"

rm "$record"
run "${machine[@]}"
expected+=$tail
check "a domain without a record passes through"

fresh
chown 65534 "$record"
run "${machine[@]}"
without "cannot use $record: Operation not permitted"
check "a record of another user is not believed"

fresh
echo nonsense >"$record"
run "${machine[@]}"
without "cannot use $record: Bad message"
check "a record that makes no sense costs the device"

fresh
rm "$plugin"
run "${machine[@]}"
without "no plugin for QEMU 99.7: $plugin: No such file or directory"
check "so does a QEMU without a plugin"

fresh
run -machine microvm -uuid "$uuid"
without "its machine type is none with a PCI bus that is known here"
check "so does a machine without PCI"

fresh
echo SLOT=0x1d >>"$record"
run "${machine[@]}"
with 0x1d
check "the device is where it was"

run "${machine[@]}" -incoming defer
with 0x1d
check "also when its state is loaded, or comes from another host"

run "${machine[@]}" -device '{"driver":"virtio-rng-pci","bus":"pcie.0","addr":"0x1d"}' -incoming defer
without "another device has the PCI slot in which the domain's state has it"
check "which cannot be loaded with the device elsewhere"

fresh
run "${machine[@]}" -incoming defer
with 0x1e
check "a state of before there were slots has it where it was put then"

fresh
echo SLOT=none >>"$record"
run "${machine[@]}" -incoming defer
without "its state was saved without the device"
check "a state without the device is loaded without it"

run "${machine[@]}"
with 0x1e
check "and the next start has it"

fresh
echo MACHINE=yes >>"$record"
run "${machine[@]}"
without "another domain with its UUID has it; domains of a session have no GPU"
check "a record is for a process of the domain's machine alone"

fresh
echo 'PROBLEM=the mediator is away' >>"$record"
run "${machine[@]}"
without "the mediator is away"
check "what the hook has found is in the domain's log, too"

fresh
cat >"$work/wrapper" <<WRAPPER
#!/bin/bash
exec '$qemu' "\$@" \$([ "\$*" = --version ] || echo -wrapped)
WRAPPER
chmod +x "$work/wrapper"
echo "EMULATOR=$work/wrapper" >>"$record"
run "${machine[@]}"
tail=$'\n''argument -wrapped'$tail
with 0x1e
check "the emulator that the domain had before is run"

rm -rf "$work"
echo "1..$n"
exit "$failed"
