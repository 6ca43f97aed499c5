#!/usr/bin/env bash
# Searches for Open MPI's C interface, by pkg-config or the wrapper mpicc, and writes the result to
# build/setup-mpi-$MPI.mk, which the Makefile includes: MPI_FOUND (what was found; empty: build
# without MPI), MPI_WHY (the reason then), MPI_INCLUDES, MPI_LIBRARIES. It installs nothing; with
# MPI=1 .make/setup.sh, which comes first, does.
# Environment: MPI (1 required, 0 never, auto), CXX.
set -euo pipefail
export LC_ALL=C
MPI=${MPI:-auto} out=build/setup-mpi-$MPI.mk
request="CXX=${CXX:-} PKG_CONFIG_PATH=${PKG_CONFIG_PATH:-}"

finished() {  # is the last result for this request, and is everything it names still there?
  local file
  [ -z "${FORCE:-}" ] && grep -qxF "# for $request" "$out" 2>/dev/null || return 1
  for file in $(sed -n 's/^# uses //p' "$out"); do [ -e "$file" ] || return 1; done
  # nothing was found last time: look again if there is something now
  ! grep -qx 'MPI_FOUND := ' "$out" || [ "$MPI" = 0 ] || ! ask
}

wrapper() {
  local name
  for name in mpicc.openmpi mpicc; do
    if command -v "$name" >/dev/null && "$name" --showme:version >/dev/null 2>&1; then
      echo "$name"
      return
    fi
  done
  return 1
}

ask() {  # sets includes and libraries
  local name
  if pkg-config --exists ompi-c 2>/dev/null; then
    includes=$(pkg-config --cflags ompi-c) libraries=$(pkg-config --libs ompi-c)
  elif name=$(wrapper); then
    includes=$("$name" --showme:compile) libraries=$("$name" --showme:link)
  else
    return 1
  fi
  # warnings in its headers are not ours; -pthread is everywhere; without the old C++ interface
  includes="-DOMPI_SKIP_MPICXX$(echo " $includes" | sed 's/ -pthread//g; s/ -I/ -isystem /g')"
  libraries=$(echo " $libraries" | sed 's/ -pthread//g')
}

write() {  # write FOUND WHY INCLUDES LIBRARIES
  cat >"$out" <<MK
# written by .make/mpi.sh
# for $request
# uses ${header:-}
MPI_FOUND := $1
MPI_WHY := $2
MPI_INCLUDES := $3
MPI_LIBRARIES := $4
MK
}

without() {  # without REASON: ends the search
  if [ "$MPI" = 1 ]; then echo "set-up: MPI=1, but $1" >&2; exit 1; fi
  write "" "$1" "" ""
  exit 0
}

if finished; then exit 0; fi
mkdir -p build
[ "$MPI" != 0 ] || without "MPI=0 was given"
ask || without "there is no Open MPI (make setup MPI=1 installs it)"
cat >build/probe-mpi.cpp <<'CPP'
#include <mpi.h>
#include <cstdio>
int main() {
  char text[MPI_MAX_LIBRARY_VERSION_STRING];
  int length;
  MPI_Get_library_version(text, &length);
  std::puts(text);
}
CPP
folder=$(sed -n 's/.*-L\([^ ]*\).*/\1/p' <<<"$libraries")
for rpath in "" ${folder:+" -Wl,-rpath,$folder"}; do  # outside the linker's folders it needs one
  ${CXX:-g++} -std=c++20 $includes build/probe-mpi.cpp $libraries$rpath -o build/probe-mpi \
    >build/probe-mpi.log 2>&1 ||
    without "Open MPI does not compile: $(grep -m1 -i error build/probe-mpi.log | tr -d '$#')"
  if version=$(build/probe-mpi 2>/dev/null); then break; fi
done
[ -n "$version" ] || without "a program with Open MPI does not start"
header=$(${CXX:-g++} $includes -M build/probe-mpi.cpp | tr ' ' '\n' | grep -m1 '/mpi\.h$')
rm -f build/probe-mpi build/probe-mpi.cpp build/probe-mpi.log
version=$(sed -n '1s/[,(].*//; 1s/MPI v/MPI /p' <<<"$version")
write "$version" "" "$includes" "${libraries# }$rpath"
