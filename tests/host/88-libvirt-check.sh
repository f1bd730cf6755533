# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# shellcheck disable=SC2154
#
# vgpuctl check on a host that is installed as the README says, and with what keeps a domain, web5,
# from its device.

. "$tests/libvirt.sh"

domain_pipes web5
plugins=$host_root/usr/lib/vgpu-mediator

# check STATUS - runs it; its exit status must be STATUS
check() {
    local status=0

    host_run vgpuctl check >"$cache/host/check" || status=$?
    cat "$cache/host/check"
    equal "the exit status" "$status" "$1"
}

# finds TEXT... - the last check has a line that begins with each TEXT
finds() {
    local text

    for text in "$@"; do
        grep -F -- "$text" "$cache/host/check" | grep -q "^$text" || {
            echo "no line '$text'"
            return 1
        }
    done
}

# web5_is_off - switches it off, however the case ended
web5_is_off() {
    ! domain_is running web5 || virsh destroy web5
}

test_nothing_is_wrong_on_a_host_as_in_the_README() {
    trap web5_is_off EXIT
    host_run systemctl enable vgpu-mediator.socket
    domain_define web5 "$(element 'pool="A" priority="high"')"
    domain_start web5
    check 0
    finds 'ok      socket   vgpu-mediator.socket is enabled.' \
        'ok      socket   The mediator listens on /run/vgpu/mediator.sock.' \
        "ok      socket   libvirt's QEMU may connect to it." \
        'ok      state    What is set to last can be kept in /var/lib/vgpu-mediator.' \
        'ok      plugin   There is a plugin for QEMU ' \
        "ok      hook     libvirt's hook is installed." \
        'ok      hook     libvirtd knows the hook.' \
        'ok      apparmor ' \
        'ok      bus      The mediator answers as org.vgpu.Mediator1.' \
        'ok      domain   '
    grep -E '^(ok|note)    .*pool     Pool A' "$cache/host/check"
}

test_a_domain_without_our_emulator_is_named() {
    domain_define web5 "$(element 'pool="A" priority="high"')" /usr/bin/qemu-system-x86_64
    check 1
    finds 'problem domain   Domain web5 has the element of the device, and its <emulator> is /usr/bin/qemu-system-x86_64'
}

test_a_VM_that_runs_without_its_device_is_named() {
    trap 'mv "$plugins.away" "$plugins"; web5_is_off' EXIT
    domain_define web5 "$(element 'pool="A" priority="high"')"
    mv "$plugins" "$plugins.away"
    virsh start web5
    check 1
    finds 'problem plugin   There is no plugin for QEMU ' \
        'problem domain   VM web5 runs without its device: no plugin for QEMU '
    host_run vgpuctl status web5 | grep -A 1 'State: no device' | grep 'Device: none: no plugin for QEMU '
}

test_a_mediator_that_is_not_there_is_named() {
    trap 'host_run systemctl unmask --runtime vgpu-mediator.socket "$service"
        host_run systemctl start vgpu-mediator.socket' EXIT
    host_run systemctl mask --runtime --now vgpu-mediator.socket "$service"
    check 1
    finds 'problem socket   vgpu-mediator.socket is masked' 'problem bus      '
    grep 'Mend: systemctl unmask vgpu-mediator.service$' "$cache/host/check"
}

test_a_domain_that_started_while_there_was_no_mediator_is_named() {
    trap 'host_run systemctl unmask --runtime vgpu-mediator.socket "$service"
        host_run systemctl start vgpu-mediator.socket
        web5_is_off' EXIT
    domain_define web5 "$(element 'pool="A" priority="high"')"
    host_run systemctl mask --runtime --now vgpu-mediator.socket "$service"
    virsh start web5
    eventually 20 domain_says_slot web5 none
    host_run systemctl unmask --runtime vgpu-mediator.socket "$service"
    host_run systemctl start vgpu-mediator.socket
    check 1
    finds 'problem domain   Domain web5 runs without its device'
}
