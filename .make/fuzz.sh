#!/usr/bin/env bash
# make fuzz: feeds generated inputs to every reader of outside data (tests/fuzz/) under the address
# and undefined-behaviour sanitizers, starting from the inputs in tests/fuzz/corpus/. Prints one
# line per target and last "N executions, M findings"; exits 1 if there are findings. Failing inputs
# are kept in build/fuzz/findings/, inputs that reach new code in build/fuzz/corpus/ for the next
# run. An allocation of more than $LARGEST MiB for an input of at most 16 KiB is a finding: readers
# may only take memory in proportion to the file. Pictures are compressed, by up to 1032 in PNG.
# Environment: TIME (seconds per target), TARGETS, JOBS (targets at a time), MAKE.
set -uo pipefail
out=build/fuzz LARGEST=1
mkdir -p "$out/findings" "$out/log"

if ! clang++ -fsanitize=fuzzer,address,undefined -x c++ - -o "$out/probe" \
  >"$out/probe.log" 2>&1 <<'CPP'
#include <cstddef>
#include <cstdint>
#include <string>
extern "C" int LLVMFuzzerTestOneInput(const uint8_t*, size_t) { return 0; }
CPP
then
  echo "error: make fuzz needs clang++ with libFuzzer and the sanitizers; install them with:" \
    "sudo apt-get install --no-install-recommends clang libclang-rt-dev (see $out/probe.log)" >&2
  exit 1
fi
for target in $TARGETS; do
  [ -f "tests/fuzz/$target.cpp" ] && continue
  echo "error: there is no fuzz target $target, only: $(cd tests/fuzz && ls ./*.cpp | tr -d './' |
    sed 's/cpp$//' | tr '\n' ' ')" >&2
  exit 1
done
${MAKE:-make} $(for target in $TARGETS; do echo "$out/bin/$target"; done) || exit 1

# the targets' temporary folders, removed at the end in any case
memory=/dev/shm; [ -w "$memory" ] || memory=${TMPDIR:-/tmp}
temporary=$(mktemp -d "$memory/versor-fuzz-XXXXXX")
trap 'rm -rf "$temporary"' EXIT

fuzz() {  # fuzz TARGET: prints its line, writes "EXECUTIONS FINDINGS" to a file beside its log
  local log=$out/log/$1.txt dictionary=tests/fuzz/$1.dict largest=$LARGEST finding="" runs cov
  case $1 in png | jpeg) largest=100 ;; esac
  mkdir -p "$out/corpus/$1" "$temporary/$1"
  rm -f "$out/findings/$1-"*
  ASAN_OPTIONS=quarantine_size_mb=16 UBSAN_OPTIONS=print_stacktrace=1 TMPDIR=$temporary/$1 \
    "$out/bin/$1" -max_total_time="$TIME" -max_len=16384 -timeout=10 \
    -rss_limit_mb=512 -malloc_limit_mb=$largest -print_final_stats=1 -close_fd_mask=1 \
    -artifact_prefix="$out/findings/$1-" $([ ! -f "$dictionary" ] || echo "-dict=$dictionary") \
    "$out/corpus/$1" "tests/fuzz/corpus/$1" >"$log" 2>&1
  local status=$?
  stat() { sed -n "s/^stat::$1: *//p" "$log"; }
  runs=$(stat number_of_executed_units)
  cov=$(grep -o 'cov: [0-9]*' "$log" | tail -n 1)
  if [ $status != 0 ]; then
    finding="  FINDING, input: $(ls "$out/findings/$1-"* 2>/dev/null | head -n 1), log: $log"
  fi
  printf '%-13s %10s executions %8s/s  coverage %6s  peak RSS %4s MB%s\n' "$1" "${runs:-0}" \
    "$(stat average_exec_per_sec)" "${cov#cov: }" "$(stat peak_rss_mb)" "$finding"
  echo "${runs:-0} $((status != 0))" >"$out/log/$1.sum"
}

rm -f "$out/log/"*.sum
for target in $TARGETS; do
  while [ "$(jobs -pr | wc -l)" -ge "$JOBS" ]; do wait -n; done
  fuzz "$target" &
done
wait
awk '{ runs += $1; findings += $2 }
     END { printf "%d executions, %d findings\n", runs, findings; exit findings > 0 }' \
  "$out/log/"*.sum
