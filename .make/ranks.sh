#!/usr/bin/env bash
# ranks.sh -n N [mpirun's options] PROGRAM [ARGUMENT...]: runs a program as N ranks with mpirun.
set -euo pipefail
command -v mpirun >/dev/null || {
  echo "error: there is no mpirun; make setup MPI=1 installs it" >&2
  exit 1
}
options=()
[ "$(id -u)" != 0 ] || options+=(--allow-run-as-root)
exec mpirun "${options[@]}" "$@"
