# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# shellcheck disable=SC2154 # common.sh and host.sh, sourced before, set them
#
# Sourced by the tools: how the project is built.

# prepare_qemu - prepares the headers of the QEMU that will load the device plugin
prepare_qemu() {
    step "Preparing the headers of $(qemu-system-x86_64 -version | head -n 1)"
    quietly qemu-headers "$project/tools/qemu-headers" "$cache/qemu/native"
}

# configure_project DIR [MESON-OPTION...] - makes the build directory, or configures an existing
# one again
configure_project() {
    local dir=$1 name=${1##*/}-setup
    shift

    if [ -e "$dir/build.ninja" ]; then
        quietly "$name" meson setup --reconfigure "$@" "$dir" "$project"
    else
        quietly "$name" meson setup "$@" "$dir" "$project"
    fi
}

# build_project DIR [MESON-OPTION...] - configures and compiles
build_project() {
    step "Building in ${1##*/}/"
    configure_project "$@"
    quietly "${1##*/}-compile" meson compile -C "$1"
}
