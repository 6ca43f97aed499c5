#!/usr/bin/env bash
# CIFAR-10 for `make data`: checks the folder CIFAR10_DIR, or downloads the official archive,
# verifies its checksum and unpacks it to data/cifar-10-batches-bin/, completely or not at all.
# `data.sh images`, for `make quick`, prints the options that choose a program's images, one word
# per line: CIFAR-10 if it is here or can be downloaded within a minute, else synthetic images.
# Environment: CIFAR10_DIR (an existing folder), DATA (synthetic or others: no CIFAR-10), DATA_DIR and
# SIZE (options for these), LIMIT (seconds allowed for the download).
set -euo pipefail
url=https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz md5=c32a1d4ab5d03f1284b67883e8d87530
folder=data/cifar-10-batches-bin archive=data/cifar-10-binary.tar.gz
fail() { echo "error: $*" >&2; exit 1; }

check() {  # six files of 10,000 records; a record is a label and 3,072 bytes of pixels
  local file bytes
  for file in "$1"/{data_batch_{1,2,3,4,5},test_batch}.bin; do
    [ -f "$file" ] || fail "$file is not there; $2"
    bytes=$(wc -c <"$file")
    [ "$bytes" -eq 30730000 ] || fail "$file has $bytes bytes instead of 30730000; $2"
  done
}

if [ "${1:-}" = images ]; then
  [ -z "${SIZE:-}" ] || printf '%s\n' --size "$SIZE"
  if [ "${DATA:-cifar10}" != cifar10 ]; then
    printf '%s\n' --data "$DATA" ${DATA_DIR:+--data-dir "$DATA_DIR"}
  elif LIMIT=60 "$0" >&2; then
    printf '%s\n' --data-dir "${CIFAR10_DIR:-$folder}"
  elif [ -n "${CIFAR10_DIR:-}" ]; then
    exit 1
  else
    echo "CIFAR-10 is not here: going on with synthetic images" >&2
    printf '%s\n' --data synthetic
  fi
  exit
fi

if [ -n "${CIFAR10_DIR:-}" ]; then
  check "$CIFAR10_DIR" "CIFAR10_DIR must be the folder of the binary version of CIFAR-10"
  echo "CIFAR-10: $CIFAR10_DIR is complete and is used"
  exit
fi
if [ -d "$folder" ]; then
  check "$folder" "remove $folder and run make data again"
  echo "CIFAR-10: $folder is complete"
  exit
fi

work=$(mktemp -d data/.download-XXXXXX)
trap 'rm -rf "$work"' EXIT
download() {  # with the first tool there is; a minimal Debian has apt's helper
  local limit=${LIMIT:+timeout $LIMIT}
  if command -v curl; then $limit curl -fsSL --connect-timeout 10 -o "$1" "$url"
  elif command -v wget; then $limit wget -q --timeout=10 --tries=2 -O "$1" "$url"
  elif command -v python3; then $limit python3 -c 'import shutil, sys, urllib.request
shutil.copyfileobj(urllib.request.urlopen(sys.argv[1], timeout=10), open(sys.argv[2], "wb"))' "$url" "$1"
  elif [ -x /usr/lib/apt/apt-helper ]; then
    $limit /usr/lib/apt/apt-helper -o Acquire::https::Timeout=10 -o Acquire::Retries=0 \
      download-file "$url" "$1"
  else echo "neither curl, wget nor python3 is there"; return 1; fi
} >"$work/log" 2>&1

if [ -f "$archive" ]; then
  echo "CIFAR-10: using $archive"
else
  echo "CIFAR-10: downloading $url (162 MB) …"
  download "$work/archive" ||
    fail "the download of $url did not succeed ($(grep -v '^/' "$work/log" | tail -n 1));" \
      "set CIFAR10_DIR to a folder that has the data, or put the archive at $archive"
  archive=$work/archive
fi
echo "$md5  $archive" | md5sum --check --status ||
  fail "$archive does not have the checksum $md5; remove it and try again"
tar -xzf "$archive" -C "$work" || fail "$archive cannot be unpacked"
check "$work/cifar-10-batches-bin" "the archive is not complete"
mv -nT "$work/cifar-10-batches-bin" "$folder"  # never over a newer one
[ ! -e "$work/cifar-10-batches-bin" ] || fail "$folder is there already"
echo "CIFAR-10: $folder is ready"
