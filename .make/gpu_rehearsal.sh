#!/usr/bin/env bash
# make gpu-rehearsal: the whole way of `make gpu-pack`, on the CPU with tiny trainings: pack, unpack
# elsewhere, run out of time, merge, pack what is missing, go on, merge. Every run must end with the
# metrics of one that nothing interrupted, and nothing may be left. A minute.
# Environment: VERSOR_BIN.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bin=$(realpath "$VERSOR_BIN")
export QUEUE=$work/queue RESULTS=$work/results RECORDED=$work/recorded DEVICE=cpu
cat >"$QUEUE" <<Q
rows table3 --preset published --beta 0.1,0.5 --seeds 1,2
snapshots figures --preset versor --seeds 1
model table2 --preset versor --codes 16,32 --seeds 1
then cp {}/config.json {}/evaluation.json
Q
tiny=(--data synthetic --precision fp32 --latent 8 --epochs 4 --train-images 3200 --test-images 64
  --batch-size 16)

there() {  # there SECONDS: packs, works for so long, merges
  .make/gpu_pack.sh "${tiny[@]}"
  rm -rf "$work/there"
  mkdir "$work/there"
  cat gpu-pack/part-* | tar -x -C "$work/there"
  OUT=$work/out SLOTS=2 GUESS_MS=1 "$work/there/run.sh" "$1"
  .make/gpu_unpack.sh "$work"/out/archive-*
  rm -r "$work/out"
}
there 5
there 300
.make/gpu_pack.sh "${tiny[@]}"
[ ! -s build/gpu-pack/stage/queue.tsv ] || { echo "FAILED  trainings are left"; exit 1; }
runs=0
while IFS= read -r command; do
  (cd "$work" && mkdir -p alone && eval "${command/ --out \'/ --out \'alone\/}")
done < <("$bin/table3" "${tiny[@]}" --preset published --beta 0.1,0.5 --seeds 1,2 --threads 1 --list \
  --results "$work/none" | sed "s|^bin/|$bin/|; s| --out '.*/runs/| --out '|") >/dev/null
for folder in "$work"/alone/*/; do
  name=$(basename "$folder")
  cmp "$folder/metrics.csv" "$RECORDED/$name/metrics.csv"
  cmp "$folder/metrics.csv" "$RESULTS/runs/$name/metrics.csv"
  runs=$((runs + 1))
done
[ $runs = 4 ] && [ "$(ls "$RECORDED" | wc -l)" = 7 ] && [ "$(ls "$RECORDED"/*/evaluation.json | wc -l)" = 2 ] &&
  ls "$RESULTS"/runs/rotation-*/snapshots/epoch-0008.png >/dev/null || { echo "FAILED  runs are missing"; exit 1; }
echo "ok      7 trainings in two calls, $runs compared with undisturbed ones"
