#!/usr/bin/env bash
# docs.sh VERSION: the library's interface as HTML in build/docs/html, from the headers' comments.
set -euo pipefail
command -v doxygen >/dev/null || {
  echo "error: there is no doxygen; install with: sudo apt-get install --no-install-recommends doxygen" >&2
  exit 1
}
out=build/docs
rm -rf "$out"
mkdir -p "$out"
cat >"$out/main.md" <<'MD'
# Versor {#mainpage}
Tensors, reverse-mode differentiation, layers, vector quantizers and image sets in C++20. Each header
opens with what it is for; users include all of them as `<versor/versor.h>`. Read in this order:
- versor::Tensor, memory on a device, and versor::ops, what is computed with it
- versor::Variable and autograd/functions.h, the differentiable functions
- versor::Module, nn/layers.h, versor::Adam and versor::Sgd
- versor::Quantizer, vq/family.h, versor::VqVae and versor::VqVae2
- data/dataset.h and data/batcher.h

All functions throw versor::Error, which says in one line what is wrong.
MD
{
  sed 's/^ *//' <<DOXYFILE
    PROJECT_NAME = Versor
    PROJECT_NUMBER = $1
    OUTPUT_DIRECTORY = $out
    INPUT = $out/main.md $(ls {tensor,autograd,nn,vq,data}/*.h | tr '\n' ' ')
    FILTER_PATTERNS = *.h="awk -f .make/docs_filter.awk"
    USE_MDFILE_AS_MAINPAGE = $out/main.md
    JAVADOC_AUTOBRIEF = YES
    EXTRACT_ALL = YES
    EXTRACT_ANON_NSPACES = NO
    HIDE_UNDOC_RELATIONS = YES
    PREDEFINED = VERSOR_HD= __CUDACC__=
    MACRO_EXPANSION = YES
    EXPAND_ONLY_PREDEF = YES
    STRIP_FROM_INC_PATH = .
    GENERATE_LATEX = NO
    HAVE_DOT = NO
    SOURCE_BROWSER = YES
    QUIET = YES
    WARN_IF_UNDOCUMENTED = NO
    WARN_IF_DOC_ERROR = YES
    SORT_MEMBER_DOCS = NO
    SORT_BRIEF_DOCS = NO
DOXYFILE
} >"$out/Doxyfile"
doxygen "$out/Doxyfile" 2>"$out/warnings"
if [ -s "$out/warnings" ]; then
  cat "$out/warnings" >&2
  echo "error: $(wc -l <"$out/warnings") warnings" >&2
  exit 1
fi
for class in Tensor Variable Module Adam Quantizer VqVae; do
  grep -q 'id="details"' "$out/html/classversor_1_1$class.html" || {
    echo "error: $class has no text; see .make/docs_filter.awk" >&2
    exit 1
  }
done
echo "$out/html/index.html"
