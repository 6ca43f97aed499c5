"""Makes the golden files: weights, batches and what the float64 twin computes of them.

What: four small worlds (a model and a batch), 17 cases, cases.json. A world's seed is the first one
for which every discrete decision of its cases is clear (see Margins), so that no correct float32
implementation can choose another code or another side of a ReLU.
`make_golden.py` writes the files; `make_golden.py --check` recomputes the committed ones.
Next: twin.py (what is computed), compare_one_step.py (what is compared with it), README.md.
"""
import argparse
import json
import pathlib
import sys

import numpy as np
import torch
from safetensors.numpy import load_file

import twin

HERE = pathlib.Path(__file__).resolve().parent
TOLERANCE = {"values": 1e-4, "change": 2e-2}


def draw_images(rng, n, height, width):
    """[N,3,H,W] in [-1,1]: coarse blocks plus noise, so that neighbouring rows differ."""
    coarse = rng.uniform(-0.8, 0.8, (n, 3, -(-height // 8), -(-width // 8)))
    blocks = coarse.repeat(8, axis=2).repeat(8, axis=3)[:, :, :height, :width]
    noisy = blocks + rng.normal(0, 0.3, blocks.shape)
    return np.clip(noisy, -1, 1).astype(np.float32)


def draw_network(rng, latent, codes, gain=2.0):
    """A state with weights and biases U(+-gain/sqrt(fan_in)); gain 1 is the model's initialisation.

    A larger gain keeps the rows of latents well apart. The codebook and its buffers are zeros here.
    """
    state, bound = {}, 1.0
    for name, t in twin.VqVaeTwin(latent, codes).state_dict().items():
        if name.startswith(("codebook", "ema")):
            state[name] = np.zeros(tuple(t.shape), np.float32)
            continue
        if name.endswith("weight"):
            # A transposed convolution's weight is [I,O,kh,kw], and its fan_in counts O: both [1].
            bound = gain / np.sqrt(np.prod(t.shape[1:]))
        state[name] = rng.uniform(-bound, bound, tuple(t.shape)).astype(np.float32)
    return state


def encode(state, images):
    """The latents [R,D] in float64."""
    codes, latent = state["codebook.weight"].shape
    model = twin.VqVaeTwin(latent, codes).double()
    model.load_state_dict({name: torch.from_numpy(t).double() for name, t in state.items()})
    with torch.no_grad():
        return twin.to_rows(model.encoder(torch.from_numpy(images).double())).numpy()


def draw_codes(rng, rows, codes, noise=0.3):
    """[K,D]: rows of the latents plus noise, as large as `noise` times their root mean square."""
    chosen = rows[rng.choice(len(rows), codes, replace=len(rows) < codes)]
    size = np.sqrt(np.square(rows).mean())
    return (chosen + rng.normal(0, noise * size, chosen.shape)).astype(np.float32)


def set_codebook(state, codebook, rng=None):
    """Accumulators `warm` (N = 1, m = c); with rng as in mid-training: m about N c."""
    counts = np.ones(len(codebook)) if rng is None else rng.uniform(0.3, 3.0, len(codebook))
    spread = 0 if rng is None else rng.normal(0, 0.05, codebook.shape)
    state["codebook.weight"] = codebook.astype(np.float32)
    state["ema_cluster_size"] = counts.astype(np.float32)
    state["ema_dw"] = (counts[:, None] * codebook * (1 + spread)).astype(np.float32)


def turned(rng, row, angle):
    """The row [D], turned by `angle` (radians) in a random plane."""
    other = rng.normal(0, 1, row.shape)
    other -= row * (row @ other) / (row @ row)
    return np.cos(angle) * row + np.sin(angle) * other * np.linalg.norm(row) / np.linalg.norm(other)


def world_small(rng):
    """D 8, K 32, 2 square images (32 rows); accumulators zero, as the published runs start."""
    state, images = draw_network(rng, 8, 32), draw_images(rng, 2, 16, 16)
    set_codebook(state, draw_codes(rng, encode(state, images), 32))
    state["ema_cluster_size"][:] = state["ema_dw"][:] = 0
    return state, images


def world_oblong(rng):
    """D 4, K 24, 3 images of 12x20 (45 rows), buffers as in mid-training."""
    state, images = draw_network(rng, 4, 24), draw_images(rng, 3, 12, 20)
    set_codebook(state, draw_codes(rng, encode(state, images), 24), rng)
    return state, images


def world_edge(rng):
    """D 4; equal codes, a zero code, a row as a code, codes with ||e^ - q^||^2 = 1e-4 and 4e-4.

    Each of them is chosen by some row. The limit of the reflection's edge rule is 2e-4.
    """
    state, images = draw_network(rng, 4, 16), draw_images(rng, 2, 16, 16)
    rows = encode(state, images)
    codebook = draw_codes(rng, rows, 16)
    codebook[4] = 0
    longest = rows[np.argsort(-np.linalg.norm(rows, axis=1))]
    codebook[7] = longest[0]
    codebook[13], codebook[14] = turned(rng, longest[3], 0.01), turned(rng, longest[6], 0.02)
    codebook[9] = codebook[2]
    codebook[11] = codebook[4]
    set_codebook(state, codebook, rng)
    distances = twin.squared_distances(torch.from_numpy(rows), torch.from_numpy(codebook))
    return (state, images) if {2, 4, 7, 13, 14} <= set(distances.argmin(1)) else None


def world_opposite(rng):
    """D 6; a code that is -3 times a row (R does not exist there) is nearest to every row."""
    state, images = draw_network(rng, 6, 4), draw_images(rng, 2, 16, 16)
    rows = encode(state, images)
    row = rows[np.argsort(np.linalg.norm(rows, axis=1))[len(rows) // 2]]
    codebook = np.stack([-3 * row, -3 * row, 20 * row + 20, -20 * row - 20])
    set_codebook(state, codebook)
    return state, images


# world: how to draw it, and the (estimator, owner, steps) or (..., rotation-origin) run in it.
WORLDS = {
    "small": (world_small, [("rotation", "ema", 1)]),
    "oblong": (world_oblong,
               [(e, "ema", 5) for e in ("ste", "rotation", "reflection", "published")] +
               [("rotation", "gradient", 5), ("published", "both", 5),
                ("rotation", "ema", 5, 0.5), ("rotation", "ema", 5, "mean"),
                ("published", "ema", 5, 0.5)]),
    "edge": (world_edge, [(e, "ema", 1) for e in twin.ESTIMATORS] + [("rotation", "ema", 2)]),
    "opposite": (world_opposite, [("rotation", "ema", 1)]),
}


def case_of(world, estimator, owner, steps, origin=None):
    name = f"{world}-{estimator}-{owner}-{steps}" + (f"-about-{origin}" if origin else "")
    options = {"estimator": estimator, "owner": owner, "beta": 0.25, "decay": 0.99, "lr": 0.0002,
               "steps": steps}
    if origin:
        options["rotation-origin"] = origin
    return {"name": name, "weights": f"weights-{world}.safetensors",
            "batch": f"batch-{world}.safetensors", "output": f"case-{name}.safetensors",
            "options": options}


def clear(m):
    return m.nearest > 3e-4 and m.gap > 1e-3 and m.kink > 2e-5 and m.edge > 0.05 and m.small > 0.009


def make_world(name):
    """(cases, state, images, outputs) of the first seed with clear decisions only."""
    draw, runs = WORLDS[name]
    cases = [case_of(name, *run) for run in runs]
    for seed in range(2000):
        drawn = draw(np.random.default_rng(seed))
        outputs = []
        for case in cases if drawn else []:
            margins = twin.Margins()
            outputs.append(twin.one_step(*drawn, case["options"], margins=margins))
            if not clear(margins):
                break
        else:
            if drawn:
                print(f"{name}: seed {seed}, perplexity {outputs[0]['perplexity']:.1f}")
                return cases, *drawn, outputs
    raise RuntimeError(f"[make_golden] no seed below 2000 gives clear decisions in world {name}")


def write():
    everything = []
    for name in WORLDS:
        cases, state, images, outputs = make_world(name)
        twin.save(HERE / cases[0]["weights"], state)
        twin.save(HERE / cases[0]["batch"], {"images": images})
        for case, output in zip(cases, outputs):
            twin.save(HERE / case["output"], output)
        everything += cases
    text = json.dumps({"tolerance": TOLERANCE, "cases": everything}, indent=1)
    (HERE / "cases.json").write_text(text + "\n")


def check():
    """Recomputes every committed output; returns the number of tensors that differ."""
    bad = 0
    for case in json.loads((HERE / "cases.json").read_text())["cases"]:
        state, images = load_file(HERE / case["weights"]), load_file(HERE / case["batch"])["images"]
        truth = twin.one_step(state, images, case["options"])
        stored = load_file(HERE / case["output"])
        if set(truth) != set(stored):
            print(f"{case['name']}: other tensors than now: {sorted(set(truth) ^ set(stored))}")
            bad += 1
            continue
        for name, t in truth.items():
            if np.linalg.norm(stored[name] - t) > 2e-7 * np.linalg.norm(t):
                print(f"{case['name']}: {name} differs")
                bad += 1
    print("golden files are the twin's" if bad == 0 else f"{bad} tensors differ")
    return bad


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare the files, write none")
    torch.set_num_threads(1)
    if parser.parse_args().check:
        sys.exit(1 if check() else 0)
    write()
