"""The VQ-VAE in PyTorch, twice, for comparison of speed and memory only.

VqVae: the model of vq/vqvae.h with nearest code, rotation estimator and EMA codebook, written as a
good PyTorch user would: no D x D matrices, no R x K one-hot. Not here: the replacement of dead
codes, which bin/bench's step has.
PublishedVqVae: the published formulation taken at its word (its mathematics: `published` in
vq/README.md), with every matrix that its formulas name: R x K distances and one-hot rows, and a
D x D Householder matrix for each of the R rows, 2 GiB at R 8192, D 256.
"""
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


def encoder(latent):
    half = latent // 2
    return nn.Sequential(
        nn.Conv2d(3, half, 4, stride=2, padding=1), nn.ReLU(),
        nn.Conv2d(half, latent, 4, stride=2, padding=1), nn.ReLU(),
        ResidualBlock(latent), ResidualBlock(latent))


def decoder(latent):
    """Without the tanh at its end, which is computed in f32."""
    half = latent // 2
    return nn.Sequential(
        ResidualBlock(latent), ResidualBlock(latent),
        nn.ConvTranspose2d(latent, half, 4, stride=2, padding=1), nn.ReLU(),
        nn.ConvTranspose2d(half, 3, 4, stride=2, padding=1))


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
        self.encoder, self.decoder = encoder(latent), decoder(latent)
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


class PublishedVqVae(nn.Module):
    """Codebook owned by EMA and Adam, accumulators from zero; the gradient passes straight."""

    def __init__(self, latent, codes):
        super().__init__()
        self.encoder, self.decoder = encoder(latent), decoder(latent)
        self.codebook = nn.Parameter(torch.empty(codes, latent).uniform_(-1 / codes, 1 / codes))
        self.register_buffer("size", torch.zeros(codes))
        self.register_buffer("sums", torch.zeros(codes, latent))
        self.perplexity = None

    def losses(self, images, autocast):
        with autocast():
            z = self.encoder(images)
        n, d, h, w = z.shape
        rows = z.float().permute(0, 2, 3, 1).reshape(-1, d)                   # [R,D]
        distances = torch.cdist(rows, self.codebook)                          # [R,K]
        index = distances.argmin(1, keepdim=True)
        one_hot = torch.zeros_like(distances).scatter_(1, index, 1.0)         # [R,K]
        q = one_hot @ self.codebook
        self.update(rows.detach(), one_hot)
        # eq. 8: He replaces e on the way on, and e receives the gradient of He as it is
        passed = rows + (householder(rows.detach(), q.detach()) - rows).detach()
        with autocast():
            y = self.decoder(passed.reshape(n, h, w, d).permute(0, 3, 1, 2).contiguous())
        y = torch.tanh(y.float())
        return (F.mse_loss(y, images) + F.mse_loss(q, rows.detach())
                + BETA * F.mse_loss(rows, q.detach()))

    @torch.no_grad()
    def update(self, rows, one_hot):
        """Equations 3-5, and the perplexity of the batch."""
        usage = one_hot.mean(0)
        self.perplexity = torch.exp(-(usage * torch.log(usage + 1e-10)).sum())
        self.size = DECAY * self.size + (1 - DECAY) * one_hot.sum(0)
        self.sums = DECAY * self.sums + (1 - DECAY) * one_hot.t() @ rows
        total = self.size.sum()
        smoothed = (self.size + EPS) / (total + self.size.numel() * EPS) * total
        self.codebook.data = self.sums / smoothed[:, None]


def householder(e, q):
    """H e with H = I - 2 v v^T, v = (e^ - q^) / |e^ - q^|, for each row as a matrix.  [R,D]"""
    v = F.normalize(F.normalize(e, dim=1) - F.normalize(q, dim=1), dim=1)
    identity = torch.eye(e.shape[1], device=e.device)
    matrices = identity - 2 * torch.bmm(v.unsqueeze(2), v.unsqueeze(1))       # [R,D,D]
    return torch.bmm(matrices, e.unsqueeze(2)).squeeze(2)
