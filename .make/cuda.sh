#!/usr/bin/env bash
# Searches the usual places for what the CUDA backend needs, nvcc (12 or newer), cuBLASLt and cuDNN
# (8.9 or newer), and for NCCL (2.13 or newer), which joins the GPUs of several processes. Writes the
# result to build/setup-cuda-$CUDA.mk, which the Makefile includes: CUDA_FOUND (what was found; empty:
# build without CUDA), CUDA_WHY (the reason then), NVCC, NCCL_FOUND (its version or empty),
# CUDA_GENCODE, CUDA_INCLUDES, CUDA_LIBRARIES. It installs nothing.
# Environment: CUDA (1 required, 0 never, auto), NVCC, CUDA_HOME, CUDNN_HOME, CXX (the host
# compiler).
set -euo pipefail
export LC_ALL=C
CUDA=${CUDA:-auto} out=build/setup-cuda-$CUDA.mk
request="NVCC=${NVCC:-} CUDA_HOME=${CUDA_HOME:-} CUDNN_HOME=${CUDNN_HOME:-} CXX=${CXX:-}"

finished() {  # is the last result for this request, and is everything it names still there?
  local file
  [ -z "${FORCE:-}" ] && grep -qxF "# for $request" "$out" 2>/dev/null || return 1
  grep -q '^NCCL_FOUND' "$out" || return 1  # written before NCCL was looked for
  for file in $(sed -n 's/^# uses //p' "$out"); do [ -e "$file" ] || return 1; done
  # nothing was found last time: look again if there is an nvcc now
  ! grep -qx 'CUDA_FOUND := ' "$out" || [ "$CUDA" = 0 ] || [ -z "$(nvccs)" ]
}

nvccs() {  # all candidates, the most likely first
  local file
  for file in "${NVCC:-}" "${CUDA_HOME:+$CUDA_HOME/bin/nvcc}" "$(command -v nvcc || true)" \
    /usr/local/cuda/bin/nvcc $(ls -d /usr/local/cuda-*/bin/nvcc 2>/dev/null | sort -rV) \
    /opt/cuda/bin/nvcc; do
    if [ -n "$file" ]; then command -v "$file" || true; fi
  done
}

version_of() { "$1" --version 2>/dev/null | sed -n 's/.*release \([0-9]*\.[0-9]*\).*/\1/p'; }

write() {  # write FOUND WHY GENCODE INCLUDES LIBRARIES
  local why=${2//\#/\\#}
  cat >"$out" <<MK
# written by .make/cuda.sh
# for $request
# uses $uses
CUDA_FOUND := $1
CUDA_WHY := ${why//\$/\$\$}
override NVCC := $nvcc
NCCL_FOUND := $nccl
CUDA_GENCODE := $3
CUDA_INCLUDES := $4
CUDA_LIBRARIES := $5
MK
}

without() {  # without REASON: ends the search
  if [ "$CUDA" = 1 ]; then echo "set-up: CUDA=1, but $1" >&2; exit 1; fi
  write "" "$1" "" "" ""
  exit 0
}

include() {  # include HEADER: sets folder to the first that has it, and adds it to the includes
  for folder in $(folders include); do
    [ -e "$folder/$1" ] || continue
    case "$folder " in
      /usr/include\ | /usr/local/include\ ) ;;  # built-in; naming them again breaks #include_next
      *) [[ "$includes " == *"-isystem $folder "* ]] || includes+=" -isystem $folder" ;;
    esac
    return
  done
  return 1
}

need() {  # need HEADER: the same, or ends the search
  include "$1" ||
    without "there is no $1 (looked in CUDA_HOME, CUDNN_HOME, $home, the system, Python's nvidia packages)"
}

library() {  # library NAME: sets file to libNAME.so, or to a versioned name if there is only that
  local folder
  for folder in $(folders lib); do
    for file in "$folder/lib$1.so" "$folder/lib$1.so".[0-9]*; do
      if [ -e "$file" ]; then uses+=" $file"; return; fi
    done
  done
  return 1
}

if finished; then exit 0; fi
mkdir -p build
nvcc="" uses="" nccl=""
[ "$CUDA" != 0 ] || without "CUDA=0 was given"
[ -n "$(nvccs)" ] || without "there is no nvcc (looked in NVCC, CUDA_HOME, PATH and /usr/local/cuda)"
for file in $(nvccs); do
  version=$(version_of "$file")
  if [ "${version%%.*}" -ge 12 ] 2>/dev/null; then nvcc=$(readlink -f "$file"); break; fi
done
[ -n "$nvcc" ] || without "$file is version ${version:-unknown}, 12 is needed"
home=$(dirname "$(dirname "$nvcc")")

