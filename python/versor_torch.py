"""Versor's models in PyTorch: what a model.safetensors holds, rebuilt from the file alone.

    import versor_torch
    model = versor_torch.load("results/runs/NAME")           # the folder of a run, or a file
    out = model(images)                                      # f32 [N,C,H,W] in [-1,1]
    symbols = model.encode(images)                           # of each level, [N,L,h,w]
    images = model.decode(symbols)
    versor_torch.save(model, "mine.safetensors")             # bin/train --init mine.safetensors
    model = versor_torch.build(quantizer="fsq", latent=32)   # a new one

    python versor_torch.py model.safetensors --cifar10 DIR --images 1000

It needs torch and nothing else. Every model, quantizer and option of bin/train is here, under the
names of the C++ sources, and computes what bin/evaluate computes; updates of codebooks by moving
averages, drawn codes and the losses that only training has are not. Gradients are those of the
estimators, so a model can be trained on here.
Symbols: N images, H x W pixels, h x w latent positions, R = N h w rows, D latent size, d code size,
K codes, L symbols per row; e a row of the encoder's output, q its code.
"""
import argparse
import json
import math
import os
import pathlib
import struct
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import nn

ESTIMATORS = ("ste", "rotation", "reflection", "published", "rotation_unscaled", "gumbel", "diveq")
ROTATIONS = ("rotation", "rotation_unscaled")
UNSCALED = ("published", "rotation_unscaled")  # pass on ||e|| q^ instead of q
NORM_FLOOR = 1e-6  # ||e|| or ||q|| below: the straight-through gradient
CHORD_FLOOR = 2e-4  # ||e^ + q^||^2 (rotations) or ||e^ - q^||^2 (reflection) below: likewise

# The options that make a model, as in the metadata, with their usual values.
USUAL = {"model": "vqvae", "image_channels": "3", "downsampling": "4", "latent": "256",
         "codes": "1024", "quantizer": "vq", "levels": "8,5,5,5", "groups": "1", "layers": "1",
         "shared_codebook": "0", "codebook_dim": "0", "cosine": "0", "estimator": "rotation",
         "rotation_origin": "0", "owner": "ema", "precision": "fp32", "beta": "0.25"}
FORMAT, FORMAT_VERSION = "versor-model", "1"
CHECKSUM = "versor_fnv1a64"  # of the file that was read; a new file goes without


# --- estimators: vq/row_math.h, vq/estimators.h -----------------------------------------------

def normalized(v):
    """(v / ||v||, ||v||) of rows [R,d]; the zero row stays zero."""
    norm = torch.linalg.vector_norm(v, dim=1, keepdim=True)
    return v / torch.where(norm > 0, norm, torch.ones_like(norm)), norm


def estimator_value(e, q, estimator):
    """What the decoder sees in place of q, [R,d]: ||e|| q^ (He of `published`, Re unscaled)."""
    e_hat, e_norm = normalized(e.double())
    q_hat, q_norm = normalized(q.double())
    value = e_norm * q_hat
    if estimator == "rotation_unscaled":
        short = (e_norm < NORM_FLOOR) | (q_norm < NORM_FLOOR)
        return torch.where(short, e.double(), value).to(e.dtype)
    value = torch.where((e_hat == q_hat).all(dim=1, keepdim=True), e.double(), value)
    value = torch.where(q_norm == 0, -e.double(), value)
    return value.to(e.dtype)


def estimator_gradient(e, q, g, estimator):
    """The gradient that reaches e, [R,d]; computed in float64."""
    if estimator not in ("rotation", "reflection", "rotation_unscaled"):
        return g
    g64 = g.double()
    e_hat, e_norm = normalized(e.double())
    q_hat, q_norm = normalized(q.double())
    scale = q_norm / torch.where(e_norm > 0, e_norm, torch.ones_like(e_norm))
    if estimator == "rotation_unscaled":
        scale = torch.ones_like(scale)
    chord = e_hat + q_hat if estimator in ROTATIONS else e_hat - q_hat
    unit, _ = normalized(chord)
    turned = g64 - 2 * unit * (unit * g64).sum(1, keepdim=True)
    if estimator in ROTATIONS:
        turned = turned + 2 * e_hat * (q_hat * g64).sum(1, keepdim=True)
    straight = (chord.square().sum(1, keepdim=True) < CHORD_FLOOR) | \
        (e_norm < NORM_FLOOR) | (q_norm < NORM_FLOOR)
    return torch.where(straight, g64, scale * turned).to(g.dtype)


