#!/usr/bin/env bash
# Mutation testing: applies the faults of tests/mutants/* to a copy of the working tree, one at a
# time, and expects tests to fail for each. The tests named by the mutant run first; if they pass,
# all others run before it counts as survived. Tests that kill a mutant have passed without the
# fault. Exit code 1 if a mutant survives, is stale (its old text is not in its file exactly once)
# or does not build. The working tree is built but not changed.
# Environment: TARGETS (the files to build) and BIN (their folder), relative to the tree;
# ONLY=name,name for some mutants; SAMPLE=n for n random ones, at most HEADERS (default 1) of them
# in headers, SEED=... for the same ones again. The format of tests/mutants/* is in tests/README.md.
set -uo pipefail
cd "$(dirname "$0")/.."
# the tests run in copies of the tree
[ -z "${CIFAR10_DIR:-}" ] || export CIFAR10_DIR=$(realpath -m -- "$CIFAR10_DIR")
readonly root=$PWD/build/mutants
readonly log=$root/log
kHinted=120 kAll=900  # seconds after which tests count as hanging: the named ones, all tests

die() {
  printf 'error: %s\n' "$@" >&2
  exit 1
}

# ---- reading -------------------------------------------------------------------------------------
declare -a names=()
declare -A file_of old_of new_of tests_of needs_of

read_mutants() {  # read_mutants FILE
  local line value name= at=0
  while IFS= read -r line || [ -n "$line" ]; do
    at=$((at + 1))
    value=${line#* }
    value=${value#"${value%%[! ]*}"}  # without the blanks that align it
    case $line in
      '' | '#'*) ;;
      'mutant '*)
        name=$value
        [ -z "${file_of[$name]+there}" ] || die "$1:$at: a second mutant $name"
        names+=("$name") file_of[$name]= old_of[$name]= new_of[$name]= tests_of[$name]=
        needs_of[$name]=
        ;;
      'why '*) ;;
      'file '*) file_of[$name]=$value ;;
      'tests '*) tests_of[$name]=$value ;;
      'needs '*) needs_of[$name]=$value ;;
      '- '*) old_of[$name]+=${old_of[$name]:+$'\n'}${line#- } ;;
      '+ '*) new_of[$name]+=${new_of[$name]:+$'\n'}${line#+ } ;;
      *) die "$1:$at: neither a mutant nor one of its lines: $line" ;;
    esac
  done <"$1"
}

