# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh
#
# Runs a program of the host in the guest, as it is. The guest has the host's files by 9p, read-only; what it writes
# stays in its memory. The folder "exchange" of the host has the program to run, a script for the host's own shell,
# and gets what it prints and its exit status.

# mount_folder TAG OPTIONS - mounts the host's folder of this TAG at /TAG
mount_folder() {
    mkdir "/$1"
    mount -t 9p -o "trans=virtio,version=9p2000.L,msize=512000,$2" "$1" "/$1"
}

# mount_layers - /root-folder is the host's root folder, and can be written
mount_layers() {
    mkdir /layers /root-folder
    mount -t tmpfs layers /layers
    mkdir /layers/upper /layers/work
    mount -t overlay -o lowerdir=/host,upperdir=/layers/upper,workdir=/layers/work overlay /root-folder
}

# mount_own - what a machine has of its own, and not the host's
mount_own() {
    mount -t proc proc /root-folder/proc
    mount -t sysfs sys /root-folder/sys
    mount -t devtmpfs dev /root-folder/dev
    mkdir -p /root-folder/dev/shm
    mount -t tmpfs shm /root-folder/dev/shm
}

modprobe virtio_pci # fails where it is part of the kernel
set -e
modprobe -a 9pnet_virtio 9p overlay
mount_folder host cache=loose,ro
mount_folder exchange cache=none
mount_layers
mount_own
status=0
chroot /root-folder /bin/bash </exchange/program >/exchange/stdout 2>/exchange/stderr || status=$?
echo "$status" >/exchange/status