class PassOn(torch.autograd.Function):
    """Forward: the estimator's value. Backward: the estimator's gradient to e, none to q.

    Both are those of e - origin and q - origin, origin [d].
    """

    @staticmethod
    def forward(ctx, e, q, estimator, origin):
        ctx.save_for_backward(e - origin, q - origin)
        ctx.estimator = estimator
        if estimator not in UNSCALED:
            return q.clone()
        return origin + estimator_value(e - origin, q - origin, estimator)

    @staticmethod
    def backward(ctx, g):
        e, q = ctx.saved_tensors
        return estimator_gradient(e, q, g, ctx.estimator), None, None, None


# --- layers: nn/layers.h ----------------------------------------------------------------------

def exact(x):
    """Activations in f32."""
    return x


def bf16(x):
    """Activations rounded to bf16; sums stay f32 (--precision bf16)."""
    return x.bfloat16().to(x.dtype)


class Conv2d(nn.Conv2d):
    def __init__(self, channels_in, channels_out, kernel, stride=1, padding=0, cast=exact):
        super().__init__(channels_in, channels_out, kernel, stride, padding)
        self.cast = cast

    def forward(self, x):
        return F.conv2d(x, self.cast(self.weight), self.bias, self.stride, self.padding)


class ConvTranspose2d(nn.ConvTranspose2d):
    """4x4, doubles height and width. weight [in,out,4,4]."""

    def __init__(self, channels_in, channels_out, cast=exact):
        super().__init__(channels_in, channels_out, 4, stride=2, padding=1)
        self.cast = cast

    def forward(self, x):
        return F.conv_transpose2d(x, self.cast(self.weight), self.bias, self.stride, self.padding)


class ReLU(nn.ReLU):
    def __init__(self, cast=exact):
        super().__init__()
        self.cast = cast

    def forward(self, x):
        return self.cast(F.relu(x))


class ResidualBlock(nn.Module):
    """relu(conv2(relu(conv1(x))) + x), with a 1x1 projection of x where the channels differ."""

    def __init__(self, channels_in, channels_out, cast=exact):
        super().__init__()
        self.conv1 = Conv2d(channels_in, channels_out, 3, padding=1, cast=cast)
        self.relu1 = ReLU(cast)
        self.conv2 = Conv2d(channels_out, channels_out, 3, padding=1, cast=cast)
        self.proj = None
        if channels_in != channels_out:
            self.proj = Conv2d(channels_in, channels_out, 1, cast=cast)
        self.relu2 = ReLU(cast)

    def forward(self, x):
        shortcut = x if self.proj is None else self.proj(x)
        return self.relu2(self.conv2(self.relu1(self.conv1(x))) + shortcut)


def make_encoder(channels, latent, downsampling=4, cast=exact):
    """images [N,C,H,W] -> [N,D,H/downsampling,W/downsampling]."""
    layers, wide = [], channels
    while downsampling > 1:
        out = latent if layers else latent // 2
        layers += [Conv2d(wide, out, 4, stride=2, padding=1, cast=cast), ReLU(cast)]
        wide, downsampling = out, downsampling // 2
    return nn.Sequential(*layers, ResidualBlock(latent, latent, cast),
                         ResidualBlock(latent, latent, cast))


def make_decoder(channels, latent, downsampling=4, cast=exact):
    """[N,D,h,w] -> images before the tanh."""
    layers, wide = [ResidualBlock(latent, latent, cast) for _ in range(2)], latent
    while downsampling > 2:
        out = latent if downsampling > 4 else latent // 2
        layers += [ConvTranspose2d(wide, out, cast), ReLU(cast)]
        wide, downsampling = out, downsampling // 2
    return nn.Sequential(*layers, ConvTranspose2d(wide, channels, cast))


