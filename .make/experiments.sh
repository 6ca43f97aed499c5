#!/usr/bin/env bash
# Runs parts of the paper one after the other, for `make table3` and similar targets:
#   experiments.sh "table1 table3 report" OPTION...
# Each part trains only the runs that are missing. With SIDE_BY_SIDE=N, N trainings run at a time,
# each with its share of the cores, and the visible GPUs are used in turn. Parts share runs, so they
# never run at the same time, not even when started by different makes in the same results folder. A
# training or part that fails does not stop the others; the last line then names the failed parts.
# With DRY=1 (make -n) it only prints the training commands.
# Environment: SIDE_BY_SIDE, DRY, RESULTS (default results), DATA, CIFAR10_DIR.
set -euo pipefail
parts=$1
shift
results=${RESULTS:-results} side=${SIDE_BY_SIDE:-}
options=("$@" --results "$results")

cores=$(nproc)
if [ -n "$side" ]; then options+=(--threads $((cores / side > 0 ? cores / side : 1))); fi

trainings() {  # prints the missing trainings of part $1, one command per line, and assigns GPUs
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
    if [[ $part == verdicts || $part == report ]]; then continue; fi  # they train nothing
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
# Ctrl-C ends everything. Interrupted programs exit with 130; for xargs, 255 means "start no more".
failed=""
for part in $parts; do
  status=0
  if [[ $part == verdicts || $part == report ]]; then
    bin/"$part" --results "$results" || status=$?
  else
    if [ -n "$side" ]; then
      trainings "$part" | xargs -d '\n' -P "$side" -I{} bash -c '{} 9>&- || [ $? != 130 ] || exit 255' || status=$?
      [ "$status" != 124 ] || exit 130
    fi
    status=0
    bin/"$part" "${options[@]}" 9>&- || status=$?
  fi
  [ "$status" != 130 ] || exit 130
  [ "$status" = 0 ] || failed+=" $part"
done
if [ -n "$failed" ]; then
  echo "not complete:$failed (see above; the same command tries again what is missing)" >&2
  exit 1
fi
