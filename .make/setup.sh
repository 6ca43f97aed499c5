#!/usr/bin/env bash
# Finds the compiler and libraries that a build needs, installs what is missing, and writes the
# result to build/setup-$ONEDNN.mk, which the Makefile includes. make runs it before every build;
# once it has succeeded it takes no time.
#   root, or passwordless sudo:  apt-get install
#   an ordinary user:            apt-get downloads the same packages, which are unpacked in .deps/
#   no network:                  without oneDNN the reference kernels are used; anything else is an
#                                error that names the command to run
# In .deps/: root/ has the unpacked packages; include/ and lib/ the third-party headers and
# libraries (also filled by `make bundle`); bin/ wrappers of the unpacked compiler.
# Environment: CXX (the compiler to use), ONEDNN (1 required, 0 never, auto), MPI (1: Open MPI, too),
# PYTHON3 (make a Python module for this interpreter), FORCE=1 (search again).
set -euo pipefail
export LC_ALL=C DEBIAN_FRONTEND=noninteractive
ONEDNN=${ONEDNN:-auto} deps=$PWD/.deps
out=build/setup-$ONEDNN.mk log=build/setup.log request="CXX=${CXX:-}"
say() { echo "set-up: $*" >&2; }
fail() { say "$*"; exit 1; }

has_python() {  # is there what the Python module needs, if that is to be made?
  [ -z "${PYTHON3:-}" ] || .make/python.sh "$PYTHON3" >/dev/null 2>&1
}

has_mpi() {  # is there Open MPI, if it is required? .make/mpi.sh looks for it properly
  [ "${MPI:-}" != 1 ] || { command -v mpirun && command -v mpicc; } >/dev/null
}

finished() {  # is the last result for this request, and is everything it names still there?
  local file
  [ -z "${FORCE:-}" ] && grep -qxF "# for $request" "$out" 2>/dev/null || return 1
  while read -r file; do [ -e "$file" ] || return 1; done < <(sed -n 's/^# uses //p' "$out")
  grep -q '^# uses .*/jpeglib.h$' "$out" || return 1  # never searched for
  has_python && has_mpi || return 1
  # what was missing may have been installed since
  ! grep -qx 'ONEDNN_FOUND := ' "$out" || [ "$ONEDNN" = 0 ] ||
    ! ls .deps/include/dnnl.hpp /usr/include/dnnl.hpp >/dev/null 2>&1
}
if finished; then exit 0; fi
mkdir -p build

# header, package, purpose; oneDNN comes first because it is optional
libraries="dnnl.hpp|libdnnl-dev|oneDNN: fast convolutions
doctest/doctest.h|doctest-dev|doctest: the tests
CLI/CLI.hpp|libcli11-dev|CLI11: command lines
nlohmann/json.hpp|nlohmann-json3-dev|JSON: config.json
fmt/format.h|libfmt-dev|fmt: text
stb/stb_image_write.h|libstb-dev|stb: writing PNG pictures
png.h|libpng-dev|libpng: reading PNG pictures
jpeglib.h|libjpeg-dev|libjpeg-turbo: reading JPEG pictures"

compiles() {  # compiles COMPILER...: does it compile C++20 with OpenMP, and is g++ at least 12?
  "$@" -std=c++20 -fopenmp -x c++ - -o build/probe >build/probe.log 2>&1 <<'CPP'
#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ < 12
#error this g++ is older than 12
#endif
#include <omp.h>
#include <concepts>
#include <numbers>
#include <span>
template <std::floating_point T> T twice(std::span<T> x) { return 2 * x[0]; }
int main() { double x[1] = {std::numbers::pi}; return omp_get_max_threads() < twice<double>(x); }
CPP
}

locate() {  # locate HEADER: prints where the compiler finds it
  local dir
  for dir in $include_path; do [ -e "$dir/$1" ] && echo "$dir/$1" && return; done
  return 1
}

look() {  # sets compiler, uses (files), onednn (version), missing (packages), why (the same in words)
  local name header package purpose file
  rm -f build/probe.log
  compiler="" uses=() onednn="" missing="" why="" include_path=""
  for name in ${CXX:+"$CXX"} ${CXX:-g++ g++-14 g++-13 g++-12 clang++ .deps/bin/g++}; do
    command -v ${name%% *} >/dev/null && compiles $name && compiler=$name && break
  done
  if [ -n "$compiler" ]; then
    uses=("$(command -v ${compiler%% *})")
    include_path=$($compiler -x c++ -E -v -isystem .deps/include /dev/null 2>&1 |
      sed -n '/^#include </,/^End/s/^ //p')
  elif [ -n "${CXX:-}" ]; then
    fail "CXX=$CXX does not compile C++20 with OpenMP:" \
      "$(grep -m1 . build/probe.log 2>/dev/null || echo no such program)"
  else
    missing=$(compiler_package) why="$missing (C++20 compiler)"
    include_path=".deps/include /usr/include"
  fi
  while IFS='|' read -r header package purpose; do
    [ "$header" != dnnl.hpp ] || [ "$ONEDNN" != 0 ] || continue
    if file=$(locate "$header") && links "$header"; then
      uses+=("$file")
    else
      missing+=" $package" why+="${why:+, }$package ($purpose)"
    fi
  done <<<"$libraries"
  missing=${missing# }
}

links() {  # links HEADER: it exists; does its library, if it has one?
  case $1 in
    dnnl.hpp) links_onednn ;;
    png.h) links_program png.h -lpng 'png_access_version_number() == 0' ;;
    jpeglib.h) links_program jpeglib.h -ljpeg 'jpeg_std_error(nullptr) == nullptr' ;;
  esac
}

