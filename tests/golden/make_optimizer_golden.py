"""Makes optimizers.json: what PyTorch's optimisers and its clipping of gradients compute, in float64.

What: two parameters that start from given values and get given gradients, `null` where a parameter
has none in a step; the values after every step and, where gradients are clipped, their norms before
clipping. All settings are exact in float32. torch.optim.Adam, AdamW and SGD;
torch.nn.utils.clip_grad_norm_.
`make_optimizer_golden.py` writes the file; `make_optimizer_golden.py --check` recomputes the
committed one. Next: ../nn/test_optimizers.cpp (what is compared with it), README.md.
"""
import argparse
import json
import pathlib
import sys

import torch

FILE = pathlib.Path(__file__).resolve().parent / "optimizers.json"
STEPS, SIZES = 8, (3, 2)
ADAM = {"lr": 2**-6, "betas": [0.875, 1 - 2**-7], "eps": 2**-20}
# name, optimiser, options, largest norm, first gradient of the second parameter, its last one
CASES = [
    ("adam", "Adam", ADAM, None, 1, STEPS),
    ("adam, late", "Adam", ADAM, None, 6, STEPS),
    ("adam, early", "Adam", ADAM, None, 1, 2),
    ("adamw", "AdamW", {**ADAM, "weight_decay": 0.25}, None, 3, STEPS),
    ("sgd", "SGD", {"lr": 2**-4}, None, 1, STEPS),
    ("sgd, momentum", "SGD", {"lr": 2**-4, "momentum": 0.75}, None, 4, 6),
    ("sgd, nesterov", "SGD", {"lr": 2**-4, "momentum": 0.75, "nesterov": True}, None, 2, STEPS),
    ("sgd, weight decay", "SGD",
     {"lr": 2**-4, "momentum": 0.5, "weight_decay": 0.125, "nesterov": True}, None, 4, STEPS),
    ("sgd, clipped", "SGD", {"lr": 2**-4, "momentum": 0.5}, 2.0, 3, STEPS),
    ("adam, clipped", "Adam", ADAM, 1.5, 3, 5),
]


def drawn(generator, n):
    return torch.randn(n, generator=generator, dtype=torch.float32).double()


def compute(case):
    """Fills in what PyTorch says."""
    parameters = [torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in case["start"]]
    optimizer = getattr(torch.optim, case["optimizer"])(parameters, **case["options"])
    case["values"], case["norms"] = [], []
    for gradients in case["gradients"]:
        for p, g in zip(parameters, gradients):
            p.grad = None if g is None else torch.tensor(g, dtype=torch.float64)
        if case["max_norm"] is not None:
            norm = torch.nn.utils.clip_grad_norm_(parameters, case["max_norm"])
            case["norms"].append(norm.item())
        optimizer.step()
        case["values"].append([p.tolist() for p in parameters])
    return case


def make():
    generator = torch.Generator().manual_seed(1)
    cases = []
    for name, optimizer, options, max_norm, first, last in CASES:
        start = [drawn(generator, n).tolist() for n in SIZES]
        gradients = [[drawn(generator, n).tolist() for n in SIZES] for _ in range(STEPS)]
        for step in range(1, STEPS + 1):
            if not first <= step <= last:
                gradients[step - 1][1] = None
        cases.append(compute({"name": name, "optimizer": optimizer, "options": options,
                              "max_norm": max_norm, "start": start, "gradients": gradients}))
    return cases


def numbers(case):
    """All computed values, in one row."""
    flat = [x for step in case["values"] for values in step for x in values]
    return torch.tensor(flat + case["norms"], dtype=torch.float64)


def check():
    committed = json.loads(FILE.read_text())["cases"]
    for case in committed:
        ours, again = numbers(case), numbers(compute({**case}))
        if ours.shape != again.shape or not torch.allclose(ours, again, rtol=1e-12, atol=1e-12):
            sys.exit(f"{case['name']}: the numbers are not this PyTorch's")
    print(f"{len(committed)} cases are as PyTorch {torch.__version__} has them")


if __name__ == "__main__":
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--check", action="store_true")
    if arguments.parse_args().check:
        check()
    else:
        lines = ",\n".join(json.dumps(case) for case in make())
        FILE.write_text('{"cases": [\n' + lines + "\n]}\n")
