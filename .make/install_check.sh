#!/usr/bin/env bash
# Installs into a folder with a blank in its path, as a user would, and checks what users need: each
# header compiles alone, tests/install/mlp.cpp builds with pkg-config and with CMake (left out where
# they are not installed) and learns, shared and static, also after the folder was moved, and
# uninstalling leaves nothing. Environment: MAKE, CXX.
set -euo pipefail
work=$PWD/build/install-check
rm -rf "$work"
mkdir -p "$work"
run() {  # run COMMAND...: shows what it prints only if it fails
  "$@" >"$work/log" 2>&1 || { cat "$work/log" && exit 1; }
}
run $MAKE install DESTDIR="$work/stage" PREFIX="/my home/x"
[ "$(ls "$work/stage")" = "my home" ] || { echo "error: something lies outside DESTDIR" >&2; exit 1; }
mv "$work/stage/my home" "$work/my home"
prefix="$work/my home/x"

if grep -rnE '^#include "' "$prefix/include"; then
  echo "error: these includes would not be found, or another project's would" >&2
  exit 1
fi
(cd "$prefix/include" && find versor -name '*.h') |
  xargs -P 2 -I {} sh -c "echo '#include <{}>' |
    $CXX -std=c++20 -Wall -Wextra -Werror -fsyntax-only -I'$prefix/include' -x c++ - || exit 255"
echo "compiled alone: $(find "$prefix/include" -name '*.h' | wc -l) headers"

export OMP_NUM_THREADS=1
if command -v pkg-config >/dev/null; then
  flags=$(PKG_CONFIG_PATH="$prefix/lib/pkgconfig" pkg-config --cflags --libs versor)
  # without the blank no eval would be needed
  eval "$CXX tests/install/mlp.cpp $flags -o '$work/mlp'"
  echo "pkg-config: $("$work/mlp")"
else
  echo "not checked: there is no pkg-config"
fi
if command -v cmake >/dev/null; then
  run cmake -S tests/install -B "$work/cmake" -DCMAKE_CXX_COMPILER="${CXX%% *}" \
    -DCMAKE_PREFIX_PATH="$prefix"
  run cmake --build "$work/cmake"
  echo "CMake: $("$work/cmake/mlp")"
  echo "CMake, static: $("$work/cmake/mlp_static")"
else
  echo "not checked: there is no cmake"
fi
(cd "$work" && "$prefix/bin/versor-train" --version)
run $MAKE uninstall PREFIX="$prefix"
if find "$prefix" ! -type d | grep . || find "$prefix" -iname '*versor*' | grep .; then
  echo "error: this was left behind" >&2
  exit 1
fi
echo "install-check: all is well"
