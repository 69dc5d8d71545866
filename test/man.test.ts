// The manual: every page says what --help says, a man formatter takes it without a warning, its examples
// run and print what the page shows, and cannery-rows(5) has the members that real rows have.
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import t, { type Test } from 'tap';
import { SCHEMA } from '../src/record/normalise.ts';
import { RULES } from '../src/record/rules/run.ts';
import { canonicalTest } from '../src/record/testnames.ts';
import { cannery, folder, PIPELINE, ROOT, rows, shell, shippedSpool, tree } from './lib.ts';

const MAN = join(ROOT, 'man');
const VERBS = readdirSync(join(ROOT, 'src/commands')).map((file) => file.replace(/\.ts$/, ''));
const PAGES = readdirSync(MAN).filter((file) => /\.[0-9]$/.test(file));

// --- reading a page

const FONTS = /^\.(B|I|BR|RB|BI|IB|IR|RI) (.*)$/;
const ESCAPES: Record<string, string> = {
  ...{ '\\-': '-', '\\e': '\\', '\\&': '', '\\(aq': "'", '\\(dq': '"', '\\(ga': '`', '\\(ha': '^', '\\(ti': '~' },
  ...{ '\\(bu': '•', '\\(lq': '“', '\\(rq': '”' },
};

function unroff(text: string): string {
  return text.replace(/\\f[BIRP]|\\\(..|\\./g, (found) => ESCAPES[found] ?? (found.startsWith('\\f') ? '' : found));
}

/** Words of a request, where quotes hold spaces together. */
function words(text: string): string[] {
  return [...text.matchAll(/"((?:[^"]|"")*)"?|(\S+)/g)].map(([, quoted, bare]) => quoted ?? bare!);
}

/** A line of a page without fonts and escapes; requests other than fonts are empty. */
function plain(line: string): string {
  const [, font, rest] = FONTS.exec(line) ?? [];
  if (font !== undefined) return unroff(words(rest!).join(font.length === 1 ? ' ' : ''));
  return line.startsWith('.') ? '' : unroff(line);
}

const flow = (lines: string[]) => lines.map(plain).join(' ').replace(/\s+/g, ' ').trim();

/** Lines under each heading, `.SH` or `.SS`. */
function sections(page: string, heading: 'SH' | 'SS' = 'SH'): Map<string, string[]> {
  const found = new Map<string, string[]>();
  let lines: string[] = [];
  for (const line of page.split('\n')) {
    const [, name] = new RegExp(`^\\.${heading} (.*)$`).exec(line) ?? [];
    if (name !== undefined) found.set(unroff(name), (lines = []));
    else if (heading === 'SS' && line.startsWith('.SH ')) lines = [];
    else lines.push(line);
  }
  return found;
}

/** Entries of a list: its tag and its text. */
function entries(lines: string[]): { tag: string; text: string }[] {
  const found: { tag: string; body: string[] }[] = [];
  let open = false;
  for (const [i, line] of lines.entries()) {
    if (lines[i - 1]?.startsWith('.TP')) found.push({ tag: plain(line), body: [] });
    else if (line.startsWith('.TP')) open = true;
    else if (/^\.(?:PP|S[HS]|EX)\b/.test(line)) open = false;
    else if (open) found.at(-1)?.body.push(line);
  }
  return found.map(({ tag, body }) => ({ tag, text: flow(body) }));
}

const read = (page: string) => readFileSync(join(MAN, page), 'utf8');

// --- reading --help

interface HelpOption {
  /** As in `--settle seconds`. */
  tag: string;
  long: string;
  initial: string | undefined;
}

interface Help {
  usage: string;
  summary: string;
  options: HelpOption[];
}

