#!/bin/sh
# From a fresh clone to a page that shows what the memories of a trained model fire on and what they predict:
# sets the machine up, builds, searches the trigger examples of all 12,288 memories of the model in tools/demo/wikitext2-relu-12x256 over
# tools/demo/wikitext-2-slice.txt, projects every value onto the vocabulary, writes a page of each layer's most telling memories, and
# then runs all of the paper's experiments, with a page for every memory.
#   sh tools/demo/run.sh [OUTPUT_FOLDER]     default: demo-report in the repository
set -eu
case "${1:-}" in
  -*)
    echo "usage: sh tools/demo/run.sh [OUTPUT_FOLDER]" >&2
    exit 2
    ;;
  "" | /*) output=${1:-} ;;
  *) output=$PWD/$1 ;;
esac
cd "$(dirname "$0")/../.."
output=${output:-$PWD/demo-report}
model=tools/demo/wikitext2-relu-12x256

sh tools/install_packages.sh
mkdir -p "$output"
[ -f build/build.ninja ] || meson setup build -Dtests=disabled -Dbench=disabled -Dtools=enabled
meson compile -C build
[ -x build/tools/ffmem ] || { echo "run.sh: build/ was set up without the tools: remove it, and run this again" >&2; exit 1; }

build/tools/ffmem info "$model"
build/tools/ffmem suite "$model" --train tools/demo/wikitext-2-slice.txt --valid tools/demo/wikitext-2-valid-slice.txt -o "$output/paper"
build/tools/ffmem report --triggers "$output/paper/data/triggers.safetensors" --values "$output/paper/data/values.safetensors" \
  -o "$output/report.html"
echo "Open in a browser: $output/report.html (the most telling memories), $output/paper/report.html (the paper's experiments)."
