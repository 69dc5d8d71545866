// Times as measurements have them: `YYYY-MM-DD HH:MM:SS`, UTC, whatever zone the machine lives in.
import { timeOf } from './names.ts';

const DATE = /^(\d{4})-(\d\d)-(\d\d)$/;
const TIMESTAMP =
  /^(\d{4})-(\d\d?)-(\d\d?)(?:[Tt]|[ \t]+)(\d\d?):(\d\d):(\d\d)(?:\.\d*)?(?:[ \t]*(?:Z|([-+])(\d\d?)(?::?(\d\d))?))?$/;

/**
 * A time in any of the forms that probes and YAML have (`T`, `Z`, an offset, a fraction, a day alone) in OONI's
 * form; undefined for what is none or stands in no calendar.
 */
export function ooniTime(given: string): string | undefined {
  const [, year, month, day, hour = '0', minute = '0', second = '0', sign, offHour = '0', offMinute = '0'] =
    DATE.exec(given) ?? TIMESTAMP.exec(given) ?? [];
  if (year === undefined) return undefined;
  const two = (digits: string) => digits.padStart(2, '0');
  const local = timeOf([year, month!, day!, hour, minute, second].map(two).join(''));
  if (local === undefined) return undefined;
  const offset = (Number(offHour) * 60 + Number(offMinute)) * 60_000;
  return formatted(local + (sign === '-' ? offset : sign === '+' ? -offset : 0));
}

/** Seconds since the epoch, with a fraction that is cut off; undefined where no year of four digits comes out. */
export function ooniTimeOfEpoch(seconds: number): string | undefined {
  return formatted(Math.floor(seconds) * 1000);
}

function formatted(milliseconds: number): string | undefined {
  if (!(Math.abs(milliseconds) <= 8.64e15)) return undefined;
  const iso = new Date(milliseconds).toISOString();
  return /^\d{4}-/.test(iso) ? iso.slice(0, 19).replace('T', ' ') : undefined;
}