function helpOf(verb: string): Help {
  const { out } = cannery([verb, '--help']);
  const [head, list] = out.split('\nOptions:\n') as [string, string];
  const [, usage, summary] = /^Usage: (.*)\n\n(.*?)\.\n$/s.exec(head)!;
  // An option's text goes on in lines that are indented further.
  const options = list.split(/\n(?= {2}-)/).map((entry) => {
    const text = entry.replace(/\s+/g, ' ').trim();
    const [, short = '', long, value] = /^(-\w, )?(--[a-z-]+)(?: <([^>]+)>)?/.exec(text)!;
    const [, initial] = /\(default: (.*)\)$/.exec(text) ?? [];
    return { tag: `${short}${long}${value ? ` ${value}` : ''}`, long: long!, initial };
  });
  return { usage: usage!, summary: summary!.replace(/\s+/g, ' '), options };
}

const HELP = new Map(VERBS.map((verb) => [verb, helpOf(verb)]));

/** The list of a page against the options of --help. */
function sameOptions(t: Test, lines: string[], wanted: HelpOption[]): void {
  const listed = entries(lines).filter(({ tag }) => tag.startsWith('-'));
  const tags = (of: { tag: string }[]) => of.map(({ tag }) => tag).sort();
  t.same(tags(listed), tags(wanted), 'the options of --help and no others');
  for (const { tag, initial } of wanted) {
    const text = listed.find((entry) => entry.tag === tag)?.text ?? '';
    const told = /Default: (.*?)\.(?: |$)/.exec(text)?.[1];
    t.equal(told, initial, `${tag}: its default`);
  }
}

t.test('every page belongs to something, and every verb has a page', (t) => {
  const others = ['cannery.1', 'cannery-durability.7', 'cannery-examples.7', 'cannery-rows.5'];
  const wanted = [...others, ...VERBS.map((verb) => `cannery-${verb}.1`)];
  t.same([...PAGES].sort(), wanted.sort());
  for (const page of PAGES) {
    const refs = [...read(page).matchAll(/^\.BR (cannery[a-z\\-]*) \((\d)\)/gm)].map(
      ([, name, number]) => `${unroff(name!)}.${number}`,
    );
    t.ok(refs.length > 0, `${page} refers to others`);
    t.same(
      refs.filter((ref) => !PAGES.includes(ref)),
      [],
      `${page} refers to pages that are there`,
    );
  }
  t.end();
});

const USUAL = [
  ...['NAME', 'SYNOPSIS', 'DESCRIPTION', 'OPTIONS', 'OUTPUT', 'BAD INPUT', 'INTERRUPTION', 'EXIT STATUS'],
  ...['EXAMPLES', 'SEE ALSO'],
];

for (const verb of VERBS) {
  t.test(`cannery-${verb}(1) says what --help says`, (t) => {
    const { usage, summary, options } = HELP.get(verb)!;
    const page = read(`cannery-${verb}.1`);
    const parts = sections(page);
    t.same([...parts.keys()], USUAL, 'sections');
    t.match(page, new RegExp(`^\\.TH CANNERY\\\\-${verb.toUpperCase()} 1 `), 'title');
    t.equal(flow(parts.get('NAME')!), `cannery-${verb} - ${summary}`, 'NAME');

    const forms = flow(parts.get('SYNOPSIS')!.map((line) => (line === '.br' ? '|NEXT|' : line)))
      .split(/ ?\|NEXT\| ?/)
      .map((form) => form.trim());
    const bare = forms.map((form) => form.replace(/ \[--[a-z-]+(?: [a-z]+)?\]| --[a-z-]+(?: [a-z]+)?/g, ''));
    t.ok(bare.includes(usage), `SYNOPSIS has the operands of '${usage}'`);
    const named = forms.join(' ').match(/--[a-z-]+/g) ?? [];
    const known = options.map(({ long }) => long);
    t.same(
      named.filter((long) => !known.includes(long)),
      [],
      'SYNOPSIS names options that are there',
    );
    sameOptions(t, parts.get('OPTIONS')!, options);
    t.end();
  });
}

