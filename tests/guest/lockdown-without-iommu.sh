# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh
#
# A kernel that is locked down, in a machine without an IOMMU

modprobe vfio-pci
check 'the error names the lockdown' ends 5 'it is locked down' vgpu info
check 'bind says so' ends 5 'this machine has no IOMMU' vgpu bind
check 'a device that bind has failed for is left alone' ends 5 'it is locked down' vgpu info
