#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# test-libcuda-names.sh PAGE SYMBOLS LIBCUDA - do vgpu-cuda(7), the table of symbols and what libcuda.so.1 exports
# agree about every name, and about which are served?
set -uo pipefail

page=$1
symbols=$2
libcuda=$3
. "$(dirname "$0")/manual.sh"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Each line is a name, and whether it is served, T, or refused, W.
nm -D --defined-only "$libcuda" | awk '{ print $3, $2 }' | sort >"$work/exports"
sed -nE 's/^ +X\((\w+), .*/\1/p' "$symbols" | sort >"$work/symbols"
# A row of the page is a function, its state, and its variants where there are several.
awk -F '\t' '
    /^cu[A-Za-z0-9_]+\t/ { base = $1; state = $2; getline names
            n = split(names, name, " ")
            if (n == 0) { print base, state == "refused" ? "W" : "T" }
            for (i = 1; i <= n; i++) {
                served = gsub(/[()]/, "", name[i]) ? "W" : "T"
                print (name[i] == "plain" ? base : name[i] ~ /^_/ ? base name[i] : name[i]), served
            } }' "$page" | sort >"$work/page"

# same ONE OTHER NAME - the two files have the same lines
same() {
    missing=$(diff "$work/$1" "$work/$2" | grep '^[<>]' | head -n 20 | tr '\n' ' ')
    report "$3"
}

[ "$(wc -l <"$work/symbols")" -ge 628 ] || missing='names in the table of symbols'
report 'the table has as many names as a driver'
cut -d ' ' -f 1 "$work/exports" >"$work/names"
same symbols names 'the library exports what the table of symbols has, and nothing else'
same page exports 'the page has each name, and which are served'

served=$(grep -c ' T$' "$work/exports")
want "$page" "they are $(wc -l <"$work/exports") names, of which $served are served\.$"
functions=$(grep -cE '^cu\w+	' "$page")
sum=$(awk -F '\t' 'NF == 5 && $2 + 0 > 0 { all += $2; parts += $3 + $4 + $5 } END { print all, parts }' "$page")
[ "$sum" = "$functions $functions" ] || missing+=" $sum for $functions functions"
report 'its numbers are right'

# What a page is for: the names that a reader looks up
for name in cuInit cuMemAlloc cuLaunchKernel cuStreamSynchronize cuGetProcAddress; do
    want "$page" "^$name	served	"
done
for name in cuGraphicsMapResources cuCheckpointProcessLock; do
    want "$page" "^$name	refused	"
done
report 'some that are well known are where they belong'

are_well_formed "$page"
conclude
