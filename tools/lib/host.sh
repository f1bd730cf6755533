# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# shellcheck disable=SC2154 # common.sh and host.sh, sourced before, set them
#
# Sourced by the tools and tests that need a whole host: systemd as PID 1, the
# system bus, journald, polkit, on the machine's own root file system.
#
#   host_why_not          prints why this machine cannot boot one, if so
#   host_contain "$@"     at the start of the script, before it does anything
#   host_up               boots the host
#   host_run COMMAND...   runs a command in it, as root
#
# The host is an overlay over / with everything written to it in memory, booted by
# systemd-nspawn. host_contain moves the script into mount and PID namespaces of
# its own. When the script ends, however it ends, the kernel kills what is in them
# and drops the mounts. So nothing has to be cleaned up and nothing is left
# but empty control groups, which the next run removes.

# Where the host's root file system is, and its PID 1; host_up sets both
host_root=
host_leader=

# host_why_not - prints a sentence where no host can be booted here. In a chroot it cannot: namespaces
# begin at the root of the machine around it, and so would what is run in them.
host_why_not() {
    # shellcheck disable=SC2016 # awk's
    local root=(awk '$5 == "/" { print $1 }' /proc/self/mountinfo)

    if [ "$(id -u)" -ne 0 ]; then
        echo "needs root: it boots a host in a container"
    elif [ "$("${root[@]}" 2>&1)" != "$(nsenter --mount=/proc/self/ns/mnt "${root[@]}" 2>/dev/null)" ]; then
        echo "cannot boot a host in a chroot: boot the chroot (systemd-nspawn --boot), and run this in there"
    fi
}

# host_contain ARGUMENTS... - runs the script again in those namespaces, and exits with its status
#
# On a machine with systemd it runs in a transient scope with a delegated control
# group, which systemd requires of a container manager.
host_contain() {
    local inside=(setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child --mount-proc)
    local why pid rc=0

    [ -z "${VGPU_HOST_CONTAINED:-}" ] || return 0
    why=$(host_why_not)
    [ -z "$why" ] || die "$why"

    if [ -d /run/systemd/system ]; then
        inside=(systemd-run --quiet --collect --scope --property=Delegate=yes "${inside[@]}")
    fi
    host_groups_remove
    (
        [ -d /run/systemd/system ] || host_groups_join
        VGPU_HOST_CONTAINED=1 exec "${inside[@]}" "$0" "$@"
    ) &
    pid=$!
    # A signal ends this shell and, through the death signal, everything inside.
    trap 'kill -KILL $pid 2>/dev/null; exit 130' INT
    trap 'kill -KILL $pid 2>/dev/null; exit 143' TERM HUP
    wait "$pid" || rc=$?
    host_groups_remove
    exit "$rc"
}

# host_groups - prints the control groups of the machine that the container may use
host_groups() {
    local controllers path mount

    while IFS=: read -r _ controllers path; do
        case $controllers in
        '') mount=$(findmnt -n -o TARGET -t cgroup2 | head -n 1) ;;
        name=systemd) mount=$(findmnt -n -o TARGET -t cgroup -O name=systemd | head -n 1) ;;
        *) continue ;;
        esac
        [ -z "$mount" ] || printf '%s\n' "${mount}${path%/}"
    done </proc/self/cgroup
}

# host_groups_join - moves this process into a control group of its own: nspawn uses fixed
# names below the group that it runs in
host_groups_join() {
    local self=$BASHPID group

    host_groups | while read -r group; do
        mkdir "$group/vgpu-host.$self"
        echo "$self" >"$group/vgpu-host.$self/cgroup.procs"
    done
}

# host_groups_remove - removes the empty control groups of earlier runs
host_groups_remove() {
    local group

    host_groups | while read -r group; do
        find "$group" -mindepth 1 -depth -path "$group/vgpu-host.*" -type d \
            -exec rmdir {} + 2>/dev/null || true
    done
}

