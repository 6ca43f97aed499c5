#!/usr/bin/env bash
# did_you_mean.sh WORD CANDIDATE...: prints "; did you mean X?" for the candidate with the fewest
# changed letters, if they are at most a third; else nothing.
set -euo pipefail
printf '%s\n' "${@:2}" | awk -v word="$1" '
  function least(a, b, c) { return a < b ? (a < c ? a : c) : (b < c ? b : c) }
  function edits(a, b,  i, j, d) {
    for (i = 0; i <= length(a); i++) d[i, 0] = i
    for (j = 0; j <= length(b); j++) d[0, j] = j
    for (i = 1; i <= length(a); i++)
      for (j = 1; j <= length(b); j++) {
        d[i, j] = least(d[i-1, j] + 1, d[i, j-1] + 1,
                        d[i-1, j-1] + (substr(a, i, 1) != substr(b, j, 1)))
        if (i > 1 && j > 1 && substr(a, i-1, 2) == substr(b, j, 1) substr(b, j-1, 1))
          d[i, j] = least(d[i, j], d[i-2, j-2] + 1, d[i, j])
      }
    return d[length(a), length(b)]
  }
  BEGIN { fewest = int(length(word) / 3) + 1; if (fewest < 2) fewest = 2 }
  { n = edits(word, $1); if (n < fewest) { fewest = n; best = $1 } }
  END { if (best != "") printf "; did you mean %s?", best }'
