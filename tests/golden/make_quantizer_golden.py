"""Makes quantizers.safetensors: what vector-quantize-pytorch computes of small seeded inputs.

What: the quantizers and losses of that package, one group of tensors `<group>.<name>` each; inputs,
outputs and gradients. README.md lists the tensors and where the package surprises.
The package runs in float64 on float32 inputs; where it calls .float(), that call returns float64.
Every group has three functions:
  draw_*(rng)      the inputs, numpy arrays by name; the first seed without an Unclear is taken
  run_*(t)         what the package makes of them; t(name) is an input as a tensor
  verify_*(i, o)   the same from formulas in numpy; raises Unclear where a decision is a close one
Stored as float32 and int32. The package's own float32 must take the same decisions.
`make_quantizer_golden.py` writes the file; `make_quantizer_golden.py --check` recomputes it.
Needs vector-quantize-pytorch, PyTorch, numpy, safetensors: versions in README.md.
"""
import argparse
import contextlib
import functools
import importlib.metadata
import os
import pathlib
import sys
from unittest import mock

import numpy as np
import torch
import vector_quantize_pytorch as package
from safetensors.numpy import load_file, save_file
from vector_quantize_pytorch import vector_quantize_pytorch as vq

FILE = pathlib.Path(__file__).resolve().parent / "quantizers.safetensors"
EPS = 1e-5


class Unclear(Exception):
    """With these inputs a correct float32 program might decide otherwise."""


# --- numpy: small parts of the formulas ---

def same(a, b, tolerance=1e-9):
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    assert a.shape == b.shape, (a.shape, b.shape)
    assert np.linalg.norm(a - b) <= tolerance * np.linalg.norm(b) + 1e-13, np.abs(a - b).max()


def clear_if(condition):
    if not np.all(condition):
        raise Unclear


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def distances(x, codes):
    return np.linalg.norm(x[:, None] - codes[None], axis=-1)


def largest(scores):
    """[R,K] -> [R]; the best must be clearly ahead of the second."""
    order = np.sort(scores, axis=1)
    clear_if(order[:, -1] - order[:, -2] > 1e-3 * np.maximum(np.abs(order[:, -1]), 0.1))
    return scores.argmax(axis=1)


def nearest(x, codes):
    return largest(-distances(x, codes))


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def entropy(p):
    """As in the package: the logarithm's argument is at least 1e-5."""
    return -(p * np.log(np.maximum(p, EPS))).sum(axis=-1)


def slope(f, x, h=1e-6):
    """df/dx by central differences."""
    x, out = np.array(x, np.float64), np.zeros(np.shape(x))
    for i in np.ndindex(x.shape):
        keep, ends = x[i], []
        for step in (h, -h):
            x[i] = keep + step
            ends.append(f(x))
        x[i], out[i] = keep, (ends[0] - ends[1]) / (2 * h)
    return out


def normal(rng, *shape, scale=1.0):
    return (scale * rng.standard_normal(shape)).astype(np.float32)


# --- the package's modules with given codes ---

def grads(scalar, *of):
    return torch.autograd.grad(scalar, of, retain_graph=True)


def quantizer(codes, **options):
    """VectorQuantize in training mode; straight-through unless the options say otherwise."""
    options = {"rotation_trick": False, "threshold_ema_dead_code": 0, **options}
    module = package.VectorQuantize(dim=codes.shape[1], codebook_size=codes.shape[0], **options)
    set_codes(module._codebook, codes)
    return module.train()


def set_codes(codebook, codes):
    """Accumulators as the package starts: cluster_size 1, embed_avg = the codes."""
    codebook.embed.data.copy_(codes[None])
    codebook.embed_avg.data.copy_(codes[None])


def buffers(codebook):
    return {"codebook": codebook.embed.detach()[0].clone(),
            "cluster_size": codebook.cluster_size[0].clone(),
            "embed_avg": codebook.embed_avg[0].clone()}


# --- rotation: rotate_to ---

def draw_rotation(rng):
    return {"e": normal(rng, 24, 8), "q": normal(rng, 24, 8, scale=1.5), "g": normal(rng, 24, 8)}


def run_rotation(t):
    e, q = t("e"), t("q")
    value = vq.rotate_to(e, q)
    grad, grad_q = torch.autograd.grad((value * t("g")).sum(), (e, q), allow_unused=True)
    assert grad_q is None  # rotation and scale are constants
    return {"value": value, "grad_e": grad}


