#!/usr/bin/env bash
# Looks for what the CUDA backend needs: nvcc (12 or newer), cuBLASLt and cuDNN (8.9 or newer), in
# the usual places, and writes the findings to build/setup-cuda-$CUDA.mk, which the Makefile
# includes: CUDA_FOUND (what was found; empty: build without), CUDA_WHY (why without), NVCC,
# CUDA_GENCODE, CUDA_INCLUDES, CUDA_LIBRARIES. It installs nothing.
# Environment: CUDA (1 must, 0 never, auto), NVCC, CUDA_HOME, CUDNN_HOME, CXX (nvcc's host compiler).
set -euo pipefail
export LC_ALL=C
CUDA=${CUDA:-auto} out=build/setup-cuda-$CUDA.mk
request="NVCC=${NVCC:-} CUDA_HOME=${CUDA_HOME:-} CUDNN_HOME=${CUDNN_HOME:-} CXX=${CXX:-}"

finished() {  # the findings are for this request, and everything found is still there
  local file
  [ -z "${FORCE:-}" ] && grep -qxF "# for $request" "$out" 2>/dev/null || return 1
  for file in $(sed -n 's/^# uses //p' "$out"); do [ -e "$file" ] || return 1; done
  # nothing found last time: look again only if a compiler has come since
  ! grep -qx 'CUDA_FOUND := ' "$out" || [ "$CUDA" = 0 ] || [ -z "$(first_nvcc)" ] ||
    grep -qxF "# tried $(first_nvcc)" "$out"
}

first_nvcc() {
  local file
  for file in "${NVCC:-}" "${CUDA_HOME:-}/bin/nvcc" "$(command -v nvcc || true)" \
    /usr/local/cuda/bin/nvcc /usr/local/cuda-*/bin/nvcc /opt/cuda/bin/nvcc; do
    if [ -n "$file" ] && [ -x "$(command -v "$file" || true)" ]; then command -v "$file"; return; fi
  done
}

write() {  # write FOUND WHY GENCODE INCLUDES LIBRARIES
  cat >"$out" <<MK
# written by .make/cuda.sh
# for $request
# uses $uses
# tried $nvcc
CUDA_FOUND := $1
CUDA_WHY := $2
NVCC := $nvcc
CUDA_GENCODE := $3
CUDA_INCLUDES := $4
CUDA_LIBRARIES := $5
MK
}

without() {  # without REASON: the end of the search
  if [ "$CUDA" = 1 ]; then echo "set-up: CUDA=1, but $1" >&2; exit 1; fi
  write "" "$1" "" "" ""
  exit 0
}

in_folders() {  # in_folders NAME FOLDER...: the first folder that has the file
  local name=$1 folder
  shift
  for folder in "$@"; do
    if [ -n "$folder" ] && [ -e "$folder/$name" ]; then echo "$folder"; return; fi
  done
}

library_in() {  # library_in NAME FOLDER...: "FOLDER FILE" of lib NAME.so, or of a numbered name only
  local name=$1 folder file
  shift
  for folder in "$@"; do
    for file in "$folder/lib$name.so" "$folder/lib$name.so".[0-9]*; do
      if [ -n "$folder" ] && [ -e "$file" ]; then echo "$folder ${file##*/}"; return; fi
    done
  done
}

if finished; then exit 0; fi
mkdir -p build
nvcc="" uses=""
[ "$CUDA" != 0 ] || without "CUDA=0 was given"
nvcc=$(first_nvcc)
[ -n "$nvcc" ] || without "there is no nvcc (looked in NVCC, CUDA_HOME, PATH and /usr/local/cuda)"
version=$("$nvcc" --version 2>/dev/null | sed -n 's/.*release \([0-9]*\.[0-9]*\).*/\1/p')
[ "${version%%.*}" -ge 12 ] 2>/dev/null || without "$nvcc is version ${version:-unknown}, 12 is needed"
home=$(dirname "$(dirname "$(readlink -f "$nvcc")")")