t.test('cannery(1): verbs, common options, the pipeline', (t) => {
  const parts = sections(read('cannery.1'));
  const verbs = entries(parts.get('VERBS')!).map(({ tag, text }) => [tag, text.replace(/ The page of .*/, '')]);
  t.same(verbs.sort(), VERBS.map((verb) => [verb, HELP.get(verb)!.summary]).sort(), 'VERBS');

  const [first, ...others] = [...HELP.values()].map(({ options }) => options);
  const common = first!.filter((one) => others.every((options) => options.some(({ tag }) => tag === one.tag)));
  t.ok(common.length >= 5, 'there are common options');
  sameOptions(t, parts.get('COMMON OPTIONS')!, common);

  const [pipeline] = verbatim(parts.get('THE HOURLY PIPELINE')!);
  t.equal(pipeline!.join(' ').replace('s3://bucket', 'store'), PIPELINE, 'the pipeline is the tested one');
  const codes = entries(parts.get('EXIT STATUS')!).map(({ tag }) => tag);
  t.same(codes, ['0', '1', '2', '3'], 'EXIT STATUS');
  t.end();
});

t.test('cannery-normalise(1) has every rule, and the names of tests', (t) => {
  const parts = sections(read('cannery-normalise.1'), 'SS');
  const rules = entries(parts.get('Rules')!).map(({ tag, text }) => [tag, text]);
  t.same(rules, Object.entries(RULES), 'as the program tells them');
  const names = entries(parts.get('Names of tests')!);
  t.ok(names.length >= 16, 'names');
  for (const { tag, text } of names) for (const raw of text.split(', ')) t.equal(canonicalTest(raw), tag, raw);
  const members = parts.get('Every record')!.join('\n').split('.IP 7. 4')[1]!;
  t.same(
    [...members.matchAll(/^\.BR (\w+) [,.]$/gm)].map(([, name]) => name),
    SCHEMA,
    'members of the schema',
  );
  t.end();
});

// --- formatting

const has = (program: string) => spawnSync('sh', ['-c', `command -v ${program}`]).status === 0;
const [linter] = [
  { program: 'mandoc', args: ['-T', 'lint', '-W', 'warning'] },
  { program: 'groff', args: ['-man', '-ww', '-z'] },
].filter(({ program }) => has(program));
const [renderer] = [
  { program: 'groff', args: ['-man', '-Tutf8', '-rLL=200n', '-P-cbou'] },
  { program: 'mandoc', args: ['-T', 'utf8', '-O', 'width=200'] },
].filter(({ program }) => has(program));
const NO_FORMATTER = 'neither mandoc nor groff is installed';

for (const page of PAGES) {
  t.test(`${page} is clean for ${linter?.program ?? 'a formatter'}`, linter ? {} : { skip: NO_FORMATTER }, (t) => {
    const { status, stdout, stderr } = spawnSync(linter!.program, [...linter!.args, join(MAN, page)]);
    t.equal(`${stdout}${stderr}`, '', 'no warning');
    t.equal(status, 0);
    t.end();
  });

  // A quote or a hyphen that a formatter makes typographic cannot be pasted into a shell.
  t.test(`${page}: what is to be typed comes out as it is`, renderer ? {} : { skip: NO_FORMATTER }, (t) => {
    const { stdout } = spawnSync(renderer!.program, [...renderer!.args, join(MAN, page)]);
    const shown = stdout
      .toString()
      .replace(/.\u0008/g, '') // overstrikes of mandoc
      .split('\n')
      .map((line) => line.trim());
    const typed = [...sections(read(page)).values()].flatMap((lines) => verbatim(lines).flat());
    t.same(
      typed.filter((line) => !shown.includes(line.trim())),
      [],
    );
    t.end();
  });
}

// --- examples

/** Blocks between `.EX` and `.EE`. */
function verbatim(lines: string[]): string[][] {
  const blocks: string[][] = [];
  let block: string[] | undefined;
  for (const line of lines) {
    if (line === '.EX') blocks.push((block = []));
    else if (line === '.EE') block = undefined;
    else block?.push(unroff(line));
  }
  return blocks;
}

interface Example {
  command: string;
  /** What the page shows under it. */
  shown: string[];
}

/** `$ ` begins a command, `> ` continues it, all else is output. */
function examples(lines: string[]): Example[] {
  const found: Example[] = [];
  for (const line of verbatim(lines).flat()) {
    if (line.startsWith('$ ')) found.push({ command: line.slice(2), shown: [] });
    else if (line.startsWith('> ') && found.at(-1)?.shown.length === 0) found.at(-1)!.command += `\n${line.slice(2)}`;
    else if (found.length > 0) found.at(-1)!.shown.push(line);
    else throw new Error(`output before the first command: ${line}`);
  }
  return found;
}

