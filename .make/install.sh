#!/usr/bin/env bash
# install.sh PREFIX BUILD PROGRAMS: copies the programs, libversor.a and the headers. Users compile
# with -I PREFIX/include/versor and link -lversor -ldnnl -fopenmp, and with CUDA also the
# CUDA_LIBRARIES of build/setup-cuda-auto.mk. Libraries in .deps/ are copied to PREFIX/lib/versor,
# where the programs find them.
set -euo pipefail
prefix=$1 build=$2
install -d "$prefix/bin" "$prefix/lib"
for program in $3; do install "$build/bin/$program" "$prefix/bin/versor-${program//_/-}"; done
install -m 644 "$build/libversor.a" "$prefix/lib/"
.make/sources.sh tensor autograd nn vq data | grep '\.h$' | while read -r header; do
  install -D -m 644 "$header" "$prefix/include/versor/$header"
done
if [ -d .deps/lib ]; then
  install -d "$prefix/lib/versor"
  for library in .deps/lib/lib{dnnl,OpenCL,tbb,gomp}.so.*; do
    [ ! -e "$library" ] || cp -L "$library" "$prefix/lib/versor/"
  done
fi
echo "installed: $(cd "$prefix" && echo bin/versor-*) lib/libversor.a include/versor/ under $prefix"
