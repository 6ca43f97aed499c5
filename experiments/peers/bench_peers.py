"""Our training step in turn with the same step in PyTorch, and our floor with bare oneDNN.

Both programs stay alive, each does one step when it is asked, and only one of them works at a time:
what disturbs the machine for longer than a step disturbs both, and the ratio is the median over the
pairs. OpenMP's threads spin for a while after their work (libgomp for milliseconds, Intel's library
for 0.2 s), so each step waits for --pause seconds before it; whether the other program was asleep
is measured: "idle" is the share of a core that it used while the step ran.
  make bench-peers TORCH_PYTHON=/path/to/python      prints a table, writes results/bench-peers.json
Peak memory: ours as counted by our pool, theirs as torch_step.py says. Only the standard library
is used here; PyTorch runs in torch_step.py.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
VARIANTS = {  # of a kind of device: mode of torch_step.py, what the table calls it, precisions
    "cpu": [("contiguous", "eager, NCHW", ("fp32", "bf16")),
            ("eager", "eager, channels_last", ("fp32", "bf16")),
            ("compile", "compile, channels_last", ("fp32", "bf16")),
            ("published", "as published, NCHW", ("fp32",))],
    "cuda": [("eager", "eager, channels_last", ("fp32", "tf32", "bf16")),
             ("compile", "compile, channels_last", ("fp32", "tf32", "bf16")),
             ("graphs", "compile, CUDA graphs", ("fp32", "tf32", "bf16")),
             ("whole", "whole step one graph", ("fp32", "tf32", "bf16")),
             ("autotune", "compile, max-autotune", ("fp32", "tf32", "bf16"))]}  # slow to start
FLOOR_PAIRS, FLOOR_ROUNDS = 5, 5
FLOOR_SIZE = (128, 256)  # batch and D that onednn_floor has built in


class ProgramError(Exception):
    """A program that ended; the text is the last line of its standard error."""


class Program:
    """A process that answers a line with a number."""

    def __init__(self, command):
        self.errors = tempfile.TemporaryFile("w+", encoding="utf-8")
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=self.errors, text=True, bufsize=1)
        self.hello = json.loads(self.answer())
        if "error" in self.hello:
            raise ProgramError(self.hello["error"])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()  # the end of the conversation ends the program
        self.process.wait()

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            self.errors.seek(0)
            lines = self.errors.read().strip().splitlines() or ["ended without a word"]
            raise ProgramError(lines[-1].removeprefix("error: ")[:200])
        return line

    def ask(self, what):
        self.process.stdin.write(what + "\n")
        return float(self.answer())

    def core_seconds(self):
        """Processor time that all its threads have used (/proc/<pid>/stat: utime + stime)."""
        text = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text(encoding="utf-8")
        fields = text.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_peak(self):
        """Most memory that the whole process ever had, in bytes (VmHWM)."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8")
        line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
        return 1024 * int(line.split()[1])


def ours(args, precision):
    return Program([args.versor, "--serve", "--device", args.device, "--precision", precision,
                    *sizes(args)])


def theirs(args, mode, precision):
    return Program([args.python, str(HERE / "torch_step.py"), "--serve", "--modes", mode,
                    "--device", args.device, "--precision", precision, "--warmup", "3",
                    *sizes(args)])


def sizes(args):
    return ["--batch", str(args.batch), "--latent", str(args.latent), "--codes", str(args.codes),
            "--threads", str(args.threads)]


def step_alone(program, idle, pause):
    """One step of one program: milliseconds, and processor seconds that the other one used."""
    time.sleep(pause)
    before = idle.core_seconds()
    milliseconds = program.ask("step")
    return milliseconds, idle.core_seconds() - before


def alternate(us, peer, args):
    """Pairs of steps, ours first; the first pair wakes both up and does not count."""
    our_ms, their_ms, idle_seconds = [], [], 0.0
    for pair in range(args.pairs + 1):
        mine, used_by_peer = step_alone(us, peer, args.pause)
        other, used_by_us = step_alone(peer, us, args.pause)
        if pair == 0:
            continue
        our_ms.append(mine)
        their_ms.append(other)
        idle_seconds += used_by_peer + used_by_us
    ratios = [a / b for a, b in zip(our_ms, their_ms)]
    return {"our_ms": statistics.median(our_ms), "their_ms": statistics.median(their_ms),
            "ours_to_theirs": statistics.median(ratios), "pair_ratios": ratios,
            "idle_share": 1e3 * idle_seconds / (sum(our_ms) + sum(their_ms)),
            "our_peak_bytes": us.hello["peak_bytes"], "their_peak_bytes": peer.hello["peak_bytes"],
            "our_process_peak_bytes": us.resident_peak(),
            "their_process_peak_bytes": peer.resident_peak()}


