#!/usr/bin/env bash
# One study from its config to its report: check, take the folder, run, say where the report lies.
# Called by `make run` and `make paper`; reads STUDY, CORES, DATA_ROOT, TASK, SEEDS, EFFORT and PYTHON from the environment.
# `run.sh forecast` starts nothing and says what would run, and how long that will take.
set -euo pipefail

python=${PYTHON:?}
study=${STUDY:?}
settings=()
if [ -n "${DATA_ROOT:-}" ]; then
    settings=("data_root=$(realpath -m -- "$DATA_ROOT")")
fi
[ -z "${TASK:-}" ] || settings+=("only=[$TASK]")
[ -z "${SEEDS:-}" ] || settings+=("seeds=[$SEEDS]")
[ -z "${EFFORT:-}" ] || settings+=("audit=$EFFORT")

plan=$(mktemp)
trap 'rm -f "$plan"' EXIT
"$python" -m coordinator check "$study" "${settings[@]/#/--set=}" --plan "$plan"
name=$("$python" -c 'import json, sys; print(json.load(open(sys.argv[1]))["study"])' "$plan")

# This lock ends with the process that holds it, Snakemake's own outlives a kill. So whoever holds this
# one knows that no Snakemake is at work here, and may clear what a killed one left.
mkdir -p .snakemake
exec 9>.snakemake/suture.lock
if ! flock --nonblock 9; then
    echo "another run is at work in this folder; wait for it to end" >&2
    exit 1
fi
export SUTURE_HOLDS_FOLDER=1

snakemake=("$python" -m snakemake --configfile "$study" --cores "${CORES:-all}")
if [ ${#settings[@]} -gt 0 ]; then
    snakemake+=(--config "${settings[@]}")
fi
if [ -n "$(find .snakemake/locks -type f 2>/dev/null)" ]; then
    "${snakemake[@]}" --unlock --quiet all
fi
if [ "${1:-}" = forecast ]; then
    "${snakemake[@]}" --dry-run --quiet rules
    "${snakemake[@]}" --summary 2>/dev/null |
        "$python" workflow/scripts/forecast.py --benchmarks "results/$name/benchmarks" \
            --kept docs/tables/durations.csv --cores "$(nproc)"
    exit
fi
"${snakemake[@]}"
echo "report: $PWD/results/$name/report.html"
