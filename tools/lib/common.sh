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

# The longest that a tool says nothing, in seconds
progress_seconds=${VGPU_PROGRESS_SECONDS:-10}

# doing COMMAND... - notes what the COMMAND prints, its last line, with the time
doing() {
    local text

    text=$("$@" 2>/dev/null | tail -n 1 | tr -cd '[:print:]' | sed 's/^ *//') || true
    printf '        [%4ds] … %.100s\n' "$SECONDS" "$text"
}

# progress FILE - while this tool runs, notes the last line of FILE each progress_seconds; to be killed
progress() {
    local never

    exec {never}<> <(:) # a builtin's sleep: a program of its own would outlive this shell
    while :; do
        read -r -t "$progress_seconds" -u "$never" || true
        kill -0 "$$" 2>/dev/null || exit
        doing cat "$1"
    done
}

# quietly NAME COMMAND... - runs the COMMAND with its output in .cache/logs/NAME.log, shows from
# time to time how far it is, and the end of the log when it fails
quietly() {
    local log=$cache/logs/$1.log start=$SECONDS rc=0 watcher
    shift

    mkdir -p "$cache/logs"
    : >"$log"
    progress "$log" &
    watcher=$!
    "$@" >"$log" 2>&1 </dev/null || rc=$?
    kill "$watcher" 2>/dev/null || true
    wait "$watcher" 2>/dev/null || true
    if [ "$rc" -ne 0 ]; then
        tail -n 40 "$log" >&2
        printf '%s%s failed (exit status %d); all of its output: %s%s\n' \
            "$red" "$*" "$rc" "$log" "$plain" >&2
        return "$rc"
    fi
    [ $((SECONDS - start)) -lt 3 ] || note "took $((SECONDS - start)) s"
}

# or_else COMMAND... - prints its input, whole lines; after progress_seconds without one, what the COMMAND prints
or_else() {
    local line rc part=

    while :; do
        rc=0
        IFS= read -r -t "$progress_seconds" line || rc=$?
        if [ "$rc" -eq 0 ]; then
            printf '%s\n' "$part$line"
            part=
        elif [ "$rc" -gt 128 ]; then
            part+=$line
            doing "$@"
        else
            printf '%s' "$part$line"
            break
        fi
    done
}
