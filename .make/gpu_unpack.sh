#!/usr/bin/env bash
# make gpu-unpack FILES="archive-00 archive-01 ...": merges what run.sh left on a machine with a GPU.
# All of a run goes to results/runs/, its figures of a finished run to experiments/recorded/runs/
# too. A run that is finished here is left as it is. Half-finished runs travel with the next pack.
# Environment: RESULTS (default results), RECORDED (default experiments/recorded/runs).
set -euo pipefail
results=${RESULTS:-results} recorded=${RECORDED:-experiments/recorded/runs}
[ $# -gt 0 ] || { echo "gpu-unpack: FILES= names the pieces archive-00, archive-01, ..." >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if ! cat -- "$@" | tar -xJ -C "$work"; then
  echo "gpu-unpack: these are not all pieces of an archive of run.sh" >&2
  exit 1
fi
mkdir -p "$results/runs" "$recorded"
new=0 half=0
for folder in "$work"/results/runs/*/; do
  name=$(basename "$folder")
  if [ ! -e "$folder/finished" ]; then
    [ ! -e "$recorded/$name" ] || continue
    [ -e "$folder/trainer.safetensors" ] || { echo "half done, without a checkpoint: $name"; continue; }
    half=$((half + 1))
  elif [ -e "$recorded/$name" ]; then
    echo "recorded already: $name"
  else
    new=$((new + 1))
    mkdir "$recorded/$name"
    for file in "$folder"/{config.json,metrics.csv,gradients.csv,timing.csv,evaluation.json}; do
      [ ! -e "$file" ] || cp "$file" "$recorded/$name"
    done
  fi
  rm -f "$folder"/finished
  if [ -e "$results/runs/$name/model.safetensors" ]; then continue; fi
  mkdir -p "$results/runs/$name"
  cp -r "$folder". "$results/runs/$name"
done
echo "$new runs recorded, $half half done"
