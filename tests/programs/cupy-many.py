# SPDX-License-Identifier: LGPL-2.1-or-later
"""CuPy: sort, FFT, solve, elementwise and raw kernels (NVRTC), pools."""
try:
    import cupy
    import numpy
except ImportError:
    print('skip no CuPy')
    raise SystemExit(0)

random = numpy.random.default_rng(1)
x = cupy.asarray(random.standard_normal(200000))
print(f'result sort {float(cupy.sort(x)[12345]):.12f}')
print(f'close fft 1e-9 {float(cupy.abs(cupy.fft.fft(x)).sum()):.9f}')
a = cupy.asarray(random.standard_normal((300, 300)))
b = cupy.asarray(random.standard_normal(300))
print(f'close solve 1e-6 {float(cupy.linalg.solve(a, b).sum()):.9f}')
cube = cupy.ElementwiseKernel('float64 x', 'float64 y', 'y = x * x * x', 'cube')
print(f'result elementwise {float(cube(x)[777]):.12f}')
raw = cupy.RawKernel('extern "C" __global__ void twice(double *x, int n)'
                     '{ int i = blockIdx.x * blockDim.x + threadIdx.x; if (i < n) x[i] *= 2; }', 'twice')
y = x.copy()
raw((1000,), (256,), (y, 200000))
print('result raw', bool((y == 2 * x).all()))
with cupy.cuda.Stream() as stream:
    z = cupy.arange(1000).sum()
    stream.synchronize()
print('result stream', int(z))
print('result pinned', int(cupy.asnumpy(cupy.arange(100000)).sum()))
