"""PyTorch twins of the prior over symbols and of the latents' denoiser, by the names of our tensors.

What: TransformerPrior (experiments/generate/prior.h) of one level and Denoiser (denoiser.h), for
make_transformer_golden.py, which writes what one training step of them computes in float64, and for
experiments/peers/prior_step.py, which measures the prior in float32.
N sequences, T places, W the width, K symbols, D channels of a latent.
"""
import math

import torch
from torch import nn
from torch.nn import functional as F


class Attention(nn.Module):
    def __init__(self, width, heads, causal):
        super().__init__()
        self.heads, self.causal = heads, causal
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x, cache=None):
        """cache: a list of the keys and values so far, which this place joins."""
        n, t, width = x.shape
        q, k, v = self.qkv(x).view(n, t, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        if cache is not None:
            if cache:
                k, v = torch.cat([cache[0], k], 2), torch.cat([cache[1], v], 2)
            cache[:] = k, v
        y = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal and cache is None)
        return self.proj(y.transpose(1, 2).reshape(n, t, width))


class Block(nn.Module):
    """As nn/transformer.h; `conditioned` is adaLN-Zero (Peebles and Xie 2023)."""

    def __init__(self, width, heads, causal=False, dropout=0.0, conditioned=False):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads, causal)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(),
                                 nn.Linear(4 * width, width))
        self.dropout = nn.Dropout(dropout)
        if conditioned:
            self.modulation = nn.Linear(width, 6 * width)

    def forward(self, x, condition=None, cache=None):
        if condition is None:
            x = x + self.dropout(self.attention(self.norm1(x), cache))
            return x + self.dropout(self.mlp(self.norm2(x)))
        s1, b1, g1, s2, b2, g2 = self.modulation(F.silu(condition))[:, None].chunk(6, -1)
        x = x + g1 * self.attention(self.norm1(x) * (1 + s1) + b1)
        return x + g2 * self.mlp(self.norm2(x) * (1 + s2) + b2)


class PriorTwin(nn.Module):
    def __init__(self, codes, places, layers=6, width=256, heads=8, classes=0, dropout=0.1):
        super().__init__()
        self.start, self.tokens = nn.Embedding(classes + 1, width), nn.Embedding(codes, width)
        self.positions = nn.Parameter(torch.zeros(places, width))
        self.blocks = nn.ModuleList(Block(width, heads, True, dropout) for _ in range(layers))
        self.norm, self.heads = nn.LayerNorm(width), nn.ModuleList([nn.Linear(width, codes)])

    def logits(self, x, caches=None):
        for i, block in enumerate(self.blocks):
            x = block(x, cache=caches and caches[i])
        return self.heads[0](self.norm(x))

    def loss(self, symbols, labels):
        """symbols [N,T], labels [N]."""
        x = torch.cat([self.start(labels)[:, None], self.tokens(symbols[:, :-1])], 1)
        return F.cross_entropy(self.logits(x + self.positions).flatten(0, 1), symbols.flatten())

    @torch.inference_mode()
    def sample(self, labels):
        caches, symbols = [[] for _ in self.blocks], []
        x = self.start(labels)[:, None]
        for position in self.positions:
            p = F.softmax(self.logits(x + position, caches)[:, 0], -1)
            symbols.append(torch.multinomial(p, 1))
            x = self.tokens(symbols[-1])
        return torch.cat(symbols, 1)


class DenoiserTwin(nn.Module):
    def __init__(self, channels, places, layers=4, width=128, heads=4, classes=0, outputs=1):
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("deviation", torch.ones(channels))
        self.input = nn.Linear(channels, width)
        self.positions = nn.Parameter(torch.zeros(places, width))
        self.time = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.classes = nn.Embedding(classes + 1, width)
        self.blocks = nn.ModuleList(Block(width, heads, conditioned=True) for _ in range(layers))
        self.norm, self.output = nn.LayerNorm(width), nn.Linear(width, outputs * channels)

    def forward(self, x, times, labels):
        """x [N,T,D] standardized, times [N] -> [N,T,outputs D]."""
        width = self.positions.shape[1]
        angles = times[:, None] * 1e-4**(torch.arange(width // 2) / (width // 2))
        features = torch.stack([angles.sin(), angles.cos()], -1).flatten(1)
        condition = self.time(features.to(x.dtype)) + self.classes(labels)
        y = self.input(x) + self.positions
        for block in self.blocks:
            y = block(y, condition)
        return self.output(self.norm(y))


def alpha_bar_cosine(steps):
    """alpha_bar(0..steps) of Nichol and Dhariwal 2021, eq. 17, with beta at most 0.999; float64."""
    def f(t):
        return math.cos((t / steps + 0.008) / 1.008 * math.pi / 2)**2
    alpha_bar = [1.0]
    for t in range(1, steps + 1):
        alpha_bar.append(alpha_bar[-1] * (1 - min(1 - f(t) / f(t - 1), 0.999)))
    return torch.tensor(alpha_bar, dtype=torch.float64)
