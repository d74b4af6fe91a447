#!/bin/sh
# check_exports.sh READERS FFMEM MODEL TEXT: exports of a search of TEXT, read by other programs (install_readers.sh's FOLDER).
set -eu
[ -f "$1/complete" ] || { echo "skipped: no readers in $1"; exit 77; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$2" triggers "$3" "$4" -o "$folder/store" --top 5 --max-sentences 200 --quiet >"$folder/log" || { cat "$folder/log"; exit 1; }
"$1/bin/python" "$(dirname "$0")/check_exports.py" "$2" "$folder/store" --all-readers
