#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# vm-program.sh PROGRAM [ARGUMENT]... - runs a program of this machine in a virtual one, as it is: the guest has this
# machine's files by 9p, under a layer in which it can write, and the same current folder and environment, but for
# LD_LIBRARY_PATH, which is that of the emulator here: env can be the PROGRAM. Prints what it prints, and exits with
# its status; with 124 if it took too long and with 125 if the machine did not come to its end.
#
# The machine has no KVM: its processors are emulated, one to two orders of magnitude slower than those they run on.
#
# Environment: VGPU_SOCKET, a mediator's that takes in VMs; VGPU_PLUGIN (the device), and
#   VGPU_PROGRAM_VM       a folder with vmlinuz and initramfs, as guest-image --9p makes it of tests/guest/program.sh;
#                         without it, it is made with VGPU_STATIC, the vgpu command
#   VGPU_VM_MEMORY        of the machine, in MiB; 4096 without it
#   VGPU_VM_WINDOW        of the device, in MiB; 256 without it
#   VGPU_PROGRAM_TIMEOUT  seconds that it may take, booting included; 600 without it
#   VGPU_QEMU, VGPU_QEMU_DATA  as vm.sh has them

set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
qemu=${VGPU_QEMU:-qemu-system-x86_64}
patience=${VGPU_PROGRAM_TIMEOUT:-600}

# need PROGRAM... - those that are missing are why nothing can be run
need() {
    local program

    for program; do
        if ! command -v "$program" >/dev/null; then
            echo "skip needs $program"
            exit 0
        fi
    done
}

# make_vm - prints a folder with the machine
make_vm() {
    local project=$here/../..

    "$project/tools/guest-image" --9p --vgpu "$VGPU_STATIC" "$project/.cache/guest-9p" \
        "$project/tests/guest/program.sh" >&2
    echo "$project/.cache/guest-9p"
}

# script PROGRAM [ARGUMENT]... - prints what runs it as it would run here
script() {
    (unset LD_LIBRARY_PATH VGPU_SOCKET && export -p)
    printf 'cd %q\n' "$PWD"
    printf 'exec'
    printf ' %q' "$@"
    echo ' </dev/null'
}

# boot VM - runs the machine up to its end
boot() {
    local processors options

    processors=$(nproc)
    options=(-accel "tcg,thread=multi" -cpu max -smp "$((processors < 4 ? processors : 4))"
        -machine q35 -m "${VGPU_VM_MEMORY:-4096}" -nodefaults -no-user-config -no-reboot -display none -serial stdio
        -fsdev "local,id=host,path=/,security_model=none,readonly=on,multidevs=remap"
        -device "virtio-9p-pci,fsdev=host,mount_tag=host"
        -fsdev "local,id=exchange,path=$work/exchange,security_model=none"
        -device "virtio-9p-pci,fsdev=exchange,mount_tag=exchange"
        -device "vgpu-stub,socket=$VGPU_SOCKET,window-size=${VGPU_VM_WINDOW:-256}M")
    [ -z "${VGPU_QEMU_DATA:-}" ] || options+=(-L "$VGPU_QEMU_DATA")
    # In the foreground, because a machine in a process group of its own would outlive a test that is killed
    timeout --foreground "$patience" "$qemu" -plugin "$VGPU_PLUGIN" "${options[@]}" \
        -kernel "$1/vmlinuz" -initrd "$1/initramfs" \
        -append 'console=ttyS0 quiet panic=-1 no_timer_check mitigations=off' >"$work/console" 2>&1 </dev/null
}

need "$qemu"
vm=${VGPU_PROGRAM_VM:-}
if [ -z "$vm" ]; then
    need busybox cpio
    vm=$(make_vm)
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/exchange"
touch "$work/exchange/"{stdout,stderr}
script "$@" >"$work/exchange/program"

ended=0
boot "$vm" || ended=$?
cat "$work/exchange/stdout"
cat "$work/exchange/stderr" >&2
[ ! -s "$work/exchange/status" ] || exit "$(cat "$work/exchange/status")"
cat "$work/console" >&2
[ "$ended" -eq 124 ] || ended=125
exit "$ended"