# host_up - boots the host, which takes about two seconds
host_up() {
    local memory=$cache/host pid ready

    mkdir -p "$memory"
    mount -t tmpfs -o mode=755 vgpu-host "$memory"
    host_root=$memory/root
    host_overlay_mount "$memory" / "$host_root"
    for dir in /usr /etc /var /opt; do
        ! mountpoint -q "$dir" || host_overlay_mount "$memory" "$dir" "$host_root$dir"
    done
    host_root_prepare

    rm -f "$host_root/.ready"
    mkfifo "$host_root/.ready"
    exec {ready}<>"$host_root/.ready"

    mapfile -t binds < <(host_binds)
    # nspawn registers its containers under /run; the machine's machinectl must not see this one.
    mkdir -p /run/systemd/nspawn
    mount -t tmpfs -o mode=755 vgpu-host /run/systemd/nspawn
    systemd-nspawn --quiet --directory "$host_root" --machine vgpu-host --boot \
        --register=no --keep-unit --private-network \
        --resolv-conf=off --timezone=off --link-journal=no \
        --console=pipe "${binds[@]}" systemd.unit=vgpu-host.target \
        >"$memory/console" 2>&1 </dev/null {ready}>&- &
    pid=$!

    if ! read -r -t 60 -u "$ready"; then
        tail -n 40 "$memory/console" >&2
        die "the host did not boot; the end of its console is above"
    fi
    exec {ready}>&-
    host_leader=$(pgrep -P "$pid")
}

# host_overlay_mount MEMORY LOWER TARGET - mounts LOWER at TARGET; changes go to MEMORY
host_overlay_mount() {
    local layer=$1/layers/${2//\//_}

    mkdir -p "$layer/upper" "$layer/work" "$3"
    mount -t overlay -o "lowerdir=$2,upperdir=$layer/upper,workdir=$layer/work" vgpu-host "$3"
}

# host_root_prepare - reduces the host's root to a minimal host: nothing stays of what this
# machine does as its job
host_root_prepare() {
    local etc=$host_root/etc

    # No unit that is enabled on this machine, no System V script, none of its disks
    rm -rf "$etc"/systemd/system/*.wants "$etc"/systemd/system/*.requires "$etc"/rc?.d
    rm -f "$etc/fstab" "$etc/crypttab"
    # An identity of its own: without one, systemd would enable the presets at boot.
    rm -f "$etc/machine-id" "$host_root/var/lib/dbus/machine-id"
    tr -d - </proc/sys/kernel/random/uuid >"$etc/machine-id"
    echo vgpu-host >"$etc/hostname"

    mkdir -p "$etc/systemd/journald.conf.d"
    printf '[Journal]\nStorage=volatile\nRateLimitIntervalSec=0\n' >"$etc/systemd/journald.conf.d/vgpu-host.conf"

    cat >"$etc/systemd/system/vgpu-host.target" <<'UNIT'
[Unit]
Description=The host has booted
Requires=multi-user.target vgpu-host-ready.service
UNIT
    cat >"$etc/systemd/system/vgpu-host-ready.service" <<'UNIT'
[Unit]
Description=Tell who started the host that it is up
After=multi-user.target
[Service]
Type=oneshot
ExecStart=sh -c 'echo ready >/.ready'
UNIT
}

# host_binds - prints the options that pass the machine's accelerators into the host
host_binds() {
    local path

    for path in /dev/nvidia* /dev/dri; do
        [ ! -e "$path" ] || printf -- '--bind=%s\n' "$path"
    done
    ! kvm_works || printf -- '--bind=/dev/kvm\n'
    # On a machine that is a container itself, the libraries of its GPU are mounts.
    findmnt -rn -o TARGET | while read -r path; do
        case $path in
        /usr/*nvidia* | /usr/*libcuda*) printf -- '--bind-ro=%s\n' "$path" ;;
        esac
    done
}

# kvm_works - can this machine run a guest in hardware? That there is a /dev/kvm says little.
kvm_works() {
    [ -c /dev/kvm ] && grep -qwE 'vmx|svm' /proc/cpuinfo
}

# host_run COMMAND... - runs the COMMAND in the host as root, with an environment of its own
host_run() {
    nsenter --target "$host_leader" --root --wd --mount --uts --ipc --net --pid --cgroup -- \
        env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        HOME=/root LANG=C.UTF-8 TERM="${TERM:-dumb}" SYSTEMD_PAGER='' SYSTEMD_COLORS=0 "$@"
}

# host_install BUILD - installs the build, and does what a package's scripts would do
host_install() {
    meson install -C "$1" --no-rebuild --quiet --destdir "$host_root" &&
        # nobody registers a QEMU that is started by hand
        printf '[Unregistered]\nPolicy=allow\n' \
            >"$host_root/etc/vgpu/mediator.conf.d/10-unregistered.conf" &&
        host_run systemd-sysusers vgpu-mediator.conf &&
        host_run systemd-tmpfiles --create vgpu-mediator.conf &&
        host_run journalctl --update-catalog &&
        host_run systemctl daemon-reload &&
        host_run busctl --quiet call org.freedesktop.DBus /org/freedesktop/DBus \
            org.freedesktop.DBus ReloadConfig
}
