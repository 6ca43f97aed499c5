#!/usr/bin/env bash
# make soak: a miniature of a long run, with everything that can happen to one.
#   kills    a training is killed (SIGKILL) at random times and restarted, KILLS times; it must end
#            with the same bytes as an undisturbed one, checkpoint included
#   memory   STEPS steps in one process: its resident memory must not grow by more than 1 %
#   disk     a training on a full disk, and in a folder that becomes read-only: one clear error, the
#            last checkpoint intact, and the same bytes once there is room. The full disk is a small
#            tmpfs, which needs root; without root this is skipped with a message
#   ranks    (with RANKS=3 instead of the others) a random rank of a training is killed at a random
#            time, KILLS times (100), and each start has a random number of ranks from 1 to RANKS. No
#            file may be torn, and a training that nobody kills, but that stops where each start
#            began and goes on with the same numbers of ranks, must end with the same bytes
# Environment: VERSOR_BIN, KILLS (200), STEPS (10000), SEED (for the random times; printed), PARTS, RANKS.
set -uo pipefail
ranks=${RANKS:-} steps=${STEPS:-10000} failed=0
kills=${KILLS:-$([ -n "$ranks" ] && echo 100 || echo 200)}
parts=${PARTS:-$([ -n "$ranks" ] && echo ranks || echo kills memory disk)}
RANDOM=$((${SEED:-$(($(date +%s) % 32768))})) seed=${SEED:-$RANDOM}
RANDOM=$seed
work=$(mktemp -d)
trap 'umount "$work/disk" 2>/dev/null; rm -rf "$work"' EXIT
train=("$VERSOR_BIN/train" --data synthetic --latent 8 --codes 16 --batch-size 16 --test-images 32
  --threads 1 --quiet)
say() { printf '%s\n' "$*"; }
verdict() {  # verdict NAME STATUS TEXT
  if [ "$2" = 0 ]; then say "ok      $1: $3"; else say "FAILED  $1: $3"; failed=1; fi
}

same_results() {  # same_results FOLDER FOLDER: do the files have the same bytes?
  local file status=0
  for file in metrics.csv gradients.csv trainer.safetensors model.safetensors reconstructions.png \
    snapshots/epoch-0001.safetensors; do
    cmp "$1/$file" "$2/$file" || status=1
  done
  return $status
}

# With epochs of 10 steps and a checkpoint every third step, kills hit steps, checkpoints,
# evaluations and the files written at the end of an epoch. A process lives 0 to 0.25 s, start
# included, which is up to ten epochs on a fast machine: there must be more than the kills use up.
part_kills() {
  local options=(--train-images 160 --epochs $((kills * 8)) --dead-codes 0.5 --save-every 3)
  "${train[@]}" "${options[@]}" --out "$work/undisturbed" >/dev/null || { verdict kills 1 "the undisturbed run fails"; return; }
  local done=0 started=0 finished=0 id status start=$SECONDS
  while [ "$finished" = 0 ]; do
    "${train[@]}" "${options[@]}" --out "$work/killed" >/dev/null 2>"$work/err" &
    id=$! started=$((started + 1))
    if [ "$done" -lt "$kills" ]; then
      sleep "0.$(printf %03d $((RANDOM % 250)))"
      kill -KILL $id 2>/dev/null
    fi
    wait $id 2>/dev/null
    status=$?
    case $status in
      137) done=$((done + 1)) ;;
      0) finished=1 ;;
      *) verdict kills 1 "start $started ends with $status: $(cat "$work/err")"; return ;;
    esac
  done
  same_results "$work/killed" "$work/undisturbed"
  status=$?
  [ "$done" -ge "$kills" ] || status=1
  verdict kills $status "$done kills of $kills, $started starts, $((SECONDS - start)) s, $(tail -n 1 "$work/killed/metrics.csv" | cut -d, -f1) epochs, all bytes as undisturbed (seed $seed)"
}

resident() { awk '/^VmRSS/ { print $2 }' "/proc/$1/status" 2>/dev/null; }

