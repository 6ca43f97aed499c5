"""Our nearest-code search in turn with FAISS's exhaustive one (IndexFlatL2), size by size.

Both stay alive and work in turn (bench_peers.py); the index is built before the clock starts. FAISS
compares distances in f32, so that its index is not always the nearest; ours is. Random numbers,
equal in distribution, not in bits.
  python3 faiss_nearest.py --versor bin/bench --json results/bench-faiss.json
"""
import argparse
import os
import statistics
import sys
import time

import faiss
import numpy

from bench_peers import Program, ProgramError, write_json

SIZES = [(codes, latent) for latent in (4, 64, 256) for codes in (256, 1024, 4096, 16384, 65536)]


class FlatIndex:
    def __init__(self, rows, codes, latent):
        random = numpy.random.default_rng(7)
        self.rows = random.uniform(-1, 1, (rows, latent)).astype(numpy.float32)
        self.index = faiss.IndexFlatL2(latent)
        self.index.add(random.uniform(-1, 1, (codes, latent)).astype(numpy.float32))

    def search(self):
        start = time.perf_counter()
        self.index.search(self.rows, 1)
        return 1e3 * (time.perf_counter() - start)


def compare(us, args, codes, latent):
    peer = FlatIndex(args.rows, codes, latent)
    ours, theirs = [], []
    for pair in range(args.pairs + 1):
        time.sleep(args.pause)
        mine = us.ask(f"nearest {args.rows} {codes} {latent}")
        time.sleep(args.pause)
        other = peer.search()
        if pair > 0:  # the first pair wakes both up
            ours.append(mine)
            theirs.append(other)
    return {"codes": codes, "latent": latent, "our_ms": statistics.median(ours),
            "their_ms": statistics.median(theirs),
            "theirs_to_ours": statistics.median(b / a for a, b in zip(ours, theirs))}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--versor", default="bin/bench")
    parser.add_argument("--rows", type=int, default=8192)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--pause", type=float, default=0.3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--json", default="")
    args = parser.parse_args()
    faiss.omp_set_num_threads(args.threads)
    result = {"faiss": faiss.__version__, "rows": args.rows, "threads": args.threads, "sizes": []}
    print(f"nearest code of {args.rows} rows in turn with FAISS {faiss.__version__} IndexFlatL2, "
          f"{args.threads} threads, {args.pairs} pairs\n    D      K    ours ms   FAISS ms  "
          "FAISS/ours", flush=True)
    small = ["--batch", "1", "--latent", "4", "--codes", "4", "--precision", "fp32"]
    with Program([args.versor, "--serve", "--threads", str(args.threads), *small]) as us:
        result["hardware"] = us.hello["device"]
        for codes, latent in SIZES:
            row = compare(us, args, codes, latent)
            result["sizes"].append(row)
            print(f"  {latent:3} {codes:6} {row['our_ms']:10.2f} {row['their_ms']:10.2f} "
                  f"{row['theirs_to_ours']:11.2f}", flush=True)
    write_json(args.json, result)


if __name__ == "__main__":
    try:
        main()
    except (ProgramError, OSError) as failure:
        sys.exit(f"error: {failure}")
