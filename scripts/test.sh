#!/usr/bin/env bash
# All tests, and the coverage they must reach: the core 100 % by branch from its
# unit tests alone, the rest 85 % from everything.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python="${VENV:-.venv}/bin/python"
data="$(mktemp -d)"
trap 'kill "$pure" 2>/dev/null || true; rm -rf "$data" || true' EXIT

# Ray's workers measure themselves (tests/coverage_saver.py).
export COVERAGE_PROCESS_START="$PWD/pyproject.toml"
run() { COVERAGE_FILE="$data/$1" "$python" -m pytest -q "${@:2}"; }

# What needs no socket runs beside the rest, on the other core.
(
    run unit tests/unit -m "not simulation" --durations=3 "$@"
    run rest tests/unit -m simulation "$@"
) >"$data/pure.log" 2>&1 &
pure=$!
rest=0
run rest tests --ignore=tests/unit --durations=10 "$@" || rest=$?
wait "$pure" || rest=$?
cat "$data/pure.log"
[ "$rest" = 0 ] || exit "$rest"

unset COVERAGE_PROCESS_START
report() { COVERAGE_FILE="$1" "$python" -m coverage report "${@:2}"; }
COVERAGE_FILE="$data/unit.all" "$python" -m coverage combine --quiet --keep "$data"/unit.*
printf '\nThe core, from its unit tests:\n'
report "$data/unit.all" --include='reception/*' --fail-under=100
COVERAGE_FILE="$data/all" "$python" -m coverage combine --quiet "$data"/unit.[!a]* "$data"/rest.*
printf '\nThe rest, from all tests:\n'
report "$data/all" --omit='reception/*' --fail-under=85
