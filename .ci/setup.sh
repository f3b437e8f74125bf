#!/usr/bin/env bash
# Sets up this checkout: .venv with the locked dependencies, Mosquitto on the system where it is missing.
# `setup.sh browser` installs Chromium, faketime and PostgreSQL instead, which only tests and pictures need.
# Safe to run again; a second run with nothing to do takes a second.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'setup: %s\n' "$*" >&2; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 3; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif command -v sudo >/dev/null; then sudo "$@"
  else fail "root rights are missing to run: $*. Run that as root, then repeat."
  fi
}

apt_install() {
  say "installing $* with apt"
  as_root apt-get install -y -q "$@" >/dev/null 2>&1 ||
    { as_root apt-get update -q >/dev/null && as_root apt-get install -y -q "$@" >/dev/null; } ||
    fail "apt could not install $*. Install it by hand, then repeat."
}

find_python() {
  local name
  for name in python3.11 python3.12 python3.13 python3; do
    if "$name" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then
      echo "$name"
      return
    fi
  done
  fail "Python 3.11, 3.12 or 3.13 is missing. Install one of them, then repeat."
}

if [ "${1:-}" = browser ]; then
  if ! { command -v chromium || command -v chromium-browser || command -v google-chrome; } >/dev/null; then
    if command -v apt-get >/dev/null; then apt_install chromium
    else fail "Chromium is missing. Install it with your system's packages, then repeat."
    fi
  fi
  # Tests set the date back with it, to that of a board without a clock.
  if ! command -v faketime >/dev/null; then
    if command -v apt-get >/dev/null; then apt_install faketime
    elif command -v brew >/dev/null; then brew install --quiet libfaketime
    else fail "faketime is missing. Install it with your system's packages, then repeat."
    fi
  fi
  # Tests run the store on it, too.
  if ! compgen -G "/usr/lib/postgresql/*/bin/initdb" >/dev/null && ! command -v initdb >/dev/null; then
    if command -v apt-get >/dev/null; then apt_install postgresql
    elif command -v brew >/dev/null; then brew install --quiet postgresql@15
    else fail "PostgreSQL is missing. Install it with your system's packages, then repeat."
    fi
  fi
  touch .venv/.browser
  exit
fi

# Debian puts mosquitto into /usr/sbin, Homebrew into its own sbin: neither is on every PATH.
PATH="$PATH:/usr/sbin:/usr/local/sbin:/opt/homebrew/sbin"
if ! { command -v mosquitto && command -v mosquitto_pub; } >/dev/null; then
  if command -v apt-get >/dev/null; then apt_install mosquitto mosquitto-clients
  elif command -v brew >/dev/null; then say "installing mosquitto with brew"; brew install --quiet mosquitto
  else fail "Mosquitto (mosquitto, mosquitto_pub) is missing. Install it with your system's packages, then repeat."
  fi
fi

if [ ! -x .venv/bin/uv ]; then
  python=$(find_python)
  if ! "$python" -c 'import ensurepip' 2>/dev/null; then
    command -v apt-get >/dev/null || fail "Python's venv module is missing. Install it, then repeat."
    apt_install "$(basename "$(readlink -f "$(command -v "$python")")")-venv"
  fi
  say "making .venv with $("$python" --version)"
  rm -rf .venv
  "$python" -m venv .venv
  .venv/bin/pip install --quiet --disable-pip-version-check uv==0.13.9
fi
say "installing the locked dependencies"
.venv/bin/uv pip sync --quiet --compile-bytecode --require-hashes --python .venv/bin/python requirements.lock
.venv/bin/uv pip install --quiet --no-deps --python .venv/bin/python -e .
touch .venv/.ready
say "ready"
