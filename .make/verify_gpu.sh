#!/usr/bin/env bash
# make verify-gpu: everything that needs a GPU to verify, in one command. Writes a summary, which is
# also printed last, and logs to $OUT or results/verify-gpu/; exits 1 if a part failed.
# The parts, which PARTS="tests bench" selects:
#   tests      the tests of tensors, functions, layers, quantizers and trainings on the GPU, against
#              the CPU and the double reference
#   bits       short trainings twice, with and without CUDA graph, small and at the paper's size
#   bench      a step against the floor of the library calls
#   quantizers a step with every quantizer takes at most 1.3 times one with the plain codebook
#   ranks      a process alone, with NCCL in its captured step, against one without; with two GPUs or
#              more also two processes. Has never run: no machine with a GPU was at hand
#   epoch      two epochs of --preset published, and their time
#   peers      the same step in PyTorch, if installed, alternating with ours
#   sanitizer  compute-sanitizer (memcheck, racecheck, initcheck) on a very short training
#   probe      only if PARTS names it, five minutes: errors and times of cuDNN's plans and engines, two
#              streams, fp32 as three TF32 products (bin/probe), to decide what is kept; then PyTorch's
#              fastest steps in turn with ours
# Environment: VERSOR_BIN (folder of the programs), CIFAR10_DIR (else synthetic images).
set -uo pipefail
out=${OUT:-results/verify-gpu}
parts=${PARTS:-tests bits bench quantizers ranks epoch peers sanitizer}
mkdir -p "$out"
log=$(mktemp -d) summary=$out/summary.txt failed=0
trap 'tar -czf "$out/logs.tar.gz" -C "$log" --exclude "*.safetensors" . ; rm -rf "$log"' EXIT
runs=$log/runs
: >"$summary"
say() { printf '%s\n' "$*" | tee -a "$summary"; }
verdict() {  # verdict NAME STATUS TEXT
  if [ "$2" = 0 ]; then say "ok      $1: $3"; else say "FAILED  $1: $3"; failed=1; fi
}
launcher=""  # what starts the processes of a training
train() { $launcher "$VERSOR_BIN/train" --device cuda --quiet --out "$runs/$1" "${@:2}" >"$log/train-$1.txt" 2>&1; }
small=(--data synthetic --latent 32 --codes 64 --batch-size 32)
images=(--data synthetic)
[ -z "${CIFAR10_DIR:-}" ] || images=(--data-dir "$CIFAR10_DIR")

if ! train first "${small[@]}" --precision fp32 --train-images 32 --test-images 32 --epochs 1; then
  cat "$log/train-first.txt" >&2
  exit 1
fi
capability=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -n 1)
fast="tf32 bf16"
if [ "${capability%%.*}" -lt 8 ]; then
  fast=bf16
  say "not run tf32: compute capability $capability has none"
fi
say "card: $(nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm --format=csv,noheader | head -n 1)"
say "$(sed -n 's/^CUDA_FOUND := //p' build/setup-cuda-*.mk | grep -m1 .), $("$VERSOR_BIN/train" --version | tail -n 1)"

part_tests() {
  VERSOR_TEST_DEVICE=cuda timeout 300 "$VERSOR_BIN/run_tests" >"$log/tests.txt" 2>&1
  local status=$? last
  last=$(tail -n 1 "$log/tests.txt")
  [[ $last =~ ^[1-9][0-9]*\ passed,\ 0\ failed ]] || status=1
  verdict tests $status "$last"
}

equal() {  # equal RUN RUN: the same numbers and the same weights?
  cmp "$runs/$1/metrics.csv" "$runs/$2/metrics.csv" >&2 &&
    cmp "$runs/$1/model.safetensors" "$runs/$2/model.safetensors" >&2
}
bits() {  # bits NAME ARGUMENT...
  train "$1-graph" "${@:2}" && train "$1-again" "${@:2}" && train "$1-eager" "${@:2}" --no-graph
  equal "$1-graph" "$1-again" 2>>"$log/bits.txt"; verdict "bits, $1" $? "two runs are equal"
  equal "$1-graph" "$1-eager" 2>>"$log/bits.txt"; verdict "bits, $1" $? "captured and called steps are equal"
}
part_bits() {
  local p
  for p in fp32 $fast; do
    bits "$p" "${small[@]}" --precision "$p" --train-images 1000 --test-images 200 --epochs 3
  done
  # batches of 128 and 80: the kernels of the paper's size, including those that cuDNN compiles
  bits bf16-large "${images[@]}" --precision bf16 --train-images 1360 --test-images 200 --epochs 3
}

