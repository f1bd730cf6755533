# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh
#
# The tarball for guests in a machine with udev: plain users in group vgpu compute with its libcuda.so.1, others do
# not, and its removal leaves nothing.

# computes USER - the program has the library of the tarball, and its sums are right
computes() {
    as "$1" 'installed-program /root/saxpy.ptx' >"/tmp/$1" 2>&1
    cat "/tmp/$1"
    grep -q '^library: /usr/local/lib/vgpu/libcuda.so.1$' "/tmp/$1" && grep -q '^sums: 0 of' "/tmp/$1"
}

# both - two users at the same time
both() {
    computes alice &
    computes bob && wait $!
}

# doctor USER TEXT - vgpu doctor tells the user that
doctor() {
    as "$1" 'vgpu doctor' >/tmp/said 2>&1
    cat /tmp/said
    grep -q -F "$2" /tmp/said
}

# mode 'MODE GROUP' - that of the registers and the window
mode() {
    stat -c '%A %G' /sys/bus/pci/devices/*/resource2 | sort -u
    [ "$(stat -c '%a %G' /sys/bus/pci/devices/"$address"/resource[02]* | sort -u)" = "$1" ]
}

# listing - all files that somebody has put there
listing() {
    find / -xdev ! -path '/tmp/*' ! -path '/run/*' ! -path '/var/cache/*' ! -name ld.so.cache | sort
}

# plugged_in_again - the device goes, and comes back with files that are root's
plugged_in_again() {
    echo 1 >"/sys/bus/pci/devices/$address/remove"
    echo 1 >/sys/bus/pci/rescan
    udevadm settle
    mode '660 vgpu'
}

chmod 1777 /tmp
address=$(vgpu info | sed -n 's/^device 0: //p')
/sbin/ldconfig
/sbin/udevd --daemon
until udevadm control --ping; do sleep 0.1; done # it goes to the background before it listens
head -c 4000 /dev/zero >/root/numbers
listing >/tmp/before
check 'a user has no device' ends 5 '' as alice 'vgpu info'
tar -C /tmp -xzf /root/vgpu-guest-*.tar.gz
check 'the tarball is installed' /tmp/vgpu-guest-*/install
check "registers and window are the group's" mode '660 vgpu'
check 'a member of the group computes with libcuda.so.1' computes alice
check 'two members at the same time' both
check 'root, too' computes root
check 'vgpu smi, by a member' ends 0 'Fake GPU 0' as alice 'vgpu smi'
check 'a vector addition on ring 0, by a member' as bob 'vgpu vecadd /root/numbers /root/numbers -o /tmp/sums'
check 'selftest, by a member' ends 0 '# SKIP only root may reset this device' as alice 'vgpu selftest'
check 'vgpu doctor finds the library' doctor alice 'Programs are given /usr/local/lib/vgpu/libcuda.so.1'
check 'and nothing wrong' as alice 'vgpu doctor'
check 'and what keeps somebody else from the device' doctor mallory 'usermod -aG vgpu'
check 'somebody else has no device' ends 1 'CUDA error' as mallory 'installed-program /root/saxpy.ptx'
check 'a device that is plugged in later' plugged_in_again
check 'a member computes on it' computes bob
check 'it is removed' /usr/local/lib/vgpu-guest/install --uninstall
check 'registers and window are left to root' mode '600 root'
check 'a member has no device any more' ends 5 '' as alice 'vgpu info'
listing >/tmp/after
check 'nothing is left' cmp /tmp/before /tmp/after
