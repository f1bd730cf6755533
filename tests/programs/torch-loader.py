# SPDX-License-Identifier: LGPL-2.1-or-later
"""A loader with processes of its own and pinned memory."""
try:
    import torch
    from torch.utils.data import DataLoader, TensorDataset
except ImportError:
    print('skip no PyTorch')
    raise SystemExit(0)


def main():
    torch.manual_seed(1)
    data = TensorDataset(torch.arange(64000, dtype=torch.float32).reshape(1000, 64))
    total = torch.zeros(64, device='cuda')
    for (batch,) in DataLoader(data, batch_size=50, num_workers=3, pin_memory=True):
        total += batch.to('cuda', non_blocking=True).sum(0)
    print('result loaded', *(f'{x:.0f}' for x in total[:4].tolist()))


if __name__ == '__main__':
    main()
