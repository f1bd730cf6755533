# SPDX-License-Identifier: LGPL-2.1-or-later
"""JAX: XLA's kernels and command buffers, gradients, FFT, random numbers."""
import os

os.environ.setdefault('XLA_PYTHON_CLIENT_PREALLOCATE', 'false')
try:
    import jax
    import jax.numpy as jnp
except ImportError:
    print('skip no JAX')
    raise SystemExit(0)

if jax.default_backend() != 'gpu':
    raise SystemExit(f'JAX computes with {jax.default_backend()}')
key = jax.random.key(1)
x = jax.random.normal(key, (512, 512))
print(f'result random {float(x[17, 33]):.7f}')


@jax.jit
def loss(w):
    h = jnp.tanh(x @ w)
    return ((h @ w - x) ** 2).mean()


w = jax.random.normal(jax.random.key(2), (512, 512)) * 0.05
step = jax.jit(lambda w: w - 0.1 * jax.grad(loss)(w))
for _ in range(50):
    w = step(w)
print(f'close loss 1e-4 {float(loss(w)):.7f}')
print(f'close fft 1e-4 {float(jnp.abs(jnp.fft.fft(x)).sum()):.4f}')
print('result sort', float(jnp.sort(x.ravel())[1000]))
