# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# shellcheck disable=SC2154
#
# What is remembered of a domain, web4, while it is off, saved or copied, and what of the user's
# stays as he left it.

. "$tests/libvirt.sh"

domain_pipes web4
web4=$(domain_object web4)
saved=/var/lib/libvirt/qemu/web4.saved
good=$(element 'pool="A" priority="medium"')
rng='<rng model="virtio"><backend model="random">/dev/urandom</backend><alias name="ua-rng"/>
<address type="pci" domain="0x0000" bus="0x00" slot="0x1e" function="0x0"/></rng>'

# web4_has TEXT - puts TEXT into its <devices>
web4_has() {
    printf '%s\n' "$1" >"$host_root/var/lib/vgpu-guests/web4.device.xml"
    sed -i "/<memballoon/r $host_root/var/lib/vgpu-guests/web4.device.xml" \
        "$host_root/var/lib/vgpu-guests/web4.xml"
    virsh define /var/lib/vgpu-guests/web4.xml
}

# web4_computes
web4_computes() {
    equal "1 + 2" "$(vm_run web4 'vgpu add 1 2')" 3
}

# web4_is_off - switches it off, and unmasks the mediator, however the case ended
web4_is_off() {
    host_run systemctl unmask --runtime vgpu-mediator.socket "$service"
    host_run systemctl start vgpu-mediator.socket "$service"
    virsh managedsave-remove web4 || true
    ! domain_is running web4 || virsh destroy web4
}

mediator_is_masked() {
    host_run systemctl mask --runtime --now vgpu-mediator.socket "$service"
}

test_a_saved_domain_has_its_device_where_it_was() {
    trap web4_is_off EXIT
    domain_define web4 "$good" "$launcher" pc
    web4_has "$rng"
    domain_start web4
    equal "the slot" "$(domain_slot web4)" 0x1d
    eventually 30 domain_says_slot web4 0x1d
    eventually 30 domain_says_slot web4 0x1d --inactive
    # what a migration takes along, for the domain and, with --persistent, for its definition
    domain_says_slot web4 0x1d --migratable
    domain_says_slot web4 0x1d --migratable --inactive
    web4_computes

    virsh detach-device web4 /var/lib/vgpu-guests/web4.device.xml --live
    eventually 30 rng_is_gone
    virsh save web4 "$saved"
    virsh restore "$saved"
    equal "the slot" "$(domain_slot web4)" 0x1d
    web4_computes
}

rng_is_gone() {
    ! virsh dumpxml web4 | grep '<rng'
}

test_a_state_with_the_device_is_refused_where_there_can_be_none() {
    local answer

    trap web4_is_off EXIT
    domain_define web4 "$good"
    domain_start web4
    eventually 30 domain_says_slot web4 0x1e
    virsh save web4 "$saved"
    mediator_is_masked
    if answer=$(virsh restore "$saved" 2>&1); then
        echo "it was restored"
        return 1
    fi
    echo "$answer"
    [[ $answer == *"domain 'web4': its state has a vgpu device, and cannot be loaded without one: "*masked* ]]

    host_run systemctl unmask --runtime vgpu-mediator.socket "$service"
    virsh restore "$saved"
    web4_computes

    # the same for the state that libvirt keeps itself
    virsh managedsave web4
    mediator_is_masked
    fails virsh start web4
    host_run systemctl unmask --runtime vgpu-mediator.socket "$service"
    virsh start web4
    web4_computes
}

test_a_state_without_the_device_is_loaded_without_it() {
    trap web4_is_off EXIT
    domain_define web4 "$good"
    mediator_is_masked
    domain_start web4
    eventually 30 domain_says_slot web4 none
    virsh save web4 "$saved"
    host_run systemctl unmask --runtime vgpu-mediator.socket "$service"
    virsh restore "$saved"
    equal "the slot" "$(domain_slot web4)" ''
    equal "its guest" "$(vm_run web4 'echo lives')" lives
    equal DeviceProblem "$(bus_property "$web4" VM DeviceProblem)" "its state was saved without the device"
    virsh destroy web4

    domain_start web4
    web4_computes
}

