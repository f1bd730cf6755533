# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# shellcheck disable=SC2154 # os-release, sourced below, sets ID and VERSION_CODENAME
#
# Sourced, after common.sh, by the tools that fetch Debian packages or their sources: apt with
# lists, cache and sources of its own, so that the machine's apt configuration
# and state are read but never changed.

# holds_version DIR VERSION - has an earlier run left this version in DIR?
holds_version() {
    [ -f "$1/version" ] && [ "$(cat "$1/version")" = "$2" ] || return 1
    note "$1 holds version $2 already"
}

# apt_entries - prints "URI SUITE COMPONENT" for each of the distribution's own entries
#
# apt itself lists the entries, whichever of the two formats they are written in.
# Entries of other vendors have other suite names.
apt_entries() {
    # shellcheck disable=SC2016 # apt's variables, not ours
    apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Identifier: Packages' |
        grep -E "^[^ ]+ $VERSION_CODENAME(-updates|-security)? [^ ]+\$" | sort -u
}

# apt_write_sources SUITE - prints deb and deb-src lines for the machine's own suites,
# and for SUITE where that is another one
apt_write_sources() {
    local suite=$1 keyring=/usr/share/keyrings/$ID-archive-keyring.gpg options='' uri release component

    [ ! -e "$keyring" ] || options="[signed-by=$keyring] "
    apt_entries | while read -r uri release component; do
        printf 'deb %s%s %s %s\n' "$options" "$uri" "$release" "$component"
        printf 'deb-src %s%s %s %s\n' "$options" "$uri" "$release" "$component"
        if [ -n "$suite" ] && [ "$release" = "$VERSION_CODENAME" ]; then
            printf 'deb %s%s %s %s\n' "$options" "$uri" "$suite" "$component"
            printf 'deb-src %s%s %s %s\n' "$options" "$uri" "$suite" "$component"
        fi
    done
}

# apt_private_setup DIR SUITE - prepares DIR as apt's world and fetches the
# package lists of the machine's suites and of SUITE (may be empty)
#
# From then on APT_CONFIG makes every apt program of this process use it.
apt_private_setup() {
    local dir=$1 suite=$2

    # shellcheck disable=SC1091
    . /etc/os-release
    [ -n "${VERSION_CODENAME:-}" ] || die "cannot tell which release this machine runs"

    mkdir -p "$dir/lists/partial" "$dir/archives/partial"
    apt_write_sources "$suite" >"$dir/sources.list"
    [ -s "$dir/sources.list" ] ||
        die "found no apt entry for $VERSION_CODENAME on this machine to derive a source entry from"

    # The user _apt cannot read root's directory. The lists' signatures are checked all the same.
    cat >"$dir/apt.conf" <<CONF
Dir::State::lists "$dir/lists";
Dir::Cache "$dir";
Dir::Cache::archives "$dir/archives";
Dir::Etc::sourcelist "$dir/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
APT::Sandbox::User "root";
APT::Keep-Downloaded-Packages "true";
Acquire::Languages "none";
CONF
    export APT_CONFIG=$dir/apt.conf

    step "Fetching package lists"
    apt-get -qq update || die "apt-get update failed"
}

# qemu_source_version SUITE - prints the source version of QEMU in SUITE, or of the
# installed qemu-system-x86 when SUITE is empty
qemu_source_version() {
    local suite=$1 version

    if [ -z "$suite" ]; then
        version=$(dpkg-query -W -f '${source:Version}' qemu-system-x86 2>/dev/null) ||
            die "qemu-system-x86 is not installed; install it or give --suite"
    else
        version=$(apt-get -qq --print-uris --download-only -t "$suite" --only-source source qemu |
            sed -n "s/^.* qemu_\([^ ]*\)\.dsc .*/\1/p")
        [ -n "$version" ] || die "there is no QEMU source in $suite"
        version=$(apt-cache showsrc --only-source qemu |
            sed -n 's/^Version: //p' | grep -Fx -e "$version" -e "1:$version" | head -n 1)
    fi
    printf '%s\n' "$version"
}

# qemu_fetch_source VERSION DIR - unpacks that version's patched source tree as DIR
qemu_fetch_source() {
    local version=$1 dir=$2 work

    work=$(mktemp -d "${dir%/*}/fetch.XXXXXX")
    step "Fetching the QEMU source $version"
    (cd "$work" && apt-get -qq --only-source --download-only source "qemu=$version") ||
        die "apt has no QEMU source $version (is it still in the archive?)"
    step "Unpacking it"
    dpkg-source --no-check -x "$work"/qemu_*.dsc "$dir" >/dev/null || die "dpkg-source failed"
    rm -rf "$work"
}

# suite_meson SUITE DIR - lets python3 find that suite's meson: a newer QEMU may need a newer
# one than the machine has
suite_meson() {
    local suite=$1 dir=$2

    mkdir "$dir"
    (cd "$dir" && apt-get -qq -t "$suite" download meson) || die "cannot fetch meson from $suite"
    dpkg-deb -x "$dir"/meson_*.deb "$dir"
    export PYTHONPATH=$dir/usr/lib/python3/dist-packages
}
