#!/bin/sh
# Sets the machine up, builds with warnings as errors and assertions on, and runs every test.
#   sh tests/run.sh              the suite
#   sh tests/run.sh --sanitize   the same under the address and undefined-behaviour sanitizers
# The last line is the count of test cases: "N passed, N failed".
set -eu
cd "$(dirname "$0")/.."
build=build-tests
options=""
if [ "${1:-}" = "--sanitize" ]; then
  build=build-sanitize
  options="-Db_sanitize=address,undefined -Db_lundef=false"
fi

sh tools/install_packages.sh
sh tests/tools/install_readers.sh "$build/readers"
[ -f "$build/build.ninja" ] ||
  meson setup "$build" -Dbuildtype=debugoptimized -Dwerror=true -Dtests=enabled -Dtools=enabled $options
meson compile -C "$build"

status=0
meson test -C "$build" --print-errorlogs || status=$?
# Each doctest program closes with "[doctest] test cases: A | B passed | C failed | ..."; a program that crashed has no such line.
awk -v status="$status" '
  /^\[doctest\] test cases:/ { split($0, part, "|"); split(part[2], p, " "); split(part[3], f, " "); passed += p[1]; failed += f[1] }
  END { if (status != 0 && failed == 0) failed = 1; printf "%d passed, %d failed\n", passed, failed }
' "$build/meson-logs/testlog.txt"
exit "$status"
