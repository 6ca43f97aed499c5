#!/usr/bin/env bash
# `make samples RUN=results/runs/NAME`: what the codes of a finished run are for, step by step. A
# prior of the codes; a diffusion model of the latents (of one level); the test images in a packed
# file; a classifier that judges; samples, judged and shown in the report. The same command goes on
# where it was interrupted. With QUICK=1 a miniature of it with a run of `make quick`.
# Environment: RUN, RESULTS (default results), DEVICE, and CLASSIFIER, PRIOR, DIFFUSION, SAMPLES:
# options for bin/classifier, bin/prior, bin/diffusion and bin/generation.
set -euo pipefail
results=${RESULTS:-results}
if [ -n "${QUICK:-}" ]; then
  # a run of this quick's table, for results/quick may have others, of other images
  run=$(grep -o '"folder": "rotation-kmeans[^"]*"' "$results/table3.json" | head -n 1 |
    cut -d '"' -f 4) || true
  # without a model the run has failed, and that was reported
  [ -n "$run" ] && [ -f "$results/runs/$run/model.safetensors" ] || exit 0
  RUN=$results/runs/$run small="--epochs 2 --layers 1 --width 32 --heads 2"
  CLASSIFIER="--epochs 2 --width 16 --train-images 1000 --test-images 200" SAMPLES="--count 100"
  PRIOR=$small DIFFUSION=$small
fi
run=${RUN:-}
run=${run%/}
if [ ! -f "$run/model.safetensors" ]; then
  echo "error: RUN must be the folder of a finished run, as results/runs/NAME; ${run:-it} is not" >&2
  exit 2
fi
common=(${DEVICE:+--device "$DEVICE"})
step() {  # a program, the variable with its options, and arguments
  local program=$1 words
  read -ra words <<<"${!2:-}"
  shift 2
  bin/"$program" "$@" "${common[@]}" "${words[@]}"
}
classifier=$results/classifier-seed1 prior=$run/prior-seed1 diffusion=$run/diffusion-seed1
[ -z "${QUICK:-}" ] || classifier=$run/classifier-seed1
step prior PRIOR "$run" --out "$prior" ${QUICK:+--quiet}
judged=(--prior "$prior")
if ! grep -q '"model": "vqvae2"' "$run/config.json"; then
  step diffusion DIFFUSION "$run" --out "$diffusion" --snapshots ${QUICK:+--quiet}
  judged+=(--diffusion "$diffusion")
fi
step encode NONE "$run" --compress "$prior" --output "$prior/test-images.vqc"
if grep -q '"classes": 1,' "$prior/config.json"; then
  echo "the images have no classes: there is no classifier that could judge samples"
  exit
fi
step classifier CLASSIFIER --like "$run" --out "$classifier" ${QUICK:+--quiet}
step generation SAMPLES "$run" --classifier "$classifier" "${judged[@]}" --results "$results"
bin/report --results "$results"
