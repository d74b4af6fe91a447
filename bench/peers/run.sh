#!/bin/sh
# Runs other programs beside ffmem on one random model, in turn, and prints a table.
#
#   sh bench/peers/run.sh [--ffmem build/tools/ffmem] [--work FOLDER] [--latest] [compare.py's options: see --help]
#   sh bench/peers/run.sh --search [...]      the search for trigger examples beside PyTorch hooks (--search --help)
#
# What it makes lies in FOLDER (default: build-peers): a virtual environment with the programs from PyPI that --programs names
# (all: about 8 GB, as torch brings its GPU libraries along), the model in each program's form, table.md and results.json
# (--search: search.md and search.json). A second run uses the first two again. A program that cannot be installed is named in
# the table as not run; without numpy and safetensors, which write the model, nothing runs.
#
# Versions are those of constraints.txt; --latest makes an environment of its own with the newest.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
ffmem=build/tools/ffmem
work=build-peers
threads=$(nproc)
script=compare.py
environment=venv
constraints=$here/constraints.txt
help=""
left=$#
while [ "$left" -gt 0 ]; do  # what is not ours goes to the end of the arguments, for the script
  argument=$1
  shift
  left=$((left - 1))
  case $argument in
    --ffmem | --work)
      [ "$left" -gt 0 ] || { echo "run.sh: $argument: expected a path behind it" >&2; exit 2; }
      [ "$argument" = --work ] && work=$1 || ffmem=$1
      shift
      left=$((left - 1))
      ;;
    --ffmem=*) ffmem=${argument#*=} ;;
    --work=*) work=${argument#*=} ;;
    --search) script=trigger_search.py ;;
    --latest)
      environment=venv-latest
      constraints=""
      ;;
    -h | --help) help=yes ;;
    *) set -- "$@" "$argument" ;;
  esac
done
[ -z "$help" ] || exec python3 "$here/$script" --help
[ -n "$work" ] || { echo "run.sh: --work: expected a path behind it" >&2; exit 2; }
# The script looks at all its options before anything is installed.
programs=$(python3 "$here/$script" --list-programs --ffmem "$ffmem" --work "$work" --threads "$threads" "$@")
if [ ! -f "$ffmem" ] || [ ! -x "$ffmem" ]; then
  echo "run.sh: $ffmem: no such program; build it (meson setup build && meson compile -C build) or give --ffmem" >&2
  exit 1
fi

mkdir -p "$work/logs"
python="$work/$environment/bin/python"
# pip comes last, so that without it an environment is half made.
"$python" -m pip --version >/dev/null 2>&1 || python3 -m venv --clear "$work/$environment"

# install NAME MODULE ARGUMENTS...: unless it is there. What pip says goes to logs/NAME.log.
install() {
  name=$1 module=$2
  shift 2
  "$python" -c "import $module" 2>/dev/null && return
  [ -z "$constraints" ] || set -- -c "$constraints" "$@"
  echo "installing $name (log: $work/logs/$name.log)" >&2
  "$python" -m pip install "$@" >"$work/logs/$name.log" 2>&1 || echo "$name could not be installed" >&2
}
wanted() {
  case ,$programs, in *",$1,"*) ;; *) return 1 ;; esac
}

install numpy numpy,safetensors numpy safetensors
if ! "$python" -c "import numpy, safetensors" 2>/dev/null; then
  echo "run.sh: without numpy and safetensors the model cannot be written" >&2
  exit 1
fi
# With --latest optimum-intel decides which versions of torch and transformers all of them share, so it comes first.
if wanted OpenVINO; then
  install openvino optimum.intel 'optimum-intel[openvino]'
fi
if wanted CTranslate2; then
  install ctranslate2 ctranslate2 ctranslate2
fi
if wanted llama.cpp; then
  # Built here, for this processor, from the source of llama.cpp that the package carries.
  # LLAVA_BUILD=OFF leaves image models out, a third of the work.
  CMAKE_ARGS=-DLLAVA_BUILD=OFF CMAKE_BUILD_PARALLEL_LEVEL=$threads \
    install llama-cpp-python llama_cpp --no-binary llama-cpp-python llama-cpp-python
  install gguf gguf gguf
fi
if wanted Transformers || wanted CTranslate2; then  # which converts what Transformers reads
  install transformers transformers torch transformers
fi

exec "$python" "$here/$script" --ffmem "$ffmem" --work "$work" --threads "$threads" "$@"
