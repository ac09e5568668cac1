#!/usr/bin/env bash
# Test under Slurm, one task per GPU (GPUS_PER_NODE=0: GPUS tasks without GPU).
# From the environment: GPUS, GPUS_PER_NODE, CPUS_PER_TASK, SRUN_ARGS, PY_ARGS, PYTHON.
set -euo pipefail

if [ $# -lt 4 ]; then
    echo "Usage: $0 PARTITION JOB_NAME CONFIG CHECKPOINT [arguments of test.py]" >&2
    exit 2
fi
TOOLS=$(cd "$(dirname "$0")" && pwd)
check() { # NAME LEAST
    if ! [[ ${!1} =~ ^(0|[1-9][0-9]{0,8})$ ]] || [ "${!1}" -lt "$2" ]; then
        echo "$0: $1=${!1}: must be a whole number, at least $2" >&2
        exit 2
    fi
}
GPUS=${GPUS:-8}
check GPUS 1
GPUS_PER_NODE=${GPUS_PER_NODE:-$((GPUS < 8 ? GPUS : 8))}
check GPUS_PER_NODE 0
CPUS_PER_TASK=${CPUS_PER_TASK:-5}
check CPUS_PER_TASK 1
if [ "$GPUS_PER_NODE" -gt 0 ]; then
    NODE_ARGS=(--gres="gpu:$GPUS_PER_NODE" --ntasks="$GPUS" --ntasks-per-node="$GPUS_PER_NODE")
else
    NODE_ARGS=(--ntasks="$GPUS")
fi

# SRUN_ARGS and PY_ARGS are lists of words
# shellcheck disable=SC2086
PYTHONPATH="$TOOLS/..${PYTHONPATH:+:$PYTHONPATH}" exec srun -p "$1" \
    --job-name="$2" \
    "${NODE_ARGS[@]}" \
    --cpus-per-task="$CPUS_PER_TASK" \
    --kill-on-bad-exit=1 \
    ${SRUN_ARGS:-} \
    "${PYTHON:-python}" -u "$TOOLS/test.py" "$3" "$4" --launcher=slurm "${@:5}" ${PY_ARGS:-}
