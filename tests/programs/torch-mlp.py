# SPDX-License-Identifier: LGPL-2.1-or-later
"""torch-mlp.py [STEPS] - a small network, trained with Adam: copies in, many small kernels, cuBLAS."""
import statistics
import sys
import time

try:
    import torch
    from torch import nn
except ImportError:
    print('skip no PyTorch')
    raise SystemExit(0)

STEPS = int(sys.argv[1]) if len(sys.argv) > 1 else 400
BATCH = 128

torch.manual_seed(1)
torch.use_deterministic_algorithms(True, warn_only=True)
device = torch.device('cuda')
data = torch.randn(STEPS, BATCH, 784)
labels = torch.randint(0, 10, (STEPS, BATCH))
model = nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10)).to(device)
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
times, losses = [], []
for step in range(STEPS):
    began = time.perf_counter()
    x, y = data[step].to(device), labels[step].to(device)
    loss = nn.functional.cross_entropy(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
    times.append(time.perf_counter() - began)

print('result device', torch.cuda.get_device_name().replace(' ', '_'))
print('result loss', *(f'{loss:.6f}' for loss in losses[::max(STEPS // 10, 1)] + losses[-1:]))
print('result memory', torch.cuda.max_memory_allocated())
print(f'time mlp-step {statistics.median(times[STEPS // 8:]) * 1e6:.1f}')
