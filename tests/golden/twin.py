"""The PyTorch twin of Versor's VQ-VAE and of its training step.

What: the training step of bin/one_step, one_step(), on the layers and estimators of
python/versor_torch.py. In float64 (the default) it is the truth that golden files and
comparisons use; in float32 it tells how close a float32 implementation can come.
Symbols: N images, H x W pixels, h x w latent positions, R = N h w rows, D latent size, K codes;
e a row of the encoder's output, q its code, g the gradient arriving at the decoder's input.
Equations: paper eq. 2 (search), 3-5 (EMA), 7 (loss), 8 (`published`); the rotation trick.
Next: make_golden.py (the committed cases), compare_one_step.py (random cases).
"""
import argparse
import os
import sys

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.numpy import load_file, save_file
from torch import nn

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../python"))
from versor_torch import (CHORD_FLOOR, NORM_FLOOR, ROTATIONS, PassOn, from_rows, make_decoder,
                          make_encoder, normalized, to_rows)

ESTIMATORS = ("ste", "rotation", "reflection", "published", "rotation_unscaled")
TURNING = ESTIMATORS[1:]  # they turn about an origin
OWNERS = ("ema", "gradient", "both")
DEFAULTS = {"estimator": "rotation", "owner": "ema", "beta": 0.25, "decay": 0.99, "lr": 2e-4,
            "rotation-origin": 0.0, "steps": 1}

EMA_EPSILON = 1e-5  # smoothing of the EMA counts


class VqVaeTwin(nn.Module):
    """D = latent, K = codes. Accumulators start `warm`: N = 1, m = c."""

    def __init__(self, latent=256, codes=1024):
        super().__init__()
        self.encoder = make_encoder(3, latent)
        self.decoder = nn.Sequential(*make_decoder(3, latent), nn.Tanh())
        self.codebook = nn.Embedding(codes, latent)
        nn.init.uniform_(self.codebook.weight, -1.0 / codes, 1.0 / codes)
        self.register_buffer("ema_cluster_size", torch.ones(codes))
        self.register_buffer("ema_dw", self.codebook.weight.detach().clone())


def squared_distances(rows, codes):
    """sum_d (e_d - c_jd)^2 in float64, [R,K] as numpy; differences first, so equal codes tie."""
    e, c = rows.detach().double().numpy(), codes.detach().double().numpy()
    out = np.empty((len(e), len(c)))
    for start in range(0, len(e), 128):
        difference = e[start:start + 128, None, :] - c[None, :, :]
        out[start:start + 128] = np.square(difference).sum(axis=-1)
    return out


def origin_of(model, origin):
    """The point [D] that the estimator turns about: a number, or the mean of the averages so far."""
    total = model.ema_cluster_size.sum()
    if origin != "mean":
        return torch.full_like(model.ema_dw[0], float(origin))
    return model.ema_dw.sum(0) / torch.where(total > 0, total, torch.ones_like(total))


@torch.no_grad()
def ema_update(model, rows, indices, decay):
    """Equations 3-5 with smoothed counts; overwrites the codebook."""
    counts = torch.zeros_like(model.ema_cluster_size)
    counts.index_add_(0, indices, torch.ones(len(rows), dtype=rows.dtype))
    sums = torch.zeros_like(model.ema_dw).index_add_(0, indices, rows)
    model.ema_cluster_size.mul_(decay).add_(counts, alpha=1 - decay)
    model.ema_dw.mul_(decay).add_(sums, alpha=1 - decay)
    total = model.ema_cluster_size.sum()
    codes = len(counts)
    smoothed = (model.ema_cluster_size + EMA_EPSILON) / (total + codes * EMA_EPSILON) * total
    model.codebook.weight.data.copy_(model.ema_dw / smoothed[:, None])