links_program() {  # links_program HEADER LIBRARY EXPRESSION; without a compiler it is not tried
  [ -z "$compiler" ] || printf '#include <stdio.h>\n#include <%s>\nint main() { return %s; }\n' "$1" "$3" |
    $compiler -x c++ -isystem .deps/include - -L.deps/lib -Wl,-rpath-link,.deps/lib "$2" \
      -o build/probe 2>build/probe.log
}

links_onednn() {  # sets onednn to the version
  local version
  version=$(locate oneapi/dnnl/dnnl_version.h) || return 1
  links_program dnnl.h -ldnnl 'dnnl_version()->major == 0' || return 1
  version=$(sed -n 's/^#define DNNL_VERSION_\(MAJOR\|MINOR\|PATCH\) *//p' "$version")
  onednn=${version//$'\n'/.}
}

compiler_package() {  # g++, or g++-12 if the distribution's default is older
  local major
  major=$(apt-cache policy g++ 2>/dev/null |
    sed -n 's/^ *Candidate: \([0-9]*:\)\?\([0-9]*\).*/\2/p')
  if [ "${major:-12}" -ge 12 ]; then echo g++; else echo g++-12; fi
}

install() {  # install PACKAGE...: in the system if allowed, else in .deps/
  if [ "$(id -u)" = 0 ]; then install_in_system "" "$@"
  elif sudo -n true 2>/dev/null; then install_in_system "sudo -n" "$@"
  else unpack_under_deps "$@"; fi
}

install_missing() {  # without oneDNN where there is no package
  local others=${missing/libdnnl-dev/}
  install $missing ||
    { [ "$others" != "$missing" ] && [ -n "${others// /}" ] && complains_only_of libdnnl-dev &&
      install $others; }
}

complains_only_of() {  # complains_only_of PACKAGE: are all of apt-get's errors about it?
  grep -q "^E:.*$1" "$log" && ! grep '^E:' "$log" | grep -qv "$1"
}

install_in_system() {  # install_in_system SUDO PACKAGE...
  local command="$1 apt-get install -y --no-install-recommends ${*:2}"
  say "${command# }"
  $command $net >"$log" 2>&1 && return
  [ -z "$updated" ] || return 1
  updated=yes
  $1 apt-get $net update >>"$log" 2>&1 || true
  $command $net >"$log" 2>&1
}

unpack_under_deps() {  # unpack_under_deps PACKAGE...: with dependencies that are not installed
  local apt="$deps/apt" deb
  say "no root rights: unpacking $* under .deps/"
  mkdir -p "$apt"/{lists,archives}/partial
  # a compiler that is half installed, gcc without g++: all of it is unpacked, because the unpacked half
  # would not find the other
  local status=/var/lib/dpkg/status
  if [[ " $*" = *" g++"* ]] && dpkg-query -W -f '${Status}\n' gcc cpp binutils libc6-dev 2>/dev/null |
    grep -q '^install ok installed'; then
    status=$apt/status
    : >"$status"
  fi
  local options=(-o "Dir::State=$apt" -o "Dir::Cache=$apt" -o Debug::NoLocking=1 $net
    -o "Dir::State::status=$status" -o Acquire::Languages=none)
  : >"$log"
  [ -n "$updated" ] || apt-get "${options[@]}" update >"$log" 2>&1 || true
  updated=yes
  apt-get "${options[@]}" install -y --no-install-recommends --download-only "$@" >>"$log" 2>&1 || return 1
  mkdir -p "$deps"/{bin,lib,include} "$deps"/root/usr/{bin,lib,lib64}
  for deb in bin lib lib64; do [ -e "$deps/root/$deb" ] || ln -s "usr/$deb" "$deps/root/$deb"; done
  for deb in "$apt"/archives/*.deb; do
    case $deb in */libc6_*) continue ;; esac  # the system's C library is used
    dpkg-deb --fsys-tarfile "$deb" |
      tar -x -C "$deps/root" --keep-directory-symlink --exclude='./usr/share/*' 2>>"$log" || return 1
  done
  rm -rf "$apt"
  link_deps
}

