#!/usr/bin/env bash
# install.sh PREFIX BUILD: copies programs, libraries, headers and what pkg-config and CMake need to
# find them. install.sh --remove PREFIX: removes what is listed in share/versor/manifest, which an
# installation writes. Nothing below PREFIX names it, so that the folder can be moved.
#   bin/versor-*                  the programs
#   include/versor/               the headers; <versor/versor.h> includes all of them
#   lib/libversor.a, .so          the library, static and shared
#   lib/versor/                   libraries that were unpacked in .deps/; the above find them there
#   lib/pkgconfig/versor.pc       g++ a.cpp $(pkg-config --cflags --libs versor)
#   lib/cmake/Versor/             find_package(Versor): Versor::versor, Versor::versor_static
#   share/man/, share/bash-completion/    of the programs
#   share/versor/                 versor_torch.py and the licence
# Environment: PROGRAMS, VERSION, LIBRARIES (the linker's arguments for what the library needs).
set -euo pipefail

remove() {  # remove PREFIX: the files of its manifest, then our folders if they are empty
  local manifest=$1/share/versor/manifest file
  while read -r file; do
    rm -f "$1/$file"
    while file=$(dirname "$file") && [[ $file = *[Vv]ersor* ]]; do
      rmdir "$1/$file" 2>/dev/null || break
    done
  done <"$manifest"
}

if [ "$1" = --remove ]; then
  [ -e "$2/share/versor/manifest" ] || {
    echo "error: $2/share/versor/manifest is missing: nothing was installed there" >&2
    exit 1
  }
  remove "$2"
  echo "removed: versor under $2"
  exit
fi

prefix=$1 build=$2 shared=libversor.so.${VERSION%.*}
[ ! -e "$prefix/share/versor/manifest" ] || remove "$prefix"
installed=()
put() {  # put SOURCE TARGET [MODE]: SOURCE may be - for standard input
  mkdir -p "$(dirname "$prefix/$2")"
  if [ "$1" = - ]; then
    rm -f "$prefix/$2"
    cat >"$prefix/$2"
    chmod 644 "$prefix/$2"
  else
    install -m "${3:-644}" "$1" "$prefix/$2"
  fi
  installed+=("$2")
}
link() {  # link NAME TARGET: TARGET becomes a link to NAME beside it
  mkdir -p "$(dirname "$prefix/$2")"
  ln -sfn "$1" "$prefix/$2"
  installed+=("$2")
}

for program in $PROGRAMS; do
  name=versor-${program//_/-}
  put "$build/bin/$program" "bin/$name" 755
  put - "share/man/man1/$name.1" < <("$build/bin/$program" --man-page)
  put - "share/bash-completion/completions/$name" < <("$build/bin/$program" --completion)
done
[[ $LIBRARIES != *-lmpi* ]] || put .make/ranks.sh bin/versor-ranks 755
put "$build/libversor.a" lib/libversor.a
put "$build/$shared" "lib/$shared" 755
link "$shared" lib/libversor.so
put LICENSE share/versor/LICENSE
[ ! -e python/versor_torch.py ] || put python/versor_torch.py share/versor/versor_torch.py

# what is for the layers themselves, tensor/cpu/ and the like, stays behind
headers=$(ls {tensor,autograd,nn,vq,data}/*.h)
for header in $headers; do
  put - "include/versor/$header" < <(
    sed -E 's|^#include "((tensor\|autograd\|nn\|vq\|data)/[^"]*)"|#include <versor/\1>|' "$header")
done
put - include/versor/versor.h < <(
  echo "// All of Versor $VERSION."
  echo "#pragma once"
  echo
  printf '#include <versor/%s>\n' $headers)

deps=""
if [ -d .deps/lib ]; then
  for library in .deps/lib/lib{dnnl,OpenCL,tbb,gomp,png16,jpeg,z}.so.*; do
    [ -e "$library" ] || continue
    put "$library" "lib/versor/${library##*/}"
  done
  for name in libdnnl.so libpng.so libjpeg.so; do  # for -l in a static link
    [ -e ".deps/lib/$name" ] || continue
    deps='-L${libdir}/versor -Wl,-rpath,${libdir}/versor '
    library=$(readlink -f ".deps/lib/$name")
    # it may be the system's, with only the headers unpacked
    [ ! -e "$prefix/lib/versor/${library##*/}" ] || library=${library##*/}
    link "$library" "lib/versor/$name"
  done
fi

put - lib/pkgconfig/versor.pc <<PC
prefix=\${pcfiledir}/../..
includedir=\${prefix}/include
libdir=\${prefix}/lib

Name: versor
Description: tensors, reverse-mode differentiation and vector quantizers in C++20
Version: $VERSION
Cflags: -std=c++20 -I\${includedir}
Libs: -L\${libdir} -Wl,-rpath,\${libdir} -lversor
Libs.private: $deps$LIBRARIES -fopenmp
PC

put - lib/cmake/Versor/VersorConfig.cmake <<CMAKE
# Versor::versor, the shared library, and Versor::versor_static
get_filename_component(_versor_prefix "\${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)
if(NOT TARGET Versor::versor)
  add_library(Versor::versor SHARED IMPORTED)
  set_target_properties(Versor::versor PROPERTIES
    IMPORTED_LOCATION "\${_versor_prefix}/lib/$shared"
    IMPORTED_SONAME "$shared")
  add_library(Versor::versor_static STATIC IMPORTED)
  set_target_properties(Versor::versor_static PROPERTIES
    IMPORTED_LOCATION "\${_versor_prefix}/lib/libversor.a"
    IMPORTED_LINK_INTERFACE_LANGUAGES CXX)
  target_link_libraries(Versor::versor_static INTERFACE $(printf '"%s" ' $LIBRARIES)-fopenmp)
  if(IS_DIRECTORY "\${_versor_prefix}/lib/versor")
    target_link_directories(Versor::versor_static INTERFACE "\${_versor_prefix}/lib/versor")
    target_link_options(Versor::versor_static INTERFACE
      "-Wl,--disable-new-dtags,-rpath,\${_versor_prefix}/lib/versor")
  endif()
  foreach(_versor_target Versor::versor Versor::versor_static)
    set_target_properties(\${_versor_target} PROPERTIES
      INTERFACE_INCLUDE_DIRECTORIES "\${_versor_prefix}/include")
    target_compile_features(\${_versor_target} INTERFACE cxx_std_20)
  endforeach()
endif()
CMAKE
put - lib/cmake/Versor/VersorConfigVersion.cmake <<CMAKE
# a minor version may change the interface, as long as the major one is 0
set(PACKAGE_VERSION $VERSION)
if(PACKAGE_FIND_VERSION VERSION_LESS_EQUAL PACKAGE_VERSION AND
   PACKAGE_FIND_VERSION_MAJOR EQUAL ${VERSION%%.*} AND
   (PACKAGE_FIND_VERSION_COUNT LESS 2 OR PACKAGE_FIND_VERSION_MINOR EQUAL $(cut -d. -f2 <<<"$VERSION")))
  set(PACKAGE_VERSION_COMPATIBLE TRUE)
  if(PACKAGE_FIND_VERSION VERSION_EQUAL PACKAGE_VERSION)
    set(PACKAGE_VERSION_EXACT TRUE)
  endif()
endif()
CMAKE

mkdir -p "$prefix/share/versor"
printf '%s\n' "${installed[@]}" share/versor/manifest >"$prefix/share/versor/manifest"
echo "installed: $(cd "$prefix" && echo bin/versor-*) lib/libversor.{a,so} include/versor/ under $prefix"
