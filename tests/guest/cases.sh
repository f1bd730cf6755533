# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh
#
# What the scripts that run in a guest begin with. Busybox's shell reads them.

# check NAME COMMAND... - a case: passes if the COMMAND does
check() {
    name=$1
    shift

    if "$@" >/tmp/case 2>&1; then
        echo "ok - $name"
    else
        echo "not ok - $name"
        sed 's/^/# /' /tmp/case
    fi
}

# ends STATUS TEXT COMMAND... - does the COMMAND end with this status and print this text?
ends() {
    status=$1
    text=$2
    shift 2

    got=0
    "$@" >/tmp/output 2>&1 || got=$?
    cat /tmp/output
    echo "exit status $got"
    [ "$got" -eq "$status" ] && grep -q -F "$text" /tmp/output
}

# as USER COMMAND - a line of shell, by that user
as() {
    su "$1" -c "$2"
}
