# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# shellcheck disable=SC2034 # the lists are for those who source it
#
# Sourced by the tools: Debian packages, installed only where they are missing.

packages_build=(
    meson ninja-build gcc libc6-dev pkg-config libsystemd-dev libinih-dev libglib2.0-dev
    libcmocka-dev libxml2-dev libjson-c-dev libvirt-dev libsmartcols-dev
    # org.vgpu.Mediator1(5)
    xsltproc
    # generating the headers of the distribution's QEMU
    dpkg-dev python3 python3-venv flex bison libfdt-dev libpixman-1-dev zlib1g-dev
)
packages_host=(
    qemu-system-x86 systemd systemd-container dbus util-linux procps
    # packing the guest's initramfs
    busybox-static cpio
)
packages_check=(
    libvirt-daemon-system libvirt-daemon-driver-qemu libvirt-clients polkitd
    # llvm: function names in the sanitizers' reports
    clang libclang-rt-dev llvm
    clang-format shellcheck mandoc
    # a parser of OpenMetrics, and the pager of vgpuctl
    python3-prometheus-client less
)

# is_installed PACKAGE
is_installed() {
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# install_packages PACKAGE... - installs those that are missing
#
# A package that has services would start and enable them. This machine is only to build and
# test, so policy-rc.d forbids the start, and units that were enabled are disabled again.
install_packages() {
    local missing=() package enabled

    for package; do
        is_installed "$package" || missing+=("$package")
    done
    [ "${#missing[@]}" -gt 0 ] || return 0
    [ "$(id -u)" -eq 0 ] || die "needs root to install: ${missing[*]}"

    step "Installing ${missing[*]}"
    quietly apt-update apt-get -q update
    enabled=$(enabled_units)
    quietly apt-install with_no_services env DEBIAN_FRONTEND=noninteractive \
        apt-get -q install -y --no-install-recommends "${missing[@]}"
    comm -13 <(printf '%s\n' "$enabled") <(enabled_units) | while read -r link; do
        note "not enabling ${link##*/}"
        rm -f "$link"
    done
}

# enabled_units - prints the links that enable this machine's units
enabled_units() {
    find /etc/systemd/system -mindepth 2 -type l | sort
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