def rotation_gradient(e, q, g):
    eh, qh = unit(e), unit(q)
    s, c = eh + qh, (eh * qh).sum(-1, keepdims=True)
    dot = lambda a, b: (a * b).sum(-1, keepdims=True)
    scale = np.linalg.norm(q, axis=-1, keepdims=True) / np.linalg.norm(e, axis=-1, keepdims=True)
    return scale * (g - s * dot(s, g) / (1 + c) + 2 * eh * dot(qh, g))


def verify_rotation(i, o):
    clear_if((unit(i["e"]) * unit(i["q"])).sum(-1) > -0.95)  # not nearly opposite
    same(o["value"], i["q"])
    same(o["grad_e"], rotation_gradient(i["e"], i["q"], i["g"]))


# --- ema, ema_cosine: three training steps ---

def draw_ema(rng):
    batches = {f"batch{s}": normal(rng, 24, 6) for s in (1, 2, 3)}
    return {"codebook": normal(rng, 12, 6), **batches}


def ema_steps(module, batches):
    out = {}
    for step, x in enumerate(batches, 1):
        value, indices, loss = module(x[None])
        out.update({f"step{step}.{name}": v for name, v in buffers(module._codebook).items()})
        out[f"step{step}.indices"], out[f"step{step}.commitment"] = indices[0], loss
        if step == 1:
            first = value[0]
    return out, first


def run_ema(t):
    out = {}
    for decay in (80, 99):
        module = quantizer(t("codebook").detach(), decay=decay / 100, eps=EPS)
        made, _ = ema_steps(module, [t(f"batch{s}") for s in (1, 2, 3)])
        out.update({f"decay{decay}.{name}": v for name, v in made.items()})
    return out


def verify_ema_steps(i, o, prefix, decay, cosine):
    codes, size, total = i["codebook"], np.ones(len(i["codebook"])), i["codebook"]
    for step in (1, 2, 3):
        x, name = i[f"batch{step}"], f"{prefix}step{step}."
        x = unit(x) if cosine else x
        chosen = largest(x @ codes.T) if cosine else nearest(x, codes)
        hot = np.eye(len(codes))[chosen]
        same(o[name + "indices"], chosen)
        same(o[name + "commitment"], np.square(codes[chosen] - x).mean())  # of the codes before
        size = decay * size + (1 - decay) * hot.sum(0)
        total = decay * total + (1 - decay) * hot.T @ x
        smooth = (size + EPS) / (size.sum() + len(codes) * EPS) * size.sum()
        codes = total / smooth[:, None]
        codes = unit(codes) if cosine else codes
        for key, v in (("codebook", codes), ("cluster_size", size), ("embed_avg", total)):
            same(o[name + key], v)


def verify_ema(i, o):
    for decay in (80, 99):
        verify_ema_steps(i, o, f"decay{decay}.", decay / 100, False)


def draw_ema_cosine(rng):
    inputs = {**draw_ema(rng), "g": normal(rng, 24, 6)}
    return {**inputs, "codebook": unit(inputs["codebook"]).astype(np.float32)}


def run_ema_cosine(t):
    module = quantizer(t("codebook").detach(), decay=0.8, eps=EPS, use_cosine_sim=True)
    batches = [t(f"batch{s}") for s in (1, 2, 3)]
    out, value = ema_steps(module, batches)
    return {**out, "value": value, "grad_e": grads((value * t("g")).sum(), batches[0])[0]}


def verify_ema_cosine(i, o):
    verify_ema_steps(i, o, "", 0.8, True)
    e, g, eh = i["batch1"], i["g"], unit(i["batch1"])
    same(o["value"], i["codebook"][o["step1.indices"]])
    # The straight-through gradient belongs to e/|e|.
    along = (g * eh).sum(-1, keepdims=True)
    same(o["grad_e"], (g - eh * along) / np.linalg.norm(e, axis=-1, keepdims=True))


# --- kmeans ---

def draw_kmeans(rng):
    points = normal(rng, 40, 6)
    start = points[rng.choice(40, 8, replace=False)]
    far = start.copy()
    far[3] += 50
    return {"points": points, "start": start, "start_empty": far}


