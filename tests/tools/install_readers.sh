#!/bin/sh
# install_readers.sh FOLDER: the programs whose readers check_exports.py tries on what `ffmem export` writes, from PyPI, in a
# virtual environment. A machine without a network goes without them; their test is then skipped.
set -eu
folder=$1
[ -f "$folder/complete" ] && exit 0

fetch() {
  "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --retries 0 --timeout 15 "$@"
}

# The two programs without what else they ask for: clients of services that reading a file does not need.
if python3 -m venv "$folder" && fetch numpy orjson pydantic python-dotenv requests safetensors &&
  fetch --no-deps neuron-explainer==0.0.1 neuronpedia==1.2.1; then
  touch "$folder/complete"
else
  echo "install_readers.sh: could not fetch the readers of other programs; the exports' test will be skipped" >&2
fi
