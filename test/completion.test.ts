// `cannery help` and `cannery completion`: the scripts run in the shells that they are for.
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { cannery, folder, shell } from './lib.ts';

const VERBS = readdirSync('src/commands').map((file) => file.replace('.ts', ''));

/** Words of a line before the cursor → what bash offers for the last one, many lines in one process. */
function offered(lines: string[][]): string[][] {
  const tries = lines.map((line) => `try ${line.map((word) => `'${word}'`).join(' ')}`);
  const script = `set -u
source <(cannery completion bash)
try() { COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)); COMPREPLY=(); _cannery cannery "\${@:$#}" "\${@:$#-1:1}"; echo "\${COMPREPLY[*]-}"; }
${tries.join('\n')}`;
  const { out, err, code } = shell(script);
  if (code !== 0 || err !== '') throw new Error(`${code}: ${err}`);
  return out
    .split('\n')
    .slice(0, -1)
    .map((line) => line.split(' ').filter(Boolean));
}

t.test('help of a verb is what its --help prints, and of none the list of verbs', (t) => {
  for (const verb of ['clear', 'ls', 'select']) t.same(cannery(['help', verb]), cannery([verb, '--help']), verb);
  t.same(cannery(['help']), cannery(['--help']));
  t.match(cannery(['help', 'completion']), { code: 0, out: /bash\|zsh/ });
  t.end();
});

t.test('a verb that is none: what is near', (t) => {
  const near = (...args: string[]) => {
    const { code, out, err } = cannery(args);
    t.same({ code, out }, { code: 2, out: '' }, args.join(' '));
    return err;
  };
  t.equal(near('slect'), "cannery slect: no verb 'slect'; near: select\n");
  t.equal(near('help', 'fetsh'), "cannery help: no verb 'fetsh'; near: fetch\n");
  t.match(near('teleport'), `no verb 'teleport'; there are: ${VERBS.sort().join(', ')}`);
  t.match(near('help', 'ls', 'cat'), 'one verb');
  t.match(near('completion'), 'bash or zsh');
  t.match(near('completion', 'fish'), 'bash or zsh');
  t.match(near('completion', 'bash', 'zsh'), 'bash or zsh');
  t.end();
});

t.test('bash: verbs, and all options of each', (t) => {
  const [verbs, first, second, shells] = offered([
    ['cannery', ''],
    ['cannery', 'se'],
    ['cannery', 'help', 'f'],
    ['cannery', 'completion', ''],
  ]);
  t.same(verbs, [...VERBS.sort(), 'completion', 'help', '--help', '--version']);
  t.same(first, ['select']);
  t.same(second, ['fetch', 'fsck']);
  t.same(shells, ['bash', 'zsh']);
  const options = offered(VERBS.map((verb) => ['cannery', verb, '--']));
  for (const [n, verb] of VERBS.entries()) {
    const { out } = cannery([verb, '--help']);
    const wanted = [...out.matchAll(/^ {2}(?:-\w, )?(--[a-z-]+)/gm)].map(([, long]) => long);
    t.same([...options[n]!].sort(), wanted.sort(), verb);
  }
  t.end();
});

t.test('bash: choices, the last of a list, what stands behind =, and files', (t) => {
  const line = (text: string) => ['cannery', ...text.split(' ')];
  const lines: Record<string, string[]> = {
    'ls --kind po': ['post', 'postcan'],
    'ls --kind = po': ['post', 'postcan'],
    'ls --kind jsonl,po': ['jsonl,post', 'jsonl,postcan'],
    'ls --cc IT,I': 'IC ID IE IL IM IN IO IQ IR IS IT'.split(' ').map((cc) => `IT,${cc}`),
    'ls --test web': ['web_connectivity'],
    'cat --format ': ['auto', 'post', 'json', 'jsonl', 'yaml', 'tar', 'rejects'],
    'select --to ': ['csv', 'jsonl', 'parquet'],
    'select --fields time,soft': ['time,software', 'time,software_version'],
    'select --partition ': ['day', 'month', 'cc', 'test'],
    'sanitise --unknown ': ['redact', 'drop', 'keep'],
    'rename --layout = ': ['seed', 'pipeline'],
    'sanitise ': ['check'],
    'bucket --to --x ': ['verify', 'freeze'],
    'bucket --to = x v': ['verify'],
    'bucket verify v': [],
    'fetch --jobs ': [],
    'cat ': [],
    'nonsense ': [],
  };
  const got = offered(Object.keys(lines).map(line));
  for (const [n, [text, wanted]] of Object.entries(lines).entries()) t.same(got[n], wanted, text);
  t.equal(
    shell('source <(cannery completion bash); complete -p cannery').out,
    'complete -o default -F _cannery cannery\n',
    'and files where nothing is offered',
  );
  t.end();
});

/** A terminal with zsh in it, and a command that shows its words, completed as cannery is: what is typed, tabs and all. */
const ZSH = `zmodload zsh/zpty || exit 1
zpty shell 'zsh -f -i'
say() { zpty -w shell "$1"; }
until_shown() {
  local shown= piece n
  for ((n = 0; n < 300; n++)); do
    while zpty -r -t shell piece; do shown+=$piece; done
    if [[ $shown == *"$1"* ]]; then print -r -- $shown; return; fi
    sleep 0.1
  done
  print -r -- "not shown: $1 in $shown"; exit 1
}
say 'PS1= TERM=dumb; autoload -U compinit; compinit -D -u; source script.zsh; compdef _cannery show'
say 'show() { print -r -- GOT:\${(j.|.)@}:; }; print REA""DY'
until_shown READY >/dev/null
for line in "$@"; do
  say \${(g::)line}
  until_shown GOT: | grep -o 'GOT:[^:]*:'
done
zpty -d shell`;

const NO_ZSH = spawnSync('zsh', ['-c', ':']).status !== 0 && 'zsh is not installed';

t.test('zsh, at a terminal', NO_ZSH ? { skip: NO_ZSH } : {}, (t) => {
  const cwd = folder(t);
  const made = shell('cannery completion zsh > script.zsh && zsh -n script.zsh', { cwd });
  t.equal(made.code, 0, made.err);
  const typed: [string, string][] = [
    ['show sel\\t--to par\\t', 'select|--to|parquet'],
    ['show ls --measured-f\\t', 'ls|--measured-from='],
    ['show ls --kind jsonl,rep\\t', 'ls|--kind|jsonl,report'],
    ['show help sani\\t', 'help|sanitise'],
    ['show completion b\\t', 'completion|bash'],
    ['show bucket ver\\t', 'bucket|verify'],
    ['show cat script\\t', 'cat|script.zsh'],
  ];
  const { status, stdout, stderr } = spawnSync('zsh', ['-f', '-c', ZSH, 'zsh', ...typed.map(([line]) => line)], {
    cwd,
    env: { ...process.env, PATH: `${join(process.cwd(), 'bin')}:${process.env.PATH}` },
  });
  t.equal(status, 0, `${stdout}${stderr}`);
  t.same(
    stdout.toString().trim().split('\n'),
    typed.map(([, line]) => `GOT:${line}:`),
  );
  t.end();
});
