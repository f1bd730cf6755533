#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# test-guest-package.sh SOURCE-ROOT BUILD PROGRAM MEDIATORD EXECUTOR FAKE-CUDA-DIR - the package for guests and the
# tarball: what is in them, and what they do to a machine, which is an overlay over this one. The PROGRAM finds
# libcuda.so.1 as that machine is set up, and computes by a mediator's socket, on the fake driver.
#
# shellcheck disable=SC2317 # passes calls them
set -uo pipefail

# The mounts are gone with the namespace, however this ends.
if [ -z "${VGPU_TEST_CONTAINED:-}" ] && unshare --mount true 2>/dev/null; then
    VGPU_TEST_CONTAINED=1 exec unshare --mount "$0" "$@"
fi

unset LD_LIBRARY_PATH # with which Meson would have the PROGRAM find the build's library
sources=$1
build=$2
program=$3
. "$(dirname "$0")/session-command.sh"

architecture=$(dpkg --print-architecture 2>/dev/null)
[ -n "$architecture" ] || { echo '1..0 # SKIP needs dpkg'; exit 0; }
machine=$(uname -m)
saxpy=$sources/guest/examples/saxpy.ptx

# passes NAME COMMAND... - a result
passes() {
    local name=$1 passed=
    shift
    "$@" >"$work/output" 2>&1 && passed=yes
    result "$name" "$passed"
}

# skip NAME REASON - a result that is not to be had here
skip() {
    number=$((number + 1))
    echo "ok $number - $1 # SKIP $2"
}

# says TEXT COMMAND... - it prints that
says() {
    local text=$1
    shift
    "$@" >"$work/said" 2>&1
    cat "$work/said"
    grep -q -F -e "$text" "$work/said"
}

# refuses TEXT COMMAND... - it fails, and prints that
refuses() {
    local text=$1
    shift
    ! "$@" >"$work/said" 2>&1 || return
    cat "$work/said"
    grep -q -F -e "$text" "$work/said"
}

# ---- The files -----------------------------------------------------------------

# make_in DIR - both files
make_in() {
    mkdir -p "$work/$1"
    "$sources/tools/guest-package" "$build" "$work/$1"
}

same_bytes() {
    (umask 077 && TZ=Asia/Tokyo make_in again) && diff -r "$work/made" "$work/again"
}

# needs_libc DIR - no program in it needs a library but the C library's
needs_libc() {
    find "$1" -name '*.so.*' -exec readelf -dW {} + | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | sort -u >"$work/needed"
    cat "$work/needed"
    [ -s "$work/needed" ] && ! grep -v -x -E 'libc\.so\.6|ld-linux.*' "$work/needed"
}

# contents - no file of the package is where others would find it by chance
contents() {
    dpkg-deb -c "$package" | awk '{ print $1, $2, $6 }' >"$work/contents"
    cat "$work/contents"
    grep -q " \./usr/lib/$machine-linux-gnu/vgpu/libcuda\.so\.1$" "$work/contents" &&
        grep -q " \./usr/lib/$machine-linux-gnu/vgpu/libnvidia-ml\.so\.1$" "$work/contents" &&
        ! grep -E ' \./usr/lib/([^/]*-linux-gnu/)?lib(cuda|nvidia)' "$work/contents" &&
        ! grep -v ' root/root ' "$work/contents"
}

for name in gzip strip readelf; do
    command -v "$name" >/dev/null || { echo "1..0 # SKIP needs $name"; exit 0; }
