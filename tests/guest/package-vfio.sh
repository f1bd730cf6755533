# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh
#
# The tarball for guests where the kernel is locked down: its rule for udev gives the device to VFIO, and the
# device's IOMMU group to group vgpu.

computes() {
    as "$1" 'installed-program /root/saxpy.ptx' >/tmp/said 2>&1
    cat /tmp/said
    grep -q '^sums: 0 of' /tmp/said
}

chmod 1777 /tmp
modprobe vfio_iommu_type1 # which the modprobe of a distribution loads with vfio-pci
/sbin/ldconfig
/sbin/udevd --daemon
until udevadm control --ping; do sleep 0.1; done # it goes to the background before it listens
tar -C /tmp -xzf /root/vgpu-guest-*.tar.gz
check 'the kernel is locked down' grep -F '[integrity]' /sys/kernel/security/lockdown
check 'the tarball is installed' /tmp/vgpu-guest-*/install
check 'root reaches the device by VFIO' ends 0 'vfio' vgpu info
check 'so does a member of the group' ends 0 'vfio' as alice 'vgpu info'
check 'who computes with libcuda.so.1' computes alice
check 'by interrupt' ends 0 42 as alice 'vgpu --interrupt add 40 2'
check 'selftest, with a reset' ends 0 'ok 34' as alice 'vgpu selftest'
check 'somebody else has no device' ends 1 'CUDA error' as mallory 'installed-program /root/saxpy.ptx'
check 'it is removed' /usr/local/lib/vgpu-guest/install --uninstall
check 'a member has no device any more' ends 5 '' as alice 'vgpu info'