/** `...` stands for anything within a line. */
function pattern(shown: string[]): RegExp {
  const quoted = shown.map((line) =>
    line
      .split('...')
      .map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
      .join('.*'),
  );
  return new RegExp(`^${quoted.map((line) => `${line}\n`).join('')}$`);
}

/** Where the examples are, as the pages tell it. */
const PLACE = '/srv/cannery';
/** A bucket in an example is a folder here: a store has the same keys in both. */
const BUCKET = 's3://bucket';
const missing = ['jq', 'sqlite3', 'duckdb'].filter((program) => !has(program));

for (const page of PAGES) {
  t.test(`${page}: its examples run`, (t) => {
    const cwd = shippedSpool(t);
    const all = examples(sections(read(page)).get('EXAMPLES') ?? []);
    t.ok(all.length > 0, 'there are examples');
    if (all.some(({ command }) => command.includes(BUCKET))) t.comment(`${BUCKET} stands for a folder here`);
    let last = 0;
    for (const [i, { command, shown }] of all.entries()) {
      const lacks = missing.find((program) => new RegExp(`\\b${program}\\b`).test(command));
      if (lacks) {
        t.pass(command, { skip: `${lacks} is not installed` });
        last = 0;
        continue;
      }
      const line = `(exit ${last})\n${command.replaceAll(BUCKET, `${cwd}/bucket`)}`;
      const { code, out, err } = shell(line, { cwd, env: { LC_ALL: 'C' } });
      // What the page shows is output, then messages.
      const got = `${out}${err}`.replaceAll(`${cwd}/bucket`, BUCKET).replaceAll(cwd, PLACE);
      t.match(got, pattern(shown), command);
      // A code that is not 0 is shown by the page: the next command is `echo $?`.
      if (all[i + 1]?.command !== 'echo $?') t.equal(code, 0, `exit code of ${command}`);
      last = code ?? 1;
    }
    t.end();
  });
}

// --- cannery-rows(5)

const ROWS = read('cannery-rows.5');
const FORMATS = sections(ROWS, 'SS');

/** Members that a list of the page names. */
function members(section: string): string[] {
  return entries(FORMATS.get(section)!)
    .flatMap(({ tag }) => tag.split(', '))
    .sort();
}

const keys = (...given: object[]) => [...new Set(given.flatMap((row) => Object.keys(row)))].sort();

