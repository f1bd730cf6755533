#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# test-units.sh SOURCE-ROOT BUILD-OF-UNITS - does systemd understand every line of the units, and do they
# say the same as the code? The programs need not be installed, so another stands in for them. Prints TAP.
set -uo pipefail

source=$1
built=$2
names=$source/common/names.h
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
n=0 failed=0

# report DESCRIPTION - of a case, which has failed where there is something in $wrong
report() {
    n=$((n + 1))
    if [ -z "$wrong" ]; then
        echo "ok $n - $1"
    else
        failed=1
        echo "not ok $n - $1"
        printf '# %s\n' "${wrong//$'\n'/$'\n# '}"
    fi
    wrong=
}

# setting UNIT KEY - its value in one of the units in the source
setting() {
    sed -n "s/^$2=//p" "$source/units/$1"
}

wrong=
cp "$source"/units/*.socket "$source"/units/*.timer "$built"/*.service "$directory"
sed -i -E 's#^ExecStart=[^ ]+#ExecStart=/bin/true#' "$directory"/*.service
for unit in "$directory"/*; do
    name=${unit##*/}
    # A template is looked at by one of its instances. Only what is said of our units counts.
    said=$(SYSTEMD_LOG_LEVEL=warning systemd-analyze verify --man=no "${unit/@./@1-2-3.}" 2>&1) ||
        wrong+="$name: $said"
    wrong+=$(grep -F "$directory" <<<"$said")
done
report 'systemd understands every line'

path=$(sed -nE 's/^#define VGPU_EXECUTOR_SOCKET "(.*)"/\1/p' "$names")
[ "$(setting vgpu-executor.socket ListenSequentialPacket)" = "$path" ] && [ -n "$path" ] ||
    wrong="the unit listens on another path than $path"
report 'the mediator looks for executors where systemd listens'

service='vgpu-executor@.service.in'
[ "$(setting "$service" DynamicUser)" = yes ] || wrong+=' DynamicUser='
[ -z "$(setting "$service" User)" ] || wrong+=' User='
report 'no session has the user of another, or of the mediator'

# The driver and the executor fail, or lose what they are for, under these.
for key in LockPersonality MemoryDenyWriteExecute PrivateDevices ProcSubset; do
    [ -z "$(setting "$service" "$key")" ] || wrong+=" $key="
done
[ "$(setting "$service" RestrictAddressFamilies)" = AF_UNIX ] || wrong+=' RestrictAddressFamilies='
report 'an executor can be one in its sandbox'

# Instances are named by systemd: a number, and process and user of who has connected.
rule=$source/dbus/50-vgpu-executor.rules
pattern=$(sed -nE 's#.*/(\^.*\$)/\.test.*#\1#p' "$rule")
[[ vgpu-executor@3-1234-990.service =~ $pattern && -n $pattern ]] || wrong+=" the rule is for $pattern"
[[ vgpu-executor@3-1234-990.service.d =~ $pattern || ssh@3-1234-990.service =~ $pattern ]] &&
    wrong+=" the rule is for others, too: $pattern"
grep -qF "subject.user == \"$(setting vgpu-mediator.service.in User)\"" "$rule" ||
    wrong+=' the rule is for another user'
report 'polkit lets the mediator end executors'

echo "1..$n"
exit "$failed"