class Margins:
    """How clear the step's discrete decisions are: the smallest margin seen of each kind.

    nearest:  the relative error of e, c, c' that could exchange its code c for another c'
    gap:      (second-best distance - best) / second-best
    kink:     |x| / rms(x) at the input of a ReLU, except x = 0
    edge:     relative distance from the thresholds of the estimator's edge rules
    small:    ||e|| over its rms, or half the chord that the edge rule compares, except for rows
              under the rule: the direction of a short e or chord is inexact
    apart:    rms(e - q) over rms(e): how much of e - q is not rounding
    """

    def __init__(self):
        self.nearest = self.gap = self.kink = self.edge = float("inf")
        self.small = self.apart = float("inf")

    def watch(self, model):
        for module in model.modules():
            if isinstance(module, nn.ReLU):
                module.register_forward_pre_hook(lambda _, inputs: self.see_kinks(inputs[0]))

    def see_kinks(self, x):
        size = x.detach().abs()
        size = size[size > 0]
        if size.numel() > 0:
            self.kink = min(self.kink, (size.min() / size.square().mean().sqrt()).item())

    def see_search(self, rows, codes, distances, indices):
        e, c = rows.detach().double().numpy(), codes.detach().double().numpy()
        if e.any():
            self.apart = min(self.apart, np.linalg.norm(e - c[indices]) / np.linalg.norm(e))
        e_norm, c_norm = np.linalg.norm(e, axis=1), np.linalg.norm(c, axis=1)
        for best in np.unique(indices):
            mine = indices == best
            apart = np.linalg.norm(c - c[best], axis=1)
            others = apart > 0  # equal codes tie for certain
            if not others.any():
                continue
            rise = distances[mine][:, others] - distances[mine, best][:, None]
            # Change of ||e-c'||^2 - ||e-c||^2, at most, per relative error (the factor 2 below).
            reach = (apart[others][None, :] * e_norm[mine][:, None] +
                     np.sqrt(distances[mine, best][:, None]) * c_norm[best] +
                     np.sqrt(distances[mine][:, others]) * c_norm[others][None, :])
            margin = rise / np.maximum(2 * reach, 1e-300)
            # Codes below the last bit of every e_d != 0 in float64 tie for certain, too.
            smallest = np.where(e[mine] > 0, e[mine], np.inf).min(axis=1)
            lost = np.maximum(c_norm[others], c_norm[best])[None, :] < 1e-17 * smallest[:, None]
            margin[(rise == 0) & lost & (e_norm[mine] > 0)[:, None]] = np.inf
            self.nearest = min(self.nearest, margin.min())
            second = distances[mine][:, others]
            self.gap = min(self.gap, (rise / second).min())

    def see_edges(self, e, q, estimator):
        if estimator in ("ste", "published"):
            return
        e_hat, e_norm = normalized(e.detach().double())
        q_hat, q_norm = normalized(q.detach().double())
        chord = e_hat + q_hat if estimator in ROTATIONS else e_hat - q_hat
        chord = chord.square().sum(1)
        ratios = (chord / CHORD_FLOOR, e_norm / NORM_FLOOR, q_norm / NORM_FLOOR)
        self.edge = min([self.edge] + [(r - 1).abs().min().item() for r in ratios])
        alive, long = e_norm[e_norm > 0], chord[chord > CHORD_FLOOR]
        if alive.numel() > 0:
            self.small = min(self.small, (alive.min() / alive.square().mean().sqrt()).item())
        if long.numel() > 0:
            self.small = min(self.small, long.min().sqrt().item() / 2)


