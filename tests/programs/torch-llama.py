# SPDX-License-Identifier: LGPL-2.1-or-later
"""Generation by a small Llama with random weights, token by token: eagerly, and by a CUDA graph of a step."""
import time

try:
    import torch
    from torch.nn import functional
except ImportError:
    print('skip no PyTorch')
    raise SystemExit(0)

LAYERS, WIDTH, HEADS, HIDDEN, WORDS, LENGTH, TOKENS = 16, 1024, 16, 2816, 32000, 256, 72
HEAD = WIDTH // HEADS

torch.manual_seed(1)
device = torch.device('cuda')
torch.set_grad_enabled(False)


def weight(*shape):
    return torch.randn(*shape, device=device, dtype=torch.bfloat16) * 0.02


embedding, unembedding = weight(WORDS, WIDTH), weight(WORDS, WIDTH)
layers = [{'q': weight(WIDTH, WIDTH), 'k': weight(WIDTH, WIDTH), 'v': weight(WIDTH, WIDTH), 'o': weight(WIDTH, WIDTH),
           'gate': weight(HIDDEN, WIDTH), 'up': weight(HIDDEN, WIDTH), 'down': weight(WIDTH, HIDDEN),
           'keys': torch.zeros(HEADS, LENGTH, HEAD, device=device, dtype=torch.bfloat16),
           'values': torch.zeros(HEADS, LENGTH, HEAD, device=device, dtype=torch.bfloat16)} for _ in range(LAYERS)]
frequencies = 1 / 10000 ** (torch.arange(0, HEAD, 2, device=device, dtype=torch.float32) / HEAD)
places = torch.arange(LENGTH, device=device)


def norm(x):
    return (x.float() * torch.rsqrt(x.float().pow(2).mean(-1, keepdim=True) + 1e-5)).to(x.dtype)


def turn(x, position):
    angle = position.float() * frequencies
    cosine, sine = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    even, odd = x[..., ::2], x[..., 1::2]
    return torch.cat((even * cosine - odd * sine, even * sine + odd * cosine), -1)


def step(token, position):
    """token, position: one number each, on the device. Returns the next token."""
    x = embedding[token]
    seen = torch.where(places <= position, 0.0, float('-inf')).to(x.dtype)
    for layer in layers:
        h = norm(x)
        q, k, v = (functional.linear(h, layer[name]).view(HEADS, 1, HEAD) for name in 'qkv')
        layer['keys'].index_copy_(1, position, turn(k, position))
        layer['values'].index_copy_(1, position, v)
        score = torch.matmul(turn(q, position), layer['keys'].transpose(1, 2)) / HEAD ** 0.5 + seen
        mixed = torch.matmul(torch.softmax(score.float(), -1).to(x.dtype), layer['values'])
        x = x + functional.linear(mixed.view(1, WIDTH), layer['o'])
        h = norm(x)
        x = x + functional.linear(functional.silu(functional.linear(h, layer['gate'])) *
                                  functional.linear(h, layer['up']), layer['down'])
    return functional.linear(norm(x), unembedding).float().argmax(-1)


def generate(run, tokens):
    words = []
    token, position = torch.tensor([1], device=device), torch.tensor([0], device=device)
    torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(tokens):
        token = run(token, position)
        words.append(int(token))
        position += 1
    return words, tokens / (time.perf_counter() - began)


generate(step, 8)
words, rate = generate(step, TOKENS)
print('result words', *words)
print(f'rate eager-tokens {rate:.2f}')

token_in, position_in = torch.tensor([1], device=device), torch.tensor([0], device=device)
side = torch.cuda.Stream()
side.wait_stream(torch.cuda.current_stream())
with torch.cuda.stream(side):
    for _ in range(3):
        step(token_in, position_in)
torch.cuda.current_stream().wait_stream(side)
graph = torch.cuda.CUDAGraph()
with torch.cuda.graph(graph):
    token_out = step(token_in, position_in)


def replay(token, position):
    token_in.copy_(token)
    position_in.copy_(position)
    graph.replay()
    return token_out.clone()


generate(replay, 8)
words, rate = generate(replay, TOKENS)
print('result words-by-graph', *words)
print(f'rate graph-tokens {rate:.2f}')