part_bench() {
  local p
  for p in fp32 $fast; do
    timeout 120 "$VERSOR_BIN/bench" --device cuda --precision "$p" >"$log/bench-$p.txt" 2>&1
    verdict "bench, $p" $? "$(grep '^step \|^floor \|^ratio \|^rate ' "$log/bench-$p.txt" | tr -s ' ' | paste -sd';')"
  done
}

part_quantizers() {
  local p=${fast##* } slow
  timeout 120 "$VERSOR_BIN/bench" --device cuda --precision "$p" --repeats 5 --quantizers >"$log/quantizers.txt" 2>&1
  # columns: name, symbols, K, alone, to plain, step, to plain, ...
  slow=$(awk '$2 ~ /^[0-9]+$/ && NF == 10 && $7 > 1.3 { printf " %s %s", $1, $7 }' "$log/quantizers.txt")
  grep -q '^ *grouped ' "$log/quantizers.txt" && [ -z "$slow" ]
  verdict "quantizers, $p" $? "above 1.3 times the plain step:${slow:- none}"
}

part_ranks() {
  local run=("${small[@]}" --precision fp32 --train-images 1000 --test-images 200 --epochs 3)
  if ! grep -q '^NCCL_FOUND := .' build/setup-cuda-*.mk; then
    say "not run ranks: no NCCL"
    return
  fi
  train ranks-none "${run[@]}"
  NCCL_DEBUG=VERSION VERSOR_NCCL=1 train ranks-1 "${run[@]}"
  grep -q 'NCCL version' "$log/train-ranks-1.txt"; verdict "ranks, 1" $? "NCCL is used"
  equal ranks-none ranks-1 2>>"$log/ranks.txt"; verdict "ranks, 1" $? "NCCL in the captured step changes no bit"
  if [ "$(nvidia-smi -L | grep -c '^GPU')" -lt 2 ] || ! command -v mpirun >/dev/null ||
    ! grep -q '^MPI_FOUND := .' build/setup-mpi-*.mk; then
    say "not run ranks, 2: one GPU, or no MPI"
    return
  fi
  local -x OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
  launcher="mpirun -n 2"
  train ranks-2 "${run[@]}" && train ranks-2-again "${run[@]}" && train ranks-2-eager "${run[@]}" --no-graph
  launcher=""
  equal ranks-2 ranks-2-again 2>>"$log/ranks.txt"; verdict "ranks, 2" $? "two runs are equal"
  equal ranks-2 ranks-2-eager 2>>"$log/ranks.txt"; verdict "ranks, 2" $? "captured and called steps are equal"
  # the first epoch's training loss, which rounding has not driven apart yet
  local one two
  one=$(sed -n 2p "$runs/ranks-1/metrics.csv" | cut -d, -f2) two=$(sed -n 2p "$runs/ranks-2/metrics.csv" | cut -d, -f2)
  awk -v a="$one" -v b="$two" 'BEGIN { exit !(a > 0 && (a - b) ^ 2 < (1e-3 * a) ^ 2) }'
  verdict "ranks, 2" $? "loss of the first epoch $two, of one process $one"
}

part_epoch() {
  local p
  for p in $fast; do
    train "epoch-$p" "${images[@]}" --precision "$p" --preset published --epochs 2
    verdict "epoch, $p" $? "$(tail -n 1 "$log/train-epoch-$p.txt") | second epoch: $(tail -n 1 "$runs/epoch-$p/timing.csv" |
      awk -F, '{ printf "%.2f s training, %.2f s evaluation", $2, $3 }')"
    cp "$runs/epoch-$p/metrics.csv" "$log/metrics-epoch-$p.csv"
  done
}

