#!/usr/bin/env bash
# Search under Slurm: WORKERS_PER_GPU workers on each of GPUS GPUs (GPUS_PER_NODE=0: GPUS workers
# without), each a task of its own, that take their trials from the study of WORK_DIR, which all
# nodes must see. A worker that fails does not stop the others; the exit code tells.
# WARN_SECONDS before the time limit they are told to begin nothing new.
# RANKS_PER_TRIAL=N: a task is a torchrun of N processes on N GPUs of its node, which share each
# batch; so many fewer workers.
# From the environment: GPUS, GPUS_PER_NODE, WORKERS_PER_GPU, RANKS_PER_TRIAL, CPUS_PER_TASK,
# WARN_SECONDS, SRUN_ARGS, PY_ARGS, PYTHON. See docs/slurm.md.
set -euo pipefail

if [ $# -lt 4 ]; then
    echo "Usage: $0 PARTITION JOB_NAME CONFIG WORK_DIR [arguments of search.py]" >&2
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
WORKERS_PER_GPU=${WORKERS_PER_GPU:-1}
check WORKERS_PER_GPU 1
CPUS_PER_TASK=${CPUS_PER_TASK:-5}
check CPUS_PER_TASK 1
WARN_SECONDS=${WARN_SECONDS:-300}
check WARN_SECONDS 0
export RANKS_PER_TRIAL=${RANKS_PER_TRIAL:-1}
if ! [[ $RANKS_PER_TRIAL =~ ^[1-9][0-9]*$ ]] || [ $((GPUS % RANKS_PER_TRIAL)) -ne 0 ] ||
    [ $((GPUS_PER_NODE % RANKS_PER_TRIAL)) -ne 0 ]; then
    echo "$0: RANKS_PER_TRIAL=$RANKS_PER_TRIAL: must divide GPUS=$GPUS and" \
        "GPUS_PER_NODE=$GPUS_PER_NODE" >&2
    exit 2
fi
if [ "$GPUS_PER_NODE" -gt 0 ]; then
    NODE_ARGS=(--gres="gpu:$GPUS_PER_NODE" --ntasks="$((GPUS * WORKERS_PER_GPU / RANKS_PER_TRIAL))"
        --ntasks-per-node="$((GPUS_PER_NODE * WORKERS_PER_GPU / RANKS_PER_TRIAL))")
else
    NODE_ARGS=(--ntasks="$((GPUS / RANKS_PER_TRIAL))")
fi

# Runs in every task: the worker's number, and of the node's GPUS those that are this task's
# (all are visible to all tasks with --gres; where the site binds them, only its own: keep them).
# shellcheck disable=SC2016
WORKER='export AUTOKD_WORKER=$SLURM_PROCID AUTOKD_WORKERS=$SLURM_NTASKS
IFS=, read -r -a gpus <<< "${CUDA_VISIBLE_DEVICES:-}"
if [ ${#gpus[@]} -gt "$RANKS_PER_TRIAL" ]; then
    first=$((SLURM_LOCALID % (${#gpus[@]} / RANKS_PER_TRIAL) * RANKS_PER_TRIAL))
    own=("${gpus[@]:first:RANKS_PER_TRIAL}")
    CUDA_VISIBLE_DEVICES=$(IFS=,; echo "${own[*]}")
    export CUDA_VISIBLE_DEVICES
fi
exec "$@"'

SEARCH=(-u "$TOOLS/search.py" "$3" --work-dir="$4")
if [ "$RANKS_PER_TRIAL" -gt 1 ]; then
    # --standalone takes a free port
    SEARCH=(-u "$TOOLS/_torchrun.py" --standalone --local-addr=127.0.0.1
        --nproc_per_node="$RANKS_PER_TRIAL" "${SEARCH[@]:1}" --launcher pytorch
        --ranks-per-trial "$RANKS_PER_TRIAL")
fi

# SRUN_ARGS and PY_ARGS are lists of words
# shellcheck disable=SC2086
PYTHONPATH="$TOOLS/..${PYTHONPATH:+:$PYTHONPATH}" exec srun -p "$1" \
    --job-name="$2" \
    "${NODE_ARGS[@]}" \
    --cpus-per-task="$((CPUS_PER_TASK * RANKS_PER_TRIAL))" \
    --kill-on-bad-exit=0 \
    --signal="USR1@$WARN_SECONDS" \
    ${SRUN_ARGS:-} \
    bash -c "$WORKER" worker \
    "${PYTHON:-python}" "${SEARCH[@]}" "${@:5}" ${PY_ARGS:-}
