#!/usr/bin/env bash
# DuckDB, for the tests of tables: it reads what cannery writes. It is no server: it comes with them, by npm, and is
# no dependency of cannery's.
set -euo pipefail
export LC_ALL=C

readonly PACKAGE=@duckdb/node-api VERSION=1.5.6-r.1

say() { printf 'duckdb.sh: %s\n' "$*"; }
die() { printf 'duckdb.sh: %s\n' "$*" >&2; exit 1; }

usage() {
  cat <<'TEXT'
usage: duckdb.sh install [DIR] | status [DIR]
status prints the folder that has the program.
DIR defaults to $CANNERY_DUCKDB_DIR, else ${XDG_CACHE_HOME:-~/.cache}/cannery-duckdb
TEXT
}

# DIR holds: VERSION/ with node_modules/ and bin/duckdb, which is made last.
set_dir() {
  local d=${1:-${CANNERY_DUCKDB_DIR:-}}
  [[ -n $d ]] || d=${XDG_CACHE_HOME:-${HOME:?neither DIR nor HOME is set}/.cache}/cannery-duckdb
  DIR=$(realpath -m -- "$d")/$VERSION
}

# As DuckDB's own program, of which the tests need no more: duckdb -csv -c SQL.
write_program() {
  mkdir -p -- "$DIR/bin"
  cat >"$DIR/bin/duckdb.new" <<'TEXT'
#!/usr/bin/env node
const [form, option, sql, ...more] = process.argv.slice(2);
if (form !== '-csv' || option !== '-c' || sql === undefined || more.length > 0) {
  console.error('usage: duckdb -csv -c SQL');
  process.exit(2);
}
const { DuckDBInstance } = require('../node_modules/@duckdb/node-api');
const cell = (value) => {
  const text = value === null ? '' : String(value);
  return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
};
(async () => {
  const connection = await (await DuckDBInstance.create(':memory:')).connect();
  const found = await connection.runAndReadAll(sql);
  for (const row of [found.columnNames(), ...found.getRows()]) console.log(row.map(cell).join(','));
})().catch((error) => {
  console.error(error.message);
  process.exit(1);
});
TEXT
  chmod 755 "$DIR/bin/duckdb.new"
  mv -f "$DIR/bin/duckdb.new" "$DIR/bin/duckdb"
}

answers() { [[ $("$DIR/bin/duckdb" -csv -c 'SELECT 6 * 7 AS n' 2>/dev/null) == $'n\n42' ]]; }

cmd_install() {
  if answers; then say "already installed ($DIR)"; return; fi
  mkdir -p -- "$DIR" || die "cannot make $DIR"
  printf '{"private":true}\n' >"$DIR/package.json"
  (cd "$DIR" && npm install --save-exact --no-audit --no-fund --loglevel=error "$PACKAGE@$VERSION") ||
    die "npm cannot install $PACKAGE $VERSION"
  write_program
  answers || die "installed, but it does not answer ($DIR)"
  say "installed ($DIR)"
}

cmd_status() {
  [[ -x $DIR/bin/duckdb ]] || { say "not installed ($DIR)"; return 1; }
  printf '%s\n' "$DIR/bin"
}

main() {
  local cmd=${1:-}
  [[ $# -le 2 ]] || { usage >&2; exit 2; }
  case $cmd in
    install | status)
      set_dir "${2:-}"
      "cmd_$cmd"
      ;;
    -h | --help | help) usage ;;
    *) usage >&2; exit 2 ;;
  esac
}
main "$@"
