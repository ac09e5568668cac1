#!/usr/bin/env bash
# Search with several workers on this machine. Each is a process of its own that takes its trials
# from the study in the common work dir, so a worker that dies costs one trial, and more may join
# at any time. With GPUs the workers take turns on those visible (twice as many workers: two on
# each); without, they share the cores. SIGUSR1: they finish their trials and end.
# From the environment: CUDA_VISIBLE_DEVICES, OMP_NUM_THREADS, PYTHON.
set -euo pipefail

if [ $# -lt 2 ] || ! [[ $2 =~ ^[1-9][0-9]*$ ]]; then
    echo "Usage: $0 CONFIG WORKERS [arguments of search.py]" >&2
    exit 2
fi
CONFIG=$1
WORKERS=$2
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
if [ ${#GPUS[@]} -eq 0 ]; then
    CORES=$(OMP_NUM_THREADS='' nproc 2> /dev/null || getconf _NPROCESSORS_ONLN)
    THREADS=$((CORES / WORKERS))
    export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$((THREADS > 0 ? THREADS : 1))}
fi

# Job control gives every worker a process group, so that a signal also reaches its children, and
# leaves Ctrl-C on in it (bash turns it off in the background otherwise).
set -m
PIDS=()
forward() {
    local pid
    for pid in "${PIDS[@]}"; do
        kill "-$1" -- "-$pid" 2> /dev/null || true
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
        export CUDA_VISIBLE_DEVICES=${GPUS[worker % ${#GPUS[@]}]}
    fi
    AUTOKD_WORKER=$worker "${PYTHON:-python}" "$TOOLS/search.py" "$CONFIG" "${@:3}" < /dev/null &
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
