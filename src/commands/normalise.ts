import { filterRows } from '../edge/rowfilter.ts';
import { normalise } from '../record/normalise.ts';
import { ooniTimeOfEpoch } from '../record/times.ts';
import { UsageError } from '../stream/errors.ts';
import { flag, verb } from '../stream/verb.ts';

export default verb({
  summary: 'bring measurements of every generation of probe into one shape',
  operands: '',
  options: {
    explain: flag('--explain', 'tell on stderr which rules fired on each measurement'),
    keepNul: flag('--keep-nul', 'keep NUL in bodies and header values, as base64'),
    compat: flag('--compat', 'as pipeline v2 did it, where its way is offered'),
  },
  async run(stage, operands, { explain, ...options }) {
    if (operands.length > 0) throw new UsageError('rows are read from standard input, and no operands');
    const now = ooniTimeOfEpoch(Date.now() / 1000)!;
    await filterRows(stage, {
      change(row, line) {
        const { document, rules } = normalise(row.document, row, { ...options, now });
        for (const rule of rules) stage.tally(`rule.${rule}`);
        if (explain) stage.say(`line ${line}: ${row.measurement_uid ?? '-'}: ${rules.join(' ') || 'no rule'}`);
        return document;
      },
    });
  },
});
