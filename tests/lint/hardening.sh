#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# hardening.sh yes|no PROGRAM... - was each of the built programs hardened by the compiler and the
# linker? The first argument says whether its functions should be fortified, too. Prints TAP.
#
# shellcheck disable=SC2317 # check calls them
set -euo pipefail

{ command -v readelf && command -v objdump; } >/dev/null || { echo "1..0 # SKIP needs readelf and objdump"; exit 0; }
fortified=$1
shift

# is_position_independent FILE - a shared object, or a program with the linker's flag for one
is_position_independent() {
    [[ $(readelf -hW "$1") =~ Type:\ +DYN ]]
}

# is_bound_at_start FILE - full RELRO: everything is resolved at the start, and read-only after it
is_bound_at_start() {
    [[ $(readelf -lW "$1") == *GNU_RELRO* && $(readelf -dW "$1") =~ \(FLAGS(_1)?\).*NOW ]]
}

# has_no_executable_stack FILE
has_no_executable_stack() {
    [[ $(readelf -lW "$1") =~ GNU_STACK\ .*\ RW\ + ]]
}

# own_code FILE - its functions, without those that the compiler adds and, in a static program, those
# of the C library
own_code() {
    local own='!/<(_|frame_dummy|register_tm|deregister_tm)|@/'

    readelf -lW "$1" | grep -q INTERP || [[ $1 == *.so* ]] || own='/<(main|vgpu_|command_|bench_|selftest_)/'
    objdump -d --no-show-raw-insn "$1" | awk "/^[0-9a-f]+ </ { own = $own } own"
}

# check NAME COMMAND... - prints a case
check() {
    n=$((n + 1))
    if "${@:2}"; then
        echo "ok $n - $1"
    else
        failed=1
        echo "not ok $n - $1"
    fi
}

# calls PATTERN - the code calls a function of such a name
calls() {
    grep -qE "call.*<$1[@>+]" "$code"
}

# marks_targets - functions begin with the instruction that indirect branches must find there
marks_targets() {
    grep -q endbr64 "$code"
}

code=$(mktemp)
trap 'rm -f "$code"' EXIT
n=0 failed=0
for program; do
    name=${program##*/}
    own_code "$program" >"$code"
    check "$name is position-independent" is_position_independent "$program"
    check "$name is bound at its start, and read-only from then on" is_bound_at_start "$program"
    check "$name has no executable stack" has_no_executable_stack "$program"
    check "$name watches over its stack" calls __stack_chk_fail
    [ "$(uname -m)" != x86_64 ] || check "$name marks the targets of indirect branches" marks_targets
    # The plugin calls nothing that has a fortified form and an object whose size is known.
    [[ $fortified = no || $name == vgpu-stub*.so ]] || check "$name has fortified functions" calls '__[a-z_]+_chk'
done
echo "1..$n"
exit "$failed"
