#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# test-host-manual.sh SOURCE-ROOT VGPUCTL MEDIATORD BUS-PAGE - do the host's manual
# pages, and the completion, name all that there is?
set -uo pipefail

root=$1
vgpuctl=$2
mediatord=$3
bus_page=$4
man=$root/docs/man
contract=$root/dbus/org.vgpu.Mediator1.xml
. "$(dirname "$0")/manual.sh"

# at_least N WORD... - or the list was not found where it should be
at_least() {
    [ $(($# - 1)) -ge "$1" ] || missing+=" a list of $1, but there are $(($# - 1))"
}

# options PROGRAM - the long ones that its --help names
options() {
    "$1" --help | sed -nE 's/^ +(-[a-z] +)?--([a-z-]+).*/\2/p'
}

# variables FILE... - the environment variables that the sources read
variables() {
    grep -hoE 'getenv\("[A-Z_]+"\)' "$@" | sed -E 's/.*"(.*)".*/\1/' | sort -u
}

# entry KEY [SECTION] - the text of a key in mediator.conf(5)
entry() {
    sed -n "/^\.Ss .*${2:-}/,/^\.S[sh] [^$]*/p" "$man/mediator.conf.5" |
        sed -n "/^\.It Va $1 Ns =/,/^\.\(It\|El\)/{/^\.El/d;p}" | tr '\n' ' '
}

commands=$("$vgpuctl" --help | sed -nE '/^Options:/q; s/^  ([a-z|-]+) ?.*/\1/p' | tr '|' '\n')
# shellcheck disable=SC2086 # a word each
at_least 17 $commands
for name in $commands; do
    want "$man/vgpuctl.1" "Cm $name( |\$)"
    grep -qw -e "$name" "$root/ctl/completion/vgpuctl" || missing+=" $name in the completion"
done
report 'every command is in vgpuctl(1) and the completion'

names=$(options "$vgpuctl")
# shellcheck disable=SC2086
at_least 11 $names
for name in $names; do
    want "$man/vgpuctl.1" "^\.It .*Fl -$name( |\$)"
    grep -q -e "--$name\b" "$root/ctl/completion/vgpuctl" || missing+=" --$name in the completion"
done
report 'every option is in vgpuctl(1) and the completion'

titles=$(sed -nE -e 's/^ +(VM|COUNTER)\("([A-Z0-9-]+)(\/us)?", .*/\2/p' \
    -e 's/^ +COUNTERS\([A-Za-z]+, "([A-Z]+)", .*/\1/p' "$root/ctl/list.c"
    sed -nE 's/^ +ROW\("([A-Za-z/]+)", .*/\1/p' "$root/ctl/list-sessions.c")
# shellcheck disable=SC2086
at_least 28 $titles
for title in $titles; do
    want "$man/vgpuctl.1" "^\.It Li (.* , )?$title( |\$)"
done
report 'every column of the lists is in vgpuctl(1)'

for name in $(variables "$root"/ctl/*.c); do
    [ "$name" = TERM ] || want "$man/vgpuctl.1" "^\.It Ev (.* , )?$name( |\$)"
done
report 'every variable that vgpuctl reads is in vgpuctl(1)'

names=$(options "$mediatord")
# shellcheck disable=SC2086
at_least 6 $names
for name in $names; do
    want "$man/vgpu-mediatord.8" "^\.It .*Fl -$name( |\$)"
done
report 'every option is in vgpu-mediatord(8)'

names=$(sed -nE 's/^#define VGPU_MESSAGE_[A-Z_]+ "([0-9a-f]{32})".*/\1/p' "$root/common/names.h")
# shellcheck disable=SC2086 # a word each
at_least 7 $names
for name in $names; do
    grep -q "^-- $name$" "$root/units/vgpu-mediator.catalog" || missing+=" $name"
done
[ "$(grep -c '^-- ' "$root/units/vgpu-mediator.catalog")" = "$(wc -w <<<"$names")" ] ||
    missing+=" (messages that nothing logs)"
report 'every kind of journal line is in the catalog'

names=$(sed -nE 's/^#define VGPU_FIELD_[A-Z_]+ "([A-Z_]+)".*/\1/p' "$root/common/names.h")
# shellcheck disable=SC2086
at_least 6 $names
for name in $names; do
    want "$man/vgpu-mediatord.8" "^\.It Li $name\$"
done
report 'every journal field is in vgpu-mediatord(8)'

names=$(sed -nE 's/.*sd_event_add_signal\([^,]*, [^,]*, (SIG[A-Z]+).*/\1/p' "$root/daemon/manager.c")
# shellcheck disable=SC2086
at_least 3 $names
for name in $names; do
    want "$man/vgpu-mediatord.8" "^\.It Dv (.* , )?$name( |\$)"
done
for name in $(variables "$root"/daemon/*.c) \
    $(grep -hoE 'directory_of\("[A-Z_]+"\)' "$root"/daemon/*.c | sed -E 's/.*"(.*)".*/\1/'); do
    want "$man/vgpu-mediatord.8" "^\.It Ev (.* , )?$name( |\$)"
done
report 'every signal and variable is in vgpu-mediatord(8)'

# "SECTION KEY MIN MAX" of each row of the table in config.c; MIN is empty where it takes words
rows=$(sed -n '/^static const Key keys/,/^};/p' "$root/daemon/config.c" | tr -d '\n' |
    sed -E 's/\},/}\n/g; s/UINT_MAX/4294967295/g; s/EXECUTOR_SLOTS_MAX/64/g; s/VM_QUEUE_LIMIT_MAX/65536/g' |
    sed -nE 's/.*\{(NULL|"([A-Za-z]+)"), "([A-Za-z]+)", parse_(unsigned|seconds), .*, +([0-9]+), *([0-9]+)\}.*/\2 \3 \5 \6/p
             s/.*\{(NULL|"([A-Za-z]+)"), "([A-Za-z]+)", parse_[a-z]+, .*\}.*/\2 \3/p')
[ "$(wc -l <<<"$rows")" -ge 11 ] || missing=' the table in config.c'
while IFS= read -r row; do
    section=${row%% *}
    read -r key min max <<<"${row#* }"
    text=$(entry "$key" "${section:-Pool A}")
    [ -n "$text" ] || missing+=" [${section:-Pool}] $key"
    # a range from 0 or 1 to the largest number goes without saying for a time
    if [ -n "$max" ] && [ "$max" != 4294967295 ]; then
        [[ $text == *" $min to $max"[.,]* ]] || missing+=" $key: $min to $max"
    elif [ -n "$max" ]; then
        [[ $min = 0 || $text == *"at least $min"* ]] || missing+=" $key: at least $min"
    fi
done <<<"$rows"
report 'every key is in mediator.conf(5), with its range'

keys=$(sed -nE 's/^\.It Va ([A-Za-z]+) Ns =$/\1/p' "$man/mediator.conf.5")
# shellcheck disable=SC2086
at_least 11 $keys
for key in $keys; do
    grep -qE "\"$key\", parse_" "$root/daemon/config.c" || missing+=" $key in config.c"
    grep -q "^#$key=" "$root/units/mediator.conf" || missing+=" $key in mediator.conf"
done
report 'every key in mediator.conf(5) exists, and is in the file that is installed'

section=
while IFS= read -r line; do
    case $line in
    \[*) section=${line#\[} section=${section%\]} ;;
    \#[A-Z]*=*)
        key=${line%%=*} key=${key#\#} value=${line#*=}
        [[ $(entry "$key" "$section") =~ (Default:|default\.|Default: )\ ?"$value"?[.\;] ||
            $(entry "$key" "$section") == *".Dq $value "*"the default."* ]] ||
            missing+=" [$section] $key: the default $value"
        ;;
    esac
done <"$root/units/mediator.conf"
report 'the defaults in mediator.conf(5) are those in the file that is installed'

unit=$root/units/vgpu-mediator.service.in
for key in MemoryHigh MemoryMax OOMPolicy; do
    value=$(sed -nE "s/^$key=(.+)$/\1/p" "$unit")
    [ -n "$value" ] || missing+=" $key= in the unit"
    want "$man/mediator.conf.5" "Va $key Ns = Ns (Cm )?$value"
done
grep -q '^OOMPolicy=continue$' "$unit" || missing+=' that a process killed for memory ends alone'
report 'the limits of memory in mediator.conf(5) are those of the unit'

for kind in method signal property; do
    names=$(sed -nE "s/^ *<$kind name=\"([A-Za-z0-9]+)\".*/\1/p" "$contract")
    [ "$kind" = signal ] || [ "$(wc -w <<<"$names")" -ge 30 ] || missing+=" ${kind}s in the contract"
    for name in $names; do
        case $kind in
        property) want "$bus_page" "^\.It Va $name Pq Vt " ;;
        *) want "$bus_page" "^\.It Fn $name( |\$)" ;;
        esac
    done
done
[ "$(grep -c '^\.It \(Fn\|Va\)' "$bus_page")" -eq "$(grep -cE '<(method|signal|property) ' "$contract")" ] ||
    missing+=' as many members as the contract has'
report 'every member is in org.vgpu.Mediator1(5)'

rule=60-vgpu-mediator-libvirt.rules
names=$(sed -nE 's/.*action\.id == "([^"]+)".*/\1/p' "$root/dbus/$rule")
# shellcheck disable=SC2086
at_least 1 $names
for name in $names; do
    grep -q "<action id=\"$name\">" "$root/dbus/org.vgpu.mediator1.policy" || missing+=" $name"
done
want "$bus_page" "examples/$rule"
report "the example of a polkit rule is for an action that there is, and in a manual page"

names=$(sed -nE 's/^#define VGPU_(BUS_ERROR|ACTION)_[A-Z_]+ "(.*)".*/\2/p' "$root/common/names.h")
# shellcheck disable=SC2086
at_least 13 $names
for name in $names; do
    want "$bus_page" "^\.It Li $name\$"
done
report "every error and every action is in org.vgpu.Mediator1(5)"

are_well_formed "$man"/{vgpuctl.1,mediator.conf.5,vgpu-mediatord.8} "$bus_page"
conclude
