# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh
#
# refuse_driver - returns 1, and says why, where programs already find a libcuda.so.1 that is not of vgpu-guest. A
# package manager knows only of drivers that it has installed itself.
refuse_driver() {
    found=$(ldconfig -p 2>/dev/null | sed -n 's/.*libcuda\.so\.1 .*=> //p' | grep -v '/vgpu/libcuda\.so\.1$' | head -n 1)
    [ -n "$found" ] || return 0
    cat >&2 <<TEXT
vgpu-guest: there is a driver of NVIDIA's on this machine:
  $found
A program would find only one of two libraries of that name. In a virtual machine
whose GPU is a vgpu device, remove the driver (nvidia-uninstall, or the package that
has the file), then install vgpu-guest. On a machine that has the GPU itself, do not
install it.
TEXT
    return 1
}
