#!/usr/bin/env bash
# Runs parts of the paper one after the other, for `make table3` and its like:
#   experiments.sh "table1 table3 report" OPTION...
# Every part trains what is missing and leaves what is finished alone. With SIDE_BY_SIDE=N its
# trainings run N at a time, each with its share of the cores and the visible GPUs in turn. Parts
# wait for one another, also those of another make in the same results folder, since they share runs.
# With DRY=1 (make -n) it only prints the commands that would train.
# Environment: SIDE_BY_SIDE, DRY, RESULTS (default results), DATA, CIFAR10_DIR.
set -euo pipefail
parts=$1
shift
results=${RESULTS:-results} side=${SIDE_BY_SIDE:-}
options=("$@" --results "$results")

cores=$(nproc)
if [ -n "$side" ]; then options+=(--threads $((cores / side > 0 ? cores / side : 1))); fi

trainings() {  # the commands that part $1 still needs, one a line, with a GPU for each where there are
  local -a gpus
  IFS=, read -ra gpus <<<"${CUDA_VISIBLE_DEVICES:-$(nvidia-smi --query-gpu=index --format=csv,noheader 2>/dev/null | paste -sd, || true)}"
  bin/"$1" "${options[@]}" --list | {
    local i=0 line
    while IFS= read -r line; do
      case $line in
        *" --device cuda "*)
          [ ${#gpus[@]} -lt 2 ] || line="CUDA_VISIBLE_DEVICES=${gpus[i++ % ${#gpus[@]}]} $line" ;;
      esac
      echo "$line"
    done
  }
}

if [ -n "${DRY:-}" ]; then
  for part in $parts; do
    if [ "$part" = report ]; then continue; fi
    if [ ! -x "bin/$part" ]; then
      echo "# $part: bin/$part is not built yet; after make, make -n lists its trainings"
    else
      missing=$(trainings "$part")
      echo "# $part: $(grep -c . <<<"$missing" || true) trainings are missing"
      [ -z "$missing" ] || echo "$missing"
    fi
  done
  exit
fi

mkdir -p "$results"
exec 9>"$results/.lock"
flock 9
for part in $parts; do
  if [ "$part" = report ]; then
    bin/report --results "$results"
    continue
  fi
  if [ -n "$side" ]; then
    # 255 would stop xargs: one training's failure leaves the others alone, the part then reports it
    trainings "$part" | xargs -d '\n' -P "$side" -I{} bash -c '{} 9>&- || exit 1' ||
      echo "a training of $part has failed, see above" >&2
  fi
  bin/"$part" "${options[@]}" 9>&-
done
