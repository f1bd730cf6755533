# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# Sourced by the tests that compare the manual pages with what they are about: results as TAP.
number=0
failures=0
missing=

# want FILE REGEX - a line of the page matches
want() {
    grep -Eq -e "$2" "$1" || missing+=" $2"
}

# report NAME - one result; what is in $missing makes it a failure
report() {
    number=$((number + 1))
    if [ -z "$missing" ]; then
        echo "ok $number - $1"
    else
        failures=$((failures + 1))
        echo "not ok $number - $1"
        printf '# missing or different: %s\n' "$missing"
    fi
    missing=
}
