#!/usr/bin/env bash
# Every check that needs no running code; all of them run, then the worst decides.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bin="${VENV:-.venv}/bin"
failed=()

check() {
    local name="$1"
    shift
    local output
    if output="$("$@" 2>&1)"; then
        printf 'ok      %s\n' "$name"
    else
        printf 'FAILED  %s\n%s\n' "$name" "$output"
        failed+=("$name")
    fi
}

check "ruff check" "$bin/ruff" check .
check "ruff format" "$bin/ruff" format --check .
check "mypy --strict" "$bin/mypy"
check "import-linter" "$bin/lint-imports"
check "bandit" "$bin/bandit" --quiet --recursive --configfile pyproject.toml \
    reception actors cluster voice scripts
check "deptry" "$bin/deptry" .

if [ "${#failed[@]}" -gt 0 ]; then
    printf 'lint: %s failed\n' "$(IFS=,; echo "${failed[*]}")" >&2
    exit 1
fi
