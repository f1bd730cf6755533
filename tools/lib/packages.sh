# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# Sourced by the tools: Debian packages, installed only where they are missing.

packages_build=(
    meson ninja-build gcc libc6-dev pkg-config libsystemd-dev libinih-dev
    # the device plugin is built against the headers of the distribution's QEMU
    libglib2.0-dev dpkg-dev python3 patch
)
packages_host=(
    qemu-system-x86 systemd systemd-container dbus polkitd util-linux
    # the guest: a shell and the tools that pack its initramfs
    busybox-static cpio xz-utils zstd
)
packages_check=(
    libcmocka-dev clang clang-format shellcheck
)

# is_installed PACKAGE
is_installed() {
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# install_packages PACKAGE... - installs those that are missing
#
# A package's scripts start its services through invoke-rc.d, which asks
# policy-rc.d, and enable them through deb-systemd-helper. Neither is wanted on a
# machine that only builds and tests, so the first is told no, and the packages
# named above are chosen so that the second has nothing to enable.
install_packages() {
    local missing=() package

    for package; do
        is_installed "$package" || missing+=("$package")
    done
    [ "${#missing[@]}" -gt 0 ] || return 0
    [ "$(id -u)" -eq 0 ] || die "needs root to install: ${missing[*]}"

    step "Installing ${missing[*]}"
    quietly apt-update apt-get -q update
    quietly apt-install with_no_services env DEBIAN_FRONTEND=noninteractive \
        apt-get -q install -y --no-install-recommends "${missing[@]}"
}

# with_no_services COMMAND... - runs it while a policy-rc.d forbids that services
# be started; one that is there already is left alone, for its owner decided
with_no_services() (
    policy=/usr/sbin/policy-rc.d

    if [ ! -e "$policy" ]; then
        trap 'rm -f "$policy"' EXIT
        trap 'exit 130' INT TERM HUP
        printf '#!/bin/sh\n# vgpu-mediator tools/lib/packages.sh: removed again in a moment\nexit 101\n' >"$policy"
        chmod 755 "$policy"
    fi
    "$@"
)
