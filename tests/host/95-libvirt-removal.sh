# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# shellcheck disable=SC2154
#
# The commands of the README's section "Remove it", to the letter. The last of the files, for it takes
# away what they need.

for name in $(virsh list --name); do
    virsh destroy "$name"
done
virsh define /dev/stdin <<XML
<domain type="qemu"><name>removed</name><memory unit="MiB">64</memory>
  <metadata>$(element 'pool="A" priority="low"')</metadata>
  <os><type arch="x86_64" machine="q35">hvm</type></os>
  <devices><emulator>$launcher</emulator></devices></domain>
XML

# removal - prints the commands of that section
removal() {
    # shellcheck disable=SC2016 # Markdown's
    sed -n '/^### Remove it/,/^## /p' "$tests/../../README.md" | sed -n '/^```sh$/,/^```$/{/^```/!p}'
}

# What was installed was put there from outside, so it is taken away from there. It was installed over an
# earlier installation, whose folders Meson then takes for the system's own.
test_the_commands_of_the_README_succeed() {
    removal | sed '/^ninja /,$d' >"$cache/host/before"
    removal | sed '1,/^ninja /d' >"$cache/host/after"
    equal "commands that uninstall" "$(removal | grep '^ninja ')" 'ninja -C build uninstall'
    meson install -C "$build" --no-rebuild --quiet --destdir "$host_root"
    host_run bash -euxo pipefail <"$cache/host/before"
    ninja -C "$build" uninstall
    host_run bash -euxo pipefail <"$cache/host/after"
}

# The tests' own things aside
test_nothing_is_left() {
    host_run find /usr /etc /var/lib /run -xdev '(' -path /var/lib/vgpu-guests -o -path /etc/hostname ')' -prune -o \
        -name '*vgpu*' -not -name 'vgpu-host*' -not -name 'vgpu-fake-gpu' -print >"$cache/host/left"
    cat "$cache/host/left"
    [ ! -s "$cache/host/left" ]
    fails host_run id vgpu
    fails host_run busctl --quiet status "$bus"
}

test_a_domain_no_longer_needs_it() {
    virsh dumpxml --inactive removed >"$cache/host/removed.xml"
    cat "$cache/host/removed.xml"
    fails grep -e vgpu -e "$launcher" "$cache/host/removed.xml"
}
