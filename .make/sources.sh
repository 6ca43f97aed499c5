#!/usr/bin/env bash
# Lists the C++ and CUDA sources of the given folders, by default of all.
set -euo pipefail
[ $# -gt 0 ] || set -- tensor autograd nn vq data experiments python tests
find "$@" -type f \( -name '*.h' -o -name '*.cpp' -o -name '*.cu' -o -name '*.cuh' \) |
  LC_ALL=C sort
