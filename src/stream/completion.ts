// What a shell needs to complete a command line: made of the options that the verbs declare.
import { COMMON, type OptionSpec, type Options, type Verb } from './verb.ts';

export const SHELLS = ['bash', 'zsh'] as const;
export type Shell = (typeof SHELLS)[number];

/** Values that are files or folders; others that have no choices are for the person to know. */
const FILES: ReadonlySet<string> = new Set(['db', 'dir', 'file', 'files', 'log', 'path', 'store']);

interface Option {
  /** `--to`. */
  long: string;
  text: string;
  /** What its value is called; undefined for a flag. */
  value?: string;
  choices: readonly string[];
  many: boolean;
}

interface Words {
  name: string;
  summary: string;
  options: Option[];
  /** Words that may stand first among the operands. */
  actions: string[];
  /** Whether operands are files. */
  files: boolean;
}

const HELP: Option = { long: '--help', text: 'show this help', choices: [], many: false };

/** A script for a shell, to be sourced. @param verbs by their names */
export function completion(shell: Shell, verbs: ReadonlyMap<string, Verb>): string {
  const all = [...verbs].map(([name, verb]) => wordsOf(name, verb));
  return shell === 'bash' ? bash(all) : zsh(all);
}

function wordsOf(name: string, { summary, operands, options }: Verb): Words {
  const given: Options = { ...options, ...COMMON };
  return {
    name,
    summary,
    options: [...Object.values(given).map(optionOf), HELP],
    actions: operands.match(/\b[a-z]+\b/g) ?? [],
    files: /[A-Z]/.test(operands) && !operands.includes('UID'),
  };
}

function optionOf({ flags, text, choices, many = false }: OptionSpec<unknown>): Option {
  const [, long, value] = /^(--[a-z-]+)(?: <([a-z]+)>)?$/.exec(flags)!;
  return { long: long!, text, choices: choices?.() ?? [], many, ...(value !== undefined && { value }) };
}

const FORMS = SHELLS.join(' ');

// --- bash, of any version: macOS has 3.2

function bash(verbs: Words[]): string {
  const names = verbs.map(({ name }) => name).join(' ');
  const values = verbs.flatMap(({ name, options }) =>
    options
      .filter(({ value }) => value !== undefined)
      .map(({ long, value, choices, many }) => {
        const offer = choices.length > 0 ? `words='${choices.join(' ')}'${many ? ' many=1' : ''}` : '';
        return `    ${name}:${long}) ${offer || (FILES.has(value!) ? 'files=1' : ':')} ;;`;
      }),
  );
  const of = ({ name, options, actions, files }: Words) => {
    const offered = [`options='${options.map(({ long }) => long).join(' ')}'`];
    const taking = options.filter(({ value }) => value !== undefined).map(({ long }) => long);
    offered.push(`taking=' ${taking.join(' ')} '`);
    if (actions.length > 0) offered.push(`actions='${actions.join(' ')}'`);
    if (files) offered.push('operands=1');
    return `    ${name}) ${offered.join(' ')} ;;`;
  };
  return `# Completion of cannery for bash:  source <(cannery completion bash)
_cannery() {
  local cur=\${COMP_WORDS[COMP_CWORD]} at=$((COMP_CWORD - 1)) verb=\${COMP_WORDS[1]} i count=0 head=
  local words= many= files= options= taking= actions= operands=
  COMPREPLY=()
  # What follows an option behind '=' is a word of its own to bash, and so is '='.
  if [[ $cur == '=' ]]; then cur=; elif [[ \${COMP_WORDS[at]} == '=' ]]; then at=$((at - 1)); fi
  if ((COMP_CWORD == 1)); then
    COMPREPLY=($(compgen -W '${names} completion help --help --version' -- "$cur"))
    compopt +o default 2>/dev/null
    return
  fi
  case $verb in
    help) actions='${names}' ;;
    completion) actions='${FORMS}' ;;
${verbs.map(of).join('\n')}
  esac
  for ((i = 2; i < COMP_CWORD; i++)); do
    if [[ \${COMP_WORDS[i]} != -* ]]; then count=$((count + 1))
    elif [[ $taking == *" \${COMP_WORDS[i]} "* ]]; then
      i=$((i + 1))
      if [[ \${COMP_WORDS[i]} == '=' ]]; then i=$((i + 1)); fi
    fi
  done
  if ((at > 1)) && [[ $taking == *" \${COMP_WORDS[at]} "* ]]; then
    case $verb:\${COMP_WORDS[at]} in
${values.join('\n')}
    esac
  elif [[ $cur == -* ]]; then words=$options
  elif ((count == 0)) && [[ -n $actions ]]; then words=$actions
  else files=$operands
  fi
  if [[ -n $many && $cur == *,* ]]; then head=\${cur%,*}, cur=\${cur##*,}; fi
  if [[ -n $words ]]; then COMPREPLY=($(compgen -P "$head" -W "$words" -- "$cur")); fi
  # Where nothing is offered, readline offers files.
  if [[ -z $files ]]; then compopt +o default 2>/dev/null; fi
  return 0
}
complete -o default -F _cannery cannery
`;
}

// --- zsh

/** A text within single quotes, in which brackets and colons mean nothing. */
const quoted = (text: string) => text.replace(/[[\]:\\]/g, '\\$&').replaceAll("'", "'\\''");

function zsh(verbs: Words[]): string {
  const described = verbs.map(({ name, summary }) => `    '${name}:${quoted(summary)}'`);
  const action = ({ value, choices, many }: Option) => {
    if (many && choices.length > 0) return ` _values -s , ${value} ${choices.join(' ')}`;
    if (choices.length > 0) return `(${choices.join(' ')})`;
    return FILES.has(value!) ? '_files' : ' ';
  };
  const option = (one: Option) => {
    const value = one.value === undefined ? '' : `:${one.value}:${action(one)}`;
    return `        '${one.many ? '*' : ''}${one.long}${value && '='}[${quoted(one.text)}]${value}'`;
  };
  const of = ({ name, options, actions, files }: Words) => {
    const operands = [
      ...(actions.length > 0 ? [`        '1:what:(${actions.join(' ')})'`] : []),
      ...(files ? ["        '*:file:_files'"] : []),
    ];
    return `      ${name})\n        _arguments ${[...options.map(option), ...operands].join(' \\\n').trimStart()}\n        ;;`;
  };
  return `#compdef cannery
# Completion of cannery for zsh, behind compinit:  source <(cannery completion zsh)
_cannery() {
  local -a verbs
  verbs=(
${described.join('\n')}
    'completion:print what a shell needs to complete command lines'
    'help:show the options of a verb'
  )
  if ((CURRENT == 2)); then
    _describe verb verbs
    return
  fi
  shift words
  ((CURRENT--))
  case $words[1] in
      help) _arguments '1:verb:(${verbs.map(({ name }) => name).join(' ')})' ;;
      completion) _arguments '1:shell:(${FORMS})' ;;
${verbs.map(of).join('\n')}
  esac
}
compdef _cannery cannery
`;
}
