#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# test-guest-doctor.sh VGPU MEDIATORD EXECUTOR FAKE-CUDA-DIR SOURCE-ROOT LIBCUDA CC - vgpu doctor through the socket of
# mediators that are as they should be, and of some that are not. LIBCUDA is empty in a build without it.
set -uo pipefail

vgpu=$1
mediatord=$2
executor=$3
fake=$4
source=$5
libcuda=$6
shift 6
cc=("$@")
. "$(dirname "$0")/session-command.sh"

# begin [CONFIGURATION [VGPU_FAKE_CUDA]] - a new mediator in place of the last one
begin() {
    end
    configuration=${1-'[Pool A]\nBackend=cuda\n'}
    export VGPU_FAKE_CUDA=${2-}
    : >"$work/log"
    start_mediator "$mediatord" "$executor" "$fake" "$source/tests/fake-cuda"
}

end() {
    [ -n "$mediator" ] || return 0
    kill "$mediator"
    wait "$mediator"
    mediator=
}

# doctor NAME WANTED-STATUS PATTERN... - each is the beginning of a line, up to an extended regular expression
doctor() {
    local name=$1 status=$2 got=0 passed=yes pattern
    shift 2
    env -u CUDA_VISIBLE_DEVICES -u LD_PRELOAD ${visible:+CUDA_VISIBLE_DEVICES="$visible"} \
        LD_LIBRARY_PATH="${libraries-}" "$vgpu" doctor \
        >"$work/output" 2>&1 || got=$?
    [ "$got" -eq "$status" ] || passed=
    for pattern; do
        grep -qE -e "^$pattern" "$work/output" || passed=
    done
    result "$name" "$passed"
}

# A machine may have a driver, or a runtime, of its own.
no_libcuda='no libcuda.so.1.*vgpu-guest'
! ldconfig -p | grep -q 'libcuda.so.1 ' || no_libcuda='not ours'

begin
doctor 'a session, and no library' 1 'ok    device .*VGPU_SOCKET' 'ok    session .*opens in [0-9]+ ms' \
    'ok    gpu .*Fake GPU 0.* 8192 MiB' 'ok    cuda .*CUDA 13.0' 'ok    memory .*8192 of 8192 MiB' \
    'ok    kernel .*computes right' 'ok    window .*16 MiB' "FAIL  libcuda .*$no_libcuda" 'warn  libnvml '

# A library is known as ours by what it has in it.
mkdir "$work/ours" "$work/foreign" "$work/old"
# make_library FILE TEXT - with this text
make_library() {
    printf 'const char text[] = "%s";\n' "$2" >"$work/library.c"
    "${cc[@]}" -shared -fPIC -Wl,-soname,"${1##*/}" -o "$work/$1" "$work/library.c"
}
version=$("$vgpu" --version | sed 's/.* //')
make_library ours/libcuda.so.1 "VGPU_SOCKET\\0vgpu-mediator libcuda $version with the runtime"
make_library ours/libnvidia-ml.so.1 'VGPU_SOCKET'
make_library foreign/libcuda.so.1 'another'
make_library foreign/libnvidia-ml.so.1 'another'
make_library old/libcuda.so.1 'VGPU_SOCKET\\0vgpu-mediator libcuda 0.0.1 with the runtime'
make_library old/libcudart.so.13 'a runtime'

libraries=$work/ours doctor 'all is well' 0 "ok    libcuda .*$work/ours/libcuda.so.1, which is ours" \
    "ok    libnvml .*$work/ours/libnvidia-ml.so.1"
! grep -q '^warn\|^FAIL' "$work/output" && passed=yes || passed=
result 'and nothing else is said' "$passed"
libraries=$work/foreign:$work/ours doctor 'another driver comes first' 1 \
    "FAIL  libcuda .*$work/foreign/libcuda.so.1 .*not ours: so says LD_LIBRARY_PATH.*take it out" \
    'warn  libnvml .*foreign/libnvidia-ml.so.1'
