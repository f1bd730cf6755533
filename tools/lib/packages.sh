# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# shellcheck disable=SC2034 # the lists are for those who source it
#
# Sourced by the tools: Debian packages, installed only where they are missing.

# To compile, and for org.vgpu.Mediator1(5)
packages_build=(
    meson ninja-build gcc libc6-dev pkg-config libsystemd-dev libxml2-dev libjson-c-dev
    libvirt-dev libsmartcols-dev liblz4-dev libzstd-dev xsltproc
)
# To generate the headers of the distribution's QEMU
packages_headers=(
    dpkg-dev python3 python3-venv flex bison libglib2.0-dev libfdt-dev libpixman-1-dev zlib1g-dev
)
# What a host of virtual machines runs
packages_run=(
    qemu-system-x86 libvirt-daemon-system libvirt-daemon-driver-qemu libvirt-clients polkitd dbus
)
# To boot a host in a container, and a guest of busybox in that
packages_host=(
    qemu-system-x86 systemd systemd-container dbus util-linux procps
    busybox-static cpio
)
# To test; llvm: function names in the sanitizers' reports; binutils: what the compiler made
packages_check=(
    libcmocka-dev libvirt-daemon-system libvirt-daemon-driver-qemu libvirt-clients polkitd
    clang libclang-rt-dev llvm binutils
    clang-format shellcheck mandoc apparmor
    # a cable between two hosts
    iproute2
    # for a guest in which plain users have the device
    udev
    # a parser of OpenMetrics, and the pager of vgpuctl
    python3-prometheus-client less
    # promtool, and node_exporter with its textfile collector: the readers of vgpuctl metrics
    prometheus prometheus-node-exporter
)

# is_installed PACKAGE
is_installed() {
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# What install_packages has installed and what it has not left enabled, for how_to_undo
installed=()
not_enabled=()

# install_packages PACKAGE... - installs those that are missing
#
# A package that has services would start and enable them. This machine is only to build and
# test, so policy-rc.d forbids the start, and what was enabled is disabled again. Timers stay:
# they look after what is installed now (logrotate), and serve nobody.
install_packages() {
    local missing=() package enabled link

    for package; do
        is_installed "$package" || missing+=("$package")
    done
    [ "${#missing[@]}" -gt 0 ] || return 0
    [ "$(id -u)" -eq 0 ] || die "needs root to install: ${missing[*]}"

    step "Installing ${missing[*]}"
    quietly apt-update apt-get -q update
    enabled=$(enabled_units)
    installed+=("${missing[@]}")
    quietly apt-install with_no_services env DEBIAN_FRONTEND=noninteractive \
        apt-get -q install -y --no-install-recommends "${missing[@]}"
    while read -r link; do
        case $link in
        '') ;;
        *.timer) start_timer "${link##*/}" ;;
        *)
            not_enabled+=("${link##*/}")
            rm -f "$link"
            ;;
        esac
    done < <(comm -13 <(printf '%s\n' "$enabled") <(enabled_units))
}

# start_timer TIMER - that policy-rc.d kept from starting
start_timer() {
    [ ! -d /run/systemd/system ] || systemctl start "$1" || note "$1 does not start"
}

# how_to_undo - says what this run has installed and not enabled, and what puts it back or on
how_to_undo() {
    local units

    [ "${#installed[@]}" -gt 0 ] || return 0
    printf 'Installed for this run: %s\n' "${installed[*]}"
    note "to remove them again: apt-get purge --autoremove ${installed[*]}"
    [ "${#not_enabled[@]}" -gt 0 ] || return 0
    mapfile -t units < <(printf '%s\n' "${not_enabled[@]}" | sort -u)
    printf 'Installed with them, but left disabled: %s\n' "${units[*]}"
    note "to have them: systemctl enable --now ${units[*]}"
}

# Where the links are that enable units
unit_links=/etc/systemd/system

# enabled_units - prints the links that enable this machine's units
enabled_units() {
    find "$unit_links" -mindepth 2 -type l | sort
}

# with_no_services COMMAND... - runs the COMMAND while a policy-rc.d forbids to start services. A
# policy-rc.d that is there already stays as it is: its owner has decided.
with_no_services() (
    policy=/usr/sbin/policy-rc.d

    if [ ! -e "$policy" ]; then
        trap 'rm -f "$policy"' EXIT
        trap 'exit 130' INT TERM HUP
        printf '#!/bin/sh\n# of vgpu-mediator tools/lib/packages.sh: removed again in a moment\nexit 101\n' >"$policy"
        chmod 755 "$policy"
    fi
    "$@"
)
