#!/bin/sh
# Builds for 64-bit ARM (the NEON kernels) with Debian's cross compiler, and runs the tests under user-mode emulation.
# Adds arm64 as a foreign architecture and installs its libraries: meant for a throw-away Debian (a container, a chroot), as root.
#   sh tests/aarch64/run.sh [TEST...]     default: every one
set -eu
cd "$(dirname "$0")/../.."
build=build-aarch64

export DEBIAN_FRONTEND=noninteractive
dpkg --add-architecture arm64
apt-get update -q
apt-get install -y -q --no-install-recommends g++-aarch64-linux-gnu qemu-user-static meson ninja-build pkg-config \
  doctest-dev libcli11-dev nlohmann-json3-dev gnuplot-nox \
  libxsimd-dev:arm64 libdnnl-dev:arm64 libpcre2-dev:arm64 libicu-dev:arm64 libfmt-dev:arm64

[ -f "$build/build.ninja" ] ||
  meson setup "$build" --cross-file tests/aarch64/cross.ini -Dbuildtype=release -Db_ndebug=false -Dwerror=true \
    -Dtests=enabled -Dtools=enabled -Dbench=disabled -Dmpi=disabled
meson compile -C "$build"
# The tests start the command themselves, without Meson's wrapper.
if ! "$build/tools/ffmem" --help >/dev/null 2>&1; then
  echo "run.sh: the kernel does not hand ARM programs to the emulator: register qemu-aarch64-static with binfmt_misc" \
    "(the package binfmt-support does) and run this again" >&2
  exit 1
fi
exec meson test -C "$build" --print-errorlogs --timeout-multiplier 30 "$@"
