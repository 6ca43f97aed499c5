#!/usr/bin/env bash
# make gpu-pack: packs what a bare machine with a GPU needs to work through .make/gpu_queue.txt, in
# parts small enough to travel one by one:
#   gpu-pack/part-00, part-01, ...    there: cat part-* | tar -x; ./run.sh SECONDS
# In them: bin/ (stripped, for the architecture asked for), lib/ (libraries that may be missing
# there; CUDA's own and cuDNN must be there), tests/ (golden values of run_tests), data/ (CIFAR-10,
# each file by itself so that they unpack side by side), results/ (half-finished runs, which go on
# there), peers/ (PyTorch's step, to compare with), queue.tsv and run.sh.
# CIFAR-10 is compressed by xz with differences between rows and between neighbours: 67 % of its
# size, and 1 s to unpack; without these filters it would be 75 %.
# Environment: MAKE, PACKED and GPU_ARCH (the programs, and for what they are built), VERSOR_BIN (those
# for DEVICE=cpu), QUEUE, RESULTS (default results), DEVICE (cuda), PART_MIB (50).
# Arguments: further options for every program of the queue, as --epochs 2 to try it on a CPU.
set -euo pipefail
queue=${QUEUE:-.make/gpu_queue.txt} results=${RESULTS:-results} device=${DEVICE:-cuda}
stage=build/gpu-pack/stage cache=build/gpu-pack/cifar10
data=""
options=()
for tool in xz strip tar; do
  command -v $tool >/dev/null ||
    { echo "gpu-pack: there is no $tool (packages xz-utils, binutils, tar)" >&2; exit 1; }
done
[ -r "$queue" ] || { echo "gpu-pack: cannot read the queue $queue" >&2; exit 1; }
if [ "$device" != cpu ]; then
  VERSOR_BIN=build/gpu-pack/sm_$GPU_ARCH/bin
  # shellcheck disable=SC2086
  "$MAKE" CUDA=1 ONEDNN=0 MPI=0 B="${VERSOR_BIN%/bin}" \
    CUDA_GENCODE="-gencode=arch=compute_$GPU_ARCH,code=sm_$GPU_ARCH" \
    $(printf "$VERSOR_BIN/%s " $PACKED run_tests)
fi
while [ $# -gt 0 ]; do
  case $1 in
    --data-dir) data=$2 && shift 2 ;;
    --data) [ "$2" = synthetic ] || { echo "gpu-pack: packs CIFAR-10 or synthetic images, not $2" >&2; exit 1; }
      options+=("$1" "$2") && shift 2 ;;
    *) options+=("$1") && shift ;;
  esac
done

rm -rf "$stage" gpu-pack
mkdir -p "$stage/bin" "$stage/lib" "$stage/results/runs" "$cache" gpu-pack "$results/runs"
[ -z "$data" ] || ln -s "$(realpath "$data")" "$stage/data"

# One line for every missing training: keep, epochs, precision, folder, command, what follows. A
# training that several programs ask for is listed once.
keep="" rows=()
flush() {  # flush THEN: writes the trainings of the line before
  local row
  for row in ${rows[@]+"${rows[@]}"}; do printf '%s\t%s\n' "$row" "$1"; done
  rows=()
}
commands() {  # commands PROGRAM OPTION...: one for every training that is missing
  local program=$1
  shift
  set -- --device "$device" --threads 1 "$@" ${options[@]+"${options[@]}"} --quiet
  if [ "$program" = train ]; then
    echo "bin/train $*"
  else
    (cd "$stage" && ${data:+env CIFAR10_DIR=data} "$bin/$program" --results results "$@" --list)
  fi
}
option() { sed -n "s/.* --$1 '\{0,1\}\([^' ]*\).*/\1/p" <<<"$2"; }  # option NAME COMMAND
list() {  # list KEEP PROGRAM OPTION...
  local keep=$1 command folder
  shift
  while IFS= read -r command; do
    folder=$(option out "$command")
    [ ! -e "experiments/recorded/runs/${folder##*/}" ] || continue
    ! grep -qxF "$folder" "$stage/listed" || continue
    echo "$folder" >>"$stage/listed"
    rows+=("$(printf '%s\t%s\t%s\t%s\t%s' "$keep" "$(option epochs "$command")" \
      "$(option precision "$command")" "$folder" "$command")")
  done < <(commands "$@")
}
bin=$(realpath "$VERSOR_BIN")
# the programs skip what is finished; they see our results here
rmdir "$stage/results/runs" && ln -s "$(realpath "$results/runs")" "$stage/results/runs"
: >"$stage/listed"
{
  while IFS= read -r line; do
    # shellcheck disable=SC2086
    case $line in
      '#'* | '') ;;
      'then '*) flush "${line#then }" ;;
      *) flush "" && list $line ;;
    esac
  done <"$queue"
  flush ""
} >"$stage/queue.tsv"
rm "$stage/listed" "$stage/results/runs"
mkdir "$stage/results/runs"

# half-finished runs of the queue go on there
cut -f4 "$stage/queue.tsv" | while IFS= read -r folder; do
  from=$results/runs/${folder##*/}
  if [ -e "$from/trainer.safetensors" ]; then
    mkdir -p "$stage/$folder"
    cp "$from"/{config.json,trainer.safetensors,*.csv} "$stage/$folder" 2>/dev/null || true
  fi
done

for program in train evaluate bench probe run_tests; do
  [ ! -e "$bin/$program" ] || strip -o "$stage/bin/$program" "$bin/$program"
done
mkdir "$stage/tests"
cp -r tests/golden "$stage/tests"
cp "$(command -v xz)" "$stage/bin"
# shellcheck disable=SC2046
cp -L $(ldd "$bin/train" "$stage/bin/xz" | awk '$3 ~ /^\// { print $3 }' |
  grep -vE '/lib(c|m|dl|rt|pthread|cuda.*|cudnn.*|cublas.*|nvrtc.*)\.so') "$stage/lib"
cp .make/gpu_run.sh "$stage/run.sh"
cp -r experiments/peers "$stage"
if [ -n "$data" ]; then
  rm "$stage/data"
  mkdir "$stage/data"
  for file in "$data"/*.bin; do
    packed=$cache/$(md5sum <"$file" | cut -c1-32).xz
    [ -e "$packed" ] || { xz -c --delta=dist=1 --delta=dist=32 --lzma2=preset=6,lc=0,pb=0 \
      "$file" >"$packed.new" && mv "$packed.new" "$packed"; }
    cp "$packed" "$stage/data/$(basename "$file").xz"
  done
fi
(cd "$stage" && tar -c --owner=0 --group=0 -- *) | split -d -b $((${PART_MIB:-50} << 20)) - gpu-pack/part-
wc -c gpu-pack/part-* | awk '{ printf "%-24s %6.1f MiB\n", $2, $1 / 1048576 }'
echo "$(wc -l <"$stage/queue.tsv") trainings; there: cat part-* | tar -x; ./run.sh SECONDS"