/** Two generations of row cans, and posts of which one cannot be read, through the whole pipeline. */
function everything(t: Test) {
  const cwd = shippedSpool(t);
  const run = (line: string, code = 0) => {
    const ran = shell(line, { cwd });
    t.equal(ran.code, code, `${line}\n${ran.err}`);
    return rows(ran.out);
  };
  const json = (path: string) => JSON.parse(readFileSync(join(cwd, path), 'utf8')) as object;
  mkdirSync(join(cwd, '2016-08-01'));
  writeFileSync(join(cwd, '2016-08-01/report.json'), '{"a":1}\n');
  const bad = 'incoming/2024020110_DE_ndt/20240201102023.614500_DE_ndt_0123456789abcdef.post';
  writeFileSync(join(cwd, bad), 'no post');

  mkdirSync(join(cwd, 'archive'));
  writeFileSync(join(cwd, 'archive/a.json'), '{"test_start_time":"2016-07-31 10:00:00","test_name":"ndt"}\n');

  const files = [...run('cannery ls incoming'), run('cannery ls 2016-08-01 --end')[0]!];
  files.push(...run('cannery rename archive --to reports --settle 0'));
  const measured = run('cannery cat --end 2016-08-01/report.json');
  const manifests: object[] = [];
  const lines: object[] = [];
  const cans: object[] = [];
  const keep = (outgoing: string) => {
    for (const path of tree(join(cwd, outgoing))) {
      if (path.endsWith('/can.json')) manifests.push(json(join(outgoing, path)));
      if (path.endsWith('/rows.jsonl')) lines.push(...rows(readFileSync(join(cwd, outgoing, path), 'utf8')));
    }
  };
  run('cannery ls incoming | cannery postcan --spool incoming --to outgoing --host n0 --rejects rejects', 3);
  keep('outgoing');
  run('cannery postcan --spool incoming --to outgoing --host n0 </dev/null | cannery upload store --with-rows >cans');
  cans.push(...run('cannery index jsonl.sqlite <cans'), ...run('cannery clear <cans'));
  for (const n of [1, 2]) {
    const row = { measurement_uid: null, bucket_date: '2016-08-01', report_filename: null, n };
    const end = { cannery: 'end', rows: 1, rejected: 0, sanitised: { rules: 1 } };
    writeFileSync(join(cwd, 'stream'), `${JSON.stringify(row)}\n${JSON.stringify(end)}\n`);
    run('cannery postcan --rows --to outgoing-rows <stream >cans');
    keep('outgoing-rows');
    cans.push(...run('cannery upload store <cans | cannery index jsonl.sqlite | cannery clear'));
  }
  files.push(...run('cannery ls store --kind all'), ...run('cannery ls store | cannery fetch --to mirror'));
  run('cannery ls mirror | cannery select --files --to csv --partition cc --out table --manifest subset >out');
  const subset = rows(readFileSync(join(cwd, 'subset'), 'utf8'));
  const copies = rows(readFileSync(join(cwd, 'mirror/.cannery-fetch/manifest.jsonl'), 'utf8'));
  files.push(...run('cannery ls 2016-08-01 | cannery bucket --to raw --date 2016-08-02 --settle 0 --copy'));
  const backups = run('cannery backup raw/2016-08-02 private');
  const entries = rows(readFileSync(join(cwd, 'raw/2016-08-02/.manifest.jsonl'), 'utf8'));
  writeFileSync(join(cwd, 'raw/2016-08-02/other.json'), '');
  const [finding, bucket] = run('cannery bucket verify raw', 3);
  const rejects = rows(readFileSync(join(cwd, 'rejects'), 'utf8'));
  const [superseded] = run('cannery fsck --store store --index jsonl.sqlite --superseded');
  rmSync(join(cwd, 'store/raw/20240201/10/DE'), { recursive: true });
  const findings = run('cannery fsck --store store --index jsonl.sqlite', 3);
  return {
    ...{ subset, copies, backups, entries, finding: finding!, bucket: bucket!, superseded: superseded! },
    cwd,
    files,
    measured,
    manifests,
    lines,
    cans,
    rejects,
    findings,
    purpose: json('outgoing/outgoing.json'),
  };
}

