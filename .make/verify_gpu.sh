#!/usr/bin/env bash
# make verify-gpu: all that a machine with a GPU can prove, in one command. Writes everything to
# $OUT or results/verify-gpu/ and prints a short summary last; exits 1 if a part failed.
# The parts, to choose some of them with PARTS="tests bench":
#   tests      the whole test-suite on the GPU, against the CPU and the double reference
#   bits       a short training twice, with and without CUDA graph: equal bits?
#   sanitizer  compute-sanitizer (memcheck, racecheck, initcheck) over a very short training
#   bench      a step against the floor of the library calls, in fp32, tf32 and bf16
#   peers      the same step in PyTorch, if it is there, in turn with ours
#   epoch      one epoch of --preset published, and its time
# Environment: VERSOR_BIN (folder of the programs), CIFAR10_DIR (else synthetic images, named so).
set -uo pipefail
out=${OUT:-results/verify-gpu}
parts=${PARTS:-tests bits sanitizer bench peers epoch}
mkdir -p "$out"
summary=$out/summary.txt failed=0
: >"$summary"
say() { printf '%s\n' "$*" | tee -a "$summary"; }
verdict() {  # verdict NAME STATUS TEXT
  if [ "$2" = 0 ]; then say "ok      $1: $3"; else say "FAILED  $1: $3"; failed=1; fi
}
data=(--data synthetic)
[ -z "${CIFAR10_DIR:-}" ] || data=(--data-dir "$CIFAR10_DIR")
tiny=(--data synthetic --device cuda --quiet --latent 32 --codes 64 --batch-size 32)
export VERSOR_TEST_DEVICE=cuda

if ! "$VERSOR_BIN/train" "${tiny[@]}" --train-images 32 --test-images 32 --epochs 1 --out "$out/runs/first" \
  2>"$out/first.txt" >/dev/null; then
  cat "$out/first.txt" >&2
  exit 1
fi
nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm --format=csv >"$out/card.csv" 2>&1
{
  cat "$out/card.csv"
  "$VERSOR_BIN/train" --version
  grep -h 'CUDA_FOUND\|COMPILER' build/setup-*.mk
} >"$out/versions.txt" 2>&1
say "card: $(tail -n 1 "$out/card.csv")"
say "$(sed -n 's/^CUDA_FOUND := //p' build/setup-cuda-*.mk | head -n 1), $("$VERSOR_BIN/train" --version | tail -n 1)"

part_tests() {
  "$VERSOR_BIN/run_tests" >"$out/tests.txt" 2>&1
  local status=$? last
  last=$(tail -n 1 "$out/tests.txt")
  [[ $last =~ ^[1-9][0-9]*\ passed,\ 0\ failed ]] || status=1
  verdict tests $status "$last"
}

train() {  # train NAME ARGUMENT...: into $out/runs/NAME
  rm -rf "$out/runs/$1"
  "$VERSOR_BIN/train" "${tiny[@]}" --out "$out/runs/$1" "${@:2}" >"$out/train-$1.txt" 2>&1
}
equal() {  # equal RUN RUN: the same numbers and the same weights?
  cmp -s "$out/runs/$1/metrics.csv" "$out/runs/$2/metrics.csv" &&
    cmp -s "$out/runs/$1/model.safetensors" "$out/runs/$2/model.safetensors"
}
part_bits() {
  local p
  for p in fp32 tf32 bf16; do
    local some=(--precision $p --train-images 1000 --test-images 200 --epochs 3)
    train $p-graph "${some[@]}" && train $p-again "${some[@]}" && train $p-eager "${some[@]}" --no-graph
    equal $p-graph $p-again; verdict "bits, $p" $? "two runs are equal"
    equal $p-graph $p-eager; verdict "bits, $p" $? "CUDA graph and one by one are equal"
  done
}

part_sanitizer() {
  if ! command -v compute-sanitizer >/dev/null; then say "not run sanitizer: no compute-sanitizer"; return; fi
  local tool p
  for tool in memcheck racecheck initcheck; do
    for p in fp32 bf16; do
      # the libraries' own kernels are not ours to check, nor what they leave unread
      compute-sanitizer --tool $tool --error-exitcode 9 --print-limit 20 \
        "$VERSOR_BIN/train" "${tiny[@]}" --precision $p --no-graph --train-images 64 --test-images 32 \
        --epochs 1 --out "$out/runs/$tool-$p" >"$out/sanitizer-$tool-$p.txt" 2>&1
      verdict "$tool, $p" $? "$(grep -h 'ERROR SUMMARY\|RACECHECK SUMMARY' "$out/sanitizer-$tool-$p.txt" | tail -n 1)"
    done
  done
}

part_bench() {
  local p
  for p in fp32 tf32 bf16; do
    "$VERSOR_BIN/bench" --device cuda --precision $p >"$out/bench-$p.txt" 2>&1
    verdict "bench, $p" $? "$(grep -h '^step\|^floor\|^ratio\|^rate' "$out/bench-$p.txt" | tr -s ' ' | paste -sd' ')"
  done
}

part_peers() {
  if ! python3 -c 'import torch' 2>/dev/null; then say "not run peers: no PyTorch"; return; fi
  local p round
  for p in tf32 bf16; do
    for round in 1 2; do
      "$VERSOR_BIN/bench" --device cuda --precision $p --repeats 5 2>&1 | sed -n '/^step/p;/^  peak/p' |
        sed "s/^/versor $p: /" | tee -a "$out/peers.txt"
      python3 experiments/peers/torch_step.py --device cuda --precision $p \
        --modes eager,compile,graphs,autotune 2>>"$out/peers-log.txt" | tee -a "$out/peers.txt"
    done
  done >/dev/null
  say "peers (ms per step):"
  sed -n 's/^versor/  versor/p; s/.*"mode": "\([a-z]*\)".*"precision": "\([a-z0-9]*\)".*"ms": \([0-9.]*\).*"peak_bytes": \([0-9]*\).*/  pytorch \2 \1: \3 ms, peak \4 bytes/p' \
    "$out/peers.txt" | sort | tee -a "$summary"
}

part_epoch() {
  local p
  for p in tf32 bf16; do
    rm -rf "$out/runs/epoch-$p"
    "$VERSOR_BIN/train" "${data[@]}" --device cuda --precision $p --preset published --epochs 2 \
      --out "$out/runs/epoch-$p" >"$out/epoch-$p.txt" 2>&1
    verdict "epoch, $p" $? "$(tail -n 1 "$out/epoch-$p.txt") | second epoch: $(tail -n 1 "$out/runs/epoch-$p/timing.csv" |
      awk -F, '{ printf "%.2f s training, %.2f s evaluation", $2, $3 }')"
  done
}

for part in $parts; do
  start=$SECONDS
  "part_$part"
  echo "($part: $((SECONDS - start)) s)"
done
echo "== summary ($out)"
cat "$summary"
exit $failed
