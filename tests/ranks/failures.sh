#!/usr/bin/env bash
# failures.sh N: N ranks of which one is killed or stopped, or all are asked to end. All must be gone
# soon, with a line that says why. The last line is "N passed, N failed". Environment: VERSOR_BIN.
set -uo pipefail
ranks=$1 passed=0 failed=0 out=$(mktemp)
trap 'rm -f "$out"' EXIT

any_runs() {  # any_runs PID...: a zombie, which nobody has waited for, does not
  local pid
  for pid; do
    grep -q '^State:[[:space:]]*[^ZX[:space:]]' "/proc/$pid/status" 2>/dev/null && return
  done
  return 1
}

run() {  # run SIGNAL WHOM CODES TEXT: sends it to a rank or to the launcher; then all must end in
  # 20 s, with an exit code that matches and a line with TEXT
  local launcher pids="" start=$SECONDS
  VERSOR_SILENCE_SECONDS=2 OMP_NUM_THREADS=1 timeout 60 .make/ranks.sh -n "$ranks" \
    "$VERSOR_BIN/run_rank_tests" --no-skip -tc='ranks: wait for what happens' \
    >"$out" 2>&1 </dev/null &
  launcher=$!
  until [ "$(wc -w <<<"$pids")" = "$ranks" ]; do
    sleep 0.1
    pids=$(sed -n 's/^rank [0-9]* (process \([0-9]*\) .*/\1/p' "$out")
    [ $((SECONDS - start)) -lt 30 ] || break
  done
  start=$SECONDS
  if [ "$2" = launcher ]; then
    kill -"$1" "$launcher"
  else
    kill -"$1" $(sed -n "s/^rank $2 (process \([0-9]*\) .*/\1/p" "$out")
  fi
  wait "$launcher"
  local status=$?
  if [[ $status =~ ^($3)$ ]] && [ $((SECONDS - start)) -le 20 ] && grep -q "$4" "$out" &&
    ! any_runs $pids; then
    passed=$((passed + 1))
  else
    echo "failed: SIG$1 to $2: exit code $status after $((SECONDS - start)) s"
    cat "$out"
    failed=$((failed + 1))
  fi
}

run KILL 1 '[1-9].*' "process rank 1 "  # says the launcher
run STOP 1 '[1-9].*' "error: rank 1 (process .*) has been silent for 2 s"
run STOP 0 '[1-9].*' "error: rank 0 (process .*) has been silent for 2 s"
run TERM launcher 0 "1 passed, 0 failed"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