# pip installs to site-packages/nvidia
python=$(python3 -c 'import importlib.util as u
s = u.find_spec("nvidia")
print(*(s.submodule_search_locations if s else []))' 2>/dev/null || true)
folders() {  # folders KIND (include or lib): where to look, best first
  local p kind=$1
  [ -z "${CUDNN_HOME:-}" ] || echo "$CUDNN_HOME/$kind" "$CUDNN_HOME/${kind/%lib/lib64}"
  echo "$home/$kind" "$home/${kind/%lib/lib64}" "$home/targets/$(uname -m)-linux/$kind"
  for p in $python; do
    echo "$p"/{cudnn,cublas,cuda_runtime,cuda_nvrtc,nccl}/"$kind" "$p"/cu[0-9]*/"$kind"
  done
  echo "/usr/$kind/$(uname -m)-linux-gnu" "/usr/$kind" "/usr/${kind/%lib/lib64}" "/usr/local/$kind"
}

includes=""
need cuda_runtime_api.h
need cublasLt.h
need cudnn_version.h
number() { sed -n "s/^#define $1 *\([0-9]*\)$/\1/p" "$folder/$2"*.h | head -n 1; }
cudnn=$(number CUDNN_MAJOR cudnn_version).$(number CUDNN_MINOR cudnn_version)
[ "${cudnn%.*}" -ge 9 ] 2>/dev/null || [ "$cudnn" = 8.9 ] ||
  without "cuDNN in $folder is version $cudnn, 8.9 is needed"
uses="$nvcc $folder/cudnn_version.h"

libraries=""
library cudnn || without "there is no libcudnn.so (looked in the same places)"
libraries+=" $file -Wl,-rpath,$(dirname "$file")"
# loaded when the first matrix product runs: tensor/cuda/cublas_lt.cpp
library cublasLt || without "there is no libcublasLt.so (looked in the same places)"
libraries+=" -Wl,-rpath,$(dirname "$file")"
# cuDNN loads these when it compiles kernels at run time. It does not know where they are, so they
# must be loaded with the program.
compiler=""
for name in nvrtc nvrtc-builtins; do
  if library $name; then compiler+=" $file -Wl,-rpath,$(dirname "$file")"; fi
done
[ -z "$compiler" ] || libraries+=" -Wl,--push-state,--no-as-needed$compiler -Wl,--pop-state"
for folder in $(folders lib); do
  if [ -e "$folder/libcudart_static.a" ]; then runtime="$folder/libcudart_static.a -ldl -lrt -lpthread"; break; fi
done
if [ -z "${runtime:-}" ]; then
  library cudart || without "there is no libcudart"
  runtime="$file -Wl,-rpath,$(dirname "$file")"
fi
libraries+=" $runtime"

# loaded when several processes join their GPUs: tensor/cuda/nccl_library.cpp
if include nccl.h && library nccl; then
  uses+=" $folder/nccl.h"
  nccl=$(number NCCL_MAJOR nccl).$(number NCCL_MINOR nccl)
  if [ "${nccl%.*}" -gt 2 ] 2>/dev/null || [ "${nccl#*.}" -ge 13 ] 2>/dev/null; then
    libraries+=" -Wl,-rpath,$(dirname "$file")"
  else
    nccl=""
  fi
fi

# machine code for Volta to Hopper, as far as this toolkit supports them, and PTX of the newest for
# later GPUs
known=$("$nvcc" --list-gpu-arch | sed -n 's/^compute_//p')
targets=$(for arch in 70 75 80 86 90; do ! grep -qx $arch <<<"$known" || echo $arch; done)
newest=$(tail -n 1 <<<"$targets")
gencode=$(for arch in $targets; do echo -n "-gencode=arch=compute_$arch,code=sm_$arch "; done)
gencode+="-gencode=arch=compute_$newest,code=compute_$newest"

# does this nvcc compile C++20 with this host compiler?
printf '#include <array>\n__global__ void f(float* x) { *x = 1; }\nint main() { f<<<1, 1>>>(nullptr); }\n' \
  >build/probe.cu
if ! "$nvcc" ${CXX:+-ccbin "$CXX"} -std=c++20 -arch=sm_"$newest" -c build/probe.cu -o build/probe.o \
  >build/probe.log 2>&1; then
  without "$nvcc does not compile with ${CXX:-its host compiler}: $(grep -m1 -i error build/probe.log ||
    head -n 1 build/probe.log)"
fi
rm -f build/probe.cu build/probe.o build/probe.log
write "CUDA $version, cuDNN $cudnn$([ -n "$compiler" ] || echo " without NVRTC"), $([ -z "$nccl" ] && echo no NCCL || echo "NCCL $nccl"), sm_$(echo $targets | sed 's/ /, /g')" "" \
  "$gencode" "${includes# }" "${libraries# }"
