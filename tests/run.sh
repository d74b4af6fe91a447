#!/bin/sh
# Sets the machine up, builds with warnings as errors and assertions on, and runs every test.
#   sh tests/run.sh              the suite
#   sh tests/run.sh --sanitize   the same under the address and undefined-behaviour sanitizers
# The last line counts test cases, and the tests that are no doctest programs as one each: "N passed, N failed".
set -eu
cd "$(dirname "$0")/.."
build=build-tests
options=""
case "${1:-}" in
  "") ;;
  --sanitize)
    build=build-sanitize
    options="-Db_sanitize=address,undefined -Db_lundef=false"
    ;;
  *)
    echo "usage: sh tests/run.sh [--sanitize]" >&2
    exit 2
    ;;
esac

sh tools/install_packages.sh
sh tests/tools/install_readers.sh "$build/readers"
[ -f "$build/build.ninja" ] ||
  meson setup "$build" -Dbuildtype=debugoptimized -Dwerror=true -Dtests=enabled -Dtools=enabled $options
meson compile -C "$build"

status=0
meson test -C "$build" --print-errorlogs || status=$?
# Each doctest program closes with "[doctest] test cases: A | B passed | C failed | ...". What has no such line is a script, or a
# program that crashed. Exit status 77: skipped.
awk -v status="$status" '
  function count_script() { if (result != "" && !counted && result !~ /status 77/) { if (result ~ /status 0/) ++passed; else ++failed } }
  /^=+ [0-9]+\/[0-9]+ =+$/ { count_script(); result = ""; counted = 0 }
  /^result:/ { result = $0 }
  /^\[doctest\] test cases:/ { split($0, part, "|"); split(part[2], p, " "); split(part[3], f, " "); passed += p[1]; failed += f[1]; counted = 1 }
  END { count_script(); if (status != 0 && failed == 0) failed = 1; printf "%d passed, %d failed\n", passed, failed }
' "$build/meson-logs/testlog.txt"
exit "$status"
