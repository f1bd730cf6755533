# SPDX-License-Identifier: LGPL-2.1-or-later
"""The small things that programs wait for: a kernel and its end, one number back, copies, a graph."""
import statistics
import time

try:
    import torch
except ImportError:
    print('skip no PyTorch')
    raise SystemExit(0)


def measure(function, n, warm=20):
    times = []
    for i in range(n + warm):
        began = time.perf_counter()
        function()
        times.append(time.perf_counter() - began)
    return statistics.median(times[warm:]) * 1e6


device = torch.device('cuda')
x = torch.zeros(1024, device=device)


def add():
    x.add_(1)
    torch.cuda.synchronize()


print(f'time add-and-synchronize {measure(add, 2000):.2f}')
print(f'time item {measure(lambda: x[0].item(), 2000):.2f}')
print('result x', x[0].item(), x[1023].item())

SIZE = 256 << 20
on_device = torch.empty(SIZE, dtype=torch.uint8, device=device)
for kind, memory in (('pinned', torch.ones(64 << 20, dtype=torch.uint8).pin_memory()),
                     ('pageable', torch.ones(SIZE, dtype=torch.uint8))):
    size = memory.numel()

    def up():
        on_device[:size].copy_(memory, non_blocking=True)
        torch.cuda.synchronize()

    def down():
        memory.copy_(on_device[:size], non_blocking=True)
        torch.cuda.synchronize()

    print(f'rate {kind}-up-GB/s {size / measure(up, 9, 2) / 1e3:.2f}')
    print(f'rate {kind}-down-GB/s {size / measure(down, 9, 2) / 1e3:.2f}')
    print(f'result {kind}', int(memory.long().sum()), int(on_device[:size].long().sum()))

a = torch.randn(512, 512, device=device, generator=torch.Generator(device).manual_seed(1))
b = torch.empty_like(a)
side = torch.cuda.Stream()
with torch.cuda.stream(side):
    for _ in range(3):
        b.copy_((a @ a).relu() + 1)
torch.cuda.synchronize()
graph = torch.cuda.CUDAGraph()
with torch.cuda.graph(graph):
    for _ in range(10):
        b.copy_((a @ a).relu() + 1)


def replay():
    graph.replay()
    torch.cuda.synchronize()


print(f'time graph-replay {measure(replay, 500):.2f}')
print(f'result graph {b.double().sum().item():.6f}')
