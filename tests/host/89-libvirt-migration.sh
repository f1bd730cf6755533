# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # shared with the files sourced before
#
# A second host beside this one, a cable between them, and a domain that moves while its guest
# computes.

. "$tests/libvirt.sh"

here_root=$host_root here_leader=$host_leader
other_root='' other_leader=''
guests=/var/lib/vgpu-guests
web9=$(domain_object web9)

# on_other COMMAND... - as on this host, on the other
on_other() {
    host_root=$other_root host_leader=$other_leader "$@"
}

# other_boot - boots it with all that this host has
other_boot() {
    cache=$cache/other host_up
    other_root=$host_root other_leader=$host_leader
    host_run hostname vgpu-other
    # libvirt moves nothing to the same host; by the machine's own number it would be the same.
    echo 'host_uuid_source = "machine-id"' >>"$host_root/etc/libvirt/libvirtd.conf"
    host_install "$build"
    mkdir -p "$host_root$guests"
    cp "$here_root$guests/vmlinuz" "$here_root$guests/initramfs" "$here_root$guests/run.sh" "$host_root$guests/"
    printf '[Unregistered]\nPolicy=refuse\n' >"$host_root/etc/vgpu/mediator.conf.d/80-libvirt.conf"
    host_run systemctl start vgpu-mediator.socket
    libvirt_up
}

# cable - 10.77.0.1 here, 10.77.0.2 there
cable() {
    ip link add vgpu-cable netns "$here_leader" type veth peer name vgpu-cable netns "$other_leader"
    host_run ip address add 10.77.0.1/24 dev vgpu-cable
    host_run ip link set vgpu-cable up
    on_other host_run ip address add 10.77.0.2/24 dev vgpu-cable
    on_other host_run ip link set vgpu-cable up
}

# migrate FROM TO ADDRESS - the hosts by their PID 1
migrate() {
    local uri='qemu+unix:///system?socket=/proc/%d/root/run/libvirt/libvirt-sock' from to

    # shellcheck disable=SC2059 # it is the format
    printf -v from "$uri" "$1"
    # shellcheck disable=SC2059
    printf -v to "$uri" "$2"
    command virsh --quiet --connect "$from" migrate web9 "$to" --live --persistent --undefinesource \
        --migrateuri "tcp://$3"
}

# the ends of web9's serial line on the other host
other_pipes() {
    local pipes=$other_root$guests/web9 in out

    cp "$here_root$guests/web9.initramfs" "$pipes.initramfs"
    mkfifo "$pipes.in" "$pipes.out"
    exec {in}<>"$pipes.in" {out}<>"$pipes.out"
    vm_in[web9-there]=$in vm_out[web9-there]=$out
}

mkdir -p "$cache/other"
[ -d /run/systemd/system ] || host_groups_join
quietly other-boot other_boot >&2
host_root=$here_root host_leader=$here_leader
quietly cable cable >&2
domain_pipes web9
other_pipes

test_a_running_domain_is_refused_by_a_host_without_a_mediator() {
    local answer

    domain_define web9 "$(element 'pool="A" priority="high"')"
    domain_start web9
    loop_start web9
    eventually 30 domain_says_slot web9 0x1e
    on_other host_run systemctl mask --runtime --now vgpu-mediator.socket "$service"
    if answer=$(migrate "$here_leader" "$other_leader" 10.77.0.2 2>&1); then
        echo "it was migrated"
        return 1
    fi
    echo "$answer"
    [[ $answer == *"its state has a vgpu device, and cannot be loaded without one: "*masked* ]]
    on_other host_run systemctl unmask --runtime vgpu-mediator.socket "$service"
    on_other host_run systemctl start vgpu-mediator.socket
    domain_is running web9
    loop_goes_on web9
}

test_it_moves_to_the_other_host_while_its_guest_computes() {
    migrate "$here_leader" "$other_leader" 10.77.0.2
    fails domain_is running web9
    fails is_known web9
    on_other domain_is running web9
    on_other is_known web9
    loop_goes_on web9-there
    equal "the slot there" "$(on_other domain_slot web9)" 0x1e
    on_other domain_says_slot web9 0x1e
    on_other domain_says_slot web9 0x1e --inactive
    equal Priority "$(on_other bus_property "$web9" VM Priority)" high
}

test_it_comes_back() {
    migrate "$other_leader" "$here_leader" 10.77.0.1
    domain_is running web9
    fails on_other is_known web9
    loop_goes_on web9
    loop_stop web9
    equal "the slot" "$(domain_slot web9)" 0x1e
    virsh destroy web9
    no_trace_of web9
}
