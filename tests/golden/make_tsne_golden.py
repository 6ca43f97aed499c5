"""Makes tsne-*.safetensors: what scikit-learn's exact t-SNE finds for two small sets of points.

What: `clusters`, 300 points in 16 dimensions around 6 centres, and `uniform`, 500 points in the
unit cube of 8. `points` [n,D]; `kl` [5] the Kullback-Leibler divergences from 5 random starts with
perplexity 30, learning rate 200, 1000 iterations: the spread that any implementation has.
At that learning rate layouts are chaotic, so two implementations cannot be compared point by point.
At 0.5 they are not: `clusters` also has `start` and `layout` [n,2], 300 iterations from one given
start, past the end of the exaggeration after 250.
The points come from a fixed seed. Needs scikit-learn >= 1.5, numpy, safetensors.
Next: tests/experiments/test_embedding.cpp, which holds experiments/tsne/embedding.cpp to these numbers.
"""
import pathlib

import numpy as np
import sklearn
from safetensors.numpy import save_file
from sklearn.manifold import TSNE

HERE = pathlib.Path(__file__).resolve().parent
STATES = range(5)


def embed(points, init, learning_rate, iterations, state=None):
    """A fitted TSNE that was not stopped early."""
    return TSNE(method="exact", init=init, learning_rate=learning_rate, perplexity=30,
                max_iter=iterations, random_state=state, min_grad_norm=0,
                n_iter_without_progress=iterations).fit(points)


def clusters(rng):
    centres = 4 * rng.standard_normal((6, 16))
    points = centres[np.arange(300) % 6] + rng.standard_normal((300, 16))
    return points.astype(np.float32)


def main():
    rng = np.random.default_rng(7)
    worlds = {"clusters": clusters(rng), "uniform": rng.uniform(size=(500, 8)).astype(np.float32)}
    for name, points in worlds.items():
        kl = [embed(points, "random", 200.0, 1000, state).kl_divergence_ for state in STATES]
        tensors = {"points": points, "kl": np.array(kl, np.float32)}
        if name == "clusters":
            tensors["start"] = (1e-4 * rng.standard_normal((len(points), 2))).astype(np.float32)
            init = tensors["start"].astype(np.float64)
            tensors["layout"] = embed(points, init, 0.5, 300).embedding_.astype(np.float32)
        save_file(tensors, HERE / f"tsne-{name}.safetensors",
                  {"made_with": f"scikit-learn {sklearn.__version__}, numpy {np.__version__}"})
        print(f"{name}: KL {np.mean(kl):.4f}, from {min(kl):.4f} to {max(kl):.4f}")


if __name__ == "__main__":
    main()