# Memory varies within an epoch (pictures, checkpoints), so maxima are compared: that of the second
# tenth of the run with that of the last.
part_memory() {
  local epochs=$((steps / 100)) id epoch now first=0 last=0
  "${train[@]}" --train-images 1600 --epochs $epochs --out "$work/long" >/dev/null 2>"$work/err" &
  id=$!
  while kill -0 $id 2>/dev/null; do
    epoch=$(($(wc -l 2>/dev/null <"$work/long/metrics.csv" || echo 1) - 1))
    now=$(resident $id)
    if [ -n "$now" ] && [ $((epoch * 10 / epochs)) = 1 ] && [ "$now" -gt "$first" ]; then first=$now; fi
    if [ -n "$now" ] && [ $((epoch * 10 / epochs)) = 9 ] && [ "$now" -gt "$last" ]; then last=$now; fi
    sleep 0.02
  done 2>/dev/null
  wait $id && [ "$first" -gt 0 ] && [ "$last" -gt 0 ] && [ $((last * 100)) -le $((first * 101)) ]
  verdict memory $? "$((epochs * 100)) steps, at most $first KiB resident in the second tenth of them, $last KiB in the last"
}

ended_with_one_error() {  # ended_with_one_error STATUS WORDS: one error line with these words?
  say "        $(cat "$work/err")"
  [ "$1" = 1 ] && [ "$(wc -l <"$work/err")" = 1 ] && grep -q "^error: .*$2" "$work/err"
}

part_disk() {
  local options=(--train-images 160 --epochs 6 --save-every 1) run=$work/run before id status as=()
  "${train[@]}" "${options[@]}" --out "$work/roomy" >/dev/null
  mkdir "$work/disk"
  if mount -t tmpfs -o size=2m tmpfs "$work/disk" 2>/dev/null; then
    run=$work/disk/run
    dd if=/dev/zero of="$work/disk/ballast" bs=1k count=1500 2>/dev/null
    "${train[@]}" "${options[@]}" --out "$run" >/dev/null 2>"$work/err"
    status=$?
    ended_with_one_error $status "No space left on device"
    verdict "disk, full" $? "one clear error, exit code $status"
    rm "$work/disk/ballast"
  else
    say "skipped disk, full: a tmpfs cannot be mounted here"
  fi
  # Root can write everywhere, so the rest runs as another user.
  mkdir -p "$run"
  if [ "$(id -u)" = 0 ]; then
    as=(setpriv --reuid 65534 --clear-groups)
    chmod 755 "$work" && chown -R 65534 "$run"
    if ! "${as[@]}" "${train[0]}" --version >/dev/null 2>&1; then
      say "skipped disk, read-only: another user than root cannot start the programs here"
      return
    fi
  fi
  "${as[@]}" "${train[@]}" "${options[@]}" --out "$run" >/dev/null 2>"$work/err" &
  id=$!
  while [ ! -s "$run/metrics.csv" ] && kill -0 $id 2>/dev/null; do sleep 0.002; done
  kill -STOP $id
  before=$(cksum <"$run/trainer.safetensors")
  chmod 555 "$run"
  kill -CONT $id
  wait $id
  status=$?
  ended_with_one_error $status "Permission denied" && [ "$before" = "$(cksum <"$run/trainer.safetensors")" ]
  verdict "disk, read-only" $? "one clear error, exit code $status, the last checkpoint is whole"
  chmod 755 "$run"
  "${as[@]}" "${train[@]}" "${options[@]}" --out "$run" >/dev/null 2>"$work/err" && same_results "$run" "$work/roomy"
  verdict "disk, room again" $? "the run goes on and ends with the bytes of one that nobody disturbed"
}

# ---- ranks -----------------------------------------------------------------------------------------
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export PRTE_ALLOW_RUN_AS_ROOT=1 PRTE_ALLOW_RUN_AS_ROOT_CONFIRM=1
# more ranks than cores are welcome
export OMPI_MCA_rmaps_base_oversubscribe=1 PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe
export OMPI_MCA_mpi_yield_when_idle=1

shared=("$VERSOR_BIN/train" --data synthetic --latent 8 --codes 16 --batch-size 16 --train-images 160
  --test-images 32 --threads 1 --dead-codes 0.5 --save-every 3)
endless=20000
on_ranks() {  # on_ranks N OPTION...
  local n=$1
  shift
  exec mpirun -n "$n" "${shared[@]}" "$@" >/dev/null 2>"$work/err" </dev/null
}
# Epochs and batches of the checkpoint that a start went on from, as it said; nothing if it was
# killed before.
began_at() { sed -nE 's/^resuming after ([0-9]+) epochs and ([0-9]+) batches$/\1 \2/p' "$work/err"; }