# --- quantizers: vq/*.h -----------------------------------------------------------------------

@dataclass
class Quantized:
    """As in vq/quantizer.h. A loss that a quantizer does not have is 0."""
    value: torch.Tensor  # [R,D] what the decoder gets
    index: torch.Tensor  # [L,R]
    codes: torch.Tensor  # [R,d] the codes that replaced what was quantized
    codebook_loss: torch.Tensor  # mse(sg[e], q)
    commitment_loss: torch.Tensor  # mse(e, sg[q])


def nearest_code(e, codes, numbers=1 << 25):
    """The index of the nearest code, [R]; of equally near ones the first.  e [R,d], codes [K,d]."""
    e, codes = e.detach().double(), codes.detach().double()
    centre = codes.mean(0)  # smaller numbers, smaller errors
    e, codes = e - centre, codes - centre
    square = codes.square().sum(1)
    step = max(1, numbers // len(codes))
    return torch.cat([(square - 2 * rows @ codes.T).argmin(1) for rows in e.split(step)])


def unit(x):
    """Rows of length 1."""
    return x / (x.square().sum(1, keepdim=True) + 1e-12).sqrt()


class Lookup(nn.Module):
    """Compares rows with codes (vq/lookup.h); subclasses say which rows and which codes."""

    def __init__(self, estimator, origin):
        super().__init__()
        self.estimator, self.origin = estimator, origin

    def prepared(self, e):
        return e

    def code_vectors(self):  # [K,d]
        raise NotImplementedError

    def nearest(self, z, codes):
        return nearest_code(z, codes)

    def origin_of(self, z):
        """The point that the estimator turns about, [d]."""
        return torch.full_like(z[0], float(self.origin)).detach()

    def forward(self, e):
        z, codes = self.prepared(e), self.code_vectors()
        index = self.nearest(z, codes)
        q = codes[index]
        value = PassOn.apply(z, q.detach(), self.estimator, self.origin_of(z))
        return Quantized(value, index[None], q, *self.losses(z, q))

    def losses(self, z, q):
        return F.mse_loss(q, z.detach()), F.mse_loss(z, q.detach())

    def decode(self, index):
        """[1,R] -> [R,d]."""
        return self.code_vectors()[index[0]]


class VectorQuantizer(Lookup):
    """A learned codebook (vq/vector_quantizer.h), its moving averages as they were saved."""

    def __init__(self, codes, latent, estimator, origin, cosine, trained):
        super().__init__(estimator, origin)
        self.cosine = cosine
        self.codebook = nn.Embedding(codes, latent)
        nn.init.uniform_(self.codebook.weight, -1.0 / codes, 1.0 / codes)
        self.codebook.weight.requires_grad_(trained)  # or moved by the averages alone
        self.register_buffer("ema_cluster_size", torch.ones(codes))
        self.register_buffer("ema_dw", self.codebook.weight.detach().clone())

    def prepared(self, e):
        return unit(e) if self.cosine else e

    def code_vectors(self):
        return unit(self.codebook.weight) if self.cosine else self.codebook.weight

    def origin_of(self, z):
        if self.origin != "mean":
            return super().origin_of(z)
        return self.ema_dw.sum(0) / (self.ema_cluster_size.sum() + 1e-30)


class SimVectorQuantizer(Lookup):
    """Frozen codes under a learned map, c_k = W C_k (vq/simvq.h)."""

    def __init__(self, codes, latent, estimator, origin):
        super().__init__(estimator, origin)
        self.register_buffer("frozen", torch.randn(codes, latent) / math.sqrt(latent))
        self.transform = nn.Linear(latent, latent, bias=False)

    def code_vectors(self):
        return self.transform(self.frozen)


class FiniteScalarQuantizer(Lookup):
    """Each dimension bounded and rounded to a few levels (vq/fsq.h)."""

    def __init__(self, levels, estimator, origin):
        super().__init__(estimator, origin)
        columns, shift, scale, offset = [], [], [], []
        for l in levels:
            first, step, s, h, o = -(l // 2), 2 if l == 2 else 1, 0.0, 1.0, 0.0
            if l > 2:
                h, o = (l - 1) * (1 + 1e-3) / 2, 0.5 if l % 2 == 0 else 0.0
                s = math.atanh(o / h)
            columns.append(torch.tensor([(first + j * step) / (l // 2) for j in range(l)]))
            shift.append(s)
            scale.append(h / (l // 2))
            offset.append(o / (l // 2))
        # The first dimension runs fastest.
        grid = torch.cartesian_prod(*columns[::-1]).reshape(-1, len(levels)).flip(1)
        for name, values in (("grid", grid), ("shift", shift), ("scale", scale),
                             ("offset", offset)):
            self.register_buffer(name, torch.as_tensor(values), persistent=False)

    def prepared(self, e):
        return torch.tanh(e + self.shift) * self.scale - self.offset

    def code_vectors(self):
        return self.grid

    def losses(self, z, q):
        return z.new_zeros(()), z.new_zeros(())


class SignQuantizer(Lookup):
    """The sign of every dimension (vq/lfq.h): lfq, or bsq on the unit sphere."""

    def __init__(self, bits, spherical, estimator, origin):
        super().__init__(estimator, origin)
        self.spherical = spherical
        self.register_buffer("places", 2 ** torch.arange(bits - 1, -1, -1), persistent=False)
        ones = (torch.arange(2 ** bits)[:, None] // self.places) % 2  # the first bit is the highest
        corners = (2.0 * ones - 1) * (1 / math.sqrt(bits) if spherical else 1)
        self.register_buffer("corners", corners, persistent=False)

    def prepared(self, e):
        return unit(e) if self.spherical else e

    def code_vectors(self):
        return self.corners

    def nearest(self, z, codes):
        return ((z > 0) * self.places).sum(1)

    def losses(self, z, q):
        return z.new_zeros(()), z.new_zeros(()) if self.spherical else F.mse_loss(z, q.detach())


def mean_losses(parts):
    return [sum(getattr(part, name) for part in parts) / len(parts)
            for name in ("codebook_loss", "commitment_loss")]


class ResidualQuantizer(nn.Module):
    """Every layer quantizes what the ones before it left (vq/residual.h).

    The estimator is applied once, to e and the sum of all codes.
    """

    def __init__(self, count, shared, make, estimator, origin):
        super().__init__()
        self.layers = make() if shared else nn.ModuleList(make() for _ in range(count))
        self.uses = [self.layers] * count if shared else list(self.layers)
        self.estimator, self.origin = estimator, origin

    def forward(self, e):
        parts, rest, total = [], e, torch.zeros_like(e)
        for layer in self.uses:
            parts.append(layer(rest))
            total = total + parts[-1].codes.detach()
            rest = rest - parts[-1].codes.detach()
        origin = torch.full_like(e[0], float(self.origin)).detach()
        value = PassOn.apply(e, total, self.estimator, origin)
        return Quantized(value, torch.cat([p.index for p in parts]), total, *mean_losses(parts))

    def decode(self, index):
        """[L,R] -> [R,d]; a symbol of -1, left out, adds nothing."""
        return sum(layer.decode(symbols.clamp_min(0)[None]) * (symbols >= 0)[:, None]
                   for layer, symbols in zip(self.uses, index))


class ProjectedQuantizer(nn.Module):
    """Between two linear maps, D -> d and back (vq/projected.h)."""

    def __init__(self, latent, width, inner):
        super().__init__()
        self.project_in, self.project_out = nn.Linear(latent, width), nn.Linear(width, latent)
        self.inner = inner

    def forward(self, e):
        out = self.inner(self.project_in(e))
        out.value = self.project_out(out.value)
        return out

    def decode(self, index):
        return self.project_out(self.inner.decode(index))


class GroupedQuantizer(nn.Module):
    """Equal parts of the columns, each quantized by itself (vq/grouped.h)."""

    def __init__(self, count, shared, make):
        super().__init__()
        self.groups = make() if shared else nn.ModuleList(make() for _ in range(count))
        self.uses = [self.groups] * count if shared else list(self.groups)

    def forward(self, e):
        parts = [group(columns) for group, columns in zip(self.uses, e.chunk(len(self.uses), 1))]
        return Quantized(torch.cat([p.value for p in parts], 1),
                         torch.cat([p.index for p in parts]),
                         torch.cat([p.codes for p in parts], 1), *mean_losses(parts))

    def decode(self, index):
        return torch.cat([group.decode(symbols) for group, symbols in
                          zip(self.uses, index.chunk(len(self.uses)))], 1)


def make_quantizer(o):
    """From options as texts, in the order of vq/family.cpp: groups of projections of layers."""
    kind, estimator, origin = o["quantizer"], o["estimator"], o["rotation_origin"]
    groups, layers, shared = int(o["groups"]), int(o["layers"]), o["shared_codebook"] == "1"
    levels = [int(level) for level in o["levels"].split(",")]
    latent, width = int(o["latent"]) // groups, int(o["codebook_dim"])
    codes = math.prod(levels) if kind == "fsq" else int(o["codes"])
    if kind in ("fsq", "lfq", "bsq"):  # a grid's codes have as many columns as it has dimensions
        width = len(levels) if kind == "fsq" else codes.bit_length() - 1
    columns = width or latent

    def single():
        if kind == "fsq":
            return FiniteScalarQuantizer(levels, estimator, origin)
        if kind in ("lfq", "bsq"):
            return SignQuantizer(columns, kind == "bsq", estimator, origin)
        if kind == "simvq":
            return SimVectorQuantizer(codes, columns, estimator, origin)
        if kind == "vq":
            return VectorQuantizer(codes, columns, estimator, origin, o["cosine"] == "1",
                                   o["owner"] != "ema")
        raise ValueError(f"no quantizer {kind}")

    def layered():
        if layers == 1:
            return single()
        return ResidualQuantizer(layers, shared, single, estimator, origin)

    def projected():
        return ProjectedQuantizer(latent, width, layered()) if width else layered()

    if groups == 1:
        return projected()
    return GroupedQuantizer(groups, shared and layers == 1, projected)


# --- models: vq/vqvae.h, vq/vqvae2.h ----------------------------------------------------------

def to_rows(z):
    """[N,D,h,w] -> [R,D]; row r is position (n, y, x) in that order."""
    return z.permute(0, 2, 3, 1).reshape(-1, z.shape[1])


def from_rows(rows, like):
    """[R,D] -> the [N,D,h,w] of `like`."""
    n, d, h, w = like.shape
    return rows.reshape(n, h, w, d).permute(0, 3, 1, 2).contiguous()


@dataclass
class Output:
    reconstruction: torch.Tensor  # [N,C,H,W] in [-1,1]
    levels: list = field(default_factory=list)  # of (latents [N,D,h,w], Quantized), as quantized

    def symbols(self):
        """Of each level, [N,L,h,w]."""
        return [q.index.reshape(-1, z.shape[0], *z.shape[2:]).transpose(0, 1)
                for z, q in self.levels]

    def losses(self, images, beta):
        """(total, reconstruction, codebook, commitment), eq. 7; summed over the levels."""
        reconstruction = F.mse_loss(self.reconstruction, images)
        codebook = sum(q.codebook_loss for _, q in self.levels)
        commitment = sum(q.commitment_loss for _, q in self.levels)
        return reconstruction + codebook + beta * commitment, reconstruction, codebook, commitment


class Model(nn.Module):
    """The base of both models. `metadata`: texts, as in the file."""

    def __init__(self, metadata):
        super().__init__()
        self.metadata = dict(metadata)
        self.cast = bf16 if metadata["precision"] == "bf16" else exact

    def quantized(self, quantizer, z, output):
        output.levels.append((z, quantizer(to_rows(z))))
        return from_rows(output.levels[-1][1].value, z)

    def values_of(self, quantizer, symbols):
        """[N,L,h,w] -> the codes, [N,D,h,w]."""
        n, length, h, w = symbols.shape
        rows = quantizer.decode(symbols.transpose(0, 1).reshape(length, -1))
        return rows.reshape(n, h, w, -1).permute(0, 3, 1, 2).contiguous()

    @torch.no_grad()
    def encode(self, images):
        """The symbols of each level, [N,L,h,w]."""
        return self(images).symbols()


class VqVae(Model):
    def __init__(self, metadata):
        super().__init__(metadata)
        sizes = [int(metadata[key]) for key in ("image_channels", "latent", "downsampling")]
        self.encoder = make_encoder(*sizes, self.cast)
        self.decoder = make_decoder(*sizes, self.cast)
        self.quantizer = make_quantizer(metadata)

    def decoded(self, values):
        return torch.tanh(self.cast(self.decoder(self.cast(values))))

    def forward(self, images):
        output = Output(images)
        z = self.encoder(self.cast(images))
        output.reconstruction = self.decoded(self.quantized(self.quantizer, z, output))
        return output

    @torch.no_grad()
    def decode(self, symbols):
        """[N,L,h,w] of the one level -> [N,C,H,W], what the evaluation reconstructs (the estimators
        of UNSCALED give the decoder the latent's length too, which the symbols do not have)."""
        return self.decoded(self.values_of(self.quantizer, symbols[0]))


class VqVae2(Model):
    def __init__(self, metadata):
        super().__init__(metadata)
        channels, latent, downsampling = (
            int(metadata[key]) for key in ("image_channels", "latent", "downsampling"))
        cast = self.cast
        self.encoder_bottom = make_encoder(channels, latent, downsampling, cast)
        self.encoder_top = nn.Sequential(Conv2d(latent, latent, 4, stride=2, padding=1, cast=cast),
                                         ReLU(cast), ResidualBlock(latent, latent, cast))
        self.decoder_top = nn.Sequential(ResidualBlock(latent, latent, cast),
                                         ConvTranspose2d(latent, latent, cast))
        self.join_bottom = Conv2d(2 * latent, latent, 1, cast=cast)
        self.upsample_top = ConvTranspose2d(latent, latent, cast)
        self.join_decoder = Conv2d(2 * latent, latent, 1, cast=cast)
        self.decoder = make_decoder(channels, latent, downsampling, cast)
        self.top, self.bottom = make_quantizer(metadata), make_quantizer(metadata)

    def decoded(self, top, bottom):
        large = self.cast(self.upsample_top(self.cast(top)))
        joined = self.join_decoder(torch.cat([self.cast(bottom), large], 1))
        return torch.tanh(self.cast(self.decoder(self.cast(joined))))

    def forward(self, images):
        output = Output(images)
        features = self.encoder_bottom(self.cast(images))
        top = self.quantized(self.top, self.encoder_top(features), output)
        decoded = self.cast(self.decoder_top(self.cast(top)))
        joined = self.cast(self.join_bottom(torch.cat([features, decoded], 1)))
        bottom = self.quantized(self.bottom, joined, output)
        output.reconstruction = self.decoded(top, bottom)
        return output

    @torch.no_grad()
    def decode(self, symbols):
        """The symbols of the top and the bottom level, [N,L,h,w] each -> [N,C,H,W]."""
        return self.decoded(self.values_of(self.top, symbols[0]),
                            self.values_of(self.bottom, symbols[1]))


def build(metadata=None, **options):
    """A new model of these options (USUAL); values may be numbers, levels "8,5,5,5"."""
    texts = {key: str(int(value) if isinstance(value, bool) else value)
             for key, value in options.items()}
    unknown = sorted(set(texts) - set(USUAL))
    if unknown:
        raise ValueError(f"there is no option {unknown[0]}; there are {', '.join(sorted(USUAL))}")
    o = {**USUAL, **(metadata or {}), **texts}
    if o["model"] not in ("vqvae", "vqvae2") or o["estimator"] not in ESTIMATORS:
        raise ValueError(f"no model {o['model']} with the estimator {o['estimator']}")
    return (VqVae2 if o["model"] == "vqvae2" else VqVae)(o)


# --- files: nn/safetensors.h, experiments/run/model_file.h ------------------------------------

DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16,
          "BF16": torch.bfloat16, "I64": torch.int64, "I32": torch.int32, "U8": torch.uint8}
NAMES = {dtype: name for name, dtype in DTYPES.items()}


def read_safetensors(path):
    """(tensors by name, metadata) of a file."""
    with open(path, "rb") as file:
        data = bytearray(file.read())
    try:
        size, = struct.unpack_from("<Q", data)
        header = json.loads(data[8:8 + size].decode())
        metadata = header.pop("__metadata__", {})
        tensors = {}
        for name, entry in header.items():
            begin, end = (8 + size + offset for offset in entry["data_offsets"])
            dtype = DTYPES[entry["dtype"]]
            count = math.prod(entry["shape"])
            if end > len(data) or end - begin != count * dtype.itemsize:
                raise ValueError(f"{name} has other bytes than its shape needs")
            flat = torch.frombuffer(bytearray(data[begin:end]), dtype=dtype) if count else \
                torch.empty(0, dtype=dtype)
            tensors[name] = flat.reshape(entry["shape"])
    except (struct.error, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is no safetensors file or is damaged: {error}") from None
    return tensors, metadata


def write_safetensors(path, tensors, metadata):
    order = sorted(tensors, key=lambda name: (-tensors[name].dtype.itemsize, name))
    header, offset = {"__metadata__": metadata}, 0
    for name in order:
        size = tensors[name].numel() * tensors[name].dtype.itemsize
        header[name] = {"dtype": NAMES[tensors[name].dtype], "shape": list(tensors[name].shape),
                        "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    unfinished = f"{path}.tmp"
    with open(unfinished, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name in order:
            flat = tensors[name].detach().cpu().contiguous().reshape(-1)
            file.write(flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b"")
    os.replace(unfinished, path)


def file_name(name):
    """A tensor's name in the file: the quantizer of VqVae and what a projection surrounds have no
    names of their own there."""
    return ".".join(part for part in name.split(".") if part not in ("quantizer", "inner"))


def texts_of(config):
    """A config.json's options as texts on a command line."""
    return {key: str(int(value)) if isinstance(value, bool) else str(value)
            for key, value in config.items()}


def load(path):
    """The model of a run's folder or of a model.safetensors, ready to evaluate.

    A file without metadata (made by an older version) needs the run's config.json beside it.
    """
    if os.path.isdir(path):
        path = os.path.join(path, "model.safetensors")
    tensors, metadata = read_safetensors(path)
    if metadata.get("format") != FORMAT:
        beside = os.path.join(os.path.dirname(path), "config.json")
        if not os.path.exists(beside):
            raise ValueError(f"{path} does not say what model it holds, and there is no {beside}")
        with open(beside) as file:
            metadata = texts_of(json.load(file)["options"])
    elif metadata.get("format_version") != FORMAT_VERSION:
        raise ValueError(f"{path} has version {metadata.get('format_version')} of the format; "
                         f"this program reads version {FORMAT_VERSION}")
    model = build(metadata)
    names = {file_name(name): name for name in model.state_dict()}
    missing, unknown = names.keys() - tensors.keys(), tensors.keys() - names.keys()
    if missing or unknown:
        raise ValueError(f"{path} does not fit its options: missing {sorted(missing)}, "
                         f"unknown {sorted(unknown)}")
    model.load_state_dict({names[name]: tensor for name, tensor in tensors.items()})
    return model.eval()


def save(model, path):
    """Writes a file that bin/train --init, bin/evaluate and load() read."""
    metadata = {key: value for key, value in model.metadata.items() if key != CHECKSUM}
    metadata.setdefault("config", json.dumps(metadata))
    metadata.update(format=FORMAT, format_version=FORMAT_VERSION)
    for key, usual in (("image_height", "32"), ("image_width", "32"), ("trained_epochs", "0")):
        metadata.setdefault(key, usual)
    tensors = {file_name(name): tensor for name, tensor in model.state_dict().items()}
    write_safetensors(path, tensors, metadata)


# --- evaluation -------------------------------------------------------------------------------

@torch.no_grad()
def evaluate(model, images, batch=500):
    """What bin/evaluate measures of images f32 [N,C,H,W] in [-1,1], and the losses.

    recon_loss: mean over the images. perplexity: exp of the mean entropy of a symbol over the whole
    set. codebook_loss, commitment_loss: means over the images.
    """
    model.eval()
    sums, counts = {"recon_loss": 0.0, "codebook_loss": 0.0, "commitment_loss": 0.0}, None
    for some in images.split(batch):
        out = model(some)
        _, _, codebook, commitment = out.losses(some, 0)
        difference = out.reconstruction.double() - some.double()
        for name, mean in (("recon_loss", difference.square().mean()), ("codebook_loss", codebook),
                           ("commitment_loss", commitment)):
            sums[name] += float(mean) * len(some)
        symbols = [row for _, q in out.levels for row in q.index]
        counts = counts or [{} for _ in symbols]
        for count, row in zip(counts, symbols):
            for code, n in zip(*(t.tolist() for t in row.unique(return_counts=True))):
                count[code] = count.get(code, 0) + n
    result = {name: total / len(images) for name, total in sums.items()}
    result["psnr"] = 10 * math.log10(4 / result["recon_loss"])
    entropies = []
    for count in counts:
        total = sum(count.values())
        entropies.append(-sum(n / total * math.log(n / total) for n in count.values()))
    result["perplexity"] = math.exp(sum(entropies) / len(entropies))
    result["codes_used"] = sum(len(count) for count in counts)
    return result


def cifar10(folder, images=0, train=False):
    """The first images of CIFAR-10's binary files, [N,3,32,32] in [-1,1]; 0: all."""
    names = [f"data_batch_{i}.bin" for i in range(1, 6)] if train else ["test_batch.bin"]
    data = b"".join(pathlib.Path(folder, name).read_bytes() for name in names)
    records = torch.frombuffer(bytearray(data), dtype=torch.uint8).reshape(-1, 1 + 3 * 32 * 32)
    pixels = records[:images or len(records), 1:].reshape(-1, 3, 32, 32)
    return pixels.float() * (2 / 255) - 1


def check_images(metadata):
    """Refuses models of other images than CIFAR-10's, whose error here would mean nothing."""
    shape = [metadata.get(f"image_{axis}", "") for axis in ("height", "width", "channels")]
    if metadata.get("data", "CIFAR-10") != "CIFAR-10" or shape not in (["32", "32", "3"], [""] * 3):
        raise ValueError(f"the model is of {metadata.get('data')}, {' x '.join(shape)}, "
                         "not of CIFAR-10's images: evaluate(load(path), images) takes any")


def main(arguments=None):
    parser = argparse.ArgumentParser(description="Evaluates a model of Versor on CIFAR-10's test "
                                                 "images in PyTorch.")
    parser.add_argument("model", help="model.safetensors, or the folder of a run")
    parser.add_argument("--cifar10", metavar="DIR", required=True, help="the binary files")
    parser.add_argument("--images", type=int, default=0, help="the first so many; default all")
    parser.add_argument("--train", action="store_true", help="training images instead")
    parser.add_argument("--save", metavar="FILE", help="write the model again, as PyTorch has it")
    a = parser.parse_args(arguments)
    try:
        model = load(a.model)
        check_images(model.metadata)
        found = evaluate(model, cifar10(a.cifar10, a.images, a.train))
        if a.save:
            save(model, a.save)
    except (OSError, ValueError, RuntimeError) as error:
        parser.exit(1, f"error: {' '.join(str(error).split())}\n")
    print("  ".join(f"{name} {value:.8g}" for name, value in found.items()))


if __name__ == "__main__":
    main()
