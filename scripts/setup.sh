#!/usr/bin/env bash
# Makes .venv in the checkout with everything locked in requirements/dev.txt.
#
# Needs Python 3.11, 3.12 or 3.13 and its venv module; as root on Debian it
# installs those two by itself. Package indexes are those that pip is configured
# for. A second run sees that nothing changed and is over at once.
#
#   PYTHON=python3.12 scripts/setup.sh     take this interpreter
#   VENV=.venv312 scripts/setup.sh         put the environment somewhere else
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
venv="${VENV:-.venv}"
lock="requirements/dev.txt"
stamp="$venv/.setup-stamp"

say() { printf '\033[1m==>\033[0m %s\n' "$*" >&2; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }

supported() {
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null
}

find_python() {
    local name
    for name in ${PYTHON:-} python3 python3.12 python3.13 python3.11; do
        if command -v "$name" >/dev/null && supported "$name"; then
            command -v "$name"
            return 0
        fi
    done
    return 1
}

# Debian keeps the interpreter and its venv module in packages of their own.
debian_install() {
    command -v apt-get >/dev/null || return 1
    if [ "$(id -u)" != 0 ]; then
        fail "as root, run: apt-get install $*"
    fi
    say "installing Debian packages: $*"
    apt-get update -qq >&2
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >&2
}

# What this environment was made from; another value means: set up again.
fingerprint() {
    sha256sum "$lock" pyproject.toml scripts/setup.sh | sha256sum | cut -d' ' -f1
}

# uv does not read pip's configuration: hand it over. Every package is checked
# against its hash, so it does not matter which index serves it.
pip_settings_for_uv() {
    local key value
    while IFS='=' read -r key value; do
        value="${value#\'}"
        value="${value%\'}"
        value="$(printf '%b' "$value" | tr '\n' ' ')"
        case "${key##*.}" in
            index-url) export UV_DEFAULT_INDEX="${UV_DEFAULT_INDEX:-${value%% *}}" ;;
            extra-index-url) export UV_INDEX="${UV_INDEX:-$value}" ;;
            find-links) export UV_FIND_LINKS="${UV_FIND_LINKS:-$(printf '%s' "$value" | xargs | tr ' ' ',')}" ;;
            no-index) export UV_NO_INDEX="${UV_NO_INDEX:-$value}" ;;
            trusted-host) export UV_INSECURE_HOST="${UV_INSECURE_HOST:-$value}" ;;
            cert) export SSL_CERT_FILE="${SSL_CERT_FILE:-$value}" ;;
            timeout | default-timeout) export UV_HTTP_TIMEOUT="${UV_HTTP_TIMEOUT:-${value%%.*}}" ;;
        esac
    done < <("$venv/bin/python" -m pip config list 2>/dev/null)
    export UV_INDEX_STRATEGY="${UV_INDEX_STRATEGY:-unsafe-best-match}"
}

install_uv() {
    say "installing uv at its locked version"
    local only_uv
    only_uv="$(mktemp)"
    awk '/^uv==/ {on=1} on {print} on && !/\\$/ {exit}' "$lock" >"$only_uv"
    [ -s "$only_uv" ] || fail "$lock has no uv: run make lock"
    "$venv/bin/python" -m pip install --quiet --no-deps --require-hashes -r "$only_uv"
    rm -f "$only_uv"
}

make_venv() {
    local python
    python="$(find_python)" || {
        debian_install python3 python3-venv && python="$(find_python)" ||
            fail "no Python 3.11, 3.12 or 3.13 found; name one with PYTHON=/path/to/python3"
    }
    say "making $venv with $("$python" --version)"
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        local version
        version="$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')"
        debian_install "python$version-venv" || fail "$python has no venv module; install it"
    fi
    "$python" -m venv --clear "$venv"
}

wanted="$(fingerprint)"
if [ -x "$venv/bin/python" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
    exit 0
fi

if ! { [ -x "$venv/bin/python" ] && supported "$venv/bin/python" &&
    "$venv/bin/python" -m pip --version >/dev/null 2>&1; }; then
    make_venv
fi
rm -f "$stamp"
"$venv/bin/python" -m uv --version >/dev/null 2>&1 || install_uv
pip_settings_for_uv
say "installing the packages of $lock"
# Bytecode now: every Ray worker imports all of it again, in half the time with it.
VIRTUAL_ENV="$PWD/$venv" "$venv/bin/uv" pip sync --quiet --require-hashes --compile-bytecode "$lock"
VIRTUAL_ENV="$PWD/$venv" "$venv/bin/uv" pip install --quiet --no-deps --no-build-isolation -e .
printf '%s\n' "$wanted" >"$stamp"
say "ready: $venv"
