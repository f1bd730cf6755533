#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# vm.sh gpu|fake - a virtual machine under TCG, whose processes have CUDA sessions on the host's GPU, or on the
# fake driver: vgpu run of kernels in PTX, three processes at once, one that is killed, one that faults. Prints as
# TAP what tests/guest/sessions.sh finds out in it.
#
# Environment: VGPU_MEDIATORD, VGPU_EXECUTOR, VGPU_PLUGIN (the device), and
#   VGPU_VM        a folder with vmlinuz and initramfs, as vm-image makes it; without it, it is made with
#                  VGPU_STATIC, the vgpu command
#   VGPU_QEMU      the emulator; without it qemu-system-x86_64
#   VGPU_QEMU_DATA where it finds firmware, if not where it was built for

set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
what=$1
qemu=${VGPU_QEMU:-qemu-system-x86_64}
name='Fake GPU 0'

skip() {
    echo "1..0 # SKIP $1"
    exit 0
}

if [ "$what" = gpu ]; then
    name=NVIDIA
    [ -e /dev/nvidiactl ] || [ -n "${VGPU_VM_NAME:-}" ] || skip 'no GPU'
fi
name=${VGPU_VM_NAME:-$name}
command -v "$qemu" >/dev/null || skip "needs $qemu"
[ -n "${VGPU_VM:-}" ] || command -v cpio >/dev/null || skip 'needs cpio'

work=$(mktemp -d)
mediator=
trap '[ -z "$mediator" ] || kill "$mediator"; rm -rf "$work"' EXIT

vm=${VGPU_VM:-}
if [ -z "$vm" ]; then
    vm=$work/vm
    "$here/vm-image" "$VGPU_STATIC" "$vm" "$name"
fi

printf '[Unregistered]\nPolicy=allow\n[Pool A]\nBackend=cuda\n[Limits]\nFaultLimit=0\n' >"$work/mediator.conf"
"$VGPU_MEDIATORD" --bus=none --listen="$work/socket" --config="$work/mediator.conf" \
    --executor="$VGPU_EXECUTOR" >"$work/log" 2>&1 &
mediator=$!
for _ in {1..600}; do
    grep -q 'computing with backend cuda' "$work/log" && break
    sleep 0.1
done

options=(-accel tcg -machine q35 -m 256 -nodefaults -no-user-config -no-reboot -display none -serial stdio)
[ -z "${VGPU_QEMU_DATA:-}" ] || options+=(-L "$VGPU_QEMU_DATA")
timeout 600 "$qemu" "${options[@]}" -plugin "$VGPU_PLUGIN" \
    -device "vgpu-stub,socket=$work/socket,window-size=67108864" \
    -kernel "$vm/vmlinuz" -initrd "$vm/initramfs" \
    -append 'console=ttyS0 quiet panic=-1 no_timer_check' >"$work/console" 2>&1 </dev/null || true

n=0 failed=0
while IFS= read -r line; do
    line=${line%$'\r'}
    case $line in
    'ok - '* | 'not ok - '*)
        n=$((n + 1))
        [ "${line%% -*}" = ok ] || failed=1
        echo "${line%% -*} $n - ${line#*- }"
        ;;
    '# '*) echo "$line" ;;
    esac
done <"$work/console"

n=$((n + 1))
if grep -q '^=== exit 0' "$work/console"; then
    echo "ok $n - the machine comes to its end"
else
    failed=1
    echo "not ok $n - the machine comes to its end"
    sed 's/^/# /' "$work/console"
fi
echo "1..$n"
[ "$failed" -eq 0 ] || sed 's/^/# /' "$work/log"
exit "$failed"
