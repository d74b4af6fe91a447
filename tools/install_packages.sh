#!/bin/sh
# Installs what building, testing and using ffmem needs, from the packages of Debian (12 or newer) and its kin.
# Packages that are there already are left alone; with all of them there, nothing is asked of the network or of root.
set -eu

packages="g++ meson ninja-build pkg-config libdnnl-dev libxsimd-dev nlohmann-json3-dev libpcre2-dev libicu-dev libcli11-dev
libfmt-dev doctest-dev libbenchmark-dev gnuplot-nox
python3-venv"

if ! command -v dpkg-query >/dev/null 2>&1; then
  echo "install_packages.sh: not a Debian system; please install the equivalents of:" $packages >&2
  exit 0
fi

missing=""
for package in $packages; do
  dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -q '^installed$' || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

as_root=""
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null 2>&1 || { echo "install_packages.sh: needs root or sudo to install:$missing" >&2; exit 1; }
  as_root="sudo"
fi
apt_get() { # sudo drops a proxy that stands in the environment alone
  $as_root env DEBIAN_FRONTEND=noninteractive ${http_proxy:+"http_proxy=$http_proxy"} ${https_proxy:+"https_proxy=$https_proxy"} \
    apt-get "$@"
}
echo "installing:$missing"
apt_get update -q || echo "install_packages.sh: some package lists are not up to date" >&2
apt_get install -y -q --no-install-recommends $missing
