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

# are_well_formed PAGE...
are_well_formed() {
    if command -v mandoc >/dev/null; then
        # that a page is not installed here, is no fault of the one that names it
        missing=$(mandoc -T lint -W warning "$@" | grep -v 'outdated mandoc.db' | tr '\n' ' ')
        report 'the pages are well-formed'
    else
        number=$((number + 1))
        echo "ok $number - the pages are well-formed # SKIP mandoc is not installed"
    fi
}

# conclude - the plan, and the exit status
conclude() {
    echo "1..$number"
    exit $((failures > 0))
}
