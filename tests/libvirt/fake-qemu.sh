#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# In QEMU's place: has a version, and else prints its name, its arguments and
# what it has inherited.
inherited=no
if { true >&9; } 2>/dev/null; then
    inherited=yes
fi
if [ "$*" = --version ]; then
    # Descriptors for QEMU are none for its version.
    [ "$inherited" = no ] || exit 1
    echo 'QEMU emulator version 99.7.1 (fake)'
    exit
fi
printf 'argument %s\n' "$(tr '\0' '\n' </proc/$$/cmdline | sed -n 2p)" "$@"
printf 'TEST_VARIABLE=%s, descriptor %s\n' "$TEST_VARIABLE" "$inherited"
[ -z "${VGPU_DEVICE_PROBLEM+x}" ] || printf 'VGPU_DEVICE_PROBLEM=%s\n' "$VGPU_DEVICE_PROBLEM"
