#!/usr/bin/env bash
# Runs the tests up to three times: on the CPU; the device tests again with our CUDA kernels
# compiled for the CPU; and, in a build with CUDA, on the GPU (all skipped if there is none). Then,
# in a build with MPI, the tests of several ranks. The last line is the sum: N passed, N failed[, N
# skipped].
# Environment: VERSOR_BIN (the programs' folder), VERSOR_CUDA=1 (a build with CUDA), KERNELS=0 (skip
# the second run), RANKS (for the last: the numbers of ranks), ONLY_RANKS=1 (nothing else).
# Arguments go to the test programs.
set -uo pipefail
passed=0 failed=0 skipped=0 log=$(mktemp)
trap 'rm -f "$log"' EXIT

run() {  # run TITLE PROGRAM ARGUMENT...
  echo "-- $1"
  "${@:2}" 2>&1 | tee "$log"
  local status=${PIPESTATUS[0]} last
  last=$(tail -n 1 "$log")
  if [[ $last =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed(,\ ([0-9]+)\ skipped)?$ ]]; then
    passed=$((passed + BASH_REMATCH[1])) failed=$((failed + BASH_REMATCH[2]))
    skipped=$((skipped + ${BASH_REMATCH[4]:-0}))
    [ "$status" = 0 ] || [ "${BASH_REMATCH[2]}" != 0 ] || failed=$((failed + 1))
  else
    echo "the test program ended without a result (exit code $status)"
    failed=$((failed + 1))
  fi
}

if [ -z "${ONLY_RANKS:-}" ]; then
  run "tests on the CPU" "$VERSOR_BIN/run_tests" "$@"
  if [ "${KERNELS:-1}" != 0 ]; then
    # the kernels' fibers run on one thread; more OpenMP threads would only wait
    OMP_NUM_THREADS=1 VERSOR_TEST_DEVICE=cuda \
      run "CUDA kernels on the CPU" "$VERSOR_BIN/run_kernel_tests" "$@"
  fi
  if [ -n "${VERSOR_CUDA:-}" ]; then
    VERSOR_TEST_DEVICE=cuda run "tests on the GPU" "$VERSOR_BIN/run_tests" "$@"
  fi
fi
# more ranks than cores: Open MPI 4 reads the one, 5 the other
export OMPI_MCA_rmaps_base_oversubscribe=1 PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe
for ranks in ${RANKS:-}; do
  # a test that waits for a rank that does not come ends in time
  OMP_NUM_THREADS=1 run "tests of $ranks ranks" timeout 300 .make/ranks.sh -n "$ranks" \
    "$VERSOR_BIN/run_rank_tests" "$@"
done
[ -z "${RANKS:-}" ] || run "ranks that fail" tests/ranks/failures.sh 3
echo "-- all"
echo -n "$passed passed, $failed failed"
[ "$skipped" = 0 ] || echo -n ", $skipped skipped"
echo
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
