#!/usr/bin/env bash
# Installs the bench's Node-RED, in the versions of package-lock.json, into the folder that is named. Safe to run again.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=${1:?"name the folder"}
say() { printf 'bench: %s\n' "$*" >&2; }
if ! { command -v node && command -v npm; } >/dev/null; then
  say "Node.js or npm is missing. Install them (apt install nodejs npm), then repeat."
  exit 3
fi
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
if [ -e "$folder/.ready" ] && cmp -s "$here/package-lock.json" "$folder/package-lock.json"; then exit; fi
rm -f "$folder/.ready"
cp "$here/package.json" "$here/package-lock.json" "$folder/"
cd "$folder"
say "installing Node-RED (some minutes, the first time)"
npm ci --ignore-scripts --no-audit --no-fund --silent
# The SQLite module is C++. Its ready-made binary is not at the registry; Node's own headers are beside Node, if anywhere.
prefix=$(dirname "$(dirname "$(readlink -f "$(command -v node)")")")
cd node_modules/sqlite3
headers=()
[ -e "$prefix/include/node/node.h" ] && headers=(--nodedir="$prefix")
npx --no-install node-gyp rebuild "${headers[@]}" >"$folder/node-gyp.log" 2>&1 || {
  say "the SQLite module could not be compiled: see $folder/node-gyp.log. A C++ compiler, make and python3 are needed."
  exit 3
}
touch "$folder/.ready"
