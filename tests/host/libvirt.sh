# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # shared with the files sourced before
#
# Sourced by the cases about libvirt: its daemons in the host, and domains. vm_run speaks to
# their guests as to those of tools/lib/guest.sh.
#
# AppArmor does not confine anything in the host, for it has no say in a container.

launcher=/usr/bin/vgpu-qemu-system-x86_64
records=/run/vgpu/domains

# fails COMMAND... - the COMMAND must fail ("!" alone does not end a case)
fails() {
    if "$@"; then
        echo "this worked and should not have: $*"
        return 1
    fi
}

# virsh COMMAND...
virsh() {
    host_run virsh --quiet --connect qemu:///system "$@"
}

# libvirt_up - starts libvirtd in the host, without the cgroup controllers that a container lacks
libvirt_up() {
    printf 'cgroup_controllers = [ ]\n' >>"$host_root/etc/libvirt/qemu.conf"
    host_run systemctl start virtlogd.socket libvirtd.socket
    virsh version
}

# domain_uuid NAME - the UUID that the tests give to the domain of this name
domain_uuid() {
    local sum

    sum=$(md5sum <<<"$1")
    printf '%s-%s-4%s-a%s-%s\n' "${sum:0:8}" "${sum:8:4}" "${sum:13:3}" "${sum:17:3}" "${sum:20:12}"
}

# element ATTRIBUTES - our element for a domain's metadata
element() {
    printf '<vgpu:device xmlns:vgpu="urn:vgpu-mediator:domain:1" %s/>' "$1"
}

# domain_pipes NAME [FILE...] - makes its initramfs, and the two ends of its serial line for vm_run;
# called once for each name
domain_pipes() {
    local pipes=$host_root/var/lib/vgpu-guests/$1 in out

    vm_initramfs "${@:2}" >"$pipes.initramfs"
    mkfifo "$pipes.in" "$pipes.out"
    exec {in}<>"$pipes.in" {out}<>"$pipes.out"
    vm_in[$1]=$in vm_out[$1]=$out
}

# domain_define NAME METADATA [EMULATOR [MACHINE]] - defines a domain that boots the guest of
# tools/guest-image
domain_define() {
    local name=$1 metadata=$2 emulator=${3:-$launcher} machine=${4:-q35}
    local dir=/var/lib/vgpu-guests type=qemu

    ! kvm_works || type=kvm
    cat >"$host_root$dir/$name.xml" <<XML
<domain type="$type">
  <name>$name</name>
  <uuid>$(domain_uuid "$name")</uuid>
  <metadata>$metadata</metadata>
  <memory unit="MiB">256</memory>
  <os>
    <type arch="x86_64" machine="$machine">hvm</type>
    <kernel>$dir/vmlinuz</kernel>
    <initrd>$dir/$name.initramfs</initrd>
    <cmdline>console=ttyS0 quiet panic=-1</cmdline>
  </os>
  <features><acpi/></features>
  <devices>
    <emulator>$emulator</emulator>
    <controller type="usb" model="none"/>
    <serial type="pipe"><source path="$dir/$name"/></serial>
    <memballoon model="none"/>
  </devices>
</domain>
XML
    virsh define "$dir/$name.xml"
}

# domain_start NAME - starts it and waits for the guest's shell
domain_start() {
    virsh start "$1"
    domain_answer "$1"
}

# domain_slot NAME - the PCI slot of its device, as its QEMU was started with
domain_slot() {
    domain_arguments "$1" | sed -n 's/^{"driver":"vgpu-stub".*"addr":"\([^"]*\)"}$/\1/p'
}

# domain_says_slot NAME SLOT [OPTION...] - its definition has this slot: that of the running domain, or
# with --inactive the persistent one
domain_says_slot() {
    local slot

    slot=$(virsh dumpxml "$1" "${@:3}" --xpath '//*[local-name()="device"]/@slot')
    [[ $slot == *"slot=\"$2\"" ]]
}

# domain_monitor NAME COMMAND - gives a COMMAND to its QEMU's human monitor
domain_monitor() {
    virsh qemu-monitor-command "$1" --hmp "$2"
}

# domain_monitor_takes NAME COMMAND - it has nothing to say against the COMMAND
domain_monitor_takes() {
    local said

    said=$(domain_monitor "$1" "$2")
    echo "$said"
    [[ $said != *Error* ]]
}

