# SPDX-License-Identifier: LGPL-2.1-or-later
"""What allocators do: caching, expandable segments or cudaMallocAsync (by PYTORCH_CUDA_ALLOC_CONF), out of memory."""
try:
    import torch
except ImportError:
    print('skip no PyTorch')
    raise SystemExit(0)

torch.manual_seed(1)
device = torch.device('cuda')
kept, total = [], 0
for i in range(200):
    t = torch.full((1 + (i * 7919) % 4000000,), i % 251, dtype=torch.uint8, device=device)
    kept.append(t)
    if i % 3 == 0:
        kept.pop(len(kept) // 2)
    total += int(t.long().sum())
print('result sum', total, sum(int(t.long().sum()) for t in kept))
try:
    torch.empty(1 << 45, dtype=torch.uint8, device=device)
    print('result out-of-memory no')
except torch.OutOfMemoryError:
    print('result out-of-memory yes')
kept.clear()
torch.cuda.empty_cache()
print('result kept', torch.cuda.memory_allocated())
free, all_of_it = torch.cuda.mem_get_info()
print('result free-is-less', free < all_of_it)
other = torch.cuda.Stream()
with torch.cuda.stream(other):
    big = torch.ones(64 << 20, dtype=torch.uint8, device=device)
    big.record_stream(torch.cuda.current_stream())
other.synchronize()
print('result big', int(big.long().sum()))