link_deps() {  # fills .deps/include, lib and bin from .deps/root and from the system
  local dir file name
  for dir in {,"$deps/root"}/usr/include{,/*-linux-gnu*}; do
    for name in "$dir"/{dnnl*.h*,oneapi,doctest,CLI,nlohmann,fmt,stb,png{,conf,libconf}.h,j{config,error,morecfg,peglib}.h}; do
      file=$deps/include/${name##*/}
      [ -e "$name" ] || continue
      [ -e "$file" ] && [ ! -L "$file" ] || ln -sfn "${name/#"$deps"/..}" "$file"  # keep a bundled one
    done
  done
  for dir in "$deps"/root/usr/lib/*-linux-gnu*; do
    for file in "$dir"/*.so.* "$dir"/lib*-[0-9]*.so "$dir"/lib{dnnl,png,jpeg}.so; do
      [ -e "$file" ] && [[ $(readlink "$file") != /* ]] || continue  # one of the system's, see below
      ln -sf "${file/#"$deps"/..}" "$deps/lib/"
    done
    # with root/ as sysroot the linker has to find the system's libraries there
    for file in {/usr,}/lib/"${dir##*/}"/{*.so.*,lib{dnnl,png,png16,jpeg}.so}; do
      if [ -e "$file" ] && [ ! -e "$dir/${file##*/}" ]; then ln -sf "$file" "$dir/"; fi
    done
    for name in lib{dnnl,png,jpeg}.so; do
      if [ -e "$dir/$name" ] && [ ! -e "$deps/lib/$name" ]; then
        ln -sf "..${dir#"$deps"}/$name" "$deps/lib/"
      fi
    done
  done
  for file in {/lib64,/lib}/ld-*.so*; do
    if [ -e "$file" ]; then ln -sf "$file" "$deps/root${file%/*}/"; fi
  done
  for file in g++ ar; do
    name=$(cd "$deps/root/usr/bin" && ls "$file" "$file"-[0-9]* 2>/dev/null | head -n 1) ||
      true
    if [ -n "$name" ]; then wrap "$file" "$name"; fi
  done
}

wrap() {  # wrap TOOL FILE: .deps/bin/TOOL runs the unpacked FILE with the libraries unpacked with it
  local sysroot=""
  [ "$1" != g++ ] || sysroot='--sysroot="$deps/root"'
  cat >"$deps/bin/$1" <<SH
#!/bin/sh
deps=\$(cd "\$(dirname "\$0")/.." && pwd)
export LD_LIBRARY_PATH="\$deps/lib\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}" PATH="\$deps/root/usr/bin:\$PATH"
exec "\$deps/root/usr/bin/$2" $sysroot "\$@"
SH
  chmod +x "$deps/bin/$1"
}

net="-o Acquire::http::Timeout=10 -o Acquire::https::Timeout=10 -o Acquire::Retries=1"
start=$SECONDS updated=""
look
if [ -n "$missing" ]; then
  say "missing: $why"
  if ! command -v apt-get >/dev/null; then
    say "no apt-get on this machine to install them with"
  elif install_missing; then
    say "done in $((SECONDS - start)) s"
  else
    say "that did not succeed ($(grep -m1 '^E:' "$log" || echo "see $log"))"
  fi
  look
fi
if ! has_python && command -v apt-get >/dev/null; then
  say "missing: python3-dev, pybind11-dev (the Python module)"
  install python3-dev pybind11-dev ||
    say "that did not succeed ($(grep -m1 '^E:' "$log" || echo "see $log"))"
fi
if ! has_mpi; then
  say "missing: libopenmpi-dev, openmpi-bin (Open MPI)"
  if [ "$(id -u)" != 0 ] && ! sudo -n true 2>/dev/null; then
    # its programs and plug-ins have the folders of the system built in
    fail "MPI=1 needs root rights: sudo apt-get install --no-install-recommends libopenmpi-dev openmpi-bin"
  fi
  install libopenmpi-dev openmpi-bin ||
    say "that did not succeed ($(grep -m1 '^E:' "$log" || echo "see $log"))"
fi
by_hand="sudo apt-get install --no-install-recommends $missing"
case $missing in
  "") ;;
  libdnnl-dev)
    [ "$ONEDNN" != 1 ] || fail "oneDNN is missing; install it with: $by_hand"
    say "going on with ONEDNN=0, the slower reference kernels; for oneDNN: $by_hand && make setup" ;;
  *)
    fail "cannot build without ${missing// /, }; install with: $by_hand" \
      "(no network: see make bundle in make help)" ;;
esac
ar="ar"; command -v ar >/dev/null || ar=.deps/bin/ar
cat >"$out" <<MK
# written by .make/setup.sh
# for $request
$(printf '# uses %s\n' "${uses[@]}")
CXX := $compiler
AR := $ar
COMPILER := $($compiler --version | sed 's/ ([^)]*)//; s/ [0-9]\{8\} .*//; q')
ONEDNN_FOUND := $onednn
MK
rm -f build/probe build/probe.log