def train_step(model, adam, images, options, margins):
    """One step of training; returns the tensors of its forward and backward."""
    z_e = model.encoder(images)
    rows = to_rows(z_e)
    distances = squared_distances(rows, model.codebook.weight)
    nearest = distances.argmin(axis=1)  # numpy: the first of equal minima
    indices = torch.from_numpy(nearest)
    if margins is not None:
        margins.see_search(rows, model.codebook.weight, distances, nearest)
    q = F.embedding(indices, model.codebook.weight)
    origin = origin_of(model, options["rotation-origin"])
    if margins is not None:
        margins.see_edges(rows - origin, q - origin, options["estimator"])
    passed = PassOn.apply(rows, q.detach(), options["estimator"], origin)
    reconstruction = model.decoder(from_rows(passed, z_e))

    reconstruction_loss = F.mse_loss(reconstruction, images)
    codebook_loss = F.mse_loss(q, rows.detach())
    commitment_loss = F.mse_loss(rows, q.detach())
    loss = reconstruction_loss + codebook_loss + options["beta"] * commitment_loss

    if options["owner"] in ("ema", "both"):
        ema_update(model, rows.detach(), indices, options["decay"])
    adam.zero_grad(set_to_none=True)
    loss.backward()
    adam.step()

    share = np.bincount(nearest) / len(nearest)
    share = share[share > 0]
    out = {"reconstruction": reconstruction, "z_e": z_e, "loss": loss,
           "reconstruction_loss": reconstruction_loss, "codebook_loss": codebook_loss,
           "commitment_loss": commitment_loss}
    out = {name: t.detach().double().numpy().copy() for name, t in out.items()}
    out["indices"] = nearest.reshape(z_e.shape[0], z_e.shape[2], z_e.shape[3]).astype(np.int32)
    out["perplexity"] = np.array(np.exp(-(share * np.log(share)).sum()))
    return out


def one_step(state, images, options, dtype=torch.float64, margins=None):
    """`steps` training steps on one batch, the last one's tensors as a dict of numpy arrays.

    state: every parameter and buffer as numpy; images [N,3,H,W]; options: see DEFAULTS.
    Returns reconstruction [N,3,H,W], z_e [N,D,h,w], indices [N,h,w] int32, the scalars, grad.<name>
    of every trained parameter, and every parameter and buffer after the last step.
    """
    options = {**DEFAULTS, **options}
    codes, latent = state["codebook.weight"].shape
    model = VqVaeTwin(latent, codes).to(dtype)
    model.load_state_dict({name: torch.from_numpy(t).to(dtype) for name, t in state.items()})
    model.codebook.weight.requires_grad_(options["owner"] != "ema")
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    adam = torch.optim.Adam(trained.values(), lr=options["lr"], betas=(0.9, 0.999), eps=1e-8)
    if margins is not None:
        margins.watch(model)
    batch = torch.from_numpy(images).to(dtype)
    for _ in range(options["steps"]):
        out = train_step(model, adam, batch, options, margins)
    for name, p in trained.items():
        out["grad." + name] = p.grad.double().numpy()
    for name, t in model.state_dict().items():
        out[name] = t.detach().double().numpy()
    return out


def save(path, tensors):
    """float32 (int32 stays); what float32 cannot hold becomes infinite."""
    with np.errstate(over="ignore"):
        save_file({name: t if t.dtype == np.int32 else np.array(t, np.float32, order="C")
                   for name, t in tensors.items()}, path)
    os.chmod(path, 0o644)  # the library writes files that only their owner can read


def main(arguments=None):
    """The same command line as bin/one_step, computed by the twin."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    for name in ("weights", "batch", "out"):
        parser.add_argument("--" + name, required=True)
    parser.add_argument("--estimator", choices=ESTIMATORS, default=DEFAULTS["estimator"])
    parser.add_argument("--owner", choices=OWNERS, default=DEFAULTS["owner"])
    for name in ("beta", "decay", "lr"):
        parser.add_argument("--" + name, type=float, default=DEFAULTS[name])
    parser.add_argument("--rotation-origin", default=DEFAULTS["rotation-origin"])
    parser.add_argument("--steps", type=int, default=DEFAULTS["steps"])
    parser.add_argument("--precision", choices=("fp32", "fp64"), default="fp32")
    a = parser.parse_args(arguments)
    torch.set_num_threads(1)
    dtype = torch.float32 if a.precision == "fp32" else torch.float64
    options = {name: getattr(a, name.replace("-", "_")) for name in DEFAULTS}
    save(a.out, one_step(load_file(a.weights), load_file(a.batch)["images"], options, dtype))


if __name__ == "__main__":
    main()
