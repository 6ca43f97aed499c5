"""Every model that bin/train makes, evaluated in PyTorch, saved from there and taken back.

    make torch-check TORCH_PYTHON=python3

For each combination of preset, quantizer, structure and model that bin/train accepts: trains one
short epoch in f32, loads model.safetensors into python/versor_torch.py and compares the error of
the test images with bin/evaluate and, where the evaluation does not move the codebook, with
metrics.csv. Then: decoding the symbols gives the reconstruction; the safetensors package reads the
file; bin/evaluate of the file that PyTorch saved gives the same error to the last digit; and a
training that begins with it (--init) and moves nothing ends with its tensors. Appends a row per
combination to round-trip.csv; exit code 1 if anything differs. Images: the first of CIFAR-10, or
made-up ones if there is none.
"""
import argparse
import csv
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

try:
    import torch
    from safetensors import safe_open
except ImportError as error:
    sys.exit(f"error: {sys.executable}: {error}; install torch and safetensors, or name an "
             "interpreter that has them: TORCH_PYTHON=...")

ROOT = Path(__file__).resolve().parents[2]
SPEC = importlib.util.spec_from_file_location("versor_torch", ROOT / "python" / "versor_torch.py")
versor_torch = importlib.util.module_from_spec(SPEC)
sys.modules["versor_torch"] = versor_torch
SPEC.loader.exec_module(versor_torch)

LIMIT = 1e-5  # of a difference between errors, in f32
BF16_LIMIT = 1e-3
TRAIN_IMAGES, TEST_IMAGES, RECORD = 1280, 256, 1 + 3 * 32 * 32
SIZES = "--latent 16 --codes 16 --batch-size 64 --epochs 1 " \
        "--threads 1 --lr 2e-3 --warmup 0 --precision fp32"
COLUMNS = ["options", "status", "versor", "pytorch", "difference", "metrics_difference",
           "saved_difference", "decoded_difference", "init"]

ESTIMATORS = [f"--estimator {name}" for name in versor_torch.ESTIMATORS]
KINDS = ["--quantizer simvq", "--quantizer fsq --levels 4,4", "--quantizer lfq", "--quantizer bsq"]
QUANTIZERS = ["", *ESTIMATORS, "--owner gradient", "--owner both", "--cosine", "--codebook-dim 4",
              "--codebook-dim 4 --cosine", "--rotation-origin 0.5", "--rotation-origin mean",
              "--estimator ste --temperature 0.1", "--soft-em 0.1", "--diversity 0.1",
              "--owner gradient --orthogonality 0.1", "--accumulators zero", *KINDS]
STRUCTURES = ["--layers 2", "--layers 2 --shared-codebook", "--layers 3 --layer-dropout",
              "--groups 2", "--groups 2 --shared-codebook", "--groups 2 --layers 2",
              "--groups 2 --codebook-dim 4"]
MODELS = ["", "--model vqvae2"]


def combinations():
    for model in MODELS:
        for preset in ("versor", "published", "best"):
            for quantizer in QUANTIZERS:
                yield f"--preset {preset} {quantizer} {model}"
        for structure in STRUCTURES:
            for quantizer in ("", "--preset published", "--preset best", "--estimator ste",
                              "--cosine", "--owner gradient", *KINDS):
                yield f"{quantizer} {structure} {model}"
        for downsampling in (8, 16) if not model else (8,):
            for quantizer in ("", "--preset published", "--preset best", *KINDS, "--layers 2"):
                yield f"{quantizer} --downsampling {downsampling} {model}"
        for quantizer in ("", "--preset best", "--quantizer bsq"):
            yield f"{quantizer} {model} --precision bf16"


def make_images(folder, cifar10):
    """Files in CIFAR-10's form: the first images of those in `cifar10`, or made-up ones."""
    for name, count in (("data_batch_1.bin", TRAIN_IMAGES), ("test_batch.bin", TEST_IMAGES)):
        source = Path(cifar10, name)
        if source.exists():
            with open(source, "rb") as file:
                data = file.read(count * RECORD)
        else:
            torch.manual_seed(count)
            pixels = torch.nn.functional.interpolate(torch.rand(count, 3, 5, 5), (32, 32),
                                                     mode="bicubic").clamp(0, 1).mul(255).byte()
            data = torch.cat([torch.zeros(count, 1, dtype=torch.uint8), pixels.flatten(1)], 1)
            data = data.numpy().tobytes()
        Path(folder, name).write_bytes(data)


def parsed(text):
    """{"--lr": "0", "--cosine": None} of a command line's options."""
    options, name = {}, None
    for word in text.split():
        if word.startswith("--"):
            name = word
            options[name] = None
        else:
            options[name] = word
    return options


def words_of(options):
    return [word for pair in options.items() for word in pair if word is not None]


