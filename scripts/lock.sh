#!/usr/bin/env bash
# Compiles requirements/*.txt: every package pinned and hashed, no addresses.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
uv="${VENV:-.venv}/bin/uv"

compile() {
    local out="$1"
    shift
    "$uv" pip compile pyproject.toml "$@" --universal --python-version 3.11 --generate-hashes \
        --no-emit-index-url --no-emit-find-links --no-header --quiet --output-file "$out"
    sed -i "1i # Locked by: make lock (from pyproject.toml; do not edit)" "$out"
}

mkdir -p requirements
compile requirements/dev.txt --extra embedded --extra dev "$@"
# The deployed set has the very versions that were tested.
compile requirements/run.txt --extra embedded --constraint requirements/dev.txt
sed -i 's/^    #   -c .*//;/^$/d' requirements/run.txt
