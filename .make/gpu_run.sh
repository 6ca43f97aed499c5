#!/usr/bin/env bash
# Works through queue.tsv beside it, in a pack that make gpu-pack made:
#   ./run.sh SECONDS        SLOTS=8 trainings at a time, under NVIDIA's MPS where there is a GPU
# It starts nothing that cannot finish in time and goes on to what can. Where the trainings that run
# cannot all finish, it stops the last of them in the queue, so that the others do; a training that is
# stopped saves itself. It leaves in $OUT (default out/) an archive in pieces of 15 MiB for
# `make gpu-unpack`, and log.txt: what each second was spent on. Run again, it goes on.
# Environment: PROBE (seconds for bin/probe before everything else; then PyTorch's fastest steps in
# turn with ours, if it is there, in at most 200 s; the results are in OUT), OUT, SLOTS, MORE (seconds
# that a later call on this machine will have: a training that can finish in them may begin now),
# ARCHIVE_MIB (60: at most so much; rows first, then models and snapshots in the order of the queue,
# then checkpoints).
set -uo pipefail
cd "$(dirname "$0")" || exit 1
began=$SECONDS seconds=${1:?"./run.sh SECONDS"}
out=${OUT:-out} slots=${SLOTS:-8} more=${MORE:-0} limit=$((${ARCHIVE_MIB:-60} << 20))
mkdir -p "$out" results/runs results/logs
# a training saves itself in 2 s, and the archive took 1 s
end=$((began + seconds - (seconds > 40 ? 8 : seconds / 5)))
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
if [ -n "${PROBE:-}" ]; then
  env -u OMP_NUM_THREADS timeout $((PROBE + 60)) bin/probe --seconds "$PROBE" \
    --json "$out/probe.json" --plans "$out/plans" 2>&1 | tee "$out/probe.txt"
  if python3 -c 'import torch; assert torch.cuda.is_available()' 2>/dev/null; then
    env -u OMP_NUM_THREADS timeout 200 python3 -B peers/bench_peers.py --device cuda --precision bf16 \
      --variants whole,autotune --json "$out/peers.json" 2>&1 | tee "$out/peers.txt"
  fi
fi
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
finished() { [ -e "$1/finished" ]; }  # finished FOLDER
# Work is counted in ms of the whole card: an epoch of the paper's size on an H200, several trainings
# at a time. The speed, in such ms per second, is what was really done in the last minute.
epoch_ms() { if [ -n "${GUESS_MS:-}" ]; then echo "$GUESS_MS"; else
  case $1 in fp32) echo 4700 ;; bf16) echo 400 ;; *) echo 820 ;; esac; fi; }
epochs_of() { local n; n=$(wc -l 2>/dev/null <"$1/metrics.csv") || n=1; echo $((n - 1)); }
speed=1000 times=() works=() measured=""
measure() {  # the work of all trainings since the start of this call, and the speed
  local keep epochs precision folder rest work=0 now=$SECONDS
  if [ ${#times[@]} -gt 0 ] && [ $((now - times[-1])) -lt 3 ]; then return; fi
  while IFS=$'\t' read -r keep epochs precision folder rest; do
    if [ -n "${before[$folder]:-}" ]; then
      work=$((work + ($(epochs_of "$folder") - before[$folder]) * $(epoch_ms "$precision")))
    fi
  done <queue.tsv
  times+=("$now") works+=("$work")
  while [ $((now - times[0])) -gt 60 ]; do times=("${times[@]:1}") works=("${works[@]:1}"); done
  if [ $((now - times[0])) -ge 20 ] && [ "$work" -gt "${works[0]}" ]; then
    speed=$(((work - works[0]) / (now - times[0]) + 1)) measured=1
  fi
}
remaining() { echo $((($2 - $(epochs_of "$1")) * $(epoch_ms "$3"))); }  # remaining FOLDER EPOCHS PRECISION
# where the trainings that run cannot all finish, the last of the queue makes room
make_room() {
  local keep epochs precision folder rest work=0 last="" pid
  [ -n "$measured" ] && [ ${#running[@]} -gt 1 ] || return
  while IFS=$'\t' read -r keep epochs precision folder rest; do
    if [[ " ${running[*]} " != *" $folder "* ]] || [ -n "${deferred[$folder]:-}" ]; then continue; fi
    work=$((work + $(remaining "$folder" "$epochs" "$precision"))) last=$folder
  done <queue.tsv
  [ $work -gt $(((end + more - SECONDS) * speed * 105 / 100)) ] || return
  for pid in "${!running[@]}"; do
    if [ "${running[$pid]}" = "$last" ]; then
      log "makes room with $(epochs_of "$last") epochs: ${last##*/} ($((work / 1000)) s of work, $((end + more - SECONDS)) s at speed $speed)"
      deferred[$last]=1
      kill -TERM "$pid" 2>/dev/null
    fi
  done
}

declare -A before=() deferred=()
declare -A running=() started=() predicted=()
start() {  # start FOLDER COMMAND THEN PREDICTED-SECONDS
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
      elif [ -z "${deferred[$folder]:-}" ]; then
        log "FAILED ($status) after $took s: ${folder##*/}: $(tail -n 1 "results/logs/${folder##*/}.log")"
        failed[$folder]=1
      fi
      unset "running[$pid]"
      return
    done
    [ $SECONDS -lt $end ] || return
    measure
    make_room
    sleep 0.2
  done
}

declare -A failed=()
while [ $SECONDS -lt $end ]; do
  begun="" left=0
  while IFS=$'\t' read -r keep epochs precision folder command then; do
    : "$keep"
    if finished "$folder" || [ -n "${failed[$folder]:-}" ] || [ -n "${deferred[$folder]:-}" ] ||
      [[ " ${running[*]} " == *" $folder "* ]]; then continue; fi
    left=1
    needs=$((slots * $(remaining "$folder" "$epochs" "$precision") / speed + 3))
    if [ $((SECONDS + needs)) -gt $((end + more)) ]; then continue; fi
    before[$folder]=$(epochs_of "$folder")
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
log "speed $speed ms of work a second"

for pid in "${!running[@]}"; do
  log "stopped after $((SECONDS - started[$pid])) s (predicted ${predicted[$pid]}), $(epochs_of "${running[$pid]}") epochs done: ${running[$pid]##*/}"
  kill -TERM "$pid" 2>/dev/null
done
if [ -n "${tests:-}" ]; then
  kill "$tests" 2>/dev/null
  log "tests on the GPU: $(tail -n 1 "$out/tests.txt")"
fi
wait
if [ -n "$mps" ]; then
  log "MPS had $(grep -c 'NEW CLIENT' mps/control.log) clients"
  echo quit | nvidia-cuda-mps-control >/dev/null
fi

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
take_rows() { take "$1"/*.json "$1"/*.csv "$1/finished" "$1/reconstructions.png"; }
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
