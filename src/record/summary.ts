// How much a list of files is, by day, country and test.

/** What the name of a file tells. */
export interface Named {
  /** `YYYYMMDDHH`. */
  hour?: string;
  /** `YYYYMMDD`. */
  day?: string;
  /** `YYYY-MM-DD`. */
  bucket?: string;
  /** `YYYYMMDDTHHMMSSZ`. */
  time?: string;
  cc?: string;
  test?: string;
}

interface Sum {
  files: number;
  bytes: number;
}

const UNTOLD = '-';

/** Counts files; what a name does not tell is `-`. */
export class Summary {
  #groups = new Map<string, Sum>();
  #all: Sum = { files: 0, bytes: 0 };

  add({ bytes, hour, day, bucket, time, cc = UNTOLD, test = UNTOLD }: Named & { bytes: number }): void {
    const digits = (hour ?? day ?? bucket ?? time)?.replaceAll('-', '').slice(0, 8);
    const date = digits === undefined ? UNTOLD : `${digits.slice(0, 4)}-${digits.slice(4, 6)}-${digits.slice(6)}`;
    const key = `${date} ${cc} ${test}`;
    const sum = this.#groups.get(key) ?? { files: 0, bytes: 0 };
    this.#groups.set(key, sum);
    for (const one of [sum, this.#all]) {
      one.files++;
      one.bytes += bytes;
    }
  }

  /** A table: heading, groups in order, total. Columns are apart by spaces, and nothing in them has one. */
  lines(): string[] {
    const groups = [...this.#groups.entries()].sort(([a], [b]) => (a < b ? -1 : 1));
    const row = (day: string, cc: string, test: string, { files, bytes }: Sum) => [
      day,
      cc,
      test,
      `${files}`,
      `${bytes}`,
    ];
    const table = [
      ['day', 'cc', 'test', 'files', 'bytes'],
      ...groups.map(([key, sum]) => row(...(key.split(' ') as [string, string, string]), sum)),
      row('total', '', '', this.#all),
    ];
    const widths = [10, 2, 4, 5, 5].map((least, i) => Math.max(least, ...table.map((cells) => cells[i]!.length)));
    return table.map((cells) =>
      cells.map((cell, i) => (i < 3 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join(' '),
    );
  }
}
