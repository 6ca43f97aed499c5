#!/usr/bin/env bash
# Prints the lines of source per folder and per room of experiments/, and files over 400 lines.
set -euo pipefail
sources() { "$(dirname "$0")/sources.sh" "$@"; }
lines() { sources "$@" | xargs -r cat | wc -l; }
for folder in tensor autograd nn vq data experiments experiments/{cli,run,report,study,generate,bench,tsne} tests; do
  printf '%-18s %6d lines in %3d files\n' "$folder" "$(lines $folder)" "$(sources $folder | wc -l)"
done
printf '%-18s %6d lines (all but experiments and tests)\n' library \
  "$(lines tensor autograd nn vq data)"
sources | xargs -r wc -l |
  awk '$1 > 400 && $2 != "total" { print "over 400: " $2 ": " $1 " lines" }'
