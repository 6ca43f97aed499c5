"""The same training step in PyTorch, for comparison of speed and memory only.

What: the VQ-VAE of vq/vqvae.h with nearest code, rotation estimator, EMA codebook and Adam, written
as a good PyTorch user would: no D x D matrices, no R x K one-hot, fused Adam, channels_last.
Modes: eager; compile (torch.compile); graphs (torch.compile with CUDA graphs, "reduce-overhead");
autotune (torch.compile "max-autotune"); whole (torch.compile, and the whole step with Adam captured
as one CUDA graph).
Prints one JSON line per mode: milliseconds per step (median), most bytes reserved by the allocator
(captured graphs do not pass through it, so "allocated" would miss them), version. Start one process
for each mode where memory is compared.
  python3 torch_step.py --device cuda --precision bf16 --modes eager
Not here: the replacement of dead codes, which bin/bench's step has. cudnn.benchmark and index_add_'s
atomics are allowed, ours is deterministic.
"""
import argparse
import contextlib
import json
import statistics
import time

import torch
import torch.nn.functional as F
from torch import nn

BETA, DECAY, EPS = 0.25, 0.99, 1e-5


class ResidualBlock(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x):
        return F.relu(self.conv2(F.relu(self.conv1(x))) + x)


class Rotation(torch.autograd.Function):
    """Forward q; backward lambda [g - 2 r (r.g) + 2 e^ (q^.g)] (vq/row_math.h), rows [R,D]."""

    @staticmethod
    def forward(ctx, e, q):
        ctx.save_for_backward(e, q)
        return q.clone()

    @staticmethod
    def backward(ctx, g):
        e, q = ctx.saved_tensors
        e_norm, q_norm = e.norm(dim=1, keepdim=True), q.norm(dim=1, keepdim=True)
        usable = (e_norm >= 1e-6) & (q_norm >= 1e-6)
        e_hat, q_hat = e / e_norm.clamp_min(1e-6), q / q_norm.clamp_min(1e-6)
        total = e_hat + q_hat
        square = total.square().sum(1, keepdim=True)
        usable = usable & (square >= 2e-4)
        turned = (g - 2 * total * (total * g).sum(1, keepdim=True) / square.clamp_min(2e-4)
                  + 2 * e_hat * (q_hat * g).sum(1, keepdim=True))
        return torch.where(usable, q_norm / e_norm.clamp_min(1e-6) * turned, g), None


class VqVae(nn.Module):
    def __init__(self, latent, codes):
        super().__init__()
        half = latent // 2
        self.encoder = nn.Sequential(
            nn.Conv2d(3, half, 4, stride=2, padding=1), nn.ReLU(),
            nn.Conv2d(half, latent, 4, stride=2, padding=1), nn.ReLU(),
            ResidualBlock(latent), ResidualBlock(latent))
        self.decoder = nn.Sequential(
            ResidualBlock(latent), ResidualBlock(latent),
            nn.ConvTranspose2d(latent, half, 4, stride=2, padding=1), nn.ReLU(),
            nn.ConvTranspose2d(half, 3, 4, stride=2, padding=1))
        self.register_buffer("codebook", torch.randn(codes, latent) * 0.1)
        self.register_buffer("size", torch.ones(codes))
        self.register_buffer("sums", self.codebook.clone())

    def losses(self, images, autocast):
        with autocast():
            z = self.encoder(images)
        rows = z.float().permute(0, 2, 3, 1).reshape(-1, z.shape[1])
        with torch.no_grad():
            scores = self.codebook.square().sum(1) - 2 * rows @ self.codebook.t()
            index = scores.argmin(1)
            q = self.codebook[index]
        passed = Rotation.apply(rows, q)
        n, d, h, w = z.shape
        with autocast():
            y = self.decoder(passed.reshape(n, h, w, d).permute(0, 3, 1, 2).to(z.dtype))
        y = torch.tanh(y.float())
        quantization = F.mse_loss(rows, q)
        self.update(rows.detach(), index)
        return F.mse_loss(y, images) + BETA * quantization + quantization.detach()

    @torch.no_grad()
    def update(self, rows, index):
        counts = torch.zeros_like(self.size).index_add_(0, index, torch.ones_like(rows[:, 0]))
        sums = torch.zeros_like(self.sums).index_add_(0, index, rows)
        self.size.mul_(DECAY).add_(counts, alpha=1 - DECAY)
        self.sums.mul_(DECAY).add_(sums, alpha=1 - DECAY)
        total = self.size.sum()
        smoothed = (self.size + EPS) / (total + self.size.numel() * EPS) * total
        self.codebook.copy_(self.sums / smoothed[:, None])


def measure(mode, args):
    """Median milliseconds of a step, and the allocator's most reserved bytes (0 on the CPU)."""
    device = torch.device(args.device)
    cuda = device.type == "cuda"
    torch.manual_seed(1)
    model = VqVae(args.latent, args.codes).to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-4, fused=True,
                                 capturable=cuda and mode == "whole")
    images = (torch.rand(args.batch, 3, 32, 32, device=device) * 2 - 1).to(
        memory_format=torch.channels_last)
    if args.precision == "bf16":
        def autocast():
            return torch.autocast(device.type, torch.bfloat16)
    else:
        autocast = contextlib.nullcontext
    torch.backends.cuda.matmul.allow_tf32 = args.precision != "fp32"
    torch.backends.cudnn.allow_tf32 = args.precision != "fp32"
    torch.backends.cudnn.benchmark = True
    losses = model.losses
    if mode != "eager":
        options = {"compile": "default", "graphs": "reduce-overhead", "autotune": "max-autotune",
                   "whole": "default"}
        losses = torch.compile(losses, mode=options[mode])

    def called():
        optimizer.zero_grad(set_to_none=True)
        losses(images, autocast).backward()
        optimizer.step()

    step = called
    if mode == "whole":
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(args.warmup):
                called()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        optimizer.zero_grad(set_to_none=True)
        with torch.cuda.graph(graph):
            called()
        step = graph.replay

    def timed(count):
        if cuda:
            torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(count):
            step()
        if cuda:
            torch.cuda.synchronize()
        return (time.perf_counter() - start) / count

    timed(args.warmup)
    together = 50 if cuda else 1
    seconds = [timed(together) for _ in range(args.repeats)]
    peak = torch.cuda.max_memory_reserved() if cuda else 0
    return 1e3 * statistics.median(seconds), peak


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--precision", choices=("fp32", "tf32", "bf16"), default="fp32")
    parser.add_argument("--modes", default="eager")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--latent", type=int, default=256)
    parser.add_argument("--codes", type=int, default=1024)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--warmup", type=int, default=5)
    parser.add_argument("--threads", type=int, default=0)
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    for mode in args.modes.split(","):
        line = {"peer": "pytorch", "version": torch.__version__, "mode": mode,
                "device": args.device, "precision": args.precision, "batch": args.batch,
                "latent": args.latent, "codes": args.codes}
        try:
            line["ms"], line["peak_bytes"] = measure(mode, args)
        except Exception as error:  # a mode that this installation cannot compile is one line less
            line["error"] = " ".join(str(error).split())[:200]
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
