# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# shellcheck disable=SC2154 # common.sh and host.sh, sourced before, set them
#
# Sourced by the tools and tests that run virtual machines in the host of host.sh:
#
#   vm_image BUILD                        puts the guest's kernel and initramfs into the host
#   vm_start NAME DEVICE [FILE...]        boots a VM in the distribution's QEMU
#   vm_run NAME COMMAND                   runs a shell command in it
#   vm_stop NAME                          powers it off
#
# A VM is a systemd service of the host, vm-NAME.service, whose user is nobody but
# a member of group kvm, as it is with libvirt. Commands go in through its serial line: the
# guest reads a command a line and ends each answer with a line that has the exit status.
# QEMU's own output is in .cache/host/NAME.qemu.

# The descriptors from which each VM's serial line is read, and to which it is written
declare -A vm_out=() vm_in=()

# Every line with a command's exit status starts with this.
vm_mark='=== status'
# The status after QEMU has ended
vm_gone=125
# How long a guest may say nothing, in seconds
vm_patience=60

# The distribution's QEMU and the options of every VM; vm_image sets them
vm_qemu=()

# vm_image BUILD - puts the guest into the host, with the vgpu of BUILD
vm_image() {
    local accel=(-accel tcg) version

    "$project/tools/guest-image" --vgpu "$1/guest/vgpu" "$cache/guest" || return
    install -D -m 644 -t "$host_root/var/lib/vgpu-guests" \
        "$cache/guest/vmlinuz" "$cache/guest/initramfs" || return
    vm_script >"$host_root/var/lib/vgpu-guests/run.sh"

    ! kvm_works || accel=(-accel kvm -accel tcg) # tcg where kvm is not permitted
    version=$(qemu-system-x86_64 -version | sed -n 's/^QEMU emulator version \([0-9]*\.[0-9]*\).*/\1/p')
    vm_qemu=(
        qemu-system-x86_64 "${accel[@]}" -m 256 -nodefaults -no-user-config -no-reboot
        -display none -serial stdio -plugin "/usr/lib/vgpu-mediator/qemu-$version/vgpu-stub.so"
    )
}

# vm_script - prints the program that the guest runs: it reads commands and prints answers
vm_script() {
    cat <<SCRIPT
stty -echo -onlcr
echo '$vm_mark 0'
while IFS= read -r command; do
    sh -c "\$command" 2>&1 </dev/null
    echo "$vm_mark \$?"
done
SCRIPT
}

# vm_start NAME DEVICE [FILE...] - boots NAME with -device DEVICE and waits for
# its shell; the FILEs lie in the guest's root directory
vm_start() {
    local name=$1 device=$2 dir=/var/lib/vgpu-guests pipes=$cache/host/$1 in out
    shift 2

    vm_initramfs "$@" >"$host_root$dir/$name.initramfs"
    mkfifo "$pipes.in" "$pipes.out"
    exec {in}<>"$pipes.in" {out}<>"$pipes.out"
    vm_in[$name]=$in vm_out[$name]=$out

    {
        host_run systemd-run --quiet --pipe --collect --unit "vm-$name" \
            --property DynamicUser=yes --property SupplementaryGroups=kvm -- \
            "${vm_qemu[@]}" -kernel "$dir/vmlinuz" -initrd "$dir/$name.initramfs" \
            -append 'console=ttyS0 quiet panic=-1 no_timer_check' -name "$name" -device "$device" || true
        echo "$vm_mark $vm_gone"
    } <"$pipes.in" >"$pipes.out" 2>"$pipes.qemu" {in}>&- {out}>&- &
    vm_answer "$name" >"$pipes.boot" || {
        cat "$pipes.boot" "$pipes.qemu" >&2
        die "the VM $name did not boot; what it said is above"
    }
}

# vm_initramfs [FILE...] - prints the guest's initramfs, with its program and the FILEs appended
vm_initramfs() {
    local dir=$host_root/var/lib/vgpu-guests path

    cat "$dir/initramfs"
    for path in "$dir/run.sh" "$@"; do
        (cd "$(dirname "$path")" && basename "$path" | cpio --quiet -o -H newc | gzip -1)
    done
}

# vm_run NAME COMMAND - runs a line of shell in the guest; prints its output, returns its status
vm_run() {
    printf '%s\n' "$2" >&"${vm_in[$1]}"
    vm_answer "$1"
}

# vm_answer NAME - prints what the guest prints up to a command's end; returns its status
vm_answer() {
    local line

    while IFS= read -r -t "$vm_patience" -u "${vm_out[$1]}" line; do
        line=${line%$'\r'}
        case $line in
        "$vm_mark "*) return "${line#"$vm_mark "}" ;;
        esac
        printf '%s\n' "$line"
    done
    echo "the VM $1 said nothing for $vm_patience s" >&2
    return 124
}

# vm_stop NAME - powers it off and waits until its QEMU is gone
vm_stop() {
    local in=${vm_in[$1]} out=${vm_out[$1]}

    host_run systemctl stop "vm-$1.service"
    exec {in}>&- {out}>&-
    unset "vm_in[$1]" "vm_out[$1]"
}
