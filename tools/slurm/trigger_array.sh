#!/bin/bash
# A trigger search as a Slurm job array: each task searches one shard of the corpus, and a job that depends on all of them merges.
#
#   tools/slurm/trigger_array.sh N_SHARDS MODEL OUT CORPUS...
#
# submits both jobs. The result has the bytes of a search in one process. A task that ran out of time goes on from its
# checkpoint when the same command is given again. What is done, a shard or OUT, is not searched twice: it says of which corpus
# and model it is, by their contents, and one of others is searched anew. FFMEM names the program if it is not in PATH; options of
# your cluster (partition, account) go into SBATCH_PARTITION, SBATCH_ACCOUNT, or the lines below.
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

fail() { # EXIT_CODE MESSAGE
  echo "$0: $2" >&2
  exit "$1"
}

mode=submit
[ -z "${SLURM_ARRAY_TASK_ID:-}" ] || mode=search
if [ "${1:-}" = --merge ]; then
  mode=merge
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

[[ $n_shards =~ ^[1-9][0-9]*$ ]] || fail 2 "N_SHARDS: expected a whole number from 1 on, found '$n_shards'"
# Before hours of work: only the merge writes OUT.
for input in "$@" "$model" "$model"/*; do
  [ ! "$out" -ef "$input" ] || fail 2 "OUT $out: the result would replace what it is made from, $input"
done

shard_file() { echo "$out.shard-$1-of-$n_shards"; }

corpus=("$@")
is_done() { # FILE OPTION...: whether it is the finished search of this corpus and model
  local plan
  plan=$("$ffmem" triggers "$model" "${corpus[@]}" -o "$1" "${@:2}" --plan --json)
  [[ $plan == *'"done": true'* ]]
}

if [ $mode != submit ] && [ -e "$out" ] && is_done "$out"; then
  echo "$out is done; shard files beside it are not needed any more" >&2
elif [ $mode = merge ]; then
  shards=()
  for ((i = 0; i < n_shards; i++)); do shards+=("$(shard_file "$i")"); done
  # `ffmem merge` takes no other ones beside it, and none twice.
  is_done "${shards[0]}" --shard "0/$n_shards" || fail 1 "${shards[0]}: is not the finished search of this corpus and model"
  status=0
  said=$("$ffmem" merge "${shards[@]}" -o "$out" 2>&1) || status=$?
  echo "$said" >&2
  [ "$status" = 0 ] || exit "$status"
  [[ $said == *": the whole corpus, "* ]] || fail 1 "$out: is not of the whole corpus; the shards stay"
  rm -- "${shards[@]}"
elif [ $mode = search ]; then
  exec "$ffmem" triggers "$model" "$@" -o "$(shard_file "$SLURM_ARRAY_TASK_ID")" --shard "$SLURM_ARRAY_TASK_ID/$n_shards" \
    --unless-done --threads "${SLURM_CPUS_PER_TASK:-$(nproc)}"
else
  # --parsable prints "JOB" or "JOB;CLUSTER".
  tasks=$(sbatch --parsable --array="0-$((n_shards - 1))" "$0" "$n_shards" "$model" "$out" "$@")
  merge=$(sbatch --parsable --dependency="afterok:${tasks%%;*}" --kill-on-invalid-dep=yes \
    "$0" --merge "$n_shards" "$model" "$out" "$@")
  echo "shards: job array $tasks; merge: job $merge"
fi