# domain_device NAME - the ID of its device in QEMU
domain_device() {
    domain_arguments "$1" | sed -n 's/^{"driver":"vgpu-stub","id":"\([^"]*\)".*/\1/p'
}

# domain_answer NAME - waits for the shell of a guest that boots
domain_answer() {
    vm_answer "$1" || {
        echo "the domain $1 did not boot; this is its log:"
        domain_log "$1"
        return 1
    }
}

# domain_log NAME - prints the log of its QEMU, which begins with the command line
domain_log() {
    cat "$host_root/var/log/libvirt/qemu/$1.log"
}

# domain_pid NAME - the PID of its QEMU
domain_pid() {
    host_run cat "/run/libvirt/qemu/$1.pid"
}

# domain_arguments NAME - prints its QEMU's command line, an argument a line, without what differs
# from one start to the next
domain_arguments() {
    host_run cat "/proc/$(domain_pid "$1")/cmdline" | tr '\0' '\n' |
        sed -e 's/domain-[0-9]*-/domain-/' -e 's/fd=[0-9]*/fd=N/'
}

# in_guest NAME COMMAND - vm_run for a COMMAND of several lines, which are joined to one
in_guest() {
    vm_run "$1" "$(tr '\n' ' ' <<<"$2")"
}

# domain_register NAME OFFSET - reads a register of its device without a program of ours
domain_register() {
    # shellcheck disable=SC2016 # expanded in the guest
    in_guest "$1" 'for d in /sys/bus/pci/devices/*; do
        if [ "$(cat $d/device)" = 0x1111 ] && [ "$(cat $d/class)" = 0x120000 ]; then
            read -r base rest <$d/resource; devmem $((base + '"$2"')) 32;
        fi; done'
}

# domain_is STATE NAME
domain_is() {
    [ "$(virsh domstate "$2")" = "$1" ]
}

# domain_object NAME - the mediator's object; the names here need no escaping
domain_object() {
    printf '%s/vm/%s\n' "$manager" "$1"
}

# is_known NAME - does the mediator know a VM of this name?
is_known() {
    host_run busctl call "$bus" "$manager" "$bus.Manager" GetVM s "$1"
}

# has_record NAME - has the hook left an attach record for it, with a device?
has_record() {
    local record

    record=$(host_run cat "$records/$(domain_uuid "$1")") || return
    [[ $record == *POOL=* && $record != *PROBLEM=* ]]
}

# no_trace_of NAME - neither mediator nor hook knows anything about it
no_trace_of() {
    fails is_known "$1"
    fails host_run test -e "$records/$(domain_uuid "$1")"
}

# manager_call METHOD ARGUMENT...
manager_call() {
    host_run busctl call "$bus" "$manager" "$bus.Manager" "$@"
}

# loop_start NAME - starts additions in the guest, one after the other, until loop_stop
loop_start() {
    # shellcheck disable=SC2016 # expanded in the guest
    in_guest "$1" 'rm -f /stop /done; echo 0 >/count;
        (n=0; good=yes;
        while [ $good = yes ] && [ ! -e /stop ]; do
            answer=$(vgpu add $n 1 2>&1); n=$((n + 1));
            [ "$answer" = $n ] || good=no;
            echo $n >/count.new; mv /count.new /count;
        done;
        echo "$good: $answer" >/done.new; mv /done.new /done) >/dev/null 2>&1 &'
}

# loop_count NAME - how many additions were right so far
loop_count() {
    vm_run "$1" 'cat /count'
}

# loop_goes_on NAME - waits for an addition that began after this call, and that is right
loop_goes_on() {
    local before

    before=$(loop_count "$1")
    eventually 30 loop_count_exceeds "$1" $((before + 1)) || {
        vm_run "$1" 'cat /done'
        return 1
    }
}

loop_count_exceeds() {
    [ "$(loop_count "$1")" -gt "$2" ]
}

# loop_stop NAME - ends the additions; all of them must have been right
loop_stop() {
    local answer

    # shellcheck disable=SC2016 # expanded in the guest
    answer=$(in_guest "$1" 'touch /stop; n=0;
        until [ -e /done ] || [ $n -ge 300 ]; do usleep 100000; n=$((n + 1)); done; cat /done')
    echo "after $(loop_count "$1"), $answer"
    [[ $answer == yes:* ]]
}
