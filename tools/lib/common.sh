# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# shellcheck disable=SC2034 # most of it is used by those who source it
#
# Sourced by the tools: where things are, and how they talk to the reader.

# The checkout, and what the tools keep between runs (never committed).
project=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cache=$project/.cache

# Seconds since the run began, also when a tool runs itself again.
export VGPU_STARTED="${VGPU_STARTED:-$(date +%s)}"
SECONDS=$(($(date +%s) - VGPU_STARTED))

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
    bold=$'\e[1m' green=$'\e[32m' red=$'\e[31m' plain=$'\e[0m'
else
    bold='' green='' red='' plain=''
fi

# step TEXT - announces the next part of the run, with the time since the start
step() {
    printf '%s[%4ds] %s%s\n' "$bold" "$SECONDS" "$*" "$plain"
}

# note TEXT - prints a line of explanation
note() {
    printf '        %s\n' "$*"
}

# die TEXT - prints why, and ends the run
die() {
    printf '%s%s: %s%s\n' "$red" "${0##*/}" "$*" "$plain" >&2
    exit 1
}

# quietly NAME COMMAND... - runs the COMMAND with its output in .cache/logs/NAME.log,
# shows the end of the log when it fails, and notes how long it took when that was
# more than a few seconds
quietly() {
    local log=$cache/logs/$1.log start=$SECONDS rc=0
    shift

    mkdir -p "$cache/logs"
    "$@" >"$log" 2>&1 </dev/null || rc=$?
    if [ "$rc" -ne 0 ]; then
        tail -n 40 "$log" >&2
        printf '%s%s failed (exit status %d); all of its output: %s%s\n' \
            "$red" "$*" "$rc" "$log" "$plain" >&2
        return "$rc"
    fi
    [ $((SECONDS - start)) -lt 3 ] || note "took $((SECONDS - start)) s"
}
