#!/usr/bin/env bash
# make network-check: one training on three hosts that are not one machine: network namespaces with
# their own addresses and host names, joined by a switch through cables of RATE Mbit/s (1000) and
# LATENCY ms each way (1). mpirun starts the ranks without ssh, by a launch agent that enters the
# namespace, and they talk by TCP alone.
#   link      latency and rate of the cables, measured with ping
#   train     three hosts give the bytes of three ranks on one host, and the losses of one process
#   cable     the cable of one host is pulled in the middle of the training: within 60 s all
#             processes on all hosts are gone, one line names the silent rank, and the last checkpoint
#             is whole; once the cable is back, the same command ends with the bytes of `train`
#   cifar     train, on CIFAR-10 (skipped without CIFAR10_DIR)
#   scaling   what a model needs to predict the time of a step here (experiments/SCALING.md)
# The rate and the latency are those of `tc netem` where the kernel has it, else of
# tests/network/link_emulator.cpp. Root only.
# Environment: VERSOR_BIN, WITH_MPI, RATE, LATENCY, PARTS, CIFAR10_DIR, RESULTS, KEEP (a folder).
set -uo pipefail
rate=${RATE:-1000} latency=${LATENCY:-1} parts=${PARTS:-link train cable cifar scaling} failed=0
hosts="host1 host2 host3"
skip() { echo "skipped network-check: $*"; exit 0; }
[ -n "$WITH_MPI" ] || skip "this build has no MPI (make setup MPI=1)"
command -v mpirun >/dev/null || skip "there is no mpirun"
command -v ip >/dev/null || skip "there is no ip (iproute2)"
[ "$(id -u)" = 0 ] || skip "network namespaces need root"
work=$(mktemp -d)
prefix=versor$$
ip netns add "$prefix-switch" 2>"$work/err" || skip "no network namespaces here: $(cat "$work/err")"

pids() { local host; for host in $hosts; do ip netns pids "$prefix-$host"; done 2>/dev/null; }
clean() {
  local pid
  for pid in $(pids) $(ip netns pids "$prefix-switch" 2>/dev/null); do kill -KILL "$pid"; done 2>/dev/null
  for namespace in switch $hosts; do ip netns del "$prefix-$namespace"; done 2>/dev/null
  if [ -n "${KEEP:-}" ]; then mkdir -p "$KEEP" && cp -r "$work"/. "$KEEP"; fi
  rm -rf "$work"
}
trap clean EXIT
trap 'exit 130' INT TERM
verdict() {  # verdict NAME STATUS TEXT
  if [ "$2" = 0 ]; then echo "ok      $1: $3"; else echo "FAILED  $1: $3"; failed=1; fi
}
in_switch() { ip netns exec "$prefix-switch" "$@"; }

