#!/usr/bin/env bash
# Works through queue.tsv beside it, in a pack that make gpu-pack made:
#   ./run.sh SECONDS        SLOTS=8 trainings at a time, under NVIDIA's MPS where there is a GPU
# It starts nothing that cannot finish in time, goes on to what can, stops at the end what is still
# running (which saves itself), and leaves in $OUT (default out/) an archive in pieces of 15 MiB for
# `make gpu-unpack`, and log.txt: what each second was spent on. Run again, it goes on.
# Environment: OUT, SLOTS, MORE (seconds that a later call on this machine will have: a training
# that can finish in them may begin now), ARCHIVE_MIB (60: at most so much; rows first, then models
# and snapshots in the order of the queue, then checkpoints).
set -uo pipefail
cd "$(dirname "$0")" || exit 1
began=$SECONDS seconds=${1:?"./run.sh SECONDS"}
out=${OUT:-out} slots=${SLOTS:-8} more=${MORE:-0} limit=$((${ARCHIVE_MIB:-60} << 20))
mkdir -p "$out" results/runs results/logs
# the time at the end for saving and the archive
end=$((began + seconds - (seconds > 100 ? 20 : seconds / 5)))
log() { printf '%4d s  %s\n' $((SECONDS - began)) "$*" | tee -a "$out/log.txt"; }

# ---- set-up: libraries, images, MPS --------------------------------------------------------------
python=$(python3 -c 'import importlib.util as u
s = u.find_spec("nvidia")
print(*(s.submodule_search_locations if s else []))' 2>/dev/null || true)
for folder in $python; do
  for lib in "$folder"/*/lib; do LD_LIBRARY_PATH=${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$lib; done
done
# libraries of the machine come first, ours where it has none
for lib in lib/*; do
  if [ "$(ldconfig -p 2>/dev/null | grep -c "${lib##*/} ")" = 0 ]; then
    mkdir -p missing && cp "$lib" missing/
  fi
done
export LD_LIBRARY_PATH=${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$PWD/missing OMP_NUM_THREADS=1
xz=$(command -v xz || echo bin/xz)
if [ -e data ]; then
  export CIFAR10_DIR=$PWD/data
  for file in data/*.xz; do [ ! -e "$file" ] || $xz -d "$file" & done
  wait
fi
mps=""
if command -v nvidia-cuda-mps-control >/dev/null && nvidia-smi >/dev/null 2>&1; then
  export CUDA_MPS_PIPE_DIRECTORY=$PWD/mps CUDA_MPS_LOG_DIRECTORY=$PWD/mps
  mkdir -p mps
  nvidia-cuda-mps-control -d && mps=1
fi
# The kernels may be newer than the last run on a GPU: their tests run beside the first trainings.
if [ -n "$mps" ] && [ -e bin/run_tests ] && [ ! -e tested ]; then
  touch tested
  OMP_NUM_THREADS=4 VERSOR_TEST_DEVICE=cuda VERSOR_BIN=$PWD/bin timeout 300 bin/run_tests \
    -sfe='*tests/experiments*' >"$out/tests.txt" 2>&1 </dev/null &
  tests=$!
fi
log "ready: $slots at a time${mps:+ under MPS}, $(nvidia-smi -L 2>/dev/null | head -n 1)"

# ---- the queue -----------------------------------------------------------------------------------
finished() { [ -e "results/runs/${1##*/}/finished" ]; }
# How long a training takes while all slots are busy. Begins as measured on an H100 (seconds an
# epoch in each of 8 slots), and is then corrected by what the last one took.
per_epoch() { case $1 in fp32) echo 20000 ;; bf16) echo 2200 ;; *) echo 3000 ;; esac; }  # ms
percent=100
prediction() {  # prediction EPOCHS PRECISION: in seconds
  echo $((${GUESS_MS:-$(per_epoch "$2")} * $1 * percent / 100000 + 3))
}

