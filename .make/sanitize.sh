#!/usr/bin/env bash
# make sanitize: runs the tools that find what tests alone cannot. Ends with one line per part;
# exits 1 if one failed. The parts, which PARTS="address tidy" selects:
#   address   all tests, those of the CUDA kernels on the CPU too, under AddressSanitizer with
#             leak detection and UndefinedBehaviorSanitizer
#   thread    all tests under ThreadSanitizer, with the reference kernels: they are our own loops,
#             and oneDNN brings libgomp, whose barriers ThreadSanitizer does not see. Needs clang++
#             and LLVM's OpenMP, whose tool Archer reports every barrier. The CUDA kernels are not
#             tested: on the CPU their threads are fibers of one OS thread and cannot race. Two
#             tests are left out: the file size limit that simulates a full disk breaks
#             ThreadSanitizer's own memory, and a signal during an evaluation comes too late.
#   valgrind  memcheck on very short trainings: uninitialised memory, leaks
#   tidy      clang-tidy with .clang-tidy on the library
#   warnings  the library with g++ and clang++, with warnings as errors
# QUICK=1 takes minutes: the address part runs only the tests of the library and its file readers,
# without three tests whose naive loops take minutes when instrumented; tidy checks the files that
# differ from origin/main or, without such a branch, from the previous commit.
# Environment: PARTS, QUICK, ONEDNN (0: the address part with the reference kernels), MAKE, JOBS
# (default: the cores). Logs and reports: results/sanitize/.
set -uo pipefail
export LC_ALL=C
quick=${QUICK:-} jobs=${JOBS:-$(nproc)} make=${MAKE:-make}
parts=${PARTS:-$([ -n "$quick" ] && echo address tidy || echo address thread valgrind tidy warnings)}
here=$PWD out=$PWD/results/sanitize failed=0 summary=""
mkdir -p "$out"
# the makes started here must not inherit the options of this one
unset MAKEFLAGS MAKELEVEL MFLAGS
# these would change what the programs under test do
unset CIFAR10_DIR VERSOR_POISON VERSOR_ONEDNN VERSOR_AVX512 VERSOR_WINOGRAD

verdict() {  # verdict NAME STATUS TEXT
  local word=ok
  [ "$2" = 0 ] || { word=FAILED; failed=1; }
  summary+="$word $1: $3"$'\n'
}

need() {  # need PART TOOL PACKAGE: fails with a verdict if the tool is missing
  command -v "$2" >/dev/null && return
  verdict "$1" 1 "not run: there is no $2; apt-get install $3"
  return 1
}

build() {  # build PART MAKE-ARGUMENT...: prints the folder of the build; fails if make does
  local log=$out/$1-build.txt
  if ! "$make" -j"$jobs" "${@:2}" >"$log" 2>&1; then
    tail -n 30 "$log" >&2
    return 1
  fi
  tail -n 1 "$log"
}