def run_kmeans(t):
    out, points = {}, t("points").detach()[None]
    for name in ("start", "start_empty"):
        start = t(name).detach()[None]
        prefix = "empty." if name == "start_empty" else ""
        given = lambda samples, count: start
        for iterations in (1, 10):
            means, counts = vq.kmeans(points, start.shape[1], iterations, sample_fn=given)
            out[f"{prefix}iterations{iterations}.means"] = means[0]
            out[f"{prefix}iterations{iterations}.counts"] = counts[0]
        book = vq.Codebook(dim=points.shape[2], codebook_size=start.shape[1], kmeans_init=True,
                           kmeans_iters=10, eps=EPS)
        book.sample_fn = given
        book.init_embed_(points)
        out.update({f"{prefix}init.{key}": v for key, v in buffers(book).items()})
    return out


def verify_kmeans(i, o):
    points = i["points"]
    for prefix, start in (("", i["start"]), ("empty.", i["start_empty"])):
        means = start
        for iteration in range(1, 11):
            hot = np.eye(len(means))[nearest(points, means)]
            counts = hot.sum(0)
            empty = counts == 0
            clear_if(empty == (np.arange(len(means)) == 3 if prefix else False))
            means = np.where(empty[:, None], means, hot.T @ points / np.maximum(counts, 1)[:, None])
            if iteration in (1, 10):
                same(o[f"{prefix}iterations{iteration}.means"], means)
                same(o[f"{prefix}iterations{iteration}.counts"], counts)
        # The init multiplies by the counts and divides by the smoothed ones: an empty cluster's
        # mean becomes zero, the others move a little.
        smooth = (counts + EPS) / (counts.sum() + len(means) * EPS) * counts.sum()
        same(o[f"{prefix}init.codebook"], means * (counts / smooth)[:, None])
        same(o[f"{prefix}init.cluster_size"], counts)
        same(o[f"{prefix}init.embed_avg"], means * counts[:, None])
        assert not prefix or not np.any(o["empty.init.codebook"][3])


# --- fsq, fsq_symmetric ---

FSQ_LEVELS = {"8_5_5_5": (8, 5, 5, 5), "4_4_4_4_4": (4, 4, 4, 4, 4), "3_2": (3, 2)}
FSQ_SYMMETRIC = {"8_5_5_5": (8, 5, 5, 5), "3_2": (3, 2)}


def draw_fsq(rng, cases=FSQ_LEVELS, middle=True):
    out = {}
    for name, levels in cases.items():
        out[name + ".z"] = normal(rng, 24, len(levels), scale=1.2)
        if middle and 2 in levels:
            # Two levels have their border at -atanh(0.5 / 0.5005).
            out[name + ".z"][:, levels.index(2)] -= np.float32(np.arctanh(0.5 / 0.5005))
        out[name + ".g"] = normal(rng, 24, len(levels))
    return out


def make_fsq(levels, symmetric):
    if symmetric or 2 not in levels:
        return package.FSQ(levels, preserve_symmetry=symmetric)
    # The package refuses two levels; its formula does not.
    module = package.FSQ([max(level, 3) for level in levels])
    module._levels = torch.tensor(levels, dtype=torch.int32)
    module._basis = torch.cumprod(torch.tensor((1,) + levels[:-1]), 0, dtype=torch.int32)
    module.implicit_codebook = module._indices_to_codes(torch.arange(int(np.prod(levels))))
    return module


def run_fsq(t, cases=FSQ_LEVELS, symmetric=False):
    out = {}
    for name, levels in cases.items():
        module, z = make_fsq(levels, symmetric).train(), t(name + ".z")
        value, indices = module(z[None])
        out[name + ".value"], out[name + ".indices"] = value[0], indices[0]
        out[name + ".grad_z"] = grads((value[0] * t(name + ".g")).sum(), z)[0]
        out[name + ".codebook"] = module.implicit_codebook
    return out


def verify_fsq(i, o, cases=FSQ_LEVELS, symmetric=False):
    for name, levels in cases.items():
        z, g, count = i[name + ".z"], i[name + ".g"], np.array(levels)
        basis = np.cumprod((1,) + levels[:-1])  # the first dimension is the fastest
        if symmetric:
            before = (count - 1) * (np.tanh(z) + 1) / 2
            half, zero, growth = (count - 1) / 2, (count - 1) / 2, 1 - np.tanh(z) ** 2
        else:
            half_l, offset = (count - 1) * (1 + 1e-3) / 2, np.where(count % 2 == 0, 0.5, 0.0)
            inner = np.tanh(z + np.arctanh(offset / half_l))
            half, zero = count // 2, count // 2
            before, growth = inner * half_l - offset + zero, half_l * (1 - inner ** 2) / half
        level = np.rint(before)
        clear_if(np.abs(before - level) < 0.499)
        clear_if([len(set(column)) for column in level.T] == count)  # every level occurs
        same(o[name + ".value"], (level - zero) / half)
        same(o[name + ".indices"], (level * basis).sum(-1))
        same(o[name + ".grad_z"], growth * g)
        every = np.arange(count.prod())[:, None] // basis % count
        same(o[name + ".codebook"], (every - zero) / half)