# ---- hosts, switch and cables ----------------------------------------------------------------------
# host1 and so on with an interface eth0 each, whose other end is a port of the switch
printf '127.0.0.1 localhost\n' >"$work/hosts"
for host in $hosts; do
  number=${host#host}
  ip netns add "$prefix-$host"
  ip -n "$prefix-$host" link set lo up
  ip link add eth0 netns "$prefix-$host" type veth peer name "port$number" netns "$prefix-switch" ||
    skip "no veth interfaces here"
  in_switch sh -c "echo 1 >/proc/sys/net/ipv6/conf/port$number/disable_ipv6" 2>/dev/null
  ip -n "$prefix-$host" addr add "10.77.0.$number/24" dev eth0
  ip -n "$prefix-$host" link set eth0 up
  ip -n "$prefix-switch" link set "port$number" up
  # the machine's own choice, as bbr, may hold back the short bursts of a sum over ranks
  ip netns exec "$prefix-$host" sh -c 'echo reno >/proc/sys/net/ipv4/tcp_congestion_control' 2>/dev/null
  printf '10.77.0.%s %s\n' "$number" "$host" >>"$work/hosts"
done
if in_switch tc qdisc add dev port1 root netem delay 1ms 2>/dev/null; then
  in_switch ip link add bridge type bridge && in_switch ip link set bridge up
  for host in $hosts; do
    in_switch ip link set "port${host#host}" master bridge
    in_switch tc qdisc replace dev "port${host#host}" root netem delay "${latency}ms" \
      rate "${rate}mbit" limit 5000
  done
  by="tc netem"
else
  in_switch "$VERSOR_BIN/link_emulator" "$rate" "$latency" port1 port2 port3 \
    >"$work/emulator" 2>"$work/err" &
  for _ in $(seq 100); do [ -s "$work/emulator" ] || sleep 0.05; done
  [ -s "$work/emulator" ] || skip "no switch: $(cat "$work/err")"
  by="link_emulator"
fi

# on HOST COMMAND...: runs it there, with the host's name, its own /tmp for Open MPI, and the names
# of all hosts. `agent` is the same for mpirun, which joins the words of a command by blanks.
cat >"$work/on" <<ON
#!/bin/sh
mkdir -p "$work/tmp-\$1"
exec ip netns exec "$prefix-\$1" unshare --uts --mount --propagation private sh -c \
  'hostname "\$0" && mount --bind "$work/hosts" /etc/hosts && TMPDIR="$work/tmp-\$0" exec "\$@"' "\$@"
ON
cat >"$work/agent" <<AGENT
#!/bin/sh
host=\$1
shift
exec "$work/on" "\$host" sh -c "\$*"
AGENT
chmod +x "$work/on" "$work/agent"

# ---- mpirun ----------------------------------------------------------------------------------------
# Open MPI 4 reads OMPI_MCA_*, Open MPI 5 PRTE_MCA_* for what concerns its daemons (not tried here).
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export PRTE_ALLOW_RUN_AS_ROOT=1 PRTE_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMPI_MCA_plm_rsh_agent=$work/agent PRTE_MCA_plm_ssh_agent=$work/agent
export OMPI_MCA_oob_tcp_if_include=10.77.0.0/24 PRTE_MCA_prte_if_include=10.77.0.0/24
export OMPI_MCA_pml=ob1 OMPI_MCA_btl=tcp,self OMPI_MCA_btl_tcp_if_include=10.77.0.0/24
export OMP_NUM_THREADS=1
on_three_hosts() { "$work/on" host1 mpirun -n 3 --host host1,host2,host3 "$@"; }
# with shared memory, as mpirun would choose
on_one_host() {
  env -u OMPI_MCA_btl -u OMPI_MCA_pml "$work/on" host1 mpirun -n 3 --host host1:3 --bind-to none "$@"
}

# ---- the parts -------------------------------------------------------------------------------------
least_time() { sed -nE 's|.* = ([0-9.]+)/.*|\1|p'; }  # of ping's last line, in ms

# An echo request of 60,000 bytes takes 41 frames there and 41 back, and so tells the rate.
part_link() {
  command -v ping >/dev/null || { echo "skipped link: there is no ping"; return; }
  local small large
  "$work/on" host1 ping -q -c 2 host2 >/dev/null
  small=$("$work/on" host1 ping -q -c 20 -i 0.05 host2 | least_time)
  large=$("$work/on" host1 ping -q -c 20 -i 0.05 -s 60000 host3 | least_time)
  awk -v small="$small" -v large="$large" -v rate="$rate" -v latency="$latency" 'BEGIN {
    measured = 2 * 41 * (60000 / 41 + 42 + 24) * 8 / 1e3 / (large - small)
    printf "%.2f ms each way (asked for %g), %.0f Mbit/s (asked for %g)", small / 2, latency,
      measured, rate
    exit !(small / 2 > 0.98 * latency && small / 2 < 1.5 * latency + 0.3 &&
      measured > 0.7 * rate && measured < 1.3 * rate) }' >"$work/link"
  verdict link $? "$(cat "$work/link"), by $by"
}

tiny=(--data synthetic --latent 8 --codes 16 --batch-size 16 --train-images 160 --test-images 32
  --threads 1 --quiet)
results="metrics.csv gradients.csv trainer.safetensors model.safetensors"
same_results() {  # same_results FOLDER FOLDER
  local file status=0
  for file in $results; do cmp "$1/$file" "$2/$file" || status=1; done
  return $status
}

# The losses of each epoch, within 1e-3.
same_losses() {  # same_losses FOLDER FOLDER
  paste -d , "$1/metrics.csv" "$2/metrics.csv" | awk -F , '
    NR == 1 { half = NF / 2; for (i = 1; i <= half; ++i) if ($i ~ /loss|mse/) column[i] }
    NR > 1 { for (i in column) { a = $i; b = $(i + half); d = a > b ? a - b : b - a
      if (d > 1e-3 * (a > 0 ? a : -a)) { print "line " NR ": " a " and " b; bad = 1 }
      if (a != "") ++compared } }
    END { exit bad || !compared }'
}

