import { checkUnknownList, keyId, readBridgeFile, readKeyFile, writeUnknownList } from '../edge/bridgefiles.ts';
import { checkPaths } from '../edge/checker.ts';
import { filterRows } from '../edge/rowfilter.ts';
import { RULES, Sanitiser } from '../record/sanitise.ts';
import { UsageError } from '../stream/errors.ts';
import { choice, flag, list, text, verb } from '../stream/verb.ts';

const UNKNOWN = ['redact', 'drop', 'keep'] as const;

const SCRUBS = [
  ['scrubEndpoints', 'endpoint'],
  ['scrubMail', 'mail'],
  ['scrubMac', 'mac'],
] as const;

export default verb({
  summary: 'take out of measurements what may not be published',
  operands: '[check PATH...]',
  options: {
    bridges: text('--bridges <db>', 'the bridge database'),
    key: text('--key <file>', 'secret for what stands in the place of an unknown address'),
    unknown: choice('--unknown <what>', 'what to do with a bridge that the database does not have', UNKNOWN, 'redact'),
    unknownList: text('--unknown-list <file>', 'write what stands for each unknown bridge, and its measurements'),
    allowEmptyBridgeDb: flag('--allow-empty-bridge-db', 'go on with a database that holds no bridge'),
    probeIp: { ...flag('--no-probe-ip', "leave the probe's own address where it stands"), initial: true },
    search: { ...flag('--no-search', 'look for bridges in the tests of bridges alone'), initial: true },
    scrubResolver: flag('--scrub-resolver', "take out the address of the probe's resolver"),
    scrubEndpoints: flag('--scrub-endpoints', 'take all addresses out of failures and errors'),
    scrubMail: flag('--scrub-mail', 'take out what looks like an e-mail address'),
    scrubMac: flag('--scrub-mac', 'take out what looks like a MAC address'),
    annotations: list('--annotations <names>', 'take out all annotations but these'),
  },
  async run(stage, [operand, ...paths], options) {
    if (operand !== undefined && operand !== 'check') throw new UsageError(`'${operand}' is no operand: check PATH...`);
    if (operand === 'check' && paths.length === 0) throw new UsageError('check: a path is missing');
    if (options.bridges === undefined) throw new UsageError('--bridges is missing: nothing is published without');
    const { database, told } = readBridgeFile(options.bridges, options.allowEmptyBridgeDb);
    const key = options.key === undefined ? undefined : readKeyFile(options.key);
    const { unknownList, unknown, search, probeIp, scrubResolver: resolver } = options;
    const scrubs = SCRUBS.filter(([option]) => options[option]).map(([, scrub]) => scrub);
    const annotations = options.annotations.length > 0 ? options.annotations : undefined;
    const rules = { unknown, search, probeIp, resolver, scrubs, annotations };
    const sanitiser = new Sanitiser(database, { ...rules, key });
    if (operand === 'check') return checkPaths(stage, paths, (line) => sanitiser.find(line));
    if (unknownList !== undefined) checkUnknownList(unknownList);
    const removed: Record<string, number> = {};
    const listed = new Map<string, number>();
    await filterRows(stage, {
      discreet: true,
      change({ document }) {
        const done = sanitiser.sanitise(document);
        for (const [rule, count] of Object.entries(done.removed)) {
          removed[rule] = (removed[rule] ?? 0) + count;
          stage.tally(`removed.${rule}`, count);
        }
        if (done.unknown !== undefined) listed.set(done.unknown, (listed.get(done.unknown) ?? 0) + 1);
        return done.document && [done.document];
      },
      end: () => {
        const { probeIp: probe_ip, ...others } = rules;
        return { sanitised: { rules: RULES, database: told, ...others, probe_ip, key: key && keyId(key), removed } };
      },
    });
    if (unknownList !== undefined) writeUnknownList(unknownList, listed);
  },
});