# --- lfq: lookup-free and binary spherical quantization ---

LFQ = [(kind, temperature, gamma) for kind in ("default", "spherical")
       for temperature in (10, 100) for gamma in (1, 2.5)]


def draw_lfq(rng):
    size = 10 ** rng.uniform(-2.5, 0.2, (32, 1))  # some rows decided, some not
    return {"x": (size * rng.standard_normal((32, 5))).astype(np.float32), "g": normal(rng, 32, 5)}


def run_lfq(t):
    out = {}
    for kind, temperature, gamma in LFQ:
        module = package.LFQ(dim=5, codebook_size=32, entropy_loss_weight=0.1,
                             diversity_gamma=gamma, spherical=kind == "spherical").train()
        x = t("x")
        (value, indices, loss), parts = module(x[None], inv_temperature=temperature,
                                               return_loss_breakdown=True)
        out[f"{kind}.value"], out[f"{kind}.indices"] = value[0], indices[0]
        out[f"{kind}.grad_x"] = grads((value[0] * t("g")).sum(), x)[0]
        name = f"{kind}.temperature{temperature}."
        out[name + "sample_entropy"] = parts.per_sample_entropy
        out[name + "batch_entropy"] = parts.batch_entropy
        out[f"{name}gamma{gamma}.loss"] = loss
        out[f"{name}gamma{gamma}.loss_grad_x"] = grads(loss, x)[0]
    return out


def verify_lfq(i, o):
    x, g = i["x"], i["g"]
    clear_if(np.abs(x) > 1e-5)
    bits = (np.arange(32)[:, None] >> np.arange(4, -1, -1)) & 1  # the first dimension leads
    for kind, temperature, gamma in LFQ:
        ball = kind == "spherical"
        codes = (2.0 * bits - 1) / (np.sqrt(5) if ball else 1)

        def probabilities(x):
            return softmax(2 * temperature * (unit(x) if ball else x) @ codes.T)

        def loss(x):
            p = probabilities(x)
            return 0.1 * (entropy(p).mean() - gamma * entropy(p.mean(0)))

        p, name = probabilities(x), f"{kind}.temperature{temperature}."
        for q in (p, p.mean(0)):
            clear_if(np.abs(q - EPS) > 1e-3 * EPS)
        chosen = ((x > 0) * 2 ** np.arange(4, -1, -1)).sum(-1)
        same(o[f"{kind}.indices"], chosen)
        same(o[f"{kind}.value"], codes[chosen])
        along = (g * unit(x)).sum(-1, keepdims=True) * unit(x)
        norm = np.linalg.norm(x, axis=-1, keepdims=True)
        same(o[f"{kind}.grad_x"], (g - along) / norm if ball else g)
        same(o[name + "sample_entropy"], entropy(p).mean())
        same(o[name + "batch_entropy"], entropy(p.mean(0)))
        same(o[f"{name}gamma{gamma}.loss"], loss(x))
        same(o[f"{name}gamma{gamma}.loss_grad_x"], slope(loss, x, 1e-7), 1e-5)


# --- simvq ---

def draw_simvq(rng):
    return {"frozen": normal(rng, 12, 6, scale=6 ** -0.5), "weight": normal(rng, 6, 6, scale=0.7),
            "e": normal(rng, 20, 6, scale=0.7), "g": normal(rng, 20, 6)}


def run_simvq(t):
    out, e, g = {}, t("e"), t("g")
    for name, rotation in (("rotation", True), ("ste", False)):
        module = package.SimVQ(dim=6, codebook_size=12, rotation_trick=rotation).train()
        module.frozen_codebook.copy_(t("frozen").detach())
        module.code_transform.weight.data.copy_(t("weight").detach())
        value, indices, loss = module(e[None])
        out[f"value_{name}"] = value[0]
        passed, to_weight = torch.autograd.grad((value[0] * g).sum(),
                                                (e, module.code_transform.weight),
                                                retain_graph=True, allow_unused=True)
        assert to_weight is None  # the weight learns from the loss alone
        out[f"grad_e_{name}"] = passed
    out["codes"], out["indices"], out["loss"] = module.codebook, indices[0], loss
    out["loss_grad_weight"], out["loss_grad_e"] = grads(loss, module.code_transform.weight, e)
    return out