# what pip has installed: the folder site-packages/nvidia, if any
python=$(python3 -c 'import importlib.util as u
s = u.find_spec("nvidia")
print(*(s.submodule_search_locations if s else []))' 2>/dev/null || true)
folders() {  # folders KIND (include or lib): where to look, best first
  local p kind=$1
  [ -z "${CUDNN_HOME:-}" ] || echo "$CUDNN_HOME/$kind" "$CUDNN_HOME/${kind/%lib/lib64}"
  echo "$home/$kind" "$home/${kind/%lib/lib64}" "$home/targets/$(uname -m)-linux/$kind"
  for p in $python; do echo "$p/cudnn/$kind" "$p/cublas/$kind" "$p"/cu[0-9]*/"$kind"; done
  echo "/usr/$kind" "/usr/$kind/$(uname -m)-linux-gnu" "/usr/${kind/%lib/lib64}" "/usr/local/$kind"
}
header=$(in_folders cudnn_version.h $(folders include))
[ -n "$header" ] || without "there is no cudnn.h (looked in CUDNN_HOME, $home, the system, Python's nvidia/cudnn)"
number() { sed -n "s/^#define CUDNN_$1 *\([0-9]*\)$/\1/p" "$header"/cudnn_version*.h | head -n 1; }
cudnn=$(number MAJOR).$(number MINOR)
[ "$(number MAJOR)" -ge 9 ] 2>/dev/null ||
  [ "$(number MAJOR)" = 8 -a "$(number MINOR)" -ge 9 ] 2>/dev/null ||
  without "cuDNN in $header is version $cudnn, 8.9 is needed"
includes="-isystem $home/include"
[ "$header" = "$home/include" ] || includes+=" -isystem $header"
libraries=""
for name in cudnn cublasLt; do
  read -r folder file <<<"$(library_in $name $(folders lib))" || true
  [ -n "${folder:-}" ] || without "there is no lib$name.so beside the headers"
  uses+=" $folder/$file"
  libraries+=" $folder/$file -Wl,-rpath,$folder"
done
read -r folder file <<<"$(library_in cudart $(folders lib))" || true
runtime=$(in_folders libcudart_static.a $(folders lib))
if [ -n "$runtime" ]; then libraries+=" $runtime/libcudart_static.a -ldl -lrt -lpthread"
elif [ -n "${folder:-}" ]; then libraries+=" $folder/$file -Wl,-rpath,$folder"
else without "there is no libcudart beside $nvcc"; fi

# machine code for Volta to Hopper as far as this toolkit knows them, and PTX of the newest for what
# comes after
known=$("$nvcc" --list-gpu-arch | sed -n 's/^compute_//p')
targets=$(for arch in 70 75 80 86 90; do ! grep -qx $arch <<<"$known" || echo $arch; done)
newest=$(tail -n 1 <<<"$targets")
gencode=$(for arch in $targets; do echo -n "-gencode=arch=compute_$arch,code=sm_$arch "; done)
gencode+="-gencode=arch=compute_$newest,code=compute_$newest"

# does this nvcc take C++20 with this host compiler?
printf '#include <array>\n__global__ void f(float* x) { *x = 1; }\nint main() { f<<<1, 1>>>(nullptr); }\n' \
  >build/probe.cu
if ! "$nvcc" ${CXX:+-ccbin "$CXX"} -std=c++20 -arch=sm_"$newest" -c build/probe.cu -o build/probe.o \
  >build/probe.log 2>&1; then
  without "$nvcc does not compile with ${CXX:-its host compiler}: $(grep -m1 -i error build/probe.log ||
    head -n 1 build/probe.log)"
fi
rm -f build/probe.cu build/probe.o build/probe.log
uses="$nvcc $header/cudnn_version.h$uses"
write "CUDA $version, cuDNN $cudnn, sm_$(echo $targets | sed 's/ /, /g')" "" "$gencode" \
  "$includes" "${libraries# }"
