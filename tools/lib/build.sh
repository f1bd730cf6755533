# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# shellcheck disable=SC2154 # common.sh and host.sh, sourced before, set them
#
# Sourced by the tools: how the project is built.

# prepare_qemu - the headers of the QEMU that the device plugin is to be loaded into
prepare_qemu() {
    step "Preparing the headers of $(qemu-system-x86_64 -version | head -n 1)"
    quietly qemu-headers "$project/tools/qemu-headers" "$cache/qemu/native"
}

# build_project DIR [MESON-OPTION...] - configures the build directory, anew where
# it was configured otherwise, and compiles
build_project() {
    local dir=$1 name
    name=${1##*/}
    shift

    step "Building in $name/"
    if [ -e "$dir/build.ninja" ]; then
        quietly "$name-setup" meson setup --reconfigure "$@" "$dir" "$project"
    else
        quietly "$name-setup" meson setup "$@" "$dir" "$project"
    fi
    quietly "$name-compile" meson compile -C "$dir"
}