def verify_simvq(i, o):
    e, g, codes = i["e"], i["g"], i["frozen"] @ i["weight"].T
    chosen = nearest(e, codes)
    q = codes[chosen]
    clear_if((unit(e) * unit(q)).sum(-1) > -0.9)
    same(o["codes"], codes)
    same(o["indices"], chosen)
    same(o["value_ste"], q)
    same(o["value_rotation"], q)
    same(o["grad_e_ste"], g)
    same(o["grad_e_rotation"], rotation_gradient(e, q, g))
    same(o["loss"], 1.25 * np.square(e - q).mean())
    same(o["loss_grad_e"], 0.25 * 2 * (e - q) / e.size)
    same(o["loss_grad_weight"], (2 * (q - e) / e.size).T @ i["frozen"][chosen])


# --- residual, residual_shared ---

def draw_residual(rng):
    codebooks = np.stack([normal(rng, 10, 6, scale=s) for s in (1, 0.6, 0.4)])
    return {"codebooks": codebooks, "x": normal(rng, 20, 6), "g": normal(rng, 20, 6)}


def residual_quantizer(codebooks, **options):
    layers, codes, dim = codebooks.shape
    options = {"rotation_trick": False, "threshold_ema_dead_code": 0, "decay": 0.8, **options}
    module = package.ResidualVQ(dim=dim, num_quantizers=layers, codebook_size=codes, **options)
    for layer, book in zip(module.layers, codebooks):
        set_codes(layer._codebook, book)
    return module.train()


def run_residual(t):
    x, g, books = t("x"), t("g"), t("codebooks").detach()
    out = {}
    for name, layers, rotation in (("", 3, False), ("rotation.", 3, True), ("one.", 1, False)):
        module = residual_quantizer(books[:layers], rotation_trick=rotation)
        value, indices, losses = module(x[None], freeze_codebook=True)
        out[name + "indices"], out[name + "value"] = indices[0], value[0]
        out[name + "losses"] = losses
        out[name + "grad_x"] = grads((value[0] * g).sum(), x)[0]
        out[name + "loss_grad_x"] = grads(losses.sum(), x)[0]
        assert torch.equal(module.codebooks, books[:layers])
        quiet = module.eval()(x[None])  # evaluation: the same codes, no losses
        assert torch.equal(quiet[1][0], indices[0]) and not torch.any(quiet[2])
        assert torch.allclose(quiet[0][0], value[0], rtol=1e-4, atol=1e-5)
    module = residual_quantizer(books)
    module(x[None])
    after = [buffers(layer._codebook) for layer in module.layers]
    for key in after[0]:
        out["ema." + key] = torch.stack([layer[key] for layer in after])
    return out


def residual_pass(x, codebooks):
    """(indices [R,L], residuals [L][R,D], codes [L][R,D])"""
    indices, residuals, codes = [], [], []
    for book in codebooks:
        residuals.append(x)
        indices.append(nearest(x, book))
        codes.append(book[indices[-1]])
        x = x - codes[-1]
    return np.stack(indices, 1), residuals, codes


def ema_formula(codes, size, total):
    smooth = (size + EPS) / (size.sum() + len(codes) * EPS) * size.sum()
    return total / smooth[:, None]


def verify_residual(i, o):
    x, g = i["x"], i["g"]
    indices, residuals, codes = residual_pass(x, i["codebooks"])
    for r, q in zip(residuals, codes):
        clear_if((unit(r) * unit(q)).sum(-1) > -0.9)
    gaps = [r - q for r, q in zip(residuals, codes)]
    turned = sum(rotation_gradient(r, q, g) for r, q in zip(residuals, codes))
    for name, layers, gradient in (("", 3, 3 * g), ("rotation.", 3, turned), ("one.", 1, g)):
        same(o[name + "indices"], indices[:, :layers])
        same(o[name + "value"], sum(codes[:layers]))
        same(o[name + "losses"], [np.square(gap).mean() for gap in gaps[:layers]])
        same(o[name + "grad_x"], gradient)  # each layer adds its own
        same(o[name + "loss_grad_x"], sum(2 * gap / x.size for gap in gaps[:layers]))
    for layer, book in enumerate(i["codebooks"]):
        hot = np.eye(len(book))[indices[:, layer]]
        size, total = 0.8 + 0.2 * hot.sum(0), 0.8 * book + 0.2 * hot.T @ residuals[layer]
        same(o["ema.cluster_size"][layer], size)
        same(o["ema.embed_avg"][layer], total)
        same(o["ema.codebook"][layer], ema_formula(book, size, total))


