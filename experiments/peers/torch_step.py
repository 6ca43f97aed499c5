"""The training step of bin/bench in PyTorch (torch_models.py), for comparison of speed and memory.

Modes, forward, backward and Adam in each:
  contiguous  eager, images contiguous in NCHW, PyTorch's default
  eager       eager, channels_last
  compile     torch.compile, channels_last
  graphs      torch.compile with CUDA graphs ("reduce-overhead")
  autotune    torch.compile ("max-autotune")
  whole       torch.compile, and the whole step with Adam captured as one CUDA graph
  published   the published formulation as it is: D x D matrices, one-hot rows, NCHW, plain Adam
Adam is the fused one (where this PyTorch has it), but for `published`.
Prints one JSON line per mode: milliseconds per step (median), peak of the memory, version. On a GPU
that is the most that the allocator reserved (captured graphs do not pass through it, so "allocated"
would miss them), to be compared with one process for each mode. On the CPU it is the most bytes of
live tensors in a step: what lives before it (parameters, moments, buffers, images) and the highest
sum of what torch.profiler saw allocated and freed since; oneDNN's own scratch memory, which ours
includes, is not seen there.
  python3 torch_step.py --device cuda --precision bf16 --modes eager
  python3 torch_step.py --device cpu --modes eager --serve   # a step for each line "step" read
On a GPU cudnn.benchmark and index_add_'s atomics are allowed, ours is deterministic.
"""
import argparse
import contextlib
import json
import os
import statistics
import sys
import tempfile
import time

import torch
from torch_models import PublishedVqVae, VqVae

COMPILE_MODES = {"compile": "default", "graphs": "reduce-overhead", "autotune": "max-autotune",
                 "whole": "default"}
MODES = ("contiguous", "eager", "published", *COMPILE_MODES)
TOGETHER = 50  # steps on a GPU that are timed together: the host runs ahead of the device


def adam(model, mode, cuda):
    parameters = list(model.parameters())
    if mode == "published":
        return torch.optim.Adam(parameters, lr=2e-4)
    try:
        return torch.optim.Adam(parameters, lr=2e-4, fused=True,
                                capturable=cuda and mode == "whole")
    except (RuntimeError, TypeError):  # an older PyTorch has no fused Adam on the CPU
        return torch.optim.Adam(parameters, lr=2e-4)


class Peer:
    """One mode, warmed up and ready to be timed."""

    def __init__(self, mode, args):
        self.device = torch.device(args.device)
        self.cuda = self.device.type == "cuda"
        torch.manual_seed(1)
        torch.backends.cuda.matmul.allow_tf32 = args.precision != "fp32"
        torch.backends.cudnn.allow_tf32 = args.precision != "fp32"
        torch.backends.cudnn.benchmark = True
        layout = (torch.contiguous_format if mode in ("contiguous", "published")
                  else torch.channels_last)
        kind = PublishedVqVae if mode == "published" else VqVae
        self.model = kind(args.latent, args.codes).to(self.device, memory_format=layout)
        self.optimizer = adam(self.model, mode, self.cuda)
        self.images = (torch.rand(args.batch, 3, 32, 32, device=self.device) * 2 - 1).to(
            memory_format=layout)
        if args.precision == "bf16":
            self.autocast = lambda: torch.autocast(self.device.type, torch.bfloat16)
        else:
            self.autocast = contextlib.nullcontext
        self.losses = self.model.losses
        if mode in COMPILE_MODES:
            self.losses = torch.compile(self.losses, mode=COMPILE_MODES[mode])
        self.step = self.captured(args.warmup) if mode == "whole" else self.called
        self.timed(args.warmup)

    def called(self):
        self.optimizer.zero_grad(set_to_none=True)
        self.losses(self.images, self.autocast).backward()
        self.optimizer.step()

    def captured(self, warmup):
        """The step as one CUDA graph."""
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(warmup):
                self.called()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        self.optimizer.zero_grad(set_to_none=True)
        with torch.cuda.graph(graph):
            self.called()
        return graph.replay

    def timed(self, count):
        """Mean milliseconds of so many steps."""
        if self.cuda:
            torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(count):
            self.step()
        if self.cuda:
            torch.cuda.synchronize()
        return 1e3 * (time.perf_counter() - start) / count

    def peak_bytes(self):
        if self.cuda:
            return torch.cuda.max_memory_reserved()
        self.optimizer.zero_grad(set_to_none=True)
        live = [*self.model.parameters(), *self.model.buffers(), self.images]
        for state in self.optimizer.state.values():
            live += [value for value in state.values() if torch.is_tensor(value)]
        before = sum(tensor.untyped_storage().nbytes() for tensor in live)
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU],
                                    profile_memory=True) as profile:
            self.step()
        with tempfile.TemporaryDirectory() as folder:
            trace = os.path.join(folder, "trace.json")
            profile.export_chrome_trace(trace)
            with open(trace, encoding="utf-8") as file:
                events = json.load(file)["traceEvents"]
        changes = sorted((event for event in events if event.get("name") == "[memory]"),
                         key=lambda event: event["ts"])
        current = peak = before
        for change in changes:
            current += change["args"]["Bytes"]
            peak = max(peak, current)
        return peak


def serve(peer, line):
    """bench_peers.py's side of a conversation: first what this is, then ms for each "step"."""
    line["peak_bytes"] = peer.peak_bytes()
    print(json.dumps(line), flush=True)
    for request in sys.stdin:
        if request.strip() != "step":
            sys.exit(f"error: unknown request {request.strip()!r}: step")
        print(peer.timed(TOGETHER if peer.cuda else 1), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--precision", choices=("fp32", "tf32", "bf16"), default="fp32")
    parser.add_argument("--modes", default="eager", help="with commas: " + ", ".join(MODES))
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--latent", type=int, default=256)
    parser.add_argument("--codes", type=int, default=1024)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--warmup", type=int, default=5)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--serve", action="store_true", help="of one mode, on demand")
    args = parser.parse_args()
    modes = args.modes.split(",")
    for mode in modes:
        if mode not in MODES:
            parser.error(f"--modes: {mode} is none of {', '.join(MODES)}")
    if args.threads:
        torch.set_num_threads(args.threads)
    for mode in modes:
        line = {"peer": "pytorch", "version": torch.__version__, "mode": mode,
                "device": args.device, "precision": args.precision, "batch": args.batch,
                "latent": args.latent, "codes": args.codes, "threads": torch.get_num_threads()}
        try:
            peer = Peer(mode, args)
            if args.serve:
                return serve(peer, line)
            together = TOGETHER if peer.cuda else 1
            line["ms"] = statistics.median(peer.timed(together) for _ in range(args.repeats))
            line["peak_bytes"] = peer.peak_bytes()
        except Exception as error:  # a mode that this installation cannot compile is one line less
            line["error"] = " ".join(str(error).split())[:200]
        print(json.dumps(line), flush=True)
        peer = None
    return None


if __name__ == "__main__":
    main()
