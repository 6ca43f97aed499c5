"""Compares bin/one_step with the float64 twin: on the committed cases or on random configurations.

What: draws sizes, options and edge cases (equal, zero, tiny, huge, opposite codes; an encoder of
zeros; more codes than rows), runs the program on them, and compares every tensor it writes.
Values (outputs, losses, gradients, EMA buffers, codebook): ||a - b|| / ||b|| <= 1e-4; every
parameter's change: <= 2e-2, as Adam's first steps are nearly sign(g). Exits 1 on a violation.
`--binary python-twin` runs the float32 twin instead, to show how close float32 can come at all.
Next: twin.py (the truth), README.md (how to run).
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import torch
from safetensors.numpy import load_file

import make_golden
import twin

VALUES, CHANGE = make_golden.TOLERANCE["values"], make_golden.TOLERANCE["change"]
LOSS_MAX = 1e33  # the float32 sum behind a larger mean of squares may overflow
ADAM_MAX = 1e18  # a larger gradient's square leaves float32
LOSSES = ("loss", "reconstruction_loss", "codebook_loss", "commitment_loss")
BUFFERS = ("ema_cluster_size", "ema_dw")
NO_PARAMETER = ("reconstruction", "z_e", "indices", "perplexity") + BUFFERS + LOSSES

# How the codebook is drawn. `huge` codes would overflow Adam's second moment in later steps.
CODES = ("plain", "plain", "plain", "duplicates", "equal", "zero", "some zero", "a row",
         "opposite", "tiny", "large", "huge", "some tiny", "some huge", "uniform")
ACCUMULATORS = ("warm", "zero", "trained")


def draw_options(rng):
    options = {"estimator": str(rng.choice(twin.ESTIMATORS)), "owner": str(rng.choice(twin.OWNERS)),
               "beta": float(rng.choice([0, 0.1, 0.25, 1, 2])),
               "decay": float(rng.choice([0, 0.5, 0.9, 0.99, 0.999])),
               "lr": float(rng.choice([1e-4, 2e-4, 1e-3])), "steps": int(rng.choice([1, 5]))}
    origins = [0.0, 0.0, 0.5, -2.0]
    if options["owner"] != "gradient":
        origins.append("mean")  # which follows from the averages
    if options["estimator"] in twin.TURNING:
        options["rotation-origin"] = origins[rng.integers(len(origins))]
    return options


def draw_codebook(rng, kind, rows, codes):
    """[K,D] of one of the CODES."""
    plain = make_golden.draw_codes(rng, rows, codes)
    some = rng.permutation(codes)[:codes // 3]
    if kind == "duplicates":
        plain = plain[rng.integers(0, max(1, codes // 2), codes)]
    elif kind == "equal":
        plain[:] = plain[0]
    elif kind == "zero":
        plain[:] = 0
    elif kind == "some zero":
        plain[some] = 0
    elif kind == "a row":
        plain[-1] = rows[rng.integers(0, len(rows))]
    elif kind == "opposite":
        plain = -3 * rows[rng.integers(0, len(rows), codes)]
    elif kind in ("tiny", "large", "huge"):
        plain = (plain + 0.1) * {"tiny": 1e-24, "large": 1e15, "huge": 1e20}[kind]
    elif kind in ("some tiny", "some huge"):
        plain[some] *= 1e-24 if kind == "some tiny" else 1e20
    elif kind == "uniform":
        plain = rng.uniform(-1 / codes, 1 / codes, plain.shape)
    return plain.astype(np.float32)


def draw_case(rng):
    """A random case as a dict: label, state, images, options."""
    options, kind = draw_options(rng), str(rng.choice(CODES))
    if kind == "huge":
        options["steps"] = 1
    if kind == "a row":
        options["owner"] = "ema"  # Adam would follow the rounding of e - q
    accumulators, silent = str(rng.choice(ACCUMULATORS)), rng.random() < 0.1
    latent = 2 * int(rng.integers(2, 33))
    codes = int(rng.choice([1, 2, 7, rng.integers(1, 201), 200]))
    height, width = 4 * int(rng.integers(2, 11)), 4 * int(rng.integers(2, 11))
    # Few enough activations that a draw without undecided ReLUs exists.
    room = (8e5 if options["steps"] == 1 else 8e4) / (latent * height * width)
    batch = int(np.clip(room, 1, rng.integers(1, 17)))
    state = make_golden.draw_network(rng, latent, codes, float(rng.choice([1.0, 2.0])))
    images = make_golden.draw_images(rng, batch, height, width)
    rows = make_golden.encode(state, images)
    if silent:
        state.update({n: np.zeros_like(t) for n, t in state.items() if n.startswith("encoder")})
    trained = rng if accumulators == "trained" else None
    make_golden.set_codebook(state, draw_codebook(rng, kind, rows, codes), trained)
    if accumulators == "zero":
        state["ema_cluster_size"][:] = state["ema_dw"][:] = 0
    chosen = " ".join(f"{name} {value}" for name, value in options.items())
    label = (f"D {latent} K {codes} images [{batch},3,{height},{width}] {chosen} "
             f"codes {kind}, accumulators {accumulators}"
             + (", encoder of zeros" if silent else ""))
    return {"label": label, "state": state, "images": images, "options": options}


def clear(m, steps):
    """Whether float32 would take the same decisions. Later steps start from other weights."""
    unit = 1 if steps == 1 else 5
    return (m.nearest > 2e-6 * unit and m.kink > 1.5e-6 * unit and m.edge > 1e-2 and
            m.small > 2e-2 and m.apart > 1e-2)


def decided_case(seed, index):
    """Case number `index` and its truth: the first draw whose decisions are clear."""
    for attempt in range(200):
        case = draw_case(np.random.default_rng([seed, index, attempt]))
        margins = twin.Margins()
        truth = twin.one_step(case["state"], case["images"], case["options"], margins=margins)
        if clear(margins, case["options"]["steps"]):
            return case, truth
    raise RuntimeError(f"[compare_one_step] case {index} of seed {seed}: no clear draw in 200")


def relative_error(a, b, scale=0.0):
    """||a - b|| / max(||b||, scale). Rows beyond 1e10 (huge codes) apart, not to hide others."""
    a, b = a.astype(np.float64), np.asarray(b, np.float64)
    if b.ndim == 0 and b > LOSS_MAX and not np.isfinite(a):
        return 0.0
    if not np.isfinite(a).all():
        return float("inf")
    if b.ndim == 2:
        huge = np.abs(b).max(axis=1) > 1e10
        parts = [(a[huge], b[huge]), (a[~huge], b[~huge])]
    else:
        parts = [(a, b)]
    worst = 0.0
    for x, y in parts:
        # An all-zero truth is compared absolutely, with a scale below every meaningful figure.
        size = max(np.linalg.norm(y), scale, 1e-30)
        worst = max(worst, float(np.linalg.norm(x - y) / size))
    return worst


def change_error(before, a, b, steps):
    """The same for w_after - w_before, less what float32 cannot resolve beside w."""
    start, moved = before.astype(np.float64), np.asarray(b, np.float64) - before
    unresolved = 1e-7 * steps * np.linalg.norm(start)
    wrong = np.linalg.norm(a.astype(np.float64) - start - moved) - unresolved
    if wrong <= 0:
        return 0.0
    size = np.linalg.norm(moved)
    return float(wrong / size) if size > 0 and np.isfinite(wrong) else float("inf")


def codebook_gradient_scale(truth):
    """3 % of (2/RD) ||s||, s [K,D] the sums of e per code.

    The gradient is (2/RD) (n c - s); where the two cancel, float32 leaves the rounding of s.
    """
    z_e, indices = truth["z_e"], truth["indices"]
    rows = z_e.transpose(0, 2, 3, 1).reshape(-1, z_e.shape[1]).astype(np.float64)
    sums = np.zeros(truth["codebook.weight"].shape)
    np.add.at(sums, indices.reshape(-1), rows)
    return 3e-2 * 2 / rows.size * np.linalg.norm(sums)


def kind_of(name):
    """The line of the report that a tensor belongs to."""
    if name in LOSSES:
        return "losses"
    if name.startswith("grad.") and "codebook" not in name:
        return "grad of " + name.split(".")[1]
    return name


def compare(state, truth, got, steps):
    """[(kind, tensor, error, limit)] of one case; a missing or misshapen tensor has error inf."""
    figures = []
    for name, b in truth.items():
        a = got.get(name)
        dtype = np.int32 if name == "indices" else np.float32
        if a is None or a.shape != b.shape or a.dtype != dtype:
            is_what = "missing" if a is None else f"{a.dtype}{list(a.shape)}"
            expected = f"{np.dtype(dtype)}{list(b.shape)}"
            figures.append(("missing", f"{name} ({is_what}, expected {expected})", float("inf"), 0))
        elif name == "indices":
            figures.append(("indices", name, float((a != b).sum()), 0))
        elif name in NO_PARAMETER or name.startswith("grad.") or name == "codebook.weight":
            scale = codebook_gradient_scale(truth) if name == "grad.codebook.weight" else 0.0
            figures.append((kind_of(name), name, relative_error(a, b, scale), VALUES))
        if a is None or a.shape != b.shape or name in NO_PARAMETER or name.startswith("grad."):
            continue
        gradient = truth.get("grad." + name)
        if gradient is not None and np.abs(gradient).max() > ADAM_MAX:
            continue
        part = name.split(".")[0]
        figures.append(("change of " + part, name, change_error(state[name], a, b, steps), CHANGE))
    return figures


def run_program(arguments, folder, weights, batch, options):
    """Runs the program on two files; returns what it wrote."""
    out = folder / "out.safetensors"
    out.unlink(missing_ok=True)
    command = ["--weights", str(weights), "--batch", str(batch), "--out", str(out)]
    for name, value in options.items():
        command += ["--" + name, str(value)]
    command += ["--precision", "fp32"]
    if arguments.binary == "python-twin":
        twin.main(command)
    else:
        extra = ["--device", arguments.device] if arguments.device else []
        result = subprocess.run([arguments.binary] + command + extra, capture_output=True,
                                text=True, timeout=600, check=False)
        if result.returncode != 0:
            raise RuntimeError(f"exit status {result.returncode}: {result.stderr.strip()}")
    return load_file(out)


def golden_cases():
    """(label, state, truth, weights, batch, options) of every committed case."""
    here = make_golden.HERE
    for case in json.loads((here / "cases.json").read_text())["cases"]:
        truth = load_file(here / case["output"])
        yield (case["name"], load_file(here / case["weights"]), truth, here / case["weights"],
               here / case["batch"], case["options"])


def random_cases(arguments, folder):
    """The same of random cases, whose files are written to `folder`."""
    numbers = range(arguments.cases) if arguments.only is None else [arguments.only]
    for index in numbers:
        case, truth = decided_case(arguments.seed, index)
        weights, batch = folder / "weights.safetensors", folder / "batch.safetensors"
        twin.save(weights, case["state"])
        twin.save(batch, {"images": case["images"]})
        yield (f"{index}: {case['label']}", case["state"], truth, weights, batch, case["options"])


def report(worst, violations, count):
    """The table of worst figures, then the violations by name."""
    print(f"{'kind':24}{'worst':>10}{'limit':>10}  case and tensor")
    for kind, (error, limit, where) in sorted(worst.items()):
        print(f"{kind:24}{error:10.1e}{limit:10.0e}  {where}")
    for line in violations:
        print("VIOLATION " + line)
    print(f"{count} cases, {len(violations)} violations")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", required=True, help="bin/one_step, or python-twin")
    parser.add_argument("--golden", action="store_true", help="the committed cases")
    parser.add_argument("--cases", type=int, default=50, help="number of random cases (50)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, help="just this one of the random cases")
    parser.add_argument("--keep", help="folder that keeps the last case's files")
    parser.add_argument("--device", help="handed on to the program")
    parser.add_argument("--verbose", action="store_true", help="a line per case")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    worst, violations, count = {}, [], 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(arguments.keep or temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for label, state, truth, weights, batch, options in (
                golden_cases() if arguments.golden else random_cases(arguments, folder)):
            count += 1
            try:
                got = run_program(arguments, folder, weights, batch, options)
            except (RuntimeError, OSError, subprocess.TimeoutExpired) as problem:
                violations.append(f"{label}: {problem}")
                continue
            figures = compare(state, truth, got, options["steps"])
            for kind, name, error, limit in figures:
                where = f"{label.split(':')[0]} {name}"
                if kind not in worst or error > worst[kind][0]:
                    worst[kind] = (error, limit, where)
                if not error <= limit:
                    violations.append(f"{label}: {name} {error:.2e} > {limit:.0e}")
            if arguments.verbose:
                ratio = max(error / limit if limit else error for _, _, error, limit in figures)
                print(f"{label}: {ratio:.2f} of the limit", flush=True)
    report(worst, violations, count)
    return 1 if violations or count == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