def draw_residual_shared(rng):
    size = np.linspace(0.3, 1.2, 12)[:, None]  # small codes for the later layers
    return {"codebook": (size * rng.standard_normal((12, 6))).astype(np.float32),
            "x": normal(rng, 20, 6)}


def run_residual_shared(t):
    x, books = t("x"), t("codebook").detach().repeat(3, 1, 1)
    module = residual_quantizer(books, shared_codebook=True)
    value, indices, losses = module(x[None])
    out = {"indices": indices[0], "value": value[0], "losses": losses}
    out.update({"ema." + key: v for key, v in buffers(module.layers[0]._codebook).items()})
    return out


def verify_residual_shared(i, o):
    book = i["codebook"]
    indices, residuals, codes = residual_pass(i["x"], [book] * 3)
    same(o["indices"], indices)
    same(o["value"], sum(codes))
    same(o["losses"], [np.square(r - q).mean() for r, q in zip(residuals, codes)])
    size, total = np.ones(len(book)), book
    for layer in range(3):  # three steps of the averages, one new codebook at the end
        hot = np.eye(len(book))[indices[:, layer]]
        size, total = 0.8 * size + 0.2 * hot.sum(0), 0.8 * total + 0.2 * hot.T @ residuals[layer]
    same(o["ema.cluster_size"], size)
    same(o["ema.embed_avg"], total)
    same(o["ema.codebook"], ema_formula(book, size, total))


# --- gumbel ---

def draw_gumbel(rng):
    uniform = rng.uniform(0.001, 0.999, (20, 10))
    return {"e": normal(rng, 20, 6), "codebook": normal(rng, 10, 6), "g": normal(rng, 20, 6),
            "noise": (-np.log(-np.log(uniform))).astype(np.float32)}


def run_gumbel(t):
    out, e, g = {}, t("e"), t("g")
    given = mock.patch.object(vq, "gumbel_noise", lambda logits: t("noise").detach()[None])
    for temperature in (1.0, 0.5):
        name = f"temperature{temperature}."
        # A codebook that learns: only the inner module allows it together with straight_through.
        book = vq.Codebook(
            dim=6, codebook_size=10, learnable_codebook=True, ema_update=False,
            threshold_ema_dead_code=0, sample_codebook_temp=temperature,
            gumbel_sample=functools.partial(vq.gumbel_sample, stochastic=True,
                                            straight_through=True)).train()
        set_codes(book, t("codebook").detach())
        # The whole module, as a user gets it: straight_through is its Gumbel switch.
        options = {"stochastic_sample_codes": True, "straight_through": True,
                   "sample_codebook_temp": temperature, "ema_update": False}
        whole = quantizer(t("codebook").detach(), **options)
        open_way = quantizer(t("codebook").detach(), route_gradients_to_input=False, **options)
        with given:
            value, indices, _ = book(e[None])
            plain, of_plain, _ = whole(e[None])
            through, of_through, _ = open_way(e[None])
        assert torch.equal(indices, of_plain) and torch.equal(indices, of_through)
        out[name + "indices"], out[name + "value"] = indices[0], value[0]
        out[name + "grad_e"], to_codes = grads((value[0] * g).sum(), e, book.embed)
        out[name + "grad_codebook"] = to_codes[0]
        out[name + "grad_e_module"] = grads((plain[0] * g).sum(), e)[0]
        again = grads((through[0] * g).sum(), e)[0]
        assert torch.allclose(again, out[name + "grad_e"], rtol=1e-4, atol=1e-5)
    return out


def verify_gumbel(i, o):
    e, g, codes = i["e"], i["g"], i["codebook"]
    for temperature in (1.0, 0.5):
        name = f"temperature{temperature}."
        soft = lambda e, codes: softmax(-distances(e, codes) / temperature)  # not squared; no noise
        chosen = largest(-distances(e, codes) / temperature + i["noise"])
        clear_if((chosen != distances(e, codes).argmin(1)).any())
        same(o[name + "indices"], chosen)
        same(o[name + "value"], codes[chosen])
        same(o[name + "grad_e_module"], g)  # straight_through() replaces the Gumbel gradient
        same(o[name + "grad_e"], slope(lambda v: (soft(v, codes) @ codes * g).sum(), e), 1e-6)
        by_logits = slope(lambda v: (soft(e, v) @ codes * g).sum(), codes)
        same(o[name + "grad_codebook"], np.eye(len(codes))[chosen].T @ g + by_logits, 1e-6)


