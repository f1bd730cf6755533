# SPDX-License-Identifier: LGPL-2.1-or-later
"""ResNet-18, trained: cuDNN, large kernels."""
import statistics
import time

try:
    import torch
    import torchvision
except ImportError:
    print('skip no torchvision')
    raise SystemExit(0)

STEPS, BATCH = 35, 32

torch.manual_seed(1)
torch.backends.cudnn.deterministic = True
torch.backends.cudnn.benchmark = False
device = torch.device('cuda')
model = torchvision.models.resnet18(num_classes=100).to(device)
optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
pictures = torch.randn(BATCH, 3, 224, 224, device=device)
labels = torch.randint(0, 100, (BATCH,), device=device)
times, losses = [], []
for step in range(STEPS):
    torch.cuda.synchronize()
    began = time.perf_counter()
    loss = torch.nn.functional.cross_entropy(model(pictures), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    torch.cuda.synchronize()
    times.append(time.perf_counter() - began)
    losses.append(loss.item())

print('close loss 1e-3', *(f'{loss:.6f}' for loss in losses[::5]))
print(f'time resnet18-step {statistics.median(times[5:]) * 1e6:.1f}')
