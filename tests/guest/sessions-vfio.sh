# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh
#
# CUDA sessions through VFIO, which gives each ring a message of its own

cd /root || exit 1
modprobe vfio_iommu_type1 # which the modprobe of a distribution loads with vfio-pci
modprobe vfio-pci
check 'the device goes to VFIO' vgpu bind
check 'the device as a session has it' ends 0 'Fake GPU 0' vgpu smi
check 'a kernel' ends 0 'launches' vgpu run session-kernels.ptx --kernel fill --grid 400 --block 256 \
    out:filled:4000 u32:0x41424344 u64:1000 --repeat 1000
check 'its result' [ "$(head -c 8 filled)" = DCBADCBA ]
check 'an error of the kernel, by its own number' ends 1 'CUDA error 719' \
    vgpu run session-kernels.ptx --kernel trap --grid 1 --block 1
check 'the next process has none of it' ends 0 'Fake GPU 0' vgpu smi
