"""JPEG, WebP and JPEG 2000 of CIFAR-10's first test images, each image a file of its own: bytes,
PSNR and SSIM by quality, as CSV, to be put beside what bin/encode --compress prints.

A file of 32 x 32 pixels is mostly headers: a JPEG has over 600 bytes of tables and markers before
the first pixel. So the bytes are stated twice: of the whole file, and without all that a set of
images of one size and quality could share. That is in JPEG everything but the scan (its tables are
the standard's), in WebP the containers, start code and size, in JPEG 2000 all headers up to the
packets. PSNR is that of the mean squared error over all images, SSIM the mean over images, both as
in bin/encode. Needs Pillow and NumPy.
  python3 experiments/peers/image_codecs.py --images 1000 --output results/image-codecs.csv
"""
import argparse
import io
import os
import sys

import numpy
from PIL import Image

CODECS = {
    "JPEG": [dict(format="JPEG", quality=q) for q in (1, 2, 5, 10, 15, 20, 30, 40, 50, 60, 75, 90)],
    "WebP": [dict(format="WEBP", method=6, quality=q) for q in (0, 1, 5, 10, 20, 30, 40, 50, 75, 90)],
    # at the given ratio to 3072 bytes; few resolutions, since the images are small
    "JPEG 2000": [dict(format="JPEG2000", no_jp2=True, irreversible=True, num_resolutions=4,
                       quality_mode="rates", quality_layers=[rate])
                  for rate in (20, 16, 12, 10, 8, 6, 5, 4, 3)],
}


def jpeg_scan(data):
    at = 2
    while data[at + 1] != 0xDA:  # every segment up to the start of the scan
        at += 2 + int.from_bytes(data[at + 2:at + 4], "big")
    return len(data) - 2 - (at + 2 + int.from_bytes(data[at + 2:at + 4], "big"))


def without_headers(codec, data):
    if codec == "JPEG":
        return jpeg_scan(data)
    if codec == "WebP":
        assert data[12:16] == b"VP8 "
        return int.from_bytes(data[16:20], "little") - 7
    return len(data) - 2 - (data.index(b"\xff\x93") + 2)


def blurred(x):
    """[N,H,W,C]: sums with the Gaussian weights of SSIM's windows inside the images."""
    weights = numpy.exp(-(numpy.arange(11) - 5.0) ** 2 / (2 * 1.5 ** 2))
    weights /= weights.sum()
    x = sum(w * x[:, i:i + x.shape[1] - 10] for i, w in enumerate(weights))
    return sum(w * x[:, :, i:i + x.shape[2] - 10] for i, w in enumerate(weights))


def ssim(a, b):
    """The mean SSIM of images of bytes; data/ssim.h has formula and source."""
    a, b = a.astype(float), b.astype(float)
    mean_a, mean_b = blurred(a), blurred(b)
    var_a, var_b = blurred(a * a) - mean_a ** 2, blurred(b * b) - mean_b ** 2
    both = blurred(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    return ((2 * mean_a * mean_b + c1) * (2 * both + c2) /
            ((mean_a ** 2 + mean_b ** 2 + c1) * (var_a + var_b + c2))).mean()


def measure(codec, options, images):
    whole, shared, made = 0, 0, numpy.empty_like(images)
    for i, image in enumerate(images):
        file = io.BytesIO()
        Image.fromarray(image).save(file, **options)
        data = file.getvalue()
        whole += len(data)
        shared += without_headers(codec, data)
        made[i] = Image.open(io.BytesIO(data)).convert("RGB")
    mse = ((images.astype(float) - made) ** 2).mean()
    quality = options.get("quality", options.get("quality_layers", [0])[0])
    return (codec, quality, whole / len(images), shared / len(images),
            10 * numpy.log10(255 ** 2 / mse), ssim(images, made))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--output", default="results/image-codecs.csv")
    parser.add_argument("--data-dir", default=os.environ.get("CIFAR10_DIR", "data/cifar-10-batches-bin"))
    args = parser.parse_args()
    try:
        records = numpy.fromfile(os.path.join(args.data_dir, "test_batch.bin"), numpy.uint8)
    except OSError as error:
        sys.exit(f"error: {error}")
    images = records.reshape(-1, 3073)[:args.images, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    images = numpy.ascontiguousarray(images)
    lines = ["codec,quality,bytes,bytes_without_headers,psnr,ssim"]
    for codec, qualities in CODECS.items():
        for options in qualities:
            lines.append("%s,%g,%.2f,%.2f,%.3f,%.4f" % measure(codec, options, images))
            print(lines[-1], flush=True)
    os.makedirs(os.path.dirname(args.output) or ".", exist_ok=True)
    with open(args.output, "w") as file:
        file.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
