import { createHash } from 'node:crypto';

/** What the id of a report without one is made of: text, bytes, or null; any other value as its text. */
export interface ReportFacts {
  /** Seconds since the epoch. */
  start_time?: number | undefined;
  probe_cc?: string | Buffer | null | undefined;
  probe_asn?: string | Buffer | null | undefined;
  test_name?: string | Buffer | null | undefined;
  software_version?: string | Buffer | null | undefined;
  probe_city?: string | Buffer | null | undefined;
}

const LETTERS = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ';

export function fabricateReportId(facts: ReportFacts): string {
  const { start_time = 0, probe_cc, probe_asn, test_name, software_version, probe_city } = facts;
  const hash = createHash('sha512');
  hash
    .update(probe_cc ?? 'ZZ')
    .update(probe_asn ?? 'AS0')
    .update(test_name ?? 'invalid');
  const digest = hash
    .update(software_version ?? '0.0.0')
    .update(probe_city ?? 'None')
    .digest();
  const letters = [...digest.subarray(0, 50)].map((byte) => LETTERS[byte % 52]).join('');
  const time = new Date(Math.trunc(start_time) * 1000).toISOString().slice(0, 19).replace(/[-:]/g, '');
  return `${time}Z_${letters}`;
}
