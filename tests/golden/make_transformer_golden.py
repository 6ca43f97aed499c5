"""Makes prior.safetensors and denoiser.safetensors: one training step of each twin, in float64.

What: `input.<name>`, random weights `before.<name>`, what the twins of transformer_twin.py compute
of them: `loss`, the gradients `grad.<name>`, and all parameters `after.<name>` once the gradients
were clipped to the norm CLIP and AdamW took a step. The denoiser's output is 2D wide: it predicts v
and learns the variances, with the loss of Nichol and Dhariwal 2021, eq. 16.
`make_transformer_golden.py` writes the files; with `--check` it recomputes the committed ones.
Next: ../experiments/test_transformer_golden.cpp (what is compared with them), README.md.
"""
import argparse
import math
import pathlib
import sys

import numpy as np
import torch
from safetensors.numpy import load_file, save_file

from transformer_twin import DenoiserTwin, PriorTwin, alpha_bar_cosine

HERE = pathlib.Path(__file__).resolve().parent
ADAMW = {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-6, "weight_decay": 0.1}
CLIP, STEPS = 0.25, 40  # STEPS: T of the diffusion, by the cosine schedule


def prior():
    return PriorTwin(codes=11, places=9, layers=2, width=12, heads=3, classes=2, dropout=0)


def prior_loss(twin, inputs):
    return twin.loss(inputs["symbols"].long(), inputs["labels"].long())


def denoiser():
    return DenoiserTwin(channels=5, places=6, layers=2, width=12, heads=3, classes=2, outputs=2)


def denoiser_loss(twin, inputs):
    x0, noise, times = inputs["x0"], inputs["epsilon"], inputs["times"].long()
    alpha_bar = alpha_bar_cosine(STEPS)

    def of(table, t):
        return table[t][:, None, None]
    a, b = of(alpha_bar, times).sqrt(), (1 - of(alpha_bar, times)).sqrt()
    x = a * x0 + b * noise
    output, between = twin(x, times.double(), inputs["labels"].long()).chunk(2, -1)
    simple = (output - (a * noise - b * x0)).square().mean()
    # Ho et al. 2020, eq. 6 and 7, and Nichol and Dhariwal 2021, eq. 15
    before = of(alpha_bar, times - 1)
    alpha = a**2 / before
    true_variance = (1 - before) / (1 - a**2) * (1 - alpha)

    def mean(of_x0):
        return (before.sqrt() * (1 - alpha) * of_x0 + alpha.sqrt() * (1 - before) * x) / (1 - a**2)
    first = (1 - alpha_bar[1]) / (1 - alpha_bar[2]) * (1 - alpha_bar[2] / alpha_bar[1])
    lowest = torch.where(of(times, slice(None)) > 1, true_variance, first)
    log_s = (1 + between) / 2 * (1 - alpha).log() + (1 - between) / 2 * lowest.log()
    squares = (mean(x0) - mean((a * x - b * output).detach())).square()
    divergence = (log_s - lowest.log() + (true_variance + squares) / log_s.exp() - 1) / 2
    surprise = (log_s + (x0 - mean((a * x - b * output).detach())).square() / log_s.exp() +
                math.log(2 * math.pi)) / 2
    terms = torch.where(of(times, slice(None)) > 1, divergence, surprise)
    return simple + 0.001 * STEPS * terms.mean()


NETWORKS = {"prior": (prior, prior_loss), "denoiser": (denoiser, denoiser_loss)}


def inputs_of(name, rng):
    if name == "prior":
        return {"symbols": rng.integers(0, 11, (3, 9)).astype(np.int32),
                "labels": np.array([0, 1, 2], np.int32)}
    return {"x0": rng.normal(size=(4, 6, 5)).astype(np.float32),
            "epsilon": rng.normal(size=(4, 6, 5)).astype(np.float32),
            "times": np.array([1, 2, 17, 40], np.int32), "labels": np.array([0, 1, 2, 2], np.int32)}


def weights_of(name, rng):
    weights = {}
    for key, value in NETWORKS[name][0]().state_dict().items():
        low, high = (0.5, 1.5) if key.startswith("deviation") or "norm" in key else (-0.5, 0.5)
        weights[key] = rng.uniform(low, high, tuple(value.shape)).astype(np.float32)
    return weights


def compute(name, inputs, weights):
    make, loss_of = NETWORKS[name]
    twin = make().double()
    twin.load_state_dict({key: torch.from_numpy(value).double() for key, value in weights.items()})
    tensors = {key: torch.from_numpy(value) for key, value in inputs.items()}
    tensors = {key: t.double() if t.is_floating_point() else t for key, t in tensors.items()}
    optimizer = torch.optim.AdamW(twin.parameters(), **ADAMW)
    loss = loss_of(twin, tensors)
    loss.backward()
    out = {"loss": loss.detach().reshape(1)}
    out |= {f"grad.{key}": p.grad.clone() for key, p in twin.named_parameters()}
    norm = torch.nn.utils.clip_grad_norm_(twin.parameters(), CLIP)
    assert norm > CLIP
    optimizer.step()
    out |= {f"after.{key}": p.detach() for key, p in twin.named_parameters()}
    return {key: value.numpy().astype(np.float32) for key, value in out.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    for name in NETWORKS:
        path, rng = HERE / f"{name}.safetensors", np.random.default_rng(1)
        given = load_file(path) if check else {}
        inputs, weights = inputs_of(name, rng), weights_of(name, rng)
        found = {f"input.{key}": value for key, value in inputs.items()}
        found |= {f"before.{key}": value for key, value in weights.items()}
        found |= compute(name, inputs, weights)
        if not check:
            save_file(found, path)
        elif given.keys() != found.keys() or any(
                np.linalg.norm(given[key] - value) > 1e-6 * np.linalg.norm(value)
                for key, value in found.items()):
            sys.exit(f"error: {path.name} is not what the twin computes")


if __name__ == "__main__":
    main()
