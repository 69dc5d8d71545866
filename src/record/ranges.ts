/** A part of a text or of bytes. */
export interface Range {
  start: number;
  end: number;
}

/** The first of those that overlap, and of those that begin together the longest. */
export function withoutOverlap<T extends Range>(ranges: T[]): T[] {
  let end = -1;
  return ranges
    .sort((a, b) => a.start - b.start || b.end - a.end)
    .filter((range) => {
      if (range.start < end) return false;
      end = range.end;
      return true;
    });
}