# three_ways NAME OPTION...: trains on three hosts, with three ranks on one, and in one process
three_ways() {
  local name=$1 start=$SECONDS
  shift
  on_three_hosts "$VERSOR_BIN/train" "$@" --out "$work/$name-hosts" >"$work/out" 2>"$work/err" ||
    { verdict "$name" 1 "on three hosts: $(cat "$work/err")"; return; }
  local seconds=$((SECONDS - start))
  on_one_host "$VERSOR_BIN/train" "$@" --out "$work/$name-one-host" >"$work/out" 2>"$work/err" ||
    { verdict "$name" 1 "three ranks on one host: $(cat "$work/err")"; return; }
  "$VERSOR_BIN/train" "$@" --out "$work/$name-one" >"$work/out" 2>"$work/err" ||
    { verdict "$name" 1 "one process: $(cat "$work/err")"; return; }
  same_results "$work/$name-hosts" "$work/$name-one-host"
  verdict "$name, same bytes" $? "three hosts ($seconds s) and three ranks on one host"
  same_losses "$work/$name-hosts" "$work/$name-one"
  verdict "$name, same losses" $? "three hosts and one process, within 1e-3"
}

part_train() { three_ways train "${tiny[@]}" --epochs 2; }

part_cifar() {
  [ -n "${CIFAR10_DIR:-}" ] || { echo "skipped cifar: CIFAR10_DIR is not set"; return; }
  three_ways cifar --data-dir "$CIFAR10_DIR" --latent 16 --codes 64 --batch-size 32 \
    --train-images 640 --test-images 64 --threads 1 --epochs 1 --quiet
}

epochs_of() { awk 'END { print (NR > 0 ? NR - 1 : 0) }' "$1/metrics.csv" 2>/dev/null || echo 0; }

part_cable() {
  local options=("${tiny[@]}" --epochs 60 --save-every 3) run=$work/cable start seconds before line
  on_one_host "$VERSOR_BIN/train" "${options[@]}" --out "$work/undisturbed" >/dev/null 2>"$work/err" ||
    { verdict cable 1 "the undisturbed run fails: $(cat "$work/err")"; return; }
  on_three_hosts "$VERSOR_BIN/train" "${options[@]}" --out "$run" >/dev/null 2>"$work/err" &
  for _ in $(seq 600); do [ "$(epochs_of "$run")" -ge 10 ] && break; sleep 0.1; done
  in_switch ip link set port3 down
  before=$(epochs_of "$run") start=$SECONDS
  while [ -n "$(pids)" ] && [ $((SECONDS - start)) -lt 90 ]; do sleep 0.5; done
  seconds=$((SECONDS - start))
  [ "$seconds" -le 60 ] && [ "$before" -ge 10 ] && [ "$before" -lt 60 ]
  verdict "cable, all gone" $? "after $before of 60 epochs, $seconds s after the cable was pulled"
  line=$(grep '^error: ' "$work/err")
  [ "$(wc -l <<<"$line")" = 1 ] && grep -q 'rank 2 .*silent' <<<"$line"
  verdict "cable, one line" $? "$line"
  "$VERSOR_BIN/inspect" "$run/trainer.safetensors" >/dev/null 2>"$work/err2"
  verdict "cable, checkpoint" $? "$(ls "$run" | tr '\n' ' ')$(cat "$work/err2")"
  in_switch ip link set port3 up
  on_three_hosts "$VERSOR_BIN/train" "${options[@]}" --out "$run" >/dev/null 2>"$work/err" &&
    same_results "$run" "$work/undisturbed"
  verdict "cable, again" $? "the same command goes on and ends with the bytes of an undisturbed run"
}

part_scaling() {
  local file=${RESULTS:-results}/scaling/hosts3-${rate}mbit-${latency}ms.json
  mkdir -p "$(dirname "$file")"
  on_three_hosts "$VERSOR_BIN/scaling" --latent 128 --codes 512 --batch-size 32 --threads 1 \
    --name "3 hosts, $rate Mbit/s, $latency ms" --json "$file" >"$work/out" 2>"$work/err"
  verdict scaling $? "$(cat "$work/err")wrote $file"
}

for part in $parts; do "part_$part"; done
exit $failed