libraries=$work/ours:$work/foreign doctor 'another driver comes second' 0 'ok    libcuda'
uuid=$("$vgpu" smi --json | sed -E 's/.*"uuid":"([^"]*)".*/\1/')
visible=$uuid libraries=$work/ours doctor 'a GPU that is named' 0 'ok    libcuda'
visible=${uuid:0:12},1 libraries=$work/ours doctor 'a GPU that is named in short' 0 'ok    libcuda'
visible=GPU-00 libraries=$work/ours doctor 'another GPU is named' 1 'FAIL  environment .*GPU-00.*hides the GPU'
libraries=$work/old:$work/ours doctor 'a library of another version' 6 \
    "warn  libcuda .*of version 0.0.1, and this is vgpu $version.*one package"
make_library old/libcuda.so.1 "VGPU_SOCKET\\0vgpu-mediator libcuda $version"
libraries=$work/old:$work/ours doctor 'a library without the runtime' 6 'warn  libcuda .*error 103.*runtime_handshake'
if [ -n "$libcuda" ]; then
    libraries=${libcuda%/*} doctor 'the one that is built here' 6 "ok    libcuda .*$libcuda, which is ours"
fi
# The check is of sanitizers, in a build that has them.
ASAN_OPTIONS=verify_asan_link_order=0 LD_PRELOAD=$work/foreign/libcuda.so.1 LD_LIBRARY_PATH=$work/ours "$vgpu" doctor >"$work/output" 2>&1
[ $? -eq 1 ] && grep -q '^FAIL  libcuda .*so says LD_PRELOAD' "$work/output" && passed=yes || passed=
result 'a driver that is preloaded' "$passed"

LD_LIBRARY_PATH=$work/foreign "$vgpu" doctor --json >"$work/output" 2>&1
[ $? -eq 1 ] && grep -q '^{"checks":\[{"check":"device","state":"ok",.*"failures":1,"warnings":[0-9]*}$' "$work/output" &&
    passed=yes || passed=
result 'as JSON' "$passed"

begin '[Sessions]\nMaxSessions=1\n[Pool A]\nBackend=cuda\n'
"$vgpu" run "$source/tests/fake-cuda/session-kernels.ptx" --kernel fill --grid 1 --block 1 --repeat 10000000 \
    zero:64 u32:1 u64:1 >/dev/null 2>&1 &
process=$!
await 'its executor is process'
doctor 'the quota is full' 1 'FAIL  session .*QUEUE_FULL.*MaxSessions='
kill -KILL "$process"
wait "$process" 2>/dev/null

begin '[Pool A]\nBackend=cpu\n'
doctor 'a pool of the CPU' 1 'FAIL  session .*has no GPU.*vgpuctl check'

begin '[Unregistered]\nPolicy=refuse\n[Pool A]\nBackend=cuda\n'
doctor 'a machine that nobody knows' 1 'FAIL  session .*vgpuctl register'

begin '[Pool A]\nBackend=cuda\n' version=12040
doctor 'a driver of CUDA 12' 1 'ok    cuda .*CUDA 12.4: programs made with CUDA 13'
libraries=$work/old:$work/ours doctor 'a runtime that is newer than it' 6 \
    "warn  runtime .*$work/old/libcudart.so.13 is newer.*580"

begin '[Pool A]\nBackend=cuda\n' version=12020
doctor 'a driver that is too old' 1 'FAIL  cuda .*too old: it is for CUDA 12.2.*550'
! grep -q ' kernel ' "$work/output" && passed=yes || passed=
result 'nothing is computed on it' "$passed"

begin '[Pool A]\nBackend=cuda\n' total=64
libraries=$work/ours doctor 'little memory' 6 'warn  memory .*Only [0-9]+ of 64 MiB'

begin '[Pool A]\nBackend=cuda\n' fail=cuMemcpyDtoHAsync_v2:719
doctor 'a GPU that fails' 1 'FAIL  kernel .*cannot run a kernel: CUDA error 719, LAUNCH_FAILED'

end
doctor 'no mediator any more' 1 'FAIL  session .*vgpu-mediator.socket'

conclude