# --- losses ---

def draw_losses(rng):
    return {"orthogonal.codebook": normal(rng, 10, 6),
            "diversity.x": normal(rng, 5, 4, 6, scale=0.05),
            "diversity.codebook": normal(rng, 10, 6, scale=0.05)}


def run_losses(t):
    codes, x = t("orthogonal.codebook"), t("diversity.x")
    loss = vq.orthogonal_loss_fn(codes[None])
    out = {"orthogonal.loss": loss, "orthogonal.grad_codebook": grads(loss, codes)[0]}
    for temperature in (10, 100):
        for name, batch in (("rows", x.reshape(20, 6)), ("positions", x)):
            module = quantizer(t("diversity.codebook").detach(), learnable_codebook=True,
                               ema_update=False, commitment_weight=0,
                               codebook_diversity_loss_weight=1,
                               codebook_diversity_temperature=temperature)
            _, indices, loss = module(batch)
            name = f"diversity.temperature{temperature}.{name}."
            out[name + "loss"] = loss
            out[name + "grad_x"], to_codes = grads(loss, x, module._codebook.embed)
            out[name + "grad_codebook"] = to_codes[0]
    return out


def verify_losses(i, o):
    def orthogonal(codes):
        gram = unit(codes) @ unit(codes).T - np.eye(len(codes))
        return np.square(gram).sum() / len(codes) ** 2

    codes = i["orthogonal.codebook"]
    same(o["orthogonal.loss"], orthogonal(codes))
    same(o["orthogonal.grad_codebook"], slope(orthogonal, codes), 1e-6)
    x, codes = i["diversity.x"], i["diversity.codebook"]
    for temperature in (10, 100):
        def diversity(x, codes, axes):
            p = softmax(-temperature * np.linalg.norm(x[:, :, None] - codes, axis=-1))
            mean = p.mean(axis=axes)
            clear_if(np.abs(mean - EPS) > 1e-2 * EPS)
            return -entropy(mean).mean()

        # rows: the mean over all; positions: over the batch alone, each position for itself.
        for name, axes in (("rows", (0, 1)), ("positions", 0)):
            name = f"diversity.temperature{temperature}.{name}."
            same(o[name + "loss"], diversity(x, codes, axes))
            same(o[name + "grad_x"], slope(lambda v: diversity(v, codes, axes), x), 1e-5)
            same(o[name + "grad_codebook"], slope(lambda v: diversity(x, v, axes), codes), 1e-5)


# --- diveq ---

VARIANCE = 5e-3


def draw_diveq(rng):
    return {"e": normal(rng, 20, 6), "codebook": normal(rng, 10, 6), "g": normal(rng, 20, 6),
            "noise": normal(rng, 20, 6)}


def run_diveq(t):
    e, g = t("e"), t("g")
    # The package insists on replacing dead codes: a limit that no code falls below.
    module = quantizer(t("codebook").detach(), directional_reparam=True,
                       directional_reparam_variance=VARIANCE, threshold_ema_dead_code=1e-9)
    noise = t("noise").detach()
    with mock.patch.object(torch, "randn_like", noise.view_as):
        value, indices, loss = module(e[None])
    assert loss == 0
    to_e, to_codes = grads((value[0] * g).sum(), e, module._codebook.embed)
    return {"indices": indices[0], "value": value[0], "grad_e": to_e, "grad_codebook": to_codes[0]}


def verify_diveq(i, o):
    e, g, codes = i["e"], i["g"], i["codebook"]
    chosen = nearest(e, codes)
    error = codes[chosen] - e
    size = np.linalg.norm(error, axis=-1, keepdims=True)
    way = unit(error + np.sqrt(VARIANCE) * i["noise"])  # a constant
    pull = error / size * (way * g).sum(-1, keepdims=True)
    same(o["indices"], chosen)
    same(o["value"], e + size * way)
    same(o["grad_e"], g - pull)
    same(o["grad_codebook"], np.eye(len(codes))[chosen].T @ pull)


# --- all groups ---

GROUPS = {name: tuple(globals()[f"{does}_{name}"] for does in ("draw", "run", "verify"))
          for name in ("rotation", "ema", "ema_cosine", "kmeans", "fsq", "lfq", "simvq", "residual",
                       "residual_shared", "gumbel", "losses", "diveq")}
