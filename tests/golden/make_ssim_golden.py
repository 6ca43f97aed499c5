"""Makes ssim.json: pairs of images and the SSIM that scikit-image gives them, in float64.

What: images of bytes, in hexadecimal, row-major [H,W,C]; byte v stands for the pixel value
v * 2 / 255 - 1, rounded to float32. SSIM is of intensities, which start at black = 0: of 1 + pixel.
Sizes down to the window's own 11 x 11, one channel and three.
`make_ssim_golden.py` writes the file; `make_ssim_golden.py --check` recomputes the committed one.
Next: ../data/test_ssim.cpp (what is compared with it), README.md.
"""
import argparse
import json
import pathlib
import sys

import numpy as np
from skimage.filters import gaussian
from skimage.metrics import structural_similarity

FILE = pathlib.Path(__file__).resolve().parent / "ssim.json"


def to_bytes(values):
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def intensities(image):
    """Intensities 0..2, from Versor's pixels."""
    return 1 + (image * 2.0 / 255 - 1).astype(np.float32).astype(np.float64)


def ssim(a, b):
    return float(structural_similarity(
        intensities(a), intensities(b), gaussian_weights=True, sigma=1.5,
        use_sample_covariance=False, data_range=2, channel_axis=-1))


def scene(rng, height, width, channels):
    """A gradient of light with a few rectangles on it: even areas and edges."""
    y, x = np.mgrid[0:height, 0:width][..., None]
    image = 128 + (x - width / 2) * rng.uniform(-4, 4, channels) \
        + (y - height / 2) * rng.uniform(-4, 4, channels)
    for _ in range(4):
        top, left = rng.integers(0, height - 3), rng.integers(0, width - 3)
        image[top:top + rng.integers(3, 12), left:left + rng.integers(3, 12)] = \
            rng.uniform(0, 255, channels)
    return to_bytes(image)


def noisy(rng, image, deviation):
    return to_bytes(image + rng.normal(0, deviation, image.shape))


def blurred(image, sigma):
    return to_bytes(gaussian(image.astype(np.float64), sigma=sigma, channel_axis=-1))


def pairs():
    rng = np.random.default_rng(2004)
    photo, grey, small = scene(rng, 32, 32, 3), scene(rng, 17, 23, 1), scene(rng, 11, 11, 3)
    random = rng.integers(0, 256, (2, 13, 19, 3), dtype=np.uint8)
    flat = [np.full((12, 14, 3), v, np.uint8) for v in (0, 128, 255)]
    return {
        "random": (random[0], random[1]),
        "weak noise": (photo, noisy(rng, photo, 4)),
        "strong noise": (grey, noisy(rng, grey, 60)),
        "blurred": (grey, blurred(grey, 1.0)),
        "negative": (grey, 255 - grey),
        "one window": (small, noisy(rng, small, 25)),
        "one window, grey": (small[..., :1], blurred(small[..., :1], 2.0)),
        "constant images": (flat[1], flat[2]),
        "opposite constants": (flat[0], flat[2]),
        "constant and noise": (flat[1], noisy(rng, flat[1], 10)),
        "identical": (random[1], random[1]),
    }


def make():
    return [{"name": name, "shape": list(a.shape), "ssim": ssim(a, b),
             "a": a.tobytes().hex(), "b": b.tobytes().hex()} for name, (a, b) in pairs().items()]


def check():
    """The committed images, so that another numpy's random numbers do not matter."""
    worst = 0.0
    for case in json.loads(FILE.read_text()):
        a, b = (np.frombuffer(bytes.fromhex(case[x]), np.uint8).reshape(case["shape"])
                for x in "ab")
        worst = max(worst, abs(ssim(a, b) - case["ssim"]))
    print(f"largest difference {worst:.1e}")
    return worst <= 1e-12


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare the file, write none")
    if parser.parse_args().check:
        sys.exit(0 if check() else 1)
    FILE.write_text(json.dumps(make(), indent=1) + "\n")
