// What was taken out of records, counted by rule: never what it was.
import type { Scrub } from './scrubs.ts';
import type { Rule } from './secrets.ts';

/** How often each rule took something out. */
export type Removed = Partial<
  Record<Rule | Scrub | 'bridge' | 'unknown_bridge' | 'tor_log' | 'probe_ip' | 'resolver' | 'annotation', number>
>;

export function count(removed: Removed, rule: keyof Removed): void {
  removed[rule] = (removed[rule] ?? 0) + 1;
}
