# SPDX-License-Identifier: LGPL-2.1-or-later
"""driver-copies.py SAXPY.ptx - the driver API without anything between: what the device is, copies up and down from
memory of the program and from pinned memory, a kernel. Loads libcuda.so.1, whosever it is."""
import ctypes
import hashlib
import random
import sys
import time
from array import array
from ctypes import byref, c_float, c_int, c_size_t, c_uint32, c_uint64, c_void_p

N = 6000000
SIZE = 4 * N

try:
    cuda = ctypes.CDLL('libcuda.so.1')
except OSError:
    print('skip no libcuda.so.1')
    raise SystemExit(0)


def call(name, *arguments):
    status = getattr(cuda, name)(*arguments)
    if status != 0:
        raise SystemExit(f'{name}: CUDA error {status}')


def made(kind, name, *arguments):
    """What the function returns by its first argument"""
    value = kind()
    call(name, byref(value), *arguments)
    return value


def digest(data):
    return hashlib.sha256(data).hexdigest()[:16]


call('cuInit', 0)
device = made(c_int, 'cuDeviceGet', 0)
text = ctypes.create_string_buffer(256)
call('cuDeviceGetName', text, len(text), device)
print('result device', text.value.decode().replace(' ', '_'))
print('result memory', made(c_size_t, 'cuDeviceTotalMem_v2', device).value)
context = made(c_void_p, 'cuDevicePrimaryCtxRetain', device)
call('cuCtxSetCurrent', context)

x, y = (made(c_uint64, 'cuMemAlloc_v2', c_size_t(SIZE)) for _ in range(2))
sent = random.Random(1).randbytes(SIZE)
got = ctypes.create_string_buffer(SIZE)
began = time.perf_counter()
call('cuMemcpyHtoD_v2', x, sent, c_size_t(SIZE))
call('cuMemcpyDtoH_v2', got, x, c_size_t(SIZE))
print(f'time copies {(time.perf_counter() - began) * 1e6:.1f}')
print('result copied', got.raw == sent, digest(got.raw))

pinned = made(c_void_p, 'cuMemAllocHost_v2', c_size_t(SIZE))
ctypes.memmove(pinned, sent[::-1], SIZE)
call('cuMemcpyHtoDAsync_v2', y, pinned, c_size_t(SIZE), None)
call('cuMemcpyDtoH_v2', got, y, c_size_t(SIZE))
print('result pinned', got.raw == sent[::-1], digest(got.raw))

# Whole numbers, so that the sums are exact
for buffer in (x, y):
    call('cuMemcpyHtoD_v2', buffer, array('f', range(1000)).tobytes() * (N // 1000), c_size_t(SIZE))
module = made(c_void_p, 'cuModuleLoad', sys.argv[1].encode())
saxpy = made(c_void_p, 'cuModuleGetFunction', module, b'saxpy')
parameters = (c_uint32(N), c_float(2), x, y)
pointers = (c_void_p * len(parameters))(*(ctypes.addressof(p) for p in parameters))
call('cuLaunchKernel', saxpy, (N + 255) // 256, 1, 1, 256, 1, 1, 0, None, pointers, None)
call('cuMemcpyDtoH_v2', got, y, c_size_t(SIZE))
print('result sums', got.raw == array('f', range(0, 3000, 3)).tobytes() * (N // 1000), digest(got.raw))
