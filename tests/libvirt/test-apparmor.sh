#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# test-apparmor.sh FILE PROFILES
#
# AppArmor's parser takes our FILE beside the abstraction of each libvirt in PROFILES, installed
# as vgpu-libvirt(7) says. Prints TAP.
set -euo pipefail
file=$1 profiles=$2
base=${VGPU_TEST_APPARMOR:-/etc/apparmor.d} # of the package apparmor
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
n=0
failed=0

parser=$(PATH=$PATH:/usr/sbin:/sbin command -v apparmor_parser) || {
    echo "1..0 # SKIP needs apparmor_parser"
    exit 0
}
[ -e "$base/tunables/global" ] || {
    echo "1..0 # SKIP needs $base/tunables/global"
    exit 0
}

# check NAME COMMAND... - the COMMAND succeeds
check() {
    n=$((n + 1))
    if "${@:2}" >"$work/output" 2>&1; then
        echo "ok $n - $1"
    else
        failed=1
        echo "not ok $n - $1"
        sed 's/^/# /' "$work/output"
    fi
}

# shellcheck disable=SC2317 # check calls these two
# parse OPTION - a domain's profile, as libvirt makes it
parse() {
    "$parser" "$@" --skip-cache -I "$root" --base "$base" "$root/domain"
}

# shellcheck disable=SC2317
# has_our_rules - the profile has each rule of our FILE
has_our_rules() {
    local rule

    parse --preprocess >"$work/profile"
    while read -r rule; do
        grep -qF "$rule" "$work/profile" || {
            echo "no rule $rule"
            return 1
        }
    done < <(grep '^[/@]' "$file")
}

for profile in "$profiles"/libvirt-qemu-*; do
    version=${profile##*-}
    root=$work/$version
    mkdir -p "$root/abstractions/libvirt-qemu.d" "$root/local/abstractions"
    cp "$profile" "$root/abstractions/libvirt-qemu"
    cp "$file" "$root/abstractions/libvirt-qemu.d/vgpu-mediator"
    : >"$root/local/abstractions/libvirt-qemu"
    grep -q 'abstractions/libvirt-qemu\.d' "$profile" ||
        echo 'include <abstractions/libvirt-qemu.d>' >>"$root/local/abstractions/libvirt-qemu"
    cat >"$root/domain" <<'PROFILE'
include <tunables/global>
profile libvirt-6f1d8c1e-2a47-4d0b-9f0e-0c5b7a1e4d11 flags=(attach_disconnected) {
  include <abstractions/libvirt-qemu>
}
PROFILE
    check "libvirt $version: the parser takes the profile" parse --skip-kernel-load --debug
    check "libvirt $version: the profile has our rules" has_our_rules
done
echo "1..$n"
exit "$failed"