declare -A running=() started=() predicted=()
start() {  # start FOLDER COMMAND THEN
  local name=${1##*/} then=${3//\{\}/$1}
  (
    trap 'kill -TERM $child 2>/dev/null' TERM
    eval "exec $2" >"results/logs/$name.log" 2>&1 </dev/null &
    child=$!
    wait $child
    status=$?
    if [ $status -gt 128 ]; then wait $child; status=$?; fi  # it was told to stop, and saves
    [ $status = 0 ] && { [ -z "$then" ] || eval "$then" >>"results/logs/$name.log" 2>&1; } || exit $?
    touch "$1/finished"
  ) &
  running[$!]=$1 started[$!]=$SECONDS predicted[$!]=$4
}

reap() {  # waits for one training to end, or for the end of the time
  local pid status
  while :; do
    for pid in "${!running[@]}"; do
      if kill -0 "$pid" 2>/dev/null; then continue; fi
      wait "$pid"
      status=$?
      local took=$((SECONDS - started[$pid])) folder=${running[$pid]}
      if [ $status = 0 ]; then
        log "finished after $took s (predicted ${predicted[$pid]}): ${folder##*/}"
        # a first training may have been alone on the card, a later one may resume
        [ -e "$folder/resumed" ] || percent=$((percent * (took + 1) / (predicted[$pid] + 1)))
        [ $percent -ge 10 ] || percent=10
      else
        log "FAILED ($status) after $took s: ${folder##*/}: $(tail -n 1 "results/logs/${folder##*/}.log")"
        failed[$folder]=1
      fi
      unset "running[$pid]"
      return
    done
    [ $SECONDS -lt $end ] || return
    sleep 0.2
  done
}

declare -A failed=()
while [ $SECONDS -lt $end ]; do
  begun="" left=0
  while IFS=$'\t' read -r keep epochs precision folder command then; do
    : "$keep"
    if finished "$folder" || [ -n "${failed[$folder]:-}" ] || [[ " ${running[*]} " == *" $folder "* ]]; then continue; fi
    left=1
    done_before=$(($(wc -l 2>/dev/null <"$folder/metrics.csv" || echo 1) - 1))
    needs=$(prediction $((epochs - done_before)) "$precision")
    if [ $((SECONDS + needs)) -gt $((end + more)) ]; then continue; fi
    [ $done_before = 0 ] || touch "$folder/resumed"
    start "$folder" "$command" "$then" "$needs"
    log "started (predicted $needs s): ${folder##*/}"
    begun=1
    break
  done <queue.tsv
  if [ -n "$begun" ] && [ ${#running[@]} -lt "$slots" ]; then continue; fi
  if [ ${#running[@]} = 0 ]; then
    [ $left = 0 ] || log "what is left cannot finish in $((end - SECONDS)) s"
    break
  fi
  reap
done

for pid in "${!running[@]}"; do
  log "stopped after $((SECONDS - started[$pid])) s (predicted ${predicted[$pid]}): ${running[$pid]##*/}"
  kill -TERM "$pid" 2>/dev/null
done
if [ -n "${tests:-}" ]; then
  kill "$tests" 2>/dev/null
  log "tests on the GPU: $(tail -n 1 "$out/tests.txt")"
fi
wait
if [ -n "$mps" ]; then echo quit | nvidia-cuda-mps-control >/dev/null; fi

# ---- the archive ---------------------------------------------------------------------------------
log "packing"
total=0
take() {  # take FILE...: those that exist, as long as they fit
  local file size
  for file in "$@"; do
    if [ ! -e "$file" ]; then continue; fi
    size=$(stat -c %s "$file")
    if [ $((total + size)) -gt $limit ]; then log "no room for $file"; continue; fi
    total=$((total + size))
    echo "$file" >>archive.txt
  done
}
: >archive.txt
each() {  # each LEVELS FUNCTION: of every training of these levels, in order
  local keep epochs precision folder rest
  while IFS=$'\t' read -r keep epochs precision folder rest; do
    if [[ " $1 " == *" $keep "* ]] && [ -e "$folder/config.json" ]; then "$2" "$folder"; fi
  done <queue.tsv
}
take_rows() { take "$1/config.json" "$1"/*.csv "$1"/*.json "$1/finished" "$1/reconstructions.png"; }
take_model() { if finished "$1"; then take "$1/model.safetensors"; fi; }
take_snapshots() { if finished "$1"; then take "$1"/snapshots/*; fi; }
take_checkpoint() { if ! finished "$1"; then take "$1/trainer.safetensors"; fi; }
each "rows model snapshots" take_rows
take results/logs/*
each model take_model
each snapshots take_snapshots
each "rows model snapshots" take_checkpoint
sort -u archive.txt >archive.list
rm -f "$out"/archive-*
tar -c --owner=0 --group=0 -T archive.list | $xz -1 -T0 -c | split -d -b 15M - "$out/archive-"
log "done: $(ls results/runs/*/finished 2>/dev/null | wc -l) of $(wc -l <queue.tsv) trainings, $(cat "$out"/archive-* | wc -c) bytes"
