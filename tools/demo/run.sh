#!/bin/sh
# From a fresh clone to a page that shows what the memories of a trained model fire on and what they predict:
# sets the machine up, builds, searches the trigger examples of all 12,288 memories of the model in tools/demo/wikitext2-relu-12x256 over
# tools/demo/wikitext-2-slice.txt, projects every value onto the vocabulary, and writes the report.
#   sh tools/demo/run.sh [OUTPUT_FOLDER]     default: demo-report
set -eu
cd "$(dirname "$0")/../.."
output=${1:-demo-report}
model=tools/demo/wikitext2-relu-12x256

sh tools/install_packages.sh
[ -f build/build.ninja ] || meson setup build -Dtests=disabled -Dbench=disabled
meson compile -C build
mkdir -p "$output"

build/tools/ffmem info "$model"
build/tools/ffmem triggers "$model" tools/demo/wikitext-2-slice.txt --top 50 -o "$output/triggers.safetensors"
build/tools/ffmem values "$model" --top 10 -o "$output/values.safetensors"
build/tools/ffmem report --triggers "$output/triggers.safetensors" --values "$output/values.safetensors" \
  -o "$output/report.html"
echo "Open $output/report.html in a browser."
