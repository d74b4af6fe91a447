#!/bin/bash
# A trigger search as a Slurm job array: each task searches one shard of the corpus, and a job that depends on all of them merges.
#
#   tools/slurm/trigger_array.sh N_SHARDS MODEL OUT CORPUS...
#
# submits both jobs. The result has the bytes of a search in one process. A task that ran out of time goes on from its checkpoint
# when the same command is given again; shards that are done are not searched twice, unless the corpus or the model has changed
# since. FFMEM names the program if it is not in PATH; options of your cluster (partition, account) go into SBATCH_PARTITION,
# SBATCH_ACCOUNT, or the lines below.
#
# The same by hand, without Slurm:
#   for i in 0 1; do SLURM_ARRAY_TASK_ID=$i tools/slurm/trigger_array.sh 2 MODEL OUT CORPUS; done
#   tools/slurm/trigger_array.sh --merge 2 MODEL OUT CORPUS
#SBATCH --job-name=ffmem-triggers
#SBATCH --cpus-per-task=8
#SBATCH --mem=4G
#SBATCH --time=08:00:00
#SBATCH --signal=B:TERM@120
set -euo pipefail

ffmem=${FFMEM:-ffmem}

merging=false
if [ "${1:-}" = --merge ]; then
  merging=true
  shift
fi
if [ $# -lt 4 ]; then
  echo "usage: $0 N_SHARDS MODEL OUT CORPUS..." >&2
  exit 2
fi
n_shards=$1
model=$2
out=$3
shift 3

shard_file() { echo "$out.shard-$1-of-$n_shards"; }

# The first file of the corpus or the model that changed after $1 was written, if there is one. By the time of the status: a file
# that was moved or copied into the place of another may be older than both.
changed_since() {
  local shard=$1
  shift
  find -L "$@" -maxdepth 0 -cnewer "$shard" -print -quit
  find -L "$model" -maxdepth 1 -type f \( -name '*.json' -o -name '*.safetensors' -o -name '*.txt' \) -cnewer "$shard" -print -quit
}

if [ "$merging" = true ]; then
  shards=()
  for ((i = 0; i < n_shards; i++)); do shards+=("$(shard_file "$i")"); done
  "$ffmem" merge "${shards[@]}" -o "$out"
  rm -- "${shards[@]}"
elif [ -n "${SLURM_ARRAY_TASK_ID:-}" ]; then
  file=$(shard_file "$SLURM_ARRAY_TASK_ID")
  changed=
  if [ -e "$file" ]; then
    changed=$(changed_since "$file" "$@" | head -n 1)
    [ -z "$changed" ] || echo "$file: is older than $changed, and is searched anew" >&2
  fi
  if [ ! -e "$file" ] || [ -n "$changed" ]; then
    exec "$ffmem" triggers "$model" "$@" -o "$file" --shard "$SLURM_ARRAY_TASK_ID/$n_shards" \
      --threads "${SLURM_CPUS_PER_TASK:-$(nproc)}"
  fi
else
  tasks=$(sbatch --parsable --array="0-$((n_shards - 1))" "$0" "$n_shards" "$model" "$out" "$@")
  merge=$(sbatch --parsable --dependency="afterok:$tasks" --kill-on-invalid-dep=yes \
    "$0" --merge "$n_shards" "$model" "$out" "$@")
  echo "shards: job array $tasks; merge: job $merge"
fi