def compare_floor(args, us, precision):
    """Our floor against that of onednn_floor, in turn; the median of the pairwise ratios."""
    environment = dict(os.environ, OMP_NUM_THREADS=str(args.threads))
    our_ms, their_ms = [], []
    for _ in range(FLOOR_PAIRS):
        time.sleep(args.pause)
        our_ms.append(us.ask("floor"))
        time.sleep(args.pause)
        output = subprocess.run([args.floor, precision, str(FLOOR_ROUNDS)], env=environment,
                                check=True, capture_output=True, text=True).stdout
        their_ms.append(float(output.split()[-1]))
    ratio = statistics.median(a / b for a, b in zip(our_ms, their_ms))
    print(f"floor in {precision}: ours {statistics.median(our_ms):.1f} ms, bare oneDNN "
          f"{statistics.median(their_ms):.1f} ms, ratio {ratio:.3f} (goal: 0.95 to 1.05)",
          flush=True)
    return {"precision": precision, "our_ms": statistics.median(our_ms),
            "onednn_ms": statistics.median(their_ms), "ratio": ratio}


def compare_steps(args, us, precision):
    """Yields the row of each variant as soon as it is measured."""
    for mode, name, precisions in VARIANTS["cpu" if args.device == "cpu" else "cuda"]:
        if precision not in precisions or (args.variants and mode not in args.variants):
            continue
        row = {"precision": precision, "mode": mode, "name": name}
        try:
            with theirs(args, mode, precision) as peer:
                row.update(alternate(us, peer, args), pytorch=peer.hello["version"])
        except ProgramError as error:  # what this PyTorch cannot do is one row less
            row["error"] = str(error)
        yield row


def write_json(path, result):
    """Into that file, with its folder; nothing if there is no path."""
    if path:
        pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
        pathlib.Path(path).write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def print_row(row):
    head = f"{row['precision']:<5} {row['name']:<26}"
    if "error" in row:
        print(f"{head} error: {row['error']}", flush=True)
        return
    print(f"{head} {row['our_ms']:9.1f} {row['their_ms']:10.1f} {row['ours_to_theirs']:11.3f} "
          f"{row['our_peak_bytes'] / 2**20:9.0f} {row['their_peak_bytes'] / 2**20:11.0f} "
          f"{100 * row['idle_share']:5.1f} %", flush=True)


def mark_best(rows):
    """The fastest of these variants."""
    working = [row for row in rows if "error" not in row]
    if working:
        best = max(working, key=lambda row: row["ours_to_theirs"])
        best["best"] = True
        print(f"{best['precision']:<5} the fastest of PyTorch: {best['name']}", flush=True)


def options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--versor", default="bin/bench", help="our program")
    parser.add_argument("--floor", default="", help="onednn_floor; none: not compared")
    parser.add_argument("--python", default=sys.executable, help="an interpreter with PyTorch")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="fp32,auto", help="with commas")
    parser.add_argument("--variants", default="", help="modes of torch_step.py; none: all")
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--pause", type=float, default=0.3, help="seconds before each step")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--latent", type=int, default=256)
    parser.add_argument("--codes", type=int, default=1024)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--json", default="", help="file for everything that was measured")
    return parser.parse_args()


def main():
    args = options()
    if subprocess.run([args.python, "-c", "import torch"], capture_output=True).returncode:
        sys.exit(f"error: {args.python} cannot import torch; install it (pip install torch) or name "
                 "another one: TORCH_PYTHON=...")
    result = {"batch": args.batch, "latent": args.latent, "codes": args.codes,
              "threads": args.threads, "pairs": args.pairs, "floors": [], "steps": []}
    done = set()
    print(f"one training step in turn with PyTorch's: batch {args.batch}, D {args.latent}, "
          f"K {args.codes}, {args.threads} threads, {args.pairs} pairs", flush=True)
    for name in args.precision.split(","):
        with ours(args, name) as us:
            precision = us.hello["precision"]
            if precision in done:
                continue
            done.add(precision)
            result["hardware"] = us.hello["device"]
            if args.floor and args.device == "cpu" and (args.batch, args.latent) == FLOOR_SIZE:
                result["floors"].append(compare_floor(args, us, precision))
            print("      variant                       ours ms  theirs ms  ours/theirs  peak MiB      "
                  "theirs    idle", flush=True)
            rows = []
            for row in compare_steps(args, us, precision):  # all is kept if a slow variant is killed
                print_row(row)
                rows.append(row)
                write_json(args.json, result | {"steps": result["steps"] + rows})
            mark_best(rows)
            result["steps"] += rows
    write_json(args.json, result)


if __name__ == "__main__":
    try:
        main()
    except (ProgramError, OSError, subprocess.CalledProcessError) as failure:
        sys.exit(f"error: {failure}")
