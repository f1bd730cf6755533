#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# test-guest-manual.sh SOURCE-ROOT VGPU SESSION-RING-PAGE CC - do the guest's manual pages say what the code does?
set -uo pipefail

root=$1
vgpu=$2
session_page=$3
shift 3
cc=("$@")
protocol=$root/protocol/vgpu-protocol.h
ring=$root/protocol/vgpu-ring.h
builtin=$root/protocol/vgpu-builtin.h
header=$root/guest/vgpu.h
man=$root/docs/man
. "$(dirname "$0")/manual.sh"

# constants PREFIX [HEADER] - "NAME VALUE" of each VGPU_PREFIX_NAME in an enumeration of the protocol
constants() {
    sed -nE "s/^ +VGPU_$1_([A-Z0-9_]+) = (0x[0-9a-f]+|[0-9]),.*/\1 \2/p" "${2:-$protocol}"
}

while read -r name value; do
    case $name in
    TIMESTAMP_LO) want "$man/vgpu-stub.7" "^$value, 0x038	TIMESTAMP_LO, _HI	" ;;
    TIMESTAMP_HI) want "$man/vgpu-stub.7" "^0x034, $value	" ;;
    EXTENSION) want "$man/vgpu-stub.7" "^$value	extension block	" ;;
    *) want "$man/vgpu-stub.7" "^$value	$name	" ;;
    esac
done < <(constants REG)
report 'every register is in vgpu-stub(7), at its offset'

while read -r name value; do
    case $name in
    WINDOW_SIZE_LO | RING_OFFSET_LO) want "$man/vgpu-stub.7" "^$value, 0x8[0-9a-f]{2}	$name, _HI	" ;;
    WINDOW_SIZE_HI | RING_OFFSET_HI) want "$man/vgpu-stub.7" "^0x8[0-9a-f]{2}, $value	" ;;
    *) want "$man/vgpu-stub.7" "^$value	$name	" ;;
    esac
done < <(constants REG "$ring")
report 'every register of the extension block is in vgpu-stub(7), at its offset'

while read -r name value; do
    case $name in
    OFFSET_LO) want "$man/vgpu-stub.7" "^$value, 0x04	$name, _HI	" ;;
    OFFSET_HI) want "$man/vgpu-stub.7" "^0x00, $value	" ;;
    STRIDE) want "$man/vgpu-stub.7" "begin at 0x900 \+ \(i .* 1\) \* $value:" ;;
    *) want "$man/vgpu-stub.7" "^$value	$name	" ;;
    esac
done < <(constants SESSION_REG "$ring")
report "every register of a session's ring is in vgpu-stub(7), at its offset"

while read -r name value; do
    want "$man/vgpu-stub.7" "^$value	$name	"
done < <(constants 'OP_RING' "$builtin" | sed 's/^/RING_/' && constants RING "$ring" && constants TYPE "$builtin")
report "every operation and type, and every state of the ring, is in vgpu-stub(7)"

while read -r name value; do
    want "$man/vgpu-stub.7" "^$value	$name	"
done < <(constants ERROR)
report 'every error code is in vgpu-stub(7)'

while read -r name value; do
    case $name in
    MEMORY_* | SYNCHRONIZE) ;; # no host executes them yet
    *) want "$man/vgpu-stub.7" "^$value	$name	" ;;
    esac
done < <(constants OP)
report 'every operation that exists is in vgpu-stub(7)'

operations=$(sed -nE 's/^    X\(([A-Z0-9_]+), (0x[0-9a-f]+),.*/\2	\1/p' "$root/protocol/vgpu-session.h")
[ "$(wc -l <<<"$operations")" -ge 50 ] || missing='operations in vgpu-session.h'
while read -r line; do
    want "$session_page" "^$line	VGPUSession[A-Za-z0-9]+	"
done <<<"$operations"
while read -r name; do
    want "$session_page" "^typedef struct $name \{"
done < <(sed -nE 's/^\} (VGPUSession[A-Za-z0-9]+);/\1/p' "$root/protocol/vgpu-session.h")
report 'every operation and structure of a session is in vgpu-session-ring(7)'

# defined HEADER NAME - the number of a macro, without its suffix and parentheses
defined() {
    sed -nE "s/^#define $2 +\(?(UINT64_C\()?(0x[0-9a-f]+|[0-9]+).*/\2/p" "$root/$1"
}

