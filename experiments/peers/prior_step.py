"""A training step of the prior, and sampling from it, in turn with the same in eager PyTorch.

    TORCH_PYTHON experiments/peers/prior_step.py [--threads 2] [--repeats 7] [--device cuda]

6 layers, width 256, 8 heads, 64 places of 1024 symbols, batch 64, f32, dropout: forward, backward,
clipping, AdamW; 64 images sampled at once, with cached keys and values. Medians of alternating
runs, the first pair left out.
"""
import argparse
import pathlib
import statistics
import sys
import time

import torch

HERE = pathlib.Path(__file__).resolve().parent
sys.path += [str(HERE), str(HERE.parents[1] / "tests" / "golden")]
from bench_peers import Program
from transformer_twin import PriorTwin

CODES, PLACES, BATCH = 1024, 64, 64


class TorchPrior:
    def __init__(self, device):
        self.prior = PriorTwin(CODES, PLACES).to(device)
        self.optimizer = torch.optim.AdamW(self.prior.parameters(), lr=1e-3, weight_decay=0.01)
        self.symbols = torch.randint(0, CODES, (BATCH, PLACES), device=device)
        self.labels = torch.zeros(BATCH, dtype=torch.int64, device=device)

    def step(self):
        self.optimizer.zero_grad()
        self.prior.train().loss(self.symbols, self.labels).backward()
        torch.nn.utils.clip_grad_norm_(self.prior.parameters(), 1.0)
        self.optimizer.step()

    def ask(self, what):
        """Milliseconds of a step, or for each sampled image."""
        begin = time.perf_counter()
        self.step() if what == "prior" else self.prior.eval().sample(self.labels)
        if self.symbols.is_cuda:
            torch.cuda.synchronize()
        return 1e3 * (time.perf_counter() - begin) / (1 if what == "prior" else BATCH)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    theirs = TorchPrior(args.device)
    command = [HERE.parents[1] / "bin" / "bench", "--serve", "--batch", str(BATCH), "--codes",
               str(CODES), "--latent", "8", "--threads", str(args.threads), "--device", args.device]
    with Program(command) as ours:
        for what, name in (("prior", "training step"), ("sample", "sampled image")):
            pairs = [(ours.ask(what), theirs.ask(what)) for _ in range(args.repeats + 1)][1:]
            a, b = (statistics.median(column) for column in zip(*pairs))
            ratio = statistics.median(b / a for a, b in pairs)
            print(f"{name}: {a:.2f} ms, PyTorch {torch.__version__} {b:.2f} ms; PyTorch takes "
                  f"{ratio:.2f} times as long")


if __name__ == "__main__":
    main()
