#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# kernels.sh SOURCE-ROOT [NVCC [--write]] - is the PTX that is kept in the repository made from the kernels
# beside it? With --write: make it.
#
# Without nvcc the names of the kernels are compared, and with another release than made the PTX as well:
# each makes other PTX of the same kernels.
set -euo pipefail
cd "$1"
nvcc=${2-}
write=${3-}
n=0
failed=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# result NAME OK [WHY] - OK is empty when it failed
result() {
    n=$((n + 1))
    if [ -n "$2" ]; then
        echo "ok $n - $1${3:+ # SKIP $3}"
    else
        failed=1
        echo "not ok $n - $1"
        sed 's/^/# /' "$work/log"
    fi
}

# arch_of SOURCE - for which devices it is: the first compute_NN in it, or all that there are tests on
arch_of() {
    grep -m 1 -oE 'compute_[0-9]+' "$1" || echo compute_75
}

# make_ptx SOURCE - as $work/made.ptx; the name of the file stands in assertions, so it is compiled where it is
make_ptx() {
    local name=${1##*/}

    (cd "${1%/*}" && "$nvcc" -ptx -arch="$(arch_of "$name")" -o "$work/out.ptx" "$name")  || return
    {
        echo '// SPDX-License-Identifier: LGPL-2.1-or-later'
        echo "// Made from $name by tests/lint/kernels.sh."
        echo
        # What stands before .version names the compiler's own build.
        sed -n '/^\.version/,$p' "$work/out.ptx" | sed -e '$!b' -e '/^$/d'
    } >"$work/made.ptx"
}

# names_in SOURCE - the kernels of it, or of PTX
names_in() {
    case $1 in
    *.cu) sed -nE 's/^extern "C" __global__ void ([a-z_0-9]+)\(.*/\1/p' "$1" ;;
    *) sed -nE 's/^\.visible \.entry ([a-z_0-9]+)\(.*/\1/p' "$1" ;;
    esac | sort
}

# why_not - prints why the PTX cannot be made here as it is in the repository
why_not() {
    local first=${sources[0]} version

    [ -n "$nvcc" ] || { echo 'nvcc is not installed'; return; }
    make_ptx "$first" || return 0 # the cases say how
    version=$(grep -m 1 '^\.version' "${first%.cu}.ptx")
    grep -qxF "$version" "$work/made.ptx" || echo "this nvcc does not write $version"
}

# check COMMAND... - one result, by whether the command succeeds
check() {
    local name=$1
    shift
    if "$@" >"$work/log" 2>&1; then result "$name" yes; else result "$name" ''; fi
}

has_same_names() {
    diff <(names_in "$1") <(names_in "${1%.cu}.ptx") && [ -n "$(names_in "$1")" ]
}

is_made_from() {
    make_ptx "$1" && diff "${1%.cu}.ptx" "$work/made.ptx"
}

# write_all - make all of it
write_all() {
    local source

    for source in "${sources[@]}"; do
        make_ptx "$source"
        cp "$work/made.ptx" "${source%.cu}.ptx"
    done
}

# check_all - print a result for each
check_all() {
    local source reason

    for source in "${sources[@]}"; do
        check "${source%.cu}.ptx has the kernels of its source" has_same_names "$source"
    done
    reason=$(why_not)
    if [ -n "$reason" ]; then
        result 'the PTX is made from its sources' yes "$reason"
    else
        for source in "${sources[@]}"; do
            check "${source%.cu}.ptx is made from its source" is_made_from "$source"
        done
    fi
    echo "1..$n"
    return "$failed"
}

sources=(guest/examples/*.cu tests/fake-cuda/*.cu)
if [ -n "$write" ]; then
    write_all
else
    check_all
fi
