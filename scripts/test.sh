#!/usr/bin/env bash
# All tests, and the coverage they must reach: the core 100 % by branch from its
# unit tests alone, the rest 85 % from everything.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python="${VENV:-.venv}/bin/python"
data="$(mktemp -d)"
trap 'kill "${beside:-}" 2>/dev/null || true; rm -rf "$data" || true' EXIT

# Each process measures itself, but for those of whole clusters: these run as they are
# deployed, beside the core's tests and then what needs sockets.
run() {
    COVERAGE_FILE="$data/$1" COVERAGE_PROCESS_START="$PWD/pyproject.toml" \
        nice -n "$2" "$python" -m pytest -q "${@:3}"
}

# xdist's own order puts files of one long test last, beside which nothing is left to do.
(
    failed=0
    run unit 19 tests/unit -m "not simulation" --durations=3 "$@" || failed=$?
    nice -n 19 "$python" -m pytest -q tests/unit -m simulation "$@" || failed=$?
    run rest 10 tests --ignore=tests/unit --ignore=tests/cluster -n 3 --dist loadfile \
        --no-loadscope-reorder --durations=5 "$@" || failed=$?
    exit "$failed"
) >"$data/beside.log" 2>&1 &
beside=$!
# Each module of clusters has a process of its own: where a process has used gRPC, what
# Ray forks from it may never start.
failed=0
for module in tests/cluster/test_*.py; do
    code=0
    COVERAGE_FILE="$data/rest" "$python" -m coverage run -m pytest -q "$module" \
        --durations=2 "$@" || code=$?
    [ "$code" = 0 ] || [ "$code" = 5 ] || failed=$code # 5: none were chosen
done
wait "$beside" || failed=$?
cat "$data/beside.log"
[ "$failed" = 0 ] || exit "$failed"

report() { COVERAGE_FILE="$1" "$python" -m coverage report "${@:2}"; }
COVERAGE_FILE="$data/unit.all" "$python" -m coverage combine --quiet --keep "$data"/unit.*
printf '\nThe core, from its unit tests:\n'
report "$data/unit.all" --include='reception/*' --fail-under=100
COVERAGE_FILE="$data/all" "$python" -m coverage combine --quiet "$data"/unit.[!a]* "$data"/rest.*
printf '\nThe rest, from all tests:\n'
report "$data/all" --omit='reception/*' --fail-under=85
