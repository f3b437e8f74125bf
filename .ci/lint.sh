#!/usr/bin/env bash
# Every check that reads the code without running it. All of them run; the exit code says whether one failed.
set -uo pipefail
cd "$(dirname "$0")/.."
export PYRIGHT_PYTHON_CACHE_DIR="$PWD/.venv/pyright" PYRIGHT_PYTHON_IGNORE_WARNINGS=1
bin=.venv/bin
failed=0
mkdir -p build
check() {
  local what=$1
  shift
  local out
  if out=$("$@" 2>&1); then printf 'ok      %s\n' "$what"; else printf '%s\nFAILED  %s\n' "$out" "$what"; failed=1; fi
}
check "ruff (rules)" $bin/ruff check .
check "ruff (format)" $bin/ruff format --check .
check "pyright" $bin/pyright
# The firmware against the stubs of the ESP32 port, which take the place of CPython's standard library.
ln -sfn "$($bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" build/micropython-stubs
check "pyright (firmware)" $bin/pyright -p .ci/pyright-firmware.json
check "import rules" $bin/lint-imports --no-cache
check "boards (generated)" $bin/python -m hardware.generate --check
check "words (generated)" $bin/python -m sigap.firmware.names --check
check "settings (generated)" $bin/python -m sigap.firmware.schema --check
check "gateway's settings (generated)" $bin/python -m sigap.settings_page --check
check "backends' tables (generated)" $bin/python -m sigap.backends_page --check
check "API descriptions (generated)" $bin/python -m sigap.api_descriptions --check
check "vectors (generated)" $bin/python tests/contract/make_vectors.py --check
exit $failed
