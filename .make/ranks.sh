#!/usr/bin/env bash
# bin/ranks -n N [mpirun's options] PROGRAM [ARGUMENT...]: mpirun, but Ctrl-C and SIGTERM end the
# program as they do without mpirun: it finishes its step, saves and exits with 130. mpirun itself
# would send SIGTERM, a second later SIGKILL, and exit with 1; here the ranks get SIGUSR1, which they
# take as such a request. A second signal ends all at once.
set -uo pipefail
command -v mpirun >/dev/null || {
  echo "error: there is no mpirun; make setup MPI=1 installs it" >&2
  exit 1
}
# a script's background job ignores Ctrl-C, and a shell cannot change that
if ((0x$(sed -n 's/^SigIgn:[[:space:]]*//p' /proc/$$/status) & 2)); then
  exec env --default-signal=INT "$0" "$@"
fi
options=()
[ "$(id -u)" != 0 ] || options+=(--allow-run-as-root)

asked=0
ask() {
  kill "-$([ $asked = 0 ] && echo USR1 || echo TERM)" "$launcher" 2>/dev/null
  asked=$((asked + 1))
}
set -m  # a process group of its own: the terminal's Ctrl-C comes here only
mpirun "${options[@]}" "$@" </dev/null &
launcher=$!
trap ask INT TERM
while
  before=$asked
  wait "$launcher"
  status=$?
  [ $asked != $before ]  # then the wait was for a signal only
do :; done
exit "$status"