part_peers() {
  if ! python3 -c 'import torch; assert torch.cuda.is_available()' 2>/dev/null; then
    say "not run peers: no PyTorch with CUDA"
    return
  fi
  local p mode round modes ours
  for p in $fast; do
    for round in 1 2; do
      ours=$(timeout 100 "$VERSOR_BIN/bench" --device cuda --precision "$p" --repeats 5 2>&1 | tee -a "$log/peers-versor.txt" |
        grep '^step \|^  peak' | tr -s ' ' | paste -sd';')
      [ -n "$ours" ]; verdict "peers, versor $p" $? "$ours"
      modes="eager compile graphs whole"
      [ $round = 2 ] || modes+=" autotune"
      for mode in $modes; do  # a process each, so that no mode keeps another's memory
        timeout 150 python3 experiments/peers/torch_step.py --device cuda --precision "$p" --modes $mode \
          --repeats 5 2>>"$log/peers-errors.txt" >"$log/peer.json" || true
        cat "$log/peer.json" >>"$log/peers.jsonl"
        say "        pytorch $p $mode: $(sed -n 's/.*"ms": \([0-9.]*\).*"peak_bytes": \([0-9]*\).*/\1 ms, peak \2 bytes/p; s/.*"error": "\([^"]*\)".*/\1/p' "$log/peer.json" | cut -c1-120)"
      done
    done
  done
}

part_probe() {
  timeout 300 "$VERSOR_BIN/probe" --seconds 240 --json "$out/probe.json" --plans "$out/plans" 2>&1 |
    tee "$log/probe.txt"
  local status=${PIPESTATUS[0]} line
  verdict probe "$status" "$(grep -c '  error ' "$log/probe.txt") results in $out/probe.json, plans in $out/plans"
  grep 'a step in \|ABOVE ITS BOUND\|FAILED' "$log/probe.txt" | while IFS= read -r line; do say "      $line"; done
  if ! python3 -c 'import torch; assert torch.cuda.is_available()' 2>/dev/null; then
    say "not run probe, peers: no PyTorch with CUDA"
    return
  fi
  timeout 280 python3 -B experiments/peers/bench_peers.py --versor "$VERSOR_BIN/bench" --device cuda \
    --precision ${fast##* } --variants whole,autotune --json "$out/probe-peers.json" 2>&1 | tee "$log/probe-peers.txt"
  verdict "probe, peers" "${PIPESTATUS[0]}" "$out/probe-peers.json"
}

part_sanitizer() {
  local sanitizer tool p
  sanitizer=$(command -v compute-sanitizer || ls "$(dirname "$(sed -n 's/^override NVCC := //p' build/setup-cuda-*.mk | grep -m1 .)")/compute-sanitizer" 2>/dev/null)
  if [ -z "$sanitizer" ]; then say "not run sanitizer: no compute-sanitizer"; return; fi
  # the libraries' kernels are not checked, but initcheck has to see what they write
  local -A options=([memcheck]="--kernel-name kns=versor --report-api-errors no" [racecheck]="--kernel-name kns=versor" [initcheck]="")
  for tool in memcheck racecheck initcheck; do
    for p in fp32 bf16; do
      timeout 280 "$sanitizer" --tool $tool ${options[$tool]} --print-limit 50 "$VERSOR_BIN/train" --device cuda \
        "${small[@]}" --precision $p --no-graph --train-images 64 --test-images 32 --epochs 1 --quiet \
        --out "$runs/$tool-$p" >"$log/sanitizer-$tool-$p.txt" 2>&1 &
    done
  done
  wait
  for tool in memcheck racecheck initcheck; do
    for p in fp32 bf16; do
      local file=$log/sanitizer-$tool-$p.txt status=0
      grep -q '^finished' "$file" || status=1               # the training itself came to its end
      ! grep -q '^=* *at .*versor' "$file" || status=1  # nothing in a kernel of ours
      verdict "$tool, $p" $status "$(grep -h 'SUMMARY' "$file" | tail -n 1)"
    done
  done
}

for part in $parts; do
  start=$SECONDS
  "part_$part"
  echo "($part: $((SECONDS - start)) s)" | tee -a "$log/times.txt"
done
echo "== summary ($out)"
cat "$summary"
exit $failed
