# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a program waits for before it begins: the import, the device, the first kernel of each library."""
import time

began = time.perf_counter()
try:
    import torch
except ImportError:
    print('skip no PyTorch')
    raise SystemExit(0)


def step(name, function):
    before = time.perf_counter()
    value = function()
    torch.cuda.synchronize()
    print(f'time {name} {(time.perf_counter() - before) * 1e6:.0f}')
    return value


print(f'time import {(time.perf_counter() - began) * 1e6:.0f}')
x = step('first-tensor', lambda: torch.ones(512, 512, device='cuda'))
y = step('first-kernel', lambda: x + 1)
z = step('first-product', lambda: y @ x)
step('first-half-product', lambda: y.bfloat16() @ x.bfloat16())
step('first-sort', lambda: y.sort())
step('first-fft', lambda: torch.fft.fft(y))
step('first-convolution', lambda: torch.nn.functional.conv2d(x.view(1, 1, 512, 512), y.view(1, 1, 512, 512)[..., :3, :3]))
print('result product', z[3, 5].item())
print(f'time all {(time.perf_counter() - began) * 1e6:.0f}')