# Runs test programs and counts results. The sanitizers report to files, since tests check what
# programs print. A report is a failure even if the test passed.
begin_tests() { passed=0 wrong=0 skipped=0; rm -f "$out/$1".*; : >"$out/$1.txt"; }
tests() {  # tests PART PROGRAM ARGUMENT...
  local last
  "${@:2}" >"$out/last.txt" 2>&1
  local status=$?
  cat "$out/last.txt" >>"$out/$1.txt"
  last=$(tail -n 1 "$out/last.txt")
  if [[ $last =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed(,\ ([0-9]+)\ skipped)?$ ]]; then
    passed=$((passed + BASH_REMATCH[1])) wrong=$((wrong + BASH_REMATCH[2]))
    skipped=$((skipped + ${BASH_REMATCH[4]:-0}))
    [ "$status" = 0 ] || [ "${BASH_REMATCH[2]}" != 0 ] || wrong=$((wrong + 1))
  else
    wrong=$((wrong + 1))
  fi
}
end_tests() {  # end_tests PART
  local -a reports
  # its warning about swapcontext() is not counted: the fibers announce every switch to it
  mapfile -t reports < <(grep -lE 'ERROR: |runtime error: |WARNING: ThreadSanitizer' \
    "$out/$1".report.* 2>/dev/null)
  if [ "$wrong" != 0 ] || [ ${#reports[@]} != 0 ]; then
    { [ ${#reports[@]} = 0 ] || head -n 40 "${reports[@]}"; tail -n 30 "$out/$1.txt"; } >&2
  fi
  [ "$wrong" = 0 ] && [ ${#reports[@]} = 0 ] && [ "$passed" -gt 0 ]
  verdict "$1" $? "$passed passed, $wrong failed, $skipped skipped, ${#reports[@]} reports"
}

part_address() {
  local bin target=sanitize-build
  need address g++ g++ || return
  [ -z "$quick" ] || target=sanitize-build-quick
  bin=$(build address CXX=g++ CUDA=0 ${ONEDNN:+ONEDNN=$ONEDNN} SANITIZE=address $target)/bin ||
    { verdict address 1 "not built, see $out/address-build.txt"; return; }
  begin_tests address
  local common="log_path='$out/address.report' exitcode=86"
  export ASAN_OPTIONS="$common detect_leaks=1"
  export UBSAN_OPTIONS="$common print_stacktrace=1"
  if [ -n "$quick" ]; then
    tests address "$bin/run_library_tests" \
      -tce='family gradients: value*,*every row and code,reference: estimator gradients*'
  else
    VERSOR_BIN=$here/$bin tests address "$bin/run_tests"
    OMP_NUM_THREADS=1 VERSOR_TEST_DEVICE=cuda tests address "$bin/run_kernel_tests"
  fi
  unset ASAN_OPTIONS UBSAN_OPTIONS
  end_tests address
}

part_thread() {
  local bin archer
  need thread clang++ clang || return
  archer=$(ls /usr/lib/llvm-*/lib/libarcher.so 2>/dev/null | sort -V | tail -n 1)
  [ -n "$archer" ] ||
    { verdict thread 1 "not run: there is no libarcher.so; apt-get install libomp-dev"; return; }
  bin=$(build thread CXX=clang++ CUDA=0 ONEDNN=0 SANITIZE=thread sanitize-build-tests)/bin ||
    { verdict thread 1 "not built, see $out/thread-build.txt"; return; }
  begin_tests thread
  OMP_TOOL_LIBRARIES=$archer \
    TSAN_OPTIONS="ignore_noninstrumented_modules=1 exitcode=86 log_path='$out/thread.report'" \
    OMP_NUM_THREADS=4 VERSOR_BIN=$here/$bin tests thread "$bin/run_tests" \
    -tce='resume: a full disk*,resume: interrupted in the evaluation*'
  end_tests thread
}

# Without oneDNN: valgrind does not support AVX-512 and complains about generated code that reads a
# whole vector to use a part of it; besides, our own code is to be checked. It is an ordinary build,
# because DEBUG=1 fills new memory, which would then count as initialised.
part_valgrind() {
  local bin n=0 wrong=0 log options
  need valgrind valgrind valgrind || return
  need valgrind g++ g++ || return
  bin=$(build valgrind CXX=g++ CUDA=0 ONEDNN=0 sanitize-build-programs)/bin ||
    { verdict valgrind 1 "not built, see $out/valgrind-build.txt"; return; }
  for options in "--preset versor" "--preset published" "--precision bf16"; do
    n=$((n + 1)) log=$out/valgrind-$n.txt
    rm -rf "$out/valgrind-run"
    VERSOR_AVX512=0 valgrind --error-exitcode=86 --leak-check=full --track-origins=yes \
      --errors-for-leak-kinds=definite,indirect --show-leak-kinds=definite,indirect \
      "$bin/train" --data synthetic --latent 8 --codes 8 --train-images 32 --test-images 16 \
      --batch-size 16 --epochs 1 --threads 2 --quiet --out "$out/valgrind-run" $options \
      >"$log" 2>&1 || { wrong=$((wrong + 1)); tail -n 60 "$log" >&2; }
  done
  [ "$wrong" = 0 ]
  verdict valgrind $? "$((n - wrong)) passed, $wrong failed"
}

library() {
  ls {tensor,tensor/cpu,autograd,nn,vq,vq/cpu,data}/*.cpp
  [[ $(compile_flags) != *mpi* ]] || ls tensor/mpi/*.cpp
}
changed() {  # the library's files that differ, uncommitted ones included
  local base
  base=$(git merge-base origin/main HEAD 2>/dev/null) && [ "$base" != "$(git rev-parse HEAD)" ] ||
    base=HEAD~1
  { git diff --name-only --diff-filter=d "$base"; git ls-files -o --exclude-standard; } |
    grep -xFf <(library) | sort -u
}

compile_flags() { "$make" CXX=g++ CUDA=0 sanitize-flags | tail -n 1; }

# each_file LOG COMMAND...: runs the command for each file of $files, with {} replaced by its name
each_file() {
  printf '%s\n' $files | xargs -P "$jobs" -I{} bash -c \
    'text=$("$@" 2>&1) || printf "%s\nnot clean: %s\n" "$text" "{}"' bash "${@:2}" >>"$1"
}

part_tidy() {
  local flags files log=$out/tidy.txt dirty
  need tidy clang-tidy clang-tidy || return
  need tidy g++ g++ || return
  flags=$(compile_flags)
  if [ -n "$quick" ]; then files=$(changed); else files=$(library); fi
  : >"$log"
  [ -z "$files" ] || each_file "$log" clang-tidy --quiet {} -- $flags -Wno-everything
  dirty=$(grep -c '^not clean: ' "$log") && cat "$log" >&2
  [ "$dirty" = 0 ]
  verdict tidy $? "$(wc -w <<<"$files") files, $dirty not clean"
}

part_warnings() {
  local flags files log=$out/warnings.txt dirty
  need warnings clang++ clang || return
  need warnings g++ g++ || return
  flags=$(compile_flags) files=$(library)
  : >"$log"
  each_file "$log" g++ $flags -O2 -c {} -o /dev/null
  each_file "$log" clang++ $flags -Wno-sign-conversion -fsyntax-only {}
  dirty=$(grep -c '^not clean: ' "$log") && cat "$log" >&2
  [ "$dirty" = 0 ]
  verdict warnings $? "$(wc -w <<<"$files") files with g++ and clang++, $dirty not clean"
}

for part in $parts; do
  case $part in
    address | thread | valgrind | tidy | warnings) ;;
    *) echo "error: there is no part $part in PARTS" >&2; exit 1 ;;
  esac
done
for part in $parts; do
  echo "-- $part"
  start=$SECONDS
  part_"$part"
  summary=${summary%$'\n'}", $((SECONDS - start)) s"$'\n'
done
echo "-- all"
printf '%s' "$summary"
exit "$failed"