def run(arguments):
    done = subprocess.run(arguments, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr.strip()


class Failed(Exception):
    pass


def made(arguments):
    code, out, error = run(arguments)
    if code != 0:
        raise Failed(f"{' '.join(map(str, arguments))}: {error}")
    return out


def printed_error(text):
    return float(re.search(r"MSE ([0-9.e-]+)", text).group(1))


def one(a, options, images, work):
    """The row of a combination, or None if bin/train refuses it."""
    folder = os.path.join(work, "run")
    train = [f"{a.bin}/train", "--data-dir", a.images, "--quiet"]
    choices = {**parsed(SIZES), **parsed(options)}
    if "--levels" in choices:
        del choices["--codes"]  # follows from the levels
    code, _, error = run([*train, *words_of(choices), "--out", folder])
    if code != 0:
        return {"status": "refused", "init": error.splitlines()[-1]}
    path, saved = os.path.join(folder, "model.safetensors"), os.path.join(work, "saved.safetensors")
    evaluate = [f"{a.bin}/evaluate", "--data-dir", a.images]
    ours = made([*evaluate, folder])
    with open(os.path.join(folder, "evaluation.json")) as file:
        mse = json.load(file)["one_pass"]["mse"]
    with open(os.path.join(folder, "metrics.csv")) as file:
        measured = float(list(csv.DictReader(file))[-1]["test_recon_loss"])

    model = versor_torch.load(folder)
    found = versor_torch.evaluate(model, images)["recon_loss"]
    out = model(images[:8])
    decoded = (model.decode(out.symbols()) - out.reconstruction).abs().max().item()
    if model.metadata["estimator"] in versor_torch.UNSCALED:
        decoded = 0.0  # the decoder is given more than the symbols
    versor_torch.save(model, saved)
    for name in (path, saved):
        tensors, metadata = versor_torch.read_safetensors(name)
        with safe_open(name, "pt") as theirs:
            if theirs.metadata() != metadata or set(theirs.keys()) != set(tensors):
                raise Failed(f"{name}: safetensors reads it otherwise")
            if not all(torch.equal(theirs.get_tensor(key), tensors[key]) for key in tensors):
                raise Failed(f"{name}: safetensors reads other numbers")
    # The same error to the last digit that is printed.
    again = abs(printed_error(made([*evaluate, saved])) - printed_error(ours))

    # Nothing moves, except that averages are computed anew where they cannot be switched off.
    still = parsed("--lr 0 --lr-schedule constant --warmup 0")
    metadata, exactly = model.metadata, True
    if metadata["quantizer"] == "vq":
        still.update(parsed("--dead-codes 0 --ema-in-eval 0 --decay 1"))
        exactly = metadata["rotation_origin"] != "mean" and float(metadata["soft_em"]) == 0
        if exactly:
            still["--owner"] = "gradient"
    second = os.path.join(work, "second")
    made([*train, *words_of({**choices, **still}), "--init", saved, "--out", second])
    after, _ = versor_torch.read_safetensors(os.path.join(second, "model.safetensors"))
    before, _ = versor_torch.read_safetensors(saved)
    difference = max((after[key] - before[key]).abs().max().item() for key in before)
    if set(after) != set(before) or difference > (0 if exactly else 1e-5):
        raise Failed(f"--init: tensors differ by {difference}")
    metrics = abs(found - measured) if metadata["ema_in_eval"] != "1" else ""
    limit = BF16_LIMIT if metadata["precision"] == "bf16" else LIMIT
    good = abs(found - mse) <= limit and (metrics == "" or metrics <= limit) and again == 0 and \
        decoded <= (0.05 if metadata["precision"] == "bf16" else 1e-4)
    return {"status": "ok" if good else "DIFFERS",
            "versor": f"{mse:.8f}", "pytorch": f"{found:.8f}",
            "difference": f"{abs(found - mse):.1e}",
            "metrics_difference": metrics if metrics == "" else f"{metrics:.1e}",
            "saved_difference": f"{again:g}", "decoded_difference": f"{decoded:.1e}",
            "init": "equal" if exactly else f"within {difference:.1e}"}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", default=str(ROOT / "bin"), help="folder of the programs")
    parser.add_argument("--cifar10", help="folder of CIFAR-10's binary files",
                        default=os.environ.get("CIFAR10_DIR", "data/cifar-10-batches-bin"))
    parser.add_argument("--out", default="results/torch-round-trip")
    parser.add_argument("--part", default="1/1", help="i/n: every n-th combination, from the i-th")
    parser.add_argument("--only", default="", help="regular expression of the options")
    a = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    i, n = map(int, a.part.split("/"))
    chosen = list(dict.fromkeys(" ".join(c.split()) for c in combinations()))[i - 1::n]
    os.makedirs(a.out, exist_ok=True)
    a.images = os.path.join(a.out, "images")
    os.makedirs(a.images, exist_ok=True)
    make_images(a.images, a.cifar10)
    images = versor_torch.cifar10(a.images)
    path = os.path.join(a.out, "round-trip.csv")
    new = not os.path.exists(path)
    tally, worst = {}, 0.0
    with open(path, "a", newline="") as file:
        rows = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        if new:
            rows.writeheader()
        for options in chosen:
            if not re.search(a.only, options):
                continue
            with tempfile.TemporaryDirectory() as work:
                try:
                    row = one(a, options, images, work)
                except (Failed, OSError, ValueError, RuntimeError) as error:
                    row = {"status": "FAILED", "init": str(error)}
            rows.writerow({"options": options, **row})
            file.flush()
            tally[row["status"]] = tally.get(row["status"], 0) + 1
            if row["status"] in ("FAILED", "DIFFERS"):
                print(f"{row['status']}  {options}: {row}", file=sys.stderr)
            if "bf16" not in options:
                worst = max(worst, float(row.get("difference") or 0))
    print(f"{', '.join(f'{n} {status}' for status, n in sorted(tally.items()))}; "
          f"largest difference in f32: {worst:.1e}")
    sys.exit(any(status in tally for status in ("FAILED", "DIFFERS")))


if __name__ == "__main__":
    main()