# Sets `mutated` to the text of the file with the fault in it.
mutate() {  # mutate NAME
  local text old=${old_of[$1]} before after
  [ -n "$old" ] && [ -n "${tests_of[$1]}" ] && [ -f "${file_of[$1]}" ] || return 1
  text=$(<"${file_of[$1]}")
  [[ $text == *"$old"* ]] || return 1
  before=${text%%"$old"*} after=${text#*"$old"}
  [[ $after != *"$old"* ]] || return 1
  mutated=$before${new_of[$1]}$after
}

# Do this build and processor have what the mutant needs?
can_be_seen() {  # can_be_seen NAME
  local need
  for need in ${needs_of[$1]}; do
    if [ "$need" = onednn ]; then
      [[ $BIN == *onednn* ]] || return 1
    elif [ "$need" = mpi ]; then
      [[ $TARGETS == *run_rank_tests* ]] || return 1
    else
      grep -qsw "$need" /proc/cpuinfo || return 1
    fi
  done
}

choose() {
  local name
  if [ -n "${ONLY:-}" ]; then
    names=(${ONLY//,/ })
    for name in "${names[@]}"; do
      [ -n "${file_of[$name]+there}" ] || die "there is no mutant $name in tests/mutants"
    done
  elif [ -n "${SAMPLE:-}" ]; then
    local seed=${SEED:-$(git rev-parse --short HEAD)-$(date +%s)} headers=0
    local -a shuffled chosen=()
    echo "SAMPLE=$SAMPLE SEED=$seed"
    mapfile -t shuffled < <(for name in "${names[@]}"; do
      printf '%s %s\n' "$(printf '%s' "$seed $name" | md5sum)" "$name"
    done | LC_ALL=C sort | awk '{ print $NF }')
    for name in "${shuffled[@]}"; do
      [ ${#chosen[@]} -lt "$SAMPLE" ] || break
      # A header that is included everywhere takes a minute to build with: few of them are enough.
      [[ ${file_of[$name]} != *.h ]] || [ $((headers++)) -lt "${HEADERS:-1}" ] || continue
      chosen+=("$name")
    done
    names=("${chosen[@]}")
  fi
}

# ---- building and running ------------------------------------------------------------------------
build() {  # build FOLDER TARGET...: with CUDA or without, as BIN says
  make -C "$1" CUDA="$([[ $BIN == */cuda-* ]] && echo 1 || echo 0)" "${@:2}" >"$log" 2>&1 9>&-
}

# Runs a test program of a copy of the tree. Words are NAME=value, `kernels` for the CUDA kernels on
# the CPU, `ranks` for those of three ranks, `programs` (for targets_of), or the tests' own arguments. Output to the log; status: 0
# green, 1 red with the reason in `killer`, 2 no result.
run_tests() {  # run_tests FOLDER SECONDS WORD...
  local folder=$1 seconds=$2 word program=run_tests status
  local -a environment=("VERSOR_BIN=$1/$BIN") arguments=(--abort-after=1) launcher=()
  shift 2
  for word in "$@"; do
    case $word in
      kernels)
        program=run_kernel_tests
        environment+=(VERSOR_TEST_DEVICE=cuda OMP_NUM_THREADS=1)
        ;;
      ranks)
        program=run_rank_tests launcher=(.make/ranks.sh -n 3)
        environment+=(OMP_NUM_THREADS=1 OMPI_MCA_rmaps_base_oversubscribe=1
          PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe)
        arguments=()  # each rank must make the same calls
        ;;
      programs) ;;
      -*) arguments+=("$word") ;;
      *=*) environment+=("$word") ;;
      *) die "a mutant's tests: $word is no argument of the tests" ;;
    esac
  done
  {  # the shell's own words on a crash are not wanted
    (cd "$folder" && exec timeout --foreground -k 5 "$seconds" env "${environment[@]}" \
      "${launcher[@]}" "$BIN/$program" "${arguments[@]}" 9>&-) >"$log" 2>&1 </dev/null
    status=$?
  } 2>/dev/null
  killer=$(sed -n 's/^TEST CASE: *//p' "$log" | head -n 1)
  if [ $status = 0 ]; then
    ! grep -q '^0 passed' "$log" || return 2
    return 0
  elif [ $status = 124 ] || [ $status = 137 ]; then
    killer="hangs: not over after $seconds s${killer:+, $killer}"
  elif grep -q 'test case CRASHED' "$log"; then
    killer="crash: $killer"
  elif [ $status -gt 128 ]; then
    killer="crash: signal $((status - 128))"
  elif [ -z "$killer" ]; then
    return 2
  fi
  return 1
}

must_pass() {  # must_pass SECONDS WORD...: without a fault
  run_tests "$root/base" "$@"
  local status=$?
  [ $status != 0 ] || return 0
  cat "$log" >&2
  [ $status = 1 ] && die "without any fault these tests fail: ${*:2}"
  die "these tests give no result: ${*:2}"
}

# The variables among a mutant's words, which belong to all its runs.
variables_of() {
  local word
  for word in "$@"; do [[ $word == -* || $word != *=* ]] || echo "$word"; done
}

# The same for all tests with the variables among the words, once per combination.
all_must_pass() {  # all_must_pass WORD...
  local -a all=($(variables_of "$@"))
  [ -z "${passed[x${all[*]}]+known}" ] || return 0
  must_pass $kAll "${all[@]}"
  must_pass $kAll "${all[@]}" kernels
  passed[x${all[*]}]=1
}

# The targets that a mutant's tests need; building everything after a change to a header is slow.
targets_of() {  # targets_of WORD...
  case " $* " in
    *' programs '*) echo "$TARGETS" ;;
    *' kernels '*) echo "$BIN/run_kernel_tests" ;;
    *' ranks '*) echo "$BIN/run_rank_tests" ;;
    *) echo "$BIN/run_tests" ;;
  esac
}