done
passes 'the package and the tarball are made' make_in made
package=$(echo "$work"/made/*.deb)
tarball=$(echo "$work"/made/*.tar.gz)
passes 'the same build makes the same bytes' same_bytes
passes 'what is in the package' contents
dpkg-deb -R "$package" "$work/package"
passes 'its libraries need nothing but the C library' needs_libc "$work/package"
passes 'it depends on nothing else, either' says 'libc6 (>= 2.' dpkg-deb -f "$package" Depends
passes 'its checksums' sh -c "cd '$work/package' && md5sum -c DEBIAN/md5sums"
rules=$work/package/usr/lib/udev/rules.d/60-vgpu.rules
passes 'the rule names no place that is still to be filled in' sh -c "! grep @ '$rules'"
if udevadm verify --help >/dev/null 2>&1; then
    passes 'udev can read the rule' udevadm verify --resolve-names=never "$rules"
else
    skip 'udev can read the rule' 'needs udevadm verify, of systemd 254'
fi

start_mediator "$4" "$5" "$6" "$sources/tests/fake-cuda"
export VGPU_WINDOW_SIZE=67108864

# ---- A user of his own ------------------------------------------------------------

# as_user COMMAND... - not as root
as_user() {
    if [ "$(id -u)" -eq 0 ]; then
        setpriv --reuid=65534 --regid=65534 --clear-groups "$@"
    else
        "$@"
    fi
}

# computes PATH COMMAND... - the COMMAND with the program computes, and has the library at PATH
computes() {
    local path=$1
    shift
    "$@" "$work/program" "$work/saxpy.ptx" >"$work/said" 2>&1 || { cat "$work/said" && return 1; }
    cat "$work/said"
    grep -q -x "library: $path" "$work/said" && grep -q '^sums: 0 of' "$work/said"
}

cp "$program" "$saxpy" "$work/"
mv "$work/installed-program" "$work/program" # beyond the reach of its run path
chmod 755 "$work"
mkdir -m 777 "$work/home"
tar -C "$work" -xzf "$tarball"
unpacked=$work/vgpu-guest-$(dpkg-deb -f "$package" Version)-$machine
passes 'a user installs the tarball' as_user "$unpacked/install" --prefix "$work/home/vgpu"
passes 'a program of his computes' computes "$work/home/vgpu/lib/vgpu/libcuda.so.1" \
    env LD_LIBRARY_PATH="$work/home/vgpu/lib/vgpu"
passes 'and once more, over the first' as_user "$unpacked/install" --prefix "$work/home/vgpu"
passes 'a user removes it' as_user "$work/home/vgpu/lib/vgpu-guest/install" --uninstall
passes 'nothing is left' [ -z "$(ls -A "$work/home")" ]

# ---- A machine ---------------------------------------------------------------------

# What the tools that change groups and packages leave for themselves
traces='/etc/(\.pwd\.lock|g?(shadow|group)-|subgid-)|/var/(lib/dpkg/.*-old|lib/dpkg/(lock.*|triggers/Lock)|cache/ldconfig(/.*)?|log/.*)'
traces+='|removed: /var/lib/man-db/auto-update'

# make_root - an overlay over this machine, with the files to install, and without an index of manual pages, which
# would be made anew after each change
make_root() {
    local layer=$work/layer

    root=$work/root upper=$layer/upper
    mkdir "$layer" "$root" &&
        mount -t tmpfs tmpfs "$layer" && mkdir "$upper" "$layer/work" &&
        mount -t overlay -o "lowerdir=/,upperdir=$upper,workdir=$layer/work" overlay "$root" &&
        mount -t tmpfs tmpfs "$root/dev" && mknod -m 666 "$root/dev/null" c 1 3 && mount -t proc proc "$root/proc" &&
        mkdir -p "$root$work" && mount --bind "$work" "$root$work" && rm -f "$root/var/lib/man-db/auto-update"
}

# What is mounted below $work is not to be removed with it.
end() {
    [ -z "$mediator" ] || kill "$mediator"
    wait
    [ -z "$root" ] || umount -R "$root" "$work/layer"
    rm -rf --one-file-system "$work"
}

in_root() {
    env DEBIAN_FRONTEND=noninteractive PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C \
        chroot "$root" "$@"
}

# left - what is in the overlay's machine and not in this one, or the other way round
left() {
    (cd "$upper" && find . -mindepth 1) | sed 's:^\.::' | while IFS= read -r path; do
        if [ -c "$upper$path" ]; then
            echo "removed: $path"
        elif [ ! -e "$path" ] && [ ! -L "$path" ]; then
            echo "$path"
        fi
    done | grep -v -x -E "$traces|$work(/.*)?"
    diff /etc/group "$root/etc/group"
    in_root ldconfig -p | grep vgpu
}

leaves_nothing() {
    left >"$work/left"
    cat "$work/left"
    [ ! -s "$work/left" ]
}

# make_other NAME - a package of that name that holds nothing
make_other() {
    mkdir -p "$work/other/DEBIAN"
    printf '%s\n' "Package: $1" 'Version: 550' "Architecture: $architecture" 'Maintainer: none' 'Description: a driver' \
        >"$work/other/DEBIAN/control"
    dpkg-deb --build "$work/other" "$work/$1.deb"
}

installed=/usr/lib/$machine-linux-gnu/vgpu/libcuda.so.1

# all_found - ldd finds what each library and program needs
all_found() {
    in_root sh -c 'dpkg -L vgpu-guest | grep -E "/bin/|\.so\." | xargs ldd' >"$work/said" 2>&1
    ! grep 'not found' "$work/said"
}

# Triton's way to find the library
triton_finds() {
    [ "$(in_root ldconfig -p | awk '/libcuda\.so\.1 / { print $NF; exit }')" = "$installed" ]
}

test_package() {
    passes 'the package is installed' in_root dpkg -i "$package"
    passes 'there is a group' in_root getent group vgpu
    passes 'the linker has its libcuda.so.1' triton_finds
    passes 'what it has finds all that it needs' all_found
    passes 'a program of the driver API computes' computes "$installed" in_root env VGPU_SOCKET="$VGPU_SOCKET"
    passes 'vgpu computes' says 'Fake GPU' in_root env VGPU_SOCKET="$VGPU_SOCKET" vgpu smi
    passes 'it is installed again' in_root dpkg -i "$package"
    passes 'the tarball is refused beside it' refuses '00-vgpu.conf is there already' in_root "$unpacked/install"
    passes "NVIDIA's package is refused beside it" refuses 'vgpu-guest conflicts with libcuda1' \
        in_root dpkg -i "$work/libcuda1.deb"
    passes 'it is removed' in_root dpkg -r vgpu-guest
    passes 'the linker finds nothing of it' sh -c "! chroot '$root' /sbin/ldconfig -p | grep vgpu"
    passes 'it is purged' in_root dpkg -P vgpu-guest
    passes 'nothing is left' leaves_nothing
}

test_refusals() {
    in_root dpkg -i "$work/libcuda1.deb" >/dev/null 2>&1
    passes "it is refused beside NVIDIA's package" refuses 'conflicts with libcuda1' in_root dpkg -i "$package"
    in_root dpkg -P libcuda1 >/dev/null 2>&1
    cp "$work/package$installed" "$root/usr/local/lib/"
    in_root ldconfig
    passes 'it is refused beside a driver that no package has' refuses '  /usr/local/lib/libcuda.so.1' \
        in_root dpkg -i "$package"
    passes 'so is the tarball' refuses 'there is a driver of NVIDIA' in_root "$unpacked/install"
    rm "$root/usr/local/lib/libcuda.so.1"
    in_root ldconfig
    in_root dpkg -P vgpu-guest >/dev/null 2>&1
    passes 'nothing is left' leaves_nothing
    echo mine >"$root/usr/local/bin/vgpu"
    passes 'the tarball writes over nothing' refuses '/usr/local/bin/vgpu is there already' in_root "$unpacked/install"
    rm "$root/usr/local/bin/vgpu"
    passes 'nothing is left' leaves_nothing
}

# A group with a number and a member that an administrator has given it
test_group() {
    in_root groupadd --gid 4242 vgpu
    in_root dpkg -i "$package" >"$work/output" 2>&1
    in_root dpkg -P vgpu-guest >>"$work/output" 2>&1
    passes 'a group that was there stays' says 'vgpu:x:4242' in_root getent group vgpu
    in_root groupdel vgpu
}

test_tarball() {
    passes 'the tarball is installed' in_root "$unpacked/install"
    passes 'there is a group' in_root getent group vgpu
    passes 'a program of the driver API computes' computes /usr/local/lib/vgpu/libcuda.so.1 \
        in_root env VGPU_SOCKET="$VGPU_SOCKET"
    passes 'the rule names the place' says 'RUN+="/usr/local/lib/vgpu-guest/device-access give %k"' \
        cat "$root/etc/udev/rules.d/60-vgpu.rules"
    passes 'the package is refused beside it' refuses '/usr/local/lib/vgpu-guest/install --uninstall' \
        in_root dpkg -i "$package"
    in_root dpkg -P vgpu-guest >/dev/null 2>&1
    in_root usermod -a -G vgpu nobody
    passes 'it is installed again' in_root "$unpacked/install"
    passes 'the group has its members' says ':nobody' in_root getent group vgpu
    passes 'it is removed' in_root /usr/local/lib/vgpu-guest/install --uninstall
    passes 'nothing is left' leaves_nothing
}

test_containers() {
    passes "the tarball is installed for a host's containers" in_root "$unpacked/install" --containers
    passes 'they have a device' says 'hostPath: /opt/vgpu-guest/lib/vgpu/libcuda.so.1' cat "$root/etc/cdi/vgpu.yaml"
    passes 'the host itself has no library, rule or group' sh -c \
        "! chroot '$root' /sbin/ldconfig -p | grep vgpu && [ ! -e '$root/etc/udev/rules.d/60-vgpu.rules' ] &&
            ! grep ^vgpu: '$root/etc/group'"
    passes 'it is removed' in_root /opt/vgpu-guest/lib/vgpu-guest/install --uninstall
    passes 'nothing is left' leaves_nothing
}

why_no_machine() {
    if [ "$(id -u)" -ne 0 ] || [ -z "${VGPU_TEST_CONTAINED:-}" ]; then
        echo 'needs root, and namespaces'
    elif ldconfig -p | grep -q libcuda.so.1; then
        echo 'this machine has a driver'
    elif getent group vgpu >/dev/null || [ -e /opt/vgpu-guest ] || [ -e /etc/cdi/vgpu.yaml ]; then
        echo 'this machine has a mediator, or what the package has'
    elif ! make_root >"$work/output" 2>&1; then
        echo 'needs overlays'
    fi
}

root='' upper=''
trap end EXIT
why_no_machine >"$work/reason" # in this shell, which has then what make_root sets
reason=$(<"$work/reason")
if [ -n "$reason" ]; then
    skip 'the package on a machine' "$reason"
else
    make_other libcuda1 >/dev/null
    test_package
    test_refusals
    test_group
    test_tarball
    test_containers
fi
conclude
