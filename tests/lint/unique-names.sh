#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# unique-names.sh SOURCE-ROOT - has each C file a name of its own? A name in a log, a backtrace or an
# #include must mean one file. main.c is excepted: every program has one.
set -euo pipefail
cd "$1"

twice=0
while read -r name; do
    mapfile -t files < <("$(dirname "$0")/sources.sh" | grep -xE "(.*/)?${name//./\\.}")
    # Two copies of one content are no second meaning of the name.
    for file in "${files[@]:1}"; do
        cmp -s "${files[0]}" "$file" || {
            echo "${files[0]} and $file have one name"
            twice=1
        }
    done
done < <("$(dirname "$0")/sources.sh" | grep -E '\.(c|h|cu|cuh)$' | sed 's:.*/::' | grep -vx 'main\.c' |
    sort | uniq -d)
exit "$twice"