t.test('cannery-rows(5) has the members of real rows', (t) => {
  const real = everything(t);
  t.same(keys(...real.files), members('File rows'), 'file rows');
  const [measurement, end] = real.measured as [object, object];
  t.same(Object.keys(measurement).slice(0, 3).sort(), members('Measurement rows'), 'measurement rows');
  t.same([...keys(end), 'sanitised', 'left_out', 'part'].sort(), members('End row'), 'end row');
  t.same(keys(...real.cans), members('Can rows'), 'can rows');
  t.same(keys(...real.rejects), members('Reject rows'), 'reject rows');
  t.same(keys(real.superseded), members('Superseded rows'), 'superseded rows');
  t.same(keys(...real.findings), members('Findings of fsck'), 'findings of fsck');
  const kinds = readFileSync(join(ROOT, 'src/edge/findings.ts'), 'utf8').matchAll(/^ {2}\| '(\w+)'/gm);
  const told = FORMATS.get('Findings of fsck')!.flatMap((line) => /^\.IP \\fB(\w+)\\fR/.exec(line)?.[1] ?? []);
  t.same(told.sort(), [...kinds].map(([, kind]) => kind).sort(), 'kinds of findings');
  t.same(keys(...real.backups), members('Backup rows'), 'backup rows');
  t.same(keys(real.bucket), members('Bucket rows'), 'bucket rows');
  t.same(keys(real.finding), members('Finding rows'), 'finding rows');
  const manifest = entries(sections(ROWS).get('MANIFEST OF A BUCKET')!).map(({ tag }) => tag);
  t.same(keys(...real.entries), manifest.sort(), 'the manifest of a bucket');
  const mirror = entries(sections(ROWS).get('MANIFEST OF A MIRROR')!).map(({ tag }) => tag);
  t.same(keys(...real.copies), mirror.sort(), 'the manifest of a mirror');
  const subset = entries(sections(ROWS).get('MANIFEST OF A SELECTION')!).map(({ tag }) => tag);
  t.same(
    [...new Set(real.subset.flatMap(Object.keys))].sort(),
    [...new Set(subset)].sort(),
    'the manifest of a selection',
  );
  t.same(keys(...real.lines), members('rows.jsonl'), 'rows.jsonl');
  t.same(keys(...real.manifests), members('can.json'), 'can.json');
  t.same(
    [...keys(real.purpose), 'endpoint'].sort(),
    members('outgoing.json'),
    'outgoing.json; a folder has no endpoint',
  );

  const db = new Database(join(real.cwd, 'jsonl.sqlite'), { readonly: true });
  t.teardown(() => db.close());
  const made = db.prepare("SELECT sql FROM sqlite_master WHERE type <> 'view' AND sql IS NOT NULL").pluck().all();
  const tidy = (sql: string) => sql.replace(/\s+/g, ' ').trim();
  const shown = verbatim(FORMATS.get('Tables')!).flat().join('\n').split(';').map(tidy).filter(Boolean);
  t.same(shown.sort(), (made as string[]).map(tidy).sort(), 'tables of the index');
  const index = sections(ROWS).get('INDEX')!;
  const columns = entries(index.slice(0, index.indexOf('.SS Tables'))).map(({ tag }) => tag);
  t.same(columns, db.prepare("SELECT name FROM pragma_table_info('jsonl')").pluck().all(), 'columns of the view');
  const id = db.pragma('application_id', { simple: true }) as number;
  t.match(flow(index), `application_id is 0x${id.toString(16)}, user_version`, 'its id');
  t.match(flow(index), `user_version is ${db.pragma('user_version', { simple: true })}`, 'its version');
  t.end();
});

// --- other programs

interface Reader {
  /** As the page has it. */
  name: string;
  /** Shell: succeeds where the reader is installed. */
  installed: string;
  /** Shell: `$1` to standard output, inflated. */
  lines?: string;
  /** Shell: the posts of `$1` into the working folder. */
  posts?: string;
}

const JAVA = `import java.io.*;import java.util.zip.*;
class Inflate { public static void main(String[] a) throws Exception {
  try (InputStream in = new GZIPInputStream(new FileInputStream(a[0]))) { in.transferTo(System.out); }
  System.out.flush(); } }`;

const READERS: Reader[] = [
  { name: 'gzip', installed: 'command -v gzip', lines: 'gzip -dc "$1"' },
  { name: 'zcat', installed: 'command -v zcat', lines: 'zcat "$1"' },
  { name: 'pigz', installed: 'command -v pigz', lines: 'pigz -dc "$1"' },
  { name: 'GNU tar', installed: 'tar --version | grep GNU', posts: 'tar xzf "$1"' },
  { name: 'bsdtar', installed: 'command -v bsdtar', lines: 'bsdcat "$1"', posts: 'bsdtar xf "$1"' },
  {
    name: 'BusyBox',
    installed: 'command -v busybox',
    lines: 'busybox gzip -dc "$1"',
    posts: 'busybox tar xzf "$1"',
  },
  {
    name: 'Python',
    installed: 'command -v python3',
    lines: `python3 -c 'import gzip, json, sys
for line in gzip.open(sys.argv[1]):
    json.loads(line)
    sys.stdout.buffer.write(line)' "$1"`,
    posts: `python3 -c 'import sys, tarfile; tarfile.open(sys.argv[1], "r:gz").extractall()' "$1"`,
  },
  {
    name: 'r|gz',
    installed: 'command -v python3',
    posts: `python3 -c 'import sys, tarfile; tarfile.open(sys.argv[1], "r|gz").extractall()' "$1"`,
  },
  {
    name: 'Node.js',
    installed: 'command -v node',
    lines: `node -e 'require("fs").createReadStream(process.argv[1]).pipe(require("zlib").createGunzip()).pipe(process.stdout)' "$1"`,
  },
  {
    name: 'IO::Uncompress::Gunzip',
    installed: 'perl -MIO::Uncompress::Gunzip -e 1',
    lines: `perl -MIO::Uncompress::Gunzip=gunzip -e 'binmode STDOUT; gunzip $ARGV[0] => "-", MultiStream => 1 or die' "$1"`,
  },
  {
    name: 'Archive::Tar',
    installed: 'perl -MArchive::Tar -MIO::Zlib -e 1',
    posts: `perl -MArchive::Tar -e 'Archive::Tar->new($ARGV[0])->extract or die' "$1"`,
  },
  {
    name: 'GZIPInputStream',
    installed: 'command -v java',
    lines: `cat >Inflate.java <<'END'\n${JAVA}\nEND\njava Inflate.java "$1"`,
  },
];

