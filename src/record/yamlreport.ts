// A report in YAML: its first document is the header, and each entry after it becomes a record with the header in it.
import { recordId, trivialId } from './identity.ts';
import { dayForPath } from './names.ts';
import { epochOf, fabricateReportId, reportIdSource } from './reportid.ts';
import type { Mapping } from './yamlfast.ts';

export interface YamlRecord {
  /** One line: `id` first, then what the entry alone has, then the header. */
  document: Buffer;
  measurement_uid: string;
}

/** For the bytes of header and entry; kept, where it is enough. */
const ROOM = 256 * 1024;

/** The header of a report, merged into one entry after the other. */
export class ReportHeader {
  /** Its frame, as it stands in the file. */
  readonly frame: Buffer;
  /** Names that stand in the header, though an entry had a value of its own for them: what cannot be seen in a record. */
  readonly overridden = new Set<string>();
  #values = new Map<string, string>();
  #reportId: string;
  #written: Buffer | undefined;
  #room = Buffer.alloc(0);
  /** Most records of a report are of one day. */
  #lastDay: { number: number; day: string | undefined } = { number: Number.NaN, day: undefined };

  constructor(frame: Buffer, header: Mapping) {
    this.frame = Buffer.from(frame); // a copy: the source uses its own again
    for (const { name, start, end } of header.members)
      this.#values.set(name, repaired(name, header.json.toString('utf8', start, end)));
    this.#reportId = JSON.stringify(fabricateReportId(reportIdSource((name) => this.#values.get(name))));
  }

  /** @param frame of the entry, as it stands in the file */
  record(frame: Buffer, entry: Mapping): YamlRecord {
    const { members } = entry;
    if (this.#values.has('test_start_time') && members.some(({ name }) => name === 'test_start_time')) {
      this.#values.delete('test_start_time'); // for good: each entry has its own
      this.#written = undefined;
    }
    const find = (name: string) => {
      const own = this.#values.get(name);
      const member = own === undefined ? members.find((one) => one.name === name) : undefined;
      return member ? entry.json.toString('utf8', member.start, member.end) : own;
    };
    const raw = this.#raw(frame);
    const id = idOf(find('id')) ?? `"${recordId(raw)}"`;
    const isReported = !isMissing(find('report_id'));
    return {
      document: Buffer.concat([
        Buffer.from(`{"id":${id}`),
        ...this.#own(entry, isReported),
        this.#header(),
        Buffer.from(isReported || this.#values.has('report_id') ? '}' : `,"report_id":${this.#reportId}}`),
      ]),
      measurement_uid: trivialId(raw, this.#day(find)),
    };
  }

  /** An entry behind the header, as both stand in the file: what the ids are made of. It stands until the next one. */
  #raw(frame: Buffer): Buffer {
    const start = this.frame.length;
    const length = start + frame.length;
    let room = this.#room;
    if (room.length < length) {
      room = Buffer.allocUnsafeSlow(Math.max(length, ROOM));
      room.set(this.frame);
      if (length <= ROOM) this.#room = room;
    }
    room.set(frame, start);
    return room.subarray(0, length);
  }

  /** The members that come from the entry, each with a comma before it. */
  #own({ json, members }: Mapping, isReported: boolean): Buffer[] {
    const hidden = (name: string) => this.#values.has(name) || name === 'id' || (name === 'report_id' && !isReported);
    if (!members.some(({ name }) => hidden(name) || name === 'probe_cc')) return [COMMA, json.subarray(1, -1)];
    const pieces: Buffer[] = [];
    for (const { name, start, end } of members) {
      const own = this.#values.get(name);
      if (own !== undefined && own !== json.toString('utf8', start, end)) this.overridden.add(name);
      if (hidden(name)) continue;
      pieces.push(Buffer.from(`,${JSON.stringify(name)}:`));
      if (name === 'probe_cc') pieces.push(Buffer.from(repaired(name, json.toString('utf8', start, end))));
      else pieces.push(json.subarray(start, end));
    }
    return pieces;
  }

  /** The members that come from the header, each with a comma before it. */
  #header(): Buffer {
    if (!this.#written) {
      let text = '';
      for (const [name, json] of this.#values) {
        if (name === 'id') continue;
        const value = name === 'report_id' && isMissing(json) ? this.#reportId : json;
        text += `,${JSON.stringify(name)}:${value}`;
      }
      this.#written = Buffer.from(text);
    }
    return this.#written;
  }

  /** Day of the measurement's start as `YYYYMMDD`: a number of seconds in `test_start_time` is the old form of it. */
  #day(find: (name: string) => string | undefined): string | undefined {
    const given = ['measurement_start_time', 'test_start_time', 'start_time'].map((name) => find(name));
    for (const text of given) {
      if (text === undefined) continue;
      const day = text.startsWith('"') ? dayForPath(JSON.parse(text).slice(0, 10)) : this.#dayOfEpoch(epochOf(text));
      if (day !== undefined) return day;
    }
    return undefined;
  }

  #dayOfEpoch(seconds: number | undefined): string | undefined {
    if (seconds === undefined) return undefined;
    const number = Math.floor(seconds / 86_400);
    if (this.#lastDay.number !== number) {
      const iso = new Date(number * 86_400_000).toISOString();
      this.#lastDay = { number, day: dayForPath(iso.slice(0, 10)) };
    }
    return this.#lastDay.day;
  }
}

/** Country NO without quotes is false in YAML 1.1. */
function repaired(name: string, json: string): string {
  return name === 'probe_cc' && json === 'false' ? '"NO"' : json;
}

const COMMA = Buffer.from(',');

/** An id of its own that a record keeps: any text that is not empty. */
function idOf(json: string | undefined): string | undefined {
  return json?.startsWith('"') && json !== '""' ? json : undefined;
}

function isMissing(json: string | undefined): boolean {
  return json === undefined || json === 'null' || json === '""';
}