page=$man/vgpu-sessions.7
want "$page" "of which there are $(($(defined protocol/vgpu-ring.h VGPU_RINGS_MAX) - 1)) beside the one for requests"
want "$page" "A session has $(defined protocol/vgpu-session.h VGPU_SESSION_ID_MAX) objects of each kind,"
want "$page" " $(defined executor/session/session-core.h SESSION_CONTEXTS_MAX) contexts, "
want "$page" "from $(defined guest/cuda/address-space.h DEVICE_RANGE_BEGIN) on"
want "$page" "$(defined guest/cuda/cuda-client.h VGPU_SESSION_WINDOW_DEFAULT) MiB without it"
want "$man/vgpu-stub.7" "a multiple of $(defined protocol/vgpu-session.h VGPU_SESSION_ALIGNMENT); fixed while it is on"
[ "$(defined guest/cmd/doctor-session.c DRIVER_LIBRARY)" = \
    "$(defined guest/cuda/libcuda/libcuda-version.h LIBCUDA_VERSION)" ] || missing+=' DRIVER_LIBRARY'
report 'the numbers in vgpu-sessions(7) and of the area in vgpu-stub(7) are those of the headers'

functions=$(sed -nE 's/^[a-z].*[ *](vgpu_[a-z_]+)\(.*/\1/p' "$header")
[ "$(wc -w <<<"$functions")" -ge 25 ] || missing='functions in vgpu.h'
for name in $functions; do
    want "$man/libvgpu.3" "^\.F[no] $name( |\$)"
    grep -q "^    $name;" "$root/guest/libvgpu.sym" || missing+=" $name in libvgpu.sym"
done
report 'every function is in libvgpu(3) and in the symbol file'

exported=$(sed -nE 's/^    (vgpu_[a-z_]+);/\1/p' "$root/guest/libvgpu.sym")
for name in $exported; do
    grep -qw "$name" <<<"$functions" || missing+=" $name in vgpu.h"
done
report 'every exported symbol is in the header'

options=$("$vgpu" --help | sed -nE 's/^ .*--([a-z]+).*/\1/p')
[ "$(wc -w <<<"$options")" -ge 9 ] || missing='options in --help'
for name in $options; do
    want "$man/vgpu.1" "Fl -$name( |\$)"
done
report 'every option is in vgpu(1)'

# completed WORD... - what the completion offers, sorted
completed() {
    bash -c '. "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _vgpu; printf "%s\n" "${COMPREPLY[@]}"' \
        bash "$root/guest/cmd/completion/vgpu" vgpu "$@" | sort
}

commands=$("$vgpu" --help | sed -nE '/^Commands:/,/^$/s/^  ([a-z|]+)( .*)?$/\1/p' | tr '|' '\n')
[ "$(wc -w <<<"$commands")" -ge 16 ] || missing='commands in --help'
[ "$(completed '')" = "$(sort <<<"$commands")" ] || missing+=" commands: $(completed '')"
[ "$(completed -- | sed 's/^--//')" = "$(sort -u <<<"$options")" ] || missing+=" options: $(completed --)"
[ "$(completed doc)" = doctor ] || missing+=' doc'
[ "$(completed vecadd --type = float3)" = float32 ] || missing+=' --type=float3'
for name in $commands; do
    want "$man/vgpu.1" "^\.(It )?Cm ([a-z |,]+ )?$name( |\$)|, Cm $name "
done
report 'every command and every option is completed, and every command is in vgpu(1)'

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
sed -n '/^\.Bd -literal/,/^\.Ed/p' "$man/libvgpu.3" | sed -e '/^\.Ed/d' -e 's/\\e/\\/g' |
    awk -v dir="$work" '/^\.Bd/ { n++; next } { print >dir "/example-" n ".c" }'
[ -e "$work/example-2.c" ] || missing='two examples'
for example in "$work"/example-*.c; do
    "${cc[@]}" -std=c17 -Wall -Wextra -Werror -fsyntax-only -I"$root/guest" -I"$root/protocol" "$example" \
        >"$work/log" 2>&1 || missing+=$(tr '\n' ' ' <"$work/log")
done
report 'the examples in libvgpu(3) compile'

are_well_formed "$man"/{vgpu.1,libvgpu.3,vgpu-stub.7,vgpu-sessions.7,vgpu-containers.7,vgpu-nvml.7} "$session_page"
conclude
