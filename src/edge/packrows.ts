// One run over a stream of measurement rows: nothing is made of it before its end row has come.

import { type EndRow, parseRow, wrongKind } from '../record/rows.ts';
import { errno, Failure } from '../stream/errors.ts';
import type { Stage } from '../stream/stage.ts';
import type { Outgoing } from './outgoing.ts';
import { giveCans } from './packspool.ts';
import type { PackCrew } from './packtasks.ts';
import type { PressOptions } from './press.ts';
import { RowPacker } from './rowcans.ts';

export interface RowPackSettings extends PressOptions {
  /** False where the stream has no end row by its nature. */
  end: boolean;
}

/** Packs the measurement rows of standard input. */
export async function packRows(
  stage: Stage,
  outgoing: Outgoing,
  { end: wanted, ...settings }: RowPackSettings,
  crew: PackCrew,
): Promise<void> {
  if (outgoing.purpose().class === 'as-received')
    throw new Failure(`${outgoing.path} is kept for posts of a spool: use another folder for rows`);
  const packer = new RowPacker(outgoing, stage, crew);
  try {
    await packer.recover();
    const { came, end } = await takeRows(stage, packer);
    if (!end && wanted) {
      throw new Failure(
        'the stream has no end row, so its producer may have died: no can was made (cat --end writes one; --no-end does without)',
      );
    }
    if (end && end.rows !== came)
      stage.say(`the end row tells of ${end.rows} rows, ${came} came: a filter stands in between?`);
    const sanitised = end?.sanitised;
    const zone = sanitised === undefined ? 'unsanitised' : 'sanitised';
    outgoing.dedicate({ class: zone });
    const whole = end?.rows === came ? (end.whole ?? []) : [];
    const read = { whole, leftOut: end?.left_out ?? {}, part: end?.part === true };
    await giveCans(stage, packer.pack({ ...settings, class: zone, sanitised, ...read }));
  } finally {
    packer.abandon();
    await giveCans(stage, [...packer.left()]); // also where nothing new could be made
  }
}

async function takeRows(stage: Stage, packer: RowPacker): Promise<{ came: number; end: EndRow | undefined }> {
  let came = 0;
  let end: EndRow | undefined;
  for await (const { number: line, bytes } of stage.rows()) {
    try {
      const row = parseRow(bytes);
      if (end) throw new Error('a row after the end row');
      if (row.kind === 'end') end = row;
      else if (row.kind === 'measurement') {
        came++;
        packer.add(row, bytes);
      } else throw new Error(wrongKind(row, 'measurement'));
    } catch (error) {
      if (errno(error)) throw error; // the disk's fault, not the row's
      stage.reject({ as: 'row', file: null, line, reason: (error as Error).message }, bytes);
    }
  }
  return { came, end };
}