test_vgpuctl_says_what_a_saved_domain_starts_with() {
    local said

    trap web4_is_off EXIT
    domain_define web4 '' /usr/bin/qemu-system-x86_64
    domain_start web4
    virsh managedsave web4
    said=$(host_run vgpuctl attach web4 --pool=A 2>&1)
    echo "$said"
    [[ $said == *'has a saved state'*'virsh managedsave-remove web4'* ]]
    said=$(host_run vgpuctl attach web4 --pool=Q 2>&1)
    echo "$said"
    [[ $said == *'no pool Q'* ]]
    said=$(host_run vgpuctl detach web4 2>&1)
    [[ $said == *'has a saved state'* ]]
    said=$(host_run vgpuctl detach web4 2>&1)
    equal "the second time" "$said" "Domain web4 has no GPU."
}

test_the_users_emulator_is_run() {
    trap web4_is_off EXIT
    cat >"$host_root/usr/local/bin/qemu-wrapper" <<'WRAPPER'
#!/bin/sh
exec /usr/bin/qemu-system-x86_64 "$@" -smbios type=1,product=Wrapped
WRAPPER
    chmod 755 "$host_root/usr/local/bin/qemu-wrapper"
    domain_define web4 '' /usr/local/bin/qemu-wrapper
    host_run vgpuctl attach web4
    domain_start web4
    equal "the product" "$(vm_run web4 'cat /sys/class/dmi/id/product_name')" Wrapped
    web4_computes
    virsh destroy web4
    host_run vgpuctl detach --all
    equal "the emulator" "$(virsh dumpxml --inactive web4 --xpath '//emulator/text()')" \
        /usr/local/bin/qemu-wrapper
}

test_a_device_of_the_user_may_be_called_vgpu0() {
    trap web4_is_off EXIT
    domain_define web4 "$good"
    sed -i -e 's,<domain ,<domain xmlns:qemu="http://libvirt.org/schemas/domain/qemu/1.0" ,' \
        -e 's,</domain>,<qemu:commandline><qemu:arg value="-device"/><qemu:arg value="virtio-rng-pci\,id=vgpu0\,bus=pcie.0\,addr=0x1e"/></qemu:commandline></domain>,' \
        "$host_root/var/lib/vgpu-guests/web4.xml"
    virsh define /var/lib/vgpu-guests/web4.xml
    domain_start web4
    equal "the slot" "$(domain_slot web4)" 0x1d
    web4_computes
}

# as_ada COMMAND... - as a user who may run QEMU and has a libvirt of her own
as_ada() {
    host_run runuser -u ada -- env XDG_RUNTIME_DIR=/run/user/7001 HOME=/home/ada "$@"
}

test_a_copy_in_a_users_session_has_no_device() {
    local answer

    trap 'as_ada virsh -c qemu:///session destroy web4 || true; web4_is_off' EXIT
    host_run useradd --uid 7001 --create-home --groups kvm ada
    host_run install -d -o ada -m 700 /run/user/7001
    domain_define web4 "$good"
    domain_start web4

    # the serial line is for the first of the two
    virsh dumpxml --inactive web4 |
        sed 's,<serial type=.pipe.>,<serial type="null">,; s,<console type=.pipe.>,<console type="null">,; /<source path=/d' \
            >"$host_root/home/ada/copy.xml"
    as_ada virsh -c qemu:///session define /home/ada/copy.xml
    as_ada virsh -c qemu:///session start web4
    grep 'domains of a session have no GPU' "$host_root/home/ada/.cache/libvirt/qemu/log/web4.log"
    fails grep '^-device {"driver":"vgpu-stub"' "$host_root/home/ada/.cache/libvirt/qemu/log/web4.log"
    web4_computes
    equal LeaderPID "$(bus_property "$web4" VM LeaderPID)" "$(domain_pid web4)"

    if answer=$(as_ada vgpuctl attach web4 -c qemu:///session 2>&1); then
        echo "this was taken: $answer"
        return 1
    fi
    echo "$answer"
    [[ $answer == *'domains of a session have no GPU: use -c qemu:///system' ]]
}

test_a_bus_that_is_started_anew_costs_nothing() {
    trap web4_is_off EXIT
    domain_define web4 "$good"
    host_run systemctl start "$service"
    host_run systemctl restart dbus.service
    domain_start web4
    has_record web4
    web4_computes
}
