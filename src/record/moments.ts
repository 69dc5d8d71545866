// Times that people type.
import { timeOf } from './names.ts';

/** A day or an hour, UTC: `2024-02-01`, `20240201`, `2024-02-01T10`, `2024020110`. Undefined for anything else. */
export function dayOrHour(given: string): number | undefined {
  const digits = given.replace(/^(\d{4})-(\d{2})-(\d{2})(?:T(\d{2}))?$/, '$1$2$3$4');
  return /^\d{8}(?:\d{2})?$/.test(digits) ? timeOf(digits) : undefined;
}

/** A time to the second, `2024-02-01T13:05:00Z`; undefined for anything else. */
export function second(given: string): number | undefined {
  return /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/.test(given) ? timeOf(given.replace(/[-T:Z]/g, '')) : undefined;
}