# Builds and tests the mutant in a fresh copy of the built tree; `killer` names the test that
# failed. Returns what run_tests does, or 3 if it does not build.
try() {  # try NAME
  local -a words=(${tests_of[$1]}) all=($(variables_of ${tests_of[$1]}))
  local status
  rm -rf "$root/mutant"
  cp -a "$root/base" "$root/mutant" || die "cannot copy to $root/mutant"
  mutate "$1"
  printf '%s\n' "$mutated" >"$root/mutant/${file_of[$1]}"
  build "$root/mutant" $(targets_of "${words[@]}") || return 3
  run_tests "$root/mutant" $kHinted "${words[@]}"
  status=$?
  [ $status = 0 ] || return $status
  build "$root/mutant" $TARGETS || return 3
  all_must_pass "${all[@]}"
  for program in '' kernels; do
    run_tests "$root/mutant" $kAll "${all[@]}" $program
    status=$?
    [ $status = 0 ] || return $status
  done
}

# ---- all of it -----------------------------------------------------------------------------------
set -f  # filters of the tests have asterisks
for list in $(set +f; echo tests/mutants/*); do read_mutants "$list"; done
stale=()
for name in "${names[@]}"; do
  mutate "$name" || stale+=("$name is stale: ${file_of[$name]:-no file} does not have its old text \
once, or it names no tests")
done
[ ${#stale[@]} = 0 ] || die "${stale[@]}"
choose

mkdir -p "$root"
exec 9>"$root/lock"
flock -n 9 || die "another make mutants is running here"
trap 'exit 130' INT TERM
started=$SECONDS
echo "building, and copying the tree to build/mutants"
build . $TARGETS || { cat "$log" >&2; die "the tree does not build"; }
rm -rf "$root/base" "$root/mutant"
mkdir "$root/base"
{
  git ls-files -z --cached --others --exclude-standard |
    while IFS= read -r -d '' path; do [ ! -e "$path" ] || printf '%s\0' "$path"; done
  find build -maxdepth 1 -name 'setup-*.mk' -print0
  printf '%s\0' "${BIN%/bin}"
} | xargs -0 cp -a --parents -t "$root/base" || die "cannot copy the tree to build/mutants"
[ ! -e .deps ] || ln -s "$PWD/.deps" "$root/base/.deps"
# Only the file with the commit's name is compiled again.
build "$root/base" $TARGETS || { cat "$log" >&2; die "the copy does not build"; }

declare -A passed=() needed=()
for name in "${names[@]}"; do
  ! can_be_seen "$name" || needed[${tests_of[$name]}]=1
done
if [ -z "${ONLY:-}${SAMPLE:-}" ]; then  # all tests once are fewer than those of all mutants
  for words in "${!needed[@]}"; do all_must_pass $words; done
else
  for words in "${!needed[@]}"; do must_pass $kHinted $words; done
fi
echo "without a fault the tests pass: $((SECONDS - started)) s so far"

killed=0 survived=0 failed=0 left_out=0
printf '%-31s %4s  %s\n' mutant s 'killed by'
for name in "${names[@]}"; do
  if ! can_be_seen "$name"; then
    left_out=$((left_out + 1))
    printf '%-31s %4s  %s\n' "$name" - "left out: needs ${needs_of[$name]}"
    continue
  fi
  began=$SECONDS killer=
  try "$name"
  case $? in
    0) survived=$((survived + 1)) killer=SURVIVED ;;
    1) killed=$((killed + 1)) ;;
    2) failed=$((failed + 1)) killer="NO RESULT: $(tail -n 1 "$log")" ;;
    3)
      failed=$((failed + 1))
      killer="DOES NOT BUILD: $(grep -m 1 -E 'error|Error' "$log" || tail -n 1 "$log")"
      ;;
  esac
  printf '%-31s %4s  %s\n' "$name" $((SECONDS - began)) "$killer"
done
rm -rf "$root/base" "$root/mutant"
echo -n "${#names[@]} mutants: $killed killed, $survived survived"
[ $failed = 0 ] || echo -n ", $failed without a result"
[ $left_out = 0 ] || echo -n ", $left_out left out"
echo
[ $survived = 0 ] && [ $failed = 0 ]
