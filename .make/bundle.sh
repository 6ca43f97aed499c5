#!/usr/bin/env bash
# Copies the third-party code of a build, oneDNN, libpng, libjpeg and the header-only libraries, to
# .deps/include and .deps/lib, so that the checkout can be taken to a machine without network and root rights.
# Usage: bundle.sh COMPILER ONEDNN (a compiler that finds these headers; 0: without oneDNN)
set -euo pipefail
export LC_ALL=C
new=$(mktemp -d .bundle-XXXXXX)
trap 'rm -rf "$new"' EXIT
mkdir -p "$new/include" "$new/lib" .deps
with_onednn=$([ "${2:-auto}" = 0 ] || echo yes)
for dir in $($1 -x c++ -E -v -isystem .deps/include /dev/null 2>&1 |
  sed -n '/^#include </,/^End/s/^ //p'); do
  for name in "$dir"/{dnnl*.h*,oneapi,doctest,CLI,nlohmann,fmt,stb,png{,conf,libconf}.h,j{config,error,morecfg,peglib}.h}; do
    case $name in */dnnl* | */oneapi) [ -n "$with_onednn" ] || continue ;; esac
    [ ! -e "$name" ] || [ -e "$new/include/${name##*/}" ] || cp -rL "$name" "$new/include/"
  done
done
for library in ${with_onednn:+libdnnl} libpng libjpeg; do
  file=.deps/lib/$library.so
  [ -e "$file" ] || file=$($1 -print-file-name=$library.so)
  [ -e "$file" ] || { echo "error: there is no $library.so to bundle; try make setup" >&2; exit 1; }
  real=$(readlink -f "$file")
  cp "$real" "$new/lib/"
  for name in "$(dirname "$file")/$library"*.so*; do  # the links to it
    if [ "$(readlink -f "$name")" = "$real" ] && [ "${name##*/}" != "${real##*/}" ]; then
      ln -s "${real##*/}" "$new/lib/${name##*/}"
    fi
  done
  # and its dependencies, except the compiler's own libraries, which every build machine has
  LD_LIBRARY_PATH=.deps/lib ldd "$real" | awk '$2 == "=>" && $3 ~ /\//  { print $1, $3 }' |
    grep -vE '^lib(c|m|dl|rt|pthread|gomp|stdc\+\+|gcc_s)\.' |
    while read -r name file; do cp -L "$file" "$new/lib/$name"; done || true
done
rm -rf .deps/include
mkdir -p .deps/lib
mv "$new/include" .deps/
for file in "$new"/lib/*; do
  [ ! -e "$file" ] || cp -a --remove-destination "$file" .deps/lib/
done
echo "bundle: .deps/ has $(du -sm .deps | cut -f1) MB; copied along with the sources," \
  "make needs nothing but a compiler"
