# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh
#
# A kernel that is locked down, in a machine with an IOMMU that remaps interrupts

is_locked_down() {
    grep -F '[integrity]' /sys/kernel/security/lockdown
}

check 'the kernel is locked down' is_locked_down
check 'the error names the lockdown' ends 5 'it is locked down, as with Secure Boot' vgpu add 1 2
check 'the error names the way' ends 5 "'modprobe vfio-pci' and 'vgpu bind'" vgpu add 1 2
check 'bind names the module' ends 5 "'modprobe vfio-pci'" vgpu bind

modprobe vfio-pci
check 'bind' vgpu bind
check 'the error names the module of the IOMMU' ends 5 vfio_iommu_type1 vgpu add 1 2
modprobe vfio_iommu_type1 # which the modprobe of a distribution loads with vfio-pci
check 'bind again does nothing' vgpu bind

check 'info' ends 0 'vfio' vgpu info
check 'add' ends 0 42 vgpu add 40 2
check 'add by interrupt' ends 0 42 vgpu --interrupt add 40 2
check 'selftest' ends 0 'ok 34' vgpu selftest
check 'selftest by interrupt, also after its reset' ends 0 'ok 34' vgpu --interrupt selftest

# has_interrupts OPTION... - does the bench by interrupt need one for most requests?
has_interrupts() {
    vgpu bench --interrupt --depth 1 --count 200 | tee /tmp/output
    awk '/interrupts per request/ { many = $9 > 0.5 } END { exit !many }' /tmp/output
}

check 'bench of the registers by interrupt' ends 0 'by interrupt:   yes' vgpu bench --interrupt --count 200
check 'bench of the ring by interrupt' has_interrupts

# take_turns - programs that start at the same time all get the device
take_turns() {
    for i in 1 2 3 4; do
        vgpu add "$i" 10 >"/tmp/sum$i" &
    done
    wait
    sums=$(cat /tmp/sum1 /tmp/sum2 /tmp/sum3 /tmp/sum4)
    echo "$sums"
    [ "$sums" = "$(printf '11\n12\n13\n14')" ]
}

# gets_killed - a program that is killed with a ring in use leaves a device that works
gets_killed() {
    vgpu bench --depth 64 --count 10000000 >/dev/null 2>&1 &
    n=0
    until ends 4 'in use' vgpu --timeout 0 add 1 2; do
        n=$((n + 1))
        [ "$n" -lt 100 ] || return
    done
    kill -9 $!
    ends 0 3 vgpu add 1 2
}

check 'programs take turns' take_turns
check 'a program that is killed leaves a device that works' gets_killed
