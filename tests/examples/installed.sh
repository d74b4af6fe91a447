#!/bin/sh
# BUILD SOURCE COMPILER...: a program compiles and links against what an installation leaves, found with pkg-config alone, by the
# shared library or the static one; the shared one shows nothing but ffmem's own names.
set -eu
build=$1 source=$2
shift 2
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
DESTDIR=$stage meson install -C "$build" --no-rebuild >"$stage/log" || { cat "$stage/log"; exit 1; }
PKG_CONFIG_PATH=$(dirname "$(find "$stage" -name ffmem.pc)")
PKG_CONFIG_SYSROOT_DIR=$stage
export PKG_CONFIG_PATH PKG_CONFIG_SYSROOT_DIR
# shellcheck disable=SC2046
"$@" -std=c++20 "$source" -o "$stage/program" $(pkg-config --cflags --libs ffmem)
library=$(dirname "$PKG_CONFIG_PATH")
# shellcheck disable=SC2046
"$@" -std=c++20 "$source" -o "$stage/static" $(pkg-config --cflags ffmem) "$library/libffmem.a" \
  $(pkg-config --static --libs ffmem | sed 's/-lffmem//')
if nm -DC --defined-only "$library/libffmem.so" | grep -v '[^ ]* . .*ffmem::'; then
  echo "libffmem.so: expected names of ffmem alone, found those above" >&2
  exit 1
fi
