#!/usr/bin/env bash
# Checks the #include lines: dependencies go one way only between the layers,
#   tensor <- autograd <- nn <- vq <- experiments    data includes tensor only, tests and python
#                                                    everything
# and between the rooms of experiments/,
#   cli <- run <- study <- generate    cli <- report <- study    run, report <- bench    cli <- tsne    run <- examples
# and third-party headers stay at the edges. Lists each violation as file:line, then exits 1.
set -euo pipefail
files=$(.make/sources.sh)
[ -n "$files" ] || { echo "check-layers: no sources here" >&2; exit 1; }
awk '
  BEGIN {
    may["tensor"] = "tensor"
    may["autograd"] = "tensor autograd"
    may["nn"] = "tensor autograd nn"
    may["vq"] = "tensor autograd nn vq"
    may["data"] = "tensor data"
    may["experiments"] = "tensor autograd nn vq data experiments"
    may["python"] = "tensor autograd nn vq data experiments python"
    may["tests"] = "tensor autograd nn vq data experiments tests"
    # inside experiments/, whose programs (the files on top) may include every room
    room["cli"] = "cli"
    room["run"] = "cli run"
    room["report"] = "cli report"
    room["study"] = "cli run report study"
    room["bench"] = "cli run report bench"
    room["tsne"] = "cli tsne"
    room["generate"] = "cli run report study generate"
    room["examples"] = "run examples"
    edges = "^((tensor|vq)/(cpu|cuda)/|nn/safetensors|data/|experiments/|python/|tests/)"
    mpi = "^(tensor/mpi|tests)/"
    third_party = "^((dnnl|stb_|cuda|cudnn|cublas|nvToolsExt|png|jpeglib|jerror)[^/]*$|" \
                  "(oneapi|nlohmann|CLI|fmt|stb|doctest|thrust|cub|cuda|nvtx3)/)"
  }
  # experiments/run/trainer.h -> run; "" for a program
  function room_of(path,  part) { return split(path, part, "/") == 3 ? part[2] : "" }
  function report(why) { printf "%s:%d: %s\n", FILENAME, FNR, why; violations++ }
  /^[ \t]*#[ \t]*include/ {
    includes++
    header = $0
    sub(/^[^"<]*["<]/, "", header); sub(/[">].*/, "", header)
    from = FILENAME; sub(/\/.*/, "", from)
    to = header; sub(/\/.*/, "", to)
    if (header ~ third_party) {
      if (FILENAME !~ edges) report("third-party header " header " does not belong here")
    } else if (header == "mpi.h") {
      if (FILENAME !~ mpi) report("mpi.h belongs in tensor/mpi only")
    } else if (to in may && header ~ /\//) {
      if (index(" " may[from] " ", " " to " ") == 0) report(from " may not include " header)
      if (from == "experiments" && to == from) {
        from_room = room_of(FILENAME)
        if (from_room != "" && index(" " room[from_room] " ", " " room_of(header) " ") == 0)
          report("experiments/" from_room " may not include " header)
      }
    } else if ($0 ~ /"/) {
      report("write the include of " header " from the repository root")
    }
  }
  END {
    printf "check-layers: %d includes in %d files, %d violations\n", includes, ARGC - 1, violations
    exit violations > 0
  }' $files
