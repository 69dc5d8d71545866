#!/usr/bin/env bash
# Runs every test, or the ones named as arguments (test/record/json.test.ts); options go to tap. The last line is
# `N passed, N failed`, and the exit code is 0 only when there were tests and none failed.
set -u
cd "$(dirname "$0")/.."
node test/build.mjs || exit 1
# tap is built without its TypeScript plugin, inside node_modules: a new install wants it again.
[ -e node_modules/.tap-built ] || { npx tap build >/dev/null && touch node_modules/.tap-built; } || exit 1

files=()
for file in "$@"; do [[ $file == -* ]] && files+=("$file") || files+=("build/${file%.ts}.js"); done

# One seed for all that chooses by chance, and what was tried is counted anew.
export CANNERY_FAULTS_SEED="${CANNERY_FAULTS_SEED:-${CANNERY_SEED:-$((RANDOM * 32768 + RANDOM))}}"
rm -f build/faults/counts

# The real servers, where `make servers` has started them.
cache="${XDG_CACHE_HOME:-$HOME/.cache}"
for server in "radosgw ${CANNERY_RADOSGW_DIR:-$cache/cannery-radosgw}" "sshd ${CANNERY_SSHD_DIR:-$cache/cannery-sshd}"; do
  env="${server#* }/env"
  if bash "test/servers/${server%% *}.sh" status >/dev/null 2>&1 && [ -r "$env" ]; then . "$env"; fi
done

# DuckDB too.
if found=$(bash test/servers/duckdb.sh status 2>/dev/null); then export PATH="$found:$PATH"; fi

npx tap -R tap "${files[@]}" | tee build/test.tap | node test/report.mjs
