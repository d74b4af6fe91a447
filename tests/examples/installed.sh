#!/bin/sh
# BUILD SOURCE COMPILER...: a program compiles and links against what an installation leaves, found with pkg-config alone.
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