GROUPS["fsq_symmetric"] = (
    functools.partial(draw_fsq, cases=FSQ_SYMMETRIC, middle=False),
    functools.partial(run_fsq, cases=FSQ_SYMMETRIC, symmetric=True),
    functools.partial(verify_fsq, cases=FSQ_SYMMETRIC, symmetric=True))


@contextlib.contextmanager
def precision(dtype):
    """New modules in dtype; for float64, .float() gives float64 as well."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with contextlib.ExitStack() as stack:
            if dtype == torch.float64:
                stack.enter_context(mock.patch.object(torch.Tensor, "float", torch.Tensor.double))
            yield
    finally:
        torch.set_default_dtype(before)


def run(name, inputs, dtype):
    """The package's outputs as numpy: int32, or float64 (also where dtype is float32)."""
    def t(key):
        if key not in made:
            made[key] = torch.from_numpy(inputs[key]).to(dtype).requires_grad_()
        return made[key]

    made, out = {}, {}
    torch.manual_seed(0)  # nothing random may reach the outputs
    with precision(dtype):
        for key, v in GROUPS[name][1](t).items():
            whole = not v.is_floating_point()
            assert whole or v.dtype == dtype, (key, v.dtype)
            out[key] = v.detach().numpy().astype(np.int32 if whole else np.float64)
    return out


def verify(name, inputs, outputs):
    GROUPS[name][2]({key: v.astype(np.float64) for key, v in inputs.items()}, outputs)


def draw_clear(name):
    """(inputs, outputs) of the first seed that leaves no close decision."""
    for seed in range(1000):
        inputs = GROUPS[name][0](np.random.default_rng(seed))
        outputs = run(name, inputs, torch.float64)
        try:
            verify(name, inputs, outputs)
        except Unclear:
            continue
        return seed, inputs, outputs
    raise RuntimeError(f"[make_quantizer_golden] no clear seed below 1000 for {name}")


def float32_error(name, inputs, outputs):
    """How far the package's own float32 is from its float64: the largest relative difference."""
    worst = (0.0, "")
    for key, v in run(name, inputs, torch.float32).items():
        if v.dtype == np.int32:
            assert np.array_equal(v, outputs[key]), (name, key)
            continue
        size = np.linalg.norm(outputs[key])
        worst = max(worst, (np.linalg.norm(v - outputs[key]) / (size if size else 1), key))
    return worst


def versions():
    return ", ".join(f"{name} {importlib.metadata.version(name).partition('+')[0]}"
                     for name in ("vector-quantize-pytorch", "torch", "numpy"))


def write():
    tensors = {}
    for name in GROUPS:
        seed, inputs, outputs = draw_clear(name)
        error, where = float32_error(name, inputs, outputs)
        print(f"{name}: seed {seed}; the package's float32 is within {error:.1e} ({where})")
        assert not set(inputs) & set(outputs)
        for key, v in (*inputs.items(), *outputs.items()):
            whole = v.dtype == np.int32
            tensors[f"{name}.{key}"] = v if whole else np.array(v, np.float32, order="C")
    save_file(dict(sorted(tensors.items())), FILE, {"made_with": versions()})
    os.chmod(FILE, 0o644)  # the library writes files that only their owner can read


def check():
    """Recomputes all from the committed inputs; returns the number of tensors that differ."""
    stored, bad = load_file(FILE), 0
    left = set(stored)
    for name, (draw, _, _) in GROUPS.items():
        inputs = {key: stored[f"{name}.{key}"] for key in draw(np.random.default_rng(0))}
        outputs = run(name, inputs, torch.float64)
        verify(name, inputs, outputs)
        float32_error(name, inputs, outputs)
        left -= {f"{name}.{key}" for key in (*inputs, *outputs)}
        for key, v in outputs.items():
            if np.linalg.norm(stored[f"{name}.{key}"] - v) > 2e-7 * np.linalg.norm(v) + 1e-12:
                print(f"{name}.{key} differs")
                bad += 1
    for name in sorted(left):
        print(f"{name} is made no longer")
    bad += len(left)
    print("quantizers.safetensors is the package's" if bad == 0 else f"{bad} tensors differ")
    return bad


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare the file, write none")
    torch.set_num_threads(1)
    if parser.parse_args().check:
        sys.exit(1 if check() else 0)
    write()
