# SPDX-License-Identifier: LGPL-2.1-or-later
"""A loader with processes of its own and pinned memory; tensors of the device handed to another process."""
try:
    import torch
    import torch.multiprocessing as multiprocessing
    from torch.utils.data import DataLoader, TensorDataset
except ImportError:
    print('skip no PyTorch')
    raise SystemExit(0)


def child(queue, answers):
    t = queue.get()
    t += 1
    torch.cuda.synchronize()
    answers.put(float(t.sum()))
    del t


def main():
    torch.manual_seed(1)
    data = TensorDataset(torch.arange(64000, dtype=torch.float32).reshape(1000, 64))
    total = torch.zeros(64, device='cuda')
    for (batch,) in DataLoader(data, batch_size=50, num_workers=3, pin_memory=True):
        total += batch.to('cuda', non_blocking=True).sum(0)
    print('result loaded', *(f'{x:.0f}' for x in total[:4].tolist()))

    context = multiprocessing.get_context('spawn')
    queue, answers = context.Queue(), context.Queue()
    process = context.Process(target=child, args=(queue, answers))
    process.start()
    shared = torch.ones(1000, device='cuda')
    queue.put(shared)
    print('result in-the-other', answers.get(timeout=120))
    process.join()
    print('result here', float(shared.sum()))


if __name__ == '__main__':
    main()
