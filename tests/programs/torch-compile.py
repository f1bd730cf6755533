# SPDX-License-Identifier: LGPL-2.1-or-later
"""torch.compile, and a kernel of Triton's."""
try:
    import torch
    import triton
    import triton.language as tl
except ImportError:
    print('skip no Triton')
    raise SystemExit(0)


@triton.jit
def add_kernel(x, y, z, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = at < n
    tl.store(z + at, tl.load(x + at, mask=mask) + tl.load(y + at, mask=mask), mask=mask)


torch.manual_seed(1)
x, y = torch.randn(100000, device='cuda'), torch.randn(100000, device='cuda')
z = torch.empty_like(x)
add_kernel[(triton.cdiv(100000, 1024),)](x, y, z, 100000, BLOCK=1024)
print('result triton', bool((z == x + y).all()), f'{z.double().sum().item():.6f}')


@torch.compile
def fused(a, b):
    return (torch.sin(a) * b + torch.cos(b)).relu().sum(0)


a, b = torch.randn(1000, 1000, device='cuda'), torch.randn(1000, 1000, device='cuda')
print(f'close compiled 1e-5 {fused(a, b).double().sum().item():.6f}')
