#!/usr/bin/env bash
# Search with several workers on this machine. Each is a process of its own that takes its trials
# from the study in the common work dir, so a worker that dies costs one trial, and more may join
# at any time. With GPUs the workers take turns on those visible (twice as many workers: two on
# each); without, they share the cores. SIGUSR1: they finish their trials and end.
# RANKS_PER_TRIAL=N: a worker is a torchrun of N processes on N GPUs, which share each batch.
# From the environment: RANKS_PER_TRIAL, CUDA_VISIBLE_DEVICES, OMP_NUM_THREADS, PYTHON.
set -euo pipefail

if [ $# -lt 2 ] || ! [[ $2 =~ ^[1-9][0-9]*$ ]]; then
    echo "Usage: $0 CONFIG WORKERS [arguments of search.py]" >&2
    exit 2
fi
CONFIG=$1
WORKERS=$2
RANKS=${RANKS_PER_TRIAL:-1}
if ! [[ $RANKS =~ ^[1-9][0-9]*$ ]]; then
    echo "$0: RANKS_PER_TRIAL=$RANKS: must be a whole number, at least 1" >&2
    exit 2
fi
TOOLS=$(cd "$(dirname "$0")" && pwd)
export PYTHONPATH="$TOOLS/..${PYTHONPATH:+:$PYTHONPATH}"
export AUTOKD_WORKERS=$WORKERS

if [ -z "${CUDA_VISIBLE_DEVICES+set}" ]; then
    CUDA_VISIBLE_DEVICES=$(nvidia-smi --query-gpu=index --format=csv,noheader 2> /dev/null | paste -sd, -) ||
        CUDA_VISIBLE_DEVICES=
fi
GPUS=()
if [ "$CUDA_VISIBLE_DEVICES" != -1 ]; then # -1 hides all
    IFS=', ' read -r -a GPUS <<< "$CUDA_VISIBLE_DEVICES"
fi
GROUPS_OF_GPUS=$((${#GPUS[@]} / RANKS))
if [ ${#GPUS[@]} -gt 0 ] && [ "$GROUPS_OF_GPUS" -eq 0 ]; then
    echo "$0: RANKS_PER_TRIAL=$RANKS: there are ${#GPUS[@]} GPUs (CUDA_VISIBLE_DEVICES)" >&2
    exit 2
fi
if [ ${#GPUS[@]} -eq 0 ]; then
    CORES=$(OMP_NUM_THREADS='' nproc 2> /dev/null || getconf _NPROCESSORS_ONLN)
    THREADS=$((CORES / WORKERS / RANKS))
    export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$((THREADS > 0 ? THREADS : 1))}
fi

COMMAND=("$TOOLS/search.py" "$CONFIG")
TO=- # the process group
if [ "$RANKS" -gt 1 ]; then
    # --standalone takes a free port
    COMMAND=("$TOOLS/_torchrun.py" --standalone --local-addr=127.0.0.1 --nproc_per_node="$RANKS"
        "${COMMAND[@]}" --launcher pytorch --ranks-per-trial "$RANKS")
    TO= # torchrun, which passes it on
fi

# Job control gives every worker a process group, so that a signal also reaches its children, and
# leaves Ctrl-C on in it (bash turns it off in the background otherwise).
set -m
PIDS=()
forward() {
    local pid
    for pid in "${PIDS[@]}"; do
        kill "-$1" -- "$TO$pid" 2> /dev/null || true
    done
    STATUS=$2
}
STATUS=0
ENDING=0
trap 'forward INT 130' INT
trap 'forward TERM 143' TERM
trap 'forward HUP 129' HUP
trap 'forward USR1 0; ENDING=1' USR1

for ((worker = 0; worker < WORKERS; worker++)); do
    [ "$STATUS$ENDING" -eq 0 ] || break
    if [ ${#GPUS[@]} -gt 0 ]; then
        OWN=("${GPUS[@]:worker % GROUPS_OF_GPUS * RANKS:RANKS}")
        CUDA_VISIBLE_DEVICES=$(IFS=,; echo "${OWN[*]}")
        export CUDA_VISIBLE_DEVICES
    fi
    AUTOKD_WORKER=$worker "${PYTHON:-python}" "${COMMAND[@]}" "${@:3}" < /dev/null &
    PIDS+=($!)
done

# A signal interrupts `wait`; the worker it waited for is then still to be waited for.
for worker in "${!PIDS[@]}"; do
    pid=${PIDS[worker]}
    while true; do
        code=0
        wait "$pid" || code=$?
        kill -0 "$pid" 2> /dev/null || break
    done
    if [ "$code" -ne 0 ] && [ "$STATUS" -eq 0 ]; then
        echo "$0: worker $worker ended with exit code $code" >&2
        STATUS=1
    fi
done
exit "$STATUS"
