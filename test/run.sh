#!/usr/bin/env bash
# Runs every test, or the ones named as arguments (test/record/json.test.ts). The last line is
# `N passed, N failed`, and the exit code is 0 only when there were tests and none failed.
set -u
cd "$(dirname "$0")/.."
node test/build.mjs || exit 1
# tap is built without its TypeScript plugin, inside node_modules: a new install wants it again.
[ -e node_modules/.tap-built ] || { npx tap build >/dev/null && touch node_modules/.tap-built; } || exit 1

files=()
for file in "$@"; do files+=("build/${file%.ts}.js"); done

# The real S3 server, where `make servers` has started one.
server_env="${CANNERY_RADOSGW_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/cannery-radosgw}/env"
if bash test/servers/radosgw.sh status >/dev/null 2>&1 && [ -r "$server_env" ]; then . "$server_env"; fi

npx tap -R tap "${files[@]}" | tee build/test.tap | node test/report.mjs
