import { join } from 'node:path';
import { Command, CommanderError } from 'commander';
import { completion, SHELLS } from './stream/completion.ts';
import { describe, EXIT, exitCodeOf, printable, ReaderGone, UsageError } from './stream/errors.ts';
import { type CommonOptions, Stage } from './stream/stage.ts';
import { COMMON, type Options, type Verb } from './stream/verb.ts';

declare const __VERSION__: string;

/** What the folder `commands/` has, which is the registry. */
declare const __VERBS__: string[];
const names = () => __VERBS__;

/** The verb that this file was bundled with. */
let own: { name: string; verb: Verb } | undefined;

function load(name: string): Verb {
  return own?.name === name ? own.verb : (require(join(__dirname, `${name}.cjs`)) as { verb: Verb }).verb;
}

const loadAll = () => new Map(names().map((name) => [name, load(name)] as const));

/** commander's command for a verb, from its one declaration. */
function commandOf(name: string, verb: Verb): Command {
  const command = new Command(`cannery ${name}`)
    .description(`${verb.summary}.`)
    .usage(`[options]${verb.operands ? ` ${verb.operands}` : ''}`)
    .argument('[operands...]')
    .helpOption('-h, --help', 'show this help')
    .configureHelp({ visibleArguments: () => [] })
    .exitOverride();
  const add = (options: Options) => {
    for (const { flags, text, parse, initial, shown } of Object.values(options)) {
      const help = shown === undefined ? text : `${text} (default: ${shown})`;
      if (flags.includes('<')) command.option(flags, help, parse);
      else command.option(flags, help);
      command.setOptionValueWithSource(command.options.at(-1)!.attributeName(), initial, 'default');
    }
  };
  add(verb.options);
  add(COMMON);
  command.configureOutput({ writeOut: print, writeErr: () => undefined }); // the one line of an error is ours
  return command;
}

/** Where no rows go: whoever reads a page may well stop early. */
function print(text: string): void {
  process.stdout.on('error', () => undefined).write(text);
}

function topHelp(): string {
  const verbs = [...loadAll()].map(([name, { summary }]) => `  ${name.padEnd(10)} ${summary}`);
  return [
    'Usage: cannery VERB [options] [operands]',
    '',
    'Carries internet measurements from a spool of posts to cans in a store, and one measurement back.',
    '',
    'Verbs:',
    ...verbs,
    '',
    'cannery help VERB tells the options of a verb; the manual is in man/ (cannery(1), cannery-rows(5)).',
    'cannery completion bash (or zsh) prints what a shell needs to complete all of this.',
    '',
  ].join('\n');
}

/** Of a verb, what `cannery VERB --help` prints. */
async function help([name, ...more]: string[]): Promise<number> {
  if (name === undefined || more.length > 0) throw new UsageError('one verb: cannery help VERB');
  if (name === 'completion') print(`Usage: ${COMPLETION}\n`);
  else if (!names().includes(name)) throw await noVerb(name);
  else print(commandOf(name, load(name)).helpInformation());
  return EXIT.ok;
}

const COMPLETION = `cannery completion ${SHELLS.join('|')}, as in: source <(cannery completion bash)`;

async function printCompletion([shell, ...more]: string[]): Promise<number> {
  const known = SHELLS.find((name) => name === shell);
  if (shell === '--help' || shell === '-h') return help(['completion']);
  if (known === undefined || more.length > 0)
    throw new UsageError(`${SHELLS.join(' or ')}: see cannery help completion`);
  print(completion(known, loadAll()));
  return EXIT.ok;
}

async function noVerb(name: string): Promise<UsageError> {
  const { nearNames } = await import('./record/near.ts');
  const near = nearNames(name, [...names(), 'completion', 'help']);
  return new UsageError(
    `no verb '${name}'; ${near.length > 0 ? 'near' : 'there are'}: ${(near.length > 0 ? near : names()).join(', ')}`,
  );
}

async function run(argv: string[]): Promise<number> {
  const [name, ...rest] = argv;
  if (name === '--version' || name === '-V') {
    print(`cannery ${__VERSION__}\n`);
    return EXIT.ok;
  }
  if (name === '--help' || name === '-h' || (name === 'help' && rest.length === 0)) {
    print(topHelp());
    return EXIT.ok;
  }
  if (name === 'help') return help(rest);
  if (name === 'completion') return printCompletion(rest);
  if (name === undefined) throw new UsageError('a verb is missing: see cannery --help');
  if (!names().includes(name)) throw await noVerb(name);

  const verb = load(name);
  const command = commandOf(name, verb);
  try {
    command.parse(rest, { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return EXIT.ok; // --help
    throw new UsageError(`${error.message.replace(/^error: /, '')}; see cannery ${name} --help`);
  }
  const options = command.opts();
  const operands = command.args;
  if (operands.length > 0 && verb.operands === '')
    throw new UsageError(`unexpected '${operands[0]}': no operands here`);
  const stage = new Stage(name, options as CommonOptions);
  try {
    await verb.run(stage, operands, options as never);
  } catch (error) {
    if (!(error instanceof ReaderGone)) {
      await stage.finish(error);
      throw error;
    }
    return await stage.finish(error);
  }
  return await stage.finish();
}

/**
 * Runs one command line and ends the process with its exit code.
 * @param verb what this file has; others lie beside it
 */
export async function main(argv: string[], name?: string, verb?: Verb): Promise<void> {
  if (name !== undefined && verb) own = { name, verb };
  let code: number;
  try {
    code = await run(argv);
  } catch (error) {
    code = exitCodeOf(error);
    const verb = argv[0] !== undefined && /^[a-z]+$/.test(argv[0]) ? ` ${argv[0]}` : '';
    if (!(error instanceof ReaderGone)) process.stderr.write(`cannery${verb}: ${printable(describe(error))}\n`);
    if (process.env.CANNERY_DEBUG && error instanceof Error) process.stderr.write(`${error.stack}\n`);
  }
  process.exit(code);
}