# kill_one_rank MPIRUN N: kills a random one of its N ranks a random time after their start.
kill_one_rank() {
  local all=()
  while [ ${#all[@]} -lt "$2" ] && kill -0 "$1" 2>/dev/null; do
    sleep 0.02
    mapfile -t all < <(pgrep -P "$1")
  done
  sleep "$(awk -v most="$lifetime" -v r=$RANDOM 'BEGIN { print most * r / 32768 / 1000 }')"
  [ ${#all[@]} = 0 ] || kill -KILL "${all[RANDOM % ${#all[@]}]}" 2>/dev/null
}

whole_files() {  # whole_files FOLDER: can everything be read that is there?
  local file
  for file in "$1"/*.safetensors; do
    [ ! -e "$file" ] || "$VERSOR_BIN/inspect" "$file" >/dev/null || return 1
  done
  [ ! -s "$1/metrics.csv" ] || [ -z "$(tail -c 1 "$1/metrics.csv")" ]
}

# The starts that count: "RANKS EPOCHS BATCHES" each. One that was killed before it said where it
# goes on has trained nothing; the checkpoint must then be that of before.
kill_ranks() {
  local done=0 n id before at
  for ((done = 0; done < kills; ++done)); do
    n=$((1 + RANDOM % ranks))
    before=$(cksum "$work/killed/trainer.safetensors" 2>/dev/null)
    (on_ranks $n --out "$work/killed" --epochs $endless) &
    id=$!
    kill_one_rank $id $n
    wait $id 2>/dev/null && { say "a start ends although its rank was killed"; return 1; }
    whole_files "$work/killed" || { say "torn after kill $((done + 1))"; return 1; }
    at=$(began_at)
    [ -n "$at" ] || [ -n "$before" ] || at="0 0"
    if [ -n "$at" ]; then
      echo "$n $at" >>"$work/starts"
    elif [ "$before" != "$(cksum "$work/killed/trainer.safetensors")" ]; then
      say "a start trained but did not say from where: $(cat "$work/err")"
      return 1
    fi
  done
  n=$((1 + RANDOM % ranks))
  (on_ranks $n --out "$work/killed" --epochs $endless --stop-after 15steps) || return 1
  at=$(began_at)
  echo "$n ${at:-0 0}" >>"$work/starts"
}

# At the end of an epoch a start stops before the test images if asked for steps, and after them only
# at the end of the run. Only a run that has ended can be the beginning of a longer one (in a folder
# beside it), so each start is asked for the epochs at the next such place.
follow_starts() {
  local n epoch batch next_epoch next_batch goal stop
  while read -r n epoch batch next_epoch next_batch goal; do
    stop=(--stop-after "$(((next_epoch - epoch) * 10 + next_batch - batch))steps")
    [ "$next_batch" != 0 ] || stop=()
    (on_ranks "$n" --results "$work/results" --epochs "$goal" "${stop[@]}") ||
      { say "undisturbed: $(cat "$work/err")"; return 1; }
  done < <(tac "$work/starts" | awk -v goal=$endless '
    NR == 1 { epoch = $2 + int(($3 + 15) / 10); batch = ($3 + 15) % 10
              if (batch == 0) { --epoch; batch = 10 } }  # where 15 steps end
    $2 != epoch || $3 != batch { if (batch == 0) goal = epoch
                                 print $0, epoch, batch, goal }
    { epoch = $2; batch = $3 }' | tac)
}

part_ranks() {
  command -v mpirun >/dev/null || { say "skipped ranks: there is no mpirun"; return; }
  local start=$SECONDS file status=0 lifetime
  # one and a half times what 15 steps take with their start, so that many starts come to a checkpoint
  lifetime=$(date +%s%N)
  (on_ranks "$ranks" --out "$work/timed" --epochs $endless --stop-after 15steps) || { verdict ranks 1 "$(cat "$work/err")"; return; }
  lifetime=$((($(date +%s%N) - lifetime) * 3 / 2000000))
  kill_ranks || { verdict ranks 1 "$(tail -n 3 "$work/err") (seed $seed)"; return; }
  verdict "ranks, files" 0 "$kills kills, $(wc -l <"$work/starts") starts that trained, $((SECONDS - start)) s"
  follow_starts || status=1
  mv "$(ls -dt "$work"/results/runs/*/ | head -n 1)" "$work/followed"
  for file in metrics.csv gradients.csv trainer.safetensors model.safetensors; do
    cmp "$work/killed/$file" "$work/followed/$file" || status=1
  done
  verdict "ranks, bytes" $status "$(tail -n 1 "$work/killed/metrics.csv" | cut -d, -f1) epochs on $(cut -d ' ' -f 1 "$work/starts" | sort | uniq -c | awk '{ printf "%s%d times %d", (NR > 1 ? ", " : ""), $1, $2 }') ranks, $((SECONDS - start)) s, as undisturbed (seed $seed)"
}

for part in $parts; do "part_$part"; done
exit $failed
