#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# test-tools.sh SOURCE-ROOT - what the tools promise to whoever runs them: they are never silent for
# long, say what they have installed, and refuse a chroot at once. Prints TAP.
set -euo pipefail
project=$1
n=0
failed=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# expect NAME WANTED TEXT - a case: TEXT has a line that matches the regular expression WANTED
expect() {
    n=$((n + 1))
    if grep -qE -e "$2" <<<"$3"; then
        echo "ok $n - $1"
    else
        failed=1
        echo "not ok $n - $1"
        printf '# no line "%s" in:\n%s\n' "$2" "$3" | sed 's/^/# /'
    fi
}

# Runs in a shell of its own, with the tools' functions and a cache of the test's own.
# with_tools COMMAND
with_tools() {
    VGPU_PROGRESS_SECONDS=1 bash -euo pipefail -c "
        . '$project/tools/lib/common.sh'
        . '$project/tools/lib/packages.sh'
        cache=$work/cache
        $1" 2>&1 </dev/null
}

expect 'a command that takes its time is seen to go on' '… half done' \
    "$(with_tools 'slow() { echo half done; sleep 3; }; quietly slow slow')"
expect 'so is one that prints, but not for a while' '… the third case' \
    "$(with_tools '{ echo begins; sleep 3; echo ends; } | or_else echo the third case')"
expect 'what it prints comes through, in whole lines' '^ends$' \
    "$(with_tools '{ echo begins; printf e; sleep 2; echo nds; printf whole; } | or_else echo the third case')"
expect 'also the last one' '^whole$' \
    "$(with_tools '{ echo begins; printf wh; sleep 2; printf ole; } | or_else echo the third case')"

# A machine on which nothing is installed, and whose apt-get enables units
mkdir -p "$work/bin" "$work/systemd/sockets.target.wants" "$work/systemd/timers.target.wants"
cat >"$work/bin/apt-get" <<SCRIPT
#!/bin/sh
[ "\$2" != install ] || ln -s /dev/null '$work/systemd/sockets.target.wants/libvirtd.socket'
[ "\$2" != install ] || ln -s /dev/null '$work/systemd/timers.target.wants/logrotate.timer'
SCRIPT
printf '#!/bin/sh\nexit 1\n' >"$work/bin/dpkg-query"
printf '#!/bin/sh\n[ "$*" != -u ] || echo 0\n' >"$work/bin/id"
chmod +x "$work"/bin/*
said=$(with_tools "
    PATH=$work/bin:\$PATH
    unit_links=$work/systemd
    with_no_services() { \"\$@\"; }
    start_timer() { echo \"started \$1\"; }
    install_packages libvirt-daemon-system
    how_to_undo")
expect 'what was installed is said, and how to remove it' \
    'apt-get purge --autoremove libvirt-daemon-system' "$said"
expect 'what was left disabled is said, and how to enable it' \
    'systemctl enable --now libvirtd\.socket$' "$said"
expect 'a timer is left enabled, and started' '^started logrotate\.timer$' \
    "$(test ! -L "$work/systemd/timers.target.wants/logrotate.timer" || echo "$said")"
expect 'nothing is said where nothing was installed' '^$' "$(with_tools how_to_undo)"

# A chroot, of this machine's own files, which is a mount point as the namespaces need it
if unshare --mount true 2>/dev/null; then
    mkdir "$work/root"
    for tool in demo check; do
        # shellcheck disable=SC2016 # expanded by the other shell
        said=$(timeout 20 unshare --mount bash -euc '
            mount --rbind / "$1"
            exec chroot "$1" "$2"' bash "$work/root" "$project/tools/$tool" 2>&1 </dev/null) || true
        expect "tools/$tool refuses a chroot before it does anything" \
            "^$tool: cannot boot a host in a chroot" "$(head -n 1 <<<"$said")"
    done
else
    for tool in demo check; do
        n=$((n + 1))
        echo "ok $n - tools/$tool refuses a chroot before it does anything # SKIP needs root"
    done
fi
echo "1..$n"
exit "$failed"