t.test('cannery-rows(5): the readers that it names read all of a can', (t) => {
  const cwd = folder(t);
  const spool = join(ROOT, 'bench/spool.mjs');
  const made = shell(`node '${spool}' --to . --posts 40 --hours 1 --countries 1 --tests 1 >/dev/null`, { cwd });
  t.equal(made.code, 0, made.err);
  cpSync(join(cwd, 'incoming'), join(cwd, 'posts'), { recursive: true });
  const packed = shell('cannery ls incoming/ | cannery postcan --spool incoming/ --to outgoing/ --host n0', { cwd });
  t.equal(packed.code, 0, packed.err);
  const [{ can, dir, measurements }] = rows<{ can: string; dir: string; measurements: number }>(packed.out) as [
    { can: string; dir: string; measurements: number },
  ];
  const index = rows<{ offset: number }>(readFileSync(join(dir, 'rows.jsonl'), 'utf8'));
  t.ok(new Set(index.map(({ offset }) => offset)).size > 3, 'the can has several gzip members');

  const posts = tree(join(cwd, 'posts'));
  t.equal(posts.length, measurements);
  const wanted = Buffer.concat(posts.map((post) => lineOf(readFileSync(join(cwd, 'posts', post)))));
  const named = flow(sections(ROWS).get('READERS')!);
  for (const { name, installed, lines, posts: unpack } of READERS) {
    t.match(named, name, `the page names ${name}`);
    if (spawnSync('bash', ['-c', installed]).status !== 0) {
      t.pass(name, { skip: `${name} is not installed` });
      continue;
    }
    const here = folder(t);
    const run = (script: string, file: string) =>
      spawnSync('bash', ['-e', '-c', script, 'bash', join(dir, file)], { cwd: here, maxBuffer: 2 ** 30 });
    if (lines !== undefined) {
      const { stdout, stderr, status } = run(lines, `${can}.jsonl.gz`);
      t.ok(status === 0 && wanted.equals(stdout), `${name} reads every line`, { stderr: `${stderr}`, status });
    }
    if (unpack !== undefined) {
      const { stderr, status } = run(unpack, `${can}.tar.gz`);
      const same = tree(here).filter((post) =>
        readFileSync(join(here, post)).equals(readFileSync(join(cwd, 'posts', post))),
      );
      t.same({ status, same }, { status: 0, same: posts }, `${name} reads every post`, { stderr: `${stderr}` });
    }
    rmSync(here, { recursive: true });
  }
  t.end();
});

/** The content of a post as bench/spool.mjs writes it, without any code of ours. */
function lineOf(post: Buffer): Buffer {
  const text = post.toString('latin1');
  const [, line] =
    /^\{"format":"json","content":(.*)\}$/s.exec(text) ?? /^\{"content":(.*),"format":"json"\}$/s.exec(text) ?? [];
  return Buffer.from(`${line}\n`, 'latin1');
}
