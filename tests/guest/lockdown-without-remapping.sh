# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh
#
# A kernel that is locked down, in a machine whose IOMMU does not remap interrupts

modprobe vfio-pci
modprobe vfio_iommu_type1
check 'bind' vgpu bind
check 'the error says so' ends 5 'does not remap interrupts' vgpu add 1 2
