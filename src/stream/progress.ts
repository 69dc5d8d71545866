import type { SingleBar } from 'cli-progress';

/** A bar on stderr: rows, bytes, rate and, where the total is known, ETA. Its library is loaded when first drawn. */
export class Progress {
  #bar: SingleBar | undefined;
  #name: string;
  #started = Date.now();
  #rows = 0;
  #bytes = 0;
  #total = 0;
  #timer: NodeJS.Timeout;
  #stopped = false;

  constructor(name: string) {
    this.#name = name;
    this.#timer = setInterval(() => this.#draw().catch(() => this.stop()), 250); // no bar is worth a run
    this.#timer.unref();
  }

  /** Bytes to come in all, where that is known. */
  set total(bytes: number) {
    this.#total = bytes;
    this.#bar?.setTotal(bytes);
  }

  update(rows: number, bytes: number): void {
    this.#rows = rows;
    this.#bytes = bytes;
  }

  async #draw(): Promise<void> {
    if (!this.#bar) {
      const { SingleBar } = (await import('cli-progress')).default; // CommonJS: nothing else has a name in the bundle
      if (this.#bar || this.#stopped) return;
      const known = this.#total > 0;
      this.#bar = new SingleBar({
        format: `${this.#name} ${known ? '[{bar}] {percentage}% ' : ''}{rows} rows {size} {rate}/s${known ? ' ETA {eta_formatted}' : ''}`,
        barsize: Math.min(24, Math.max(6, (process.stderr.columns || 80) - 72)), // one line at most
        clearOnComplete: true,
        hideCursor: null,
        linewrap: true, // as the terminal has it: a run that is killed changes nothing back
        stream: process.stderr,
      });
      this.#bar.start(this.#total || 1, 0, { rows: 0, size: '0 B', rate: '0 B' });
    }
    const seconds = Math.max((Date.now() - this.#started) / 1000, 0.001);
    const payload = { rows: this.#rows, size: humanBytes(this.#bytes), rate: humanBytes(this.#bytes / seconds) };
    this.#bar.update(this.#total ? Math.min(this.#bytes, this.#total) : 0, payload);
  }

  /** Takes the bar off the terminal, so that a message has the line for itself; the next tick draws it again. */
  clear(): void {
    if (this.#bar && process.stderr.isTTY) process.stderr.write('\r\u001b[K');
  }

  stop(): void {
    this.#stopped = true;
    clearInterval(this.#timer);
    this.#bar?.stop();
  }
}

/** 1536 → `1.5 kB`: decimal units, as disks and networks count. */
export function humanBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let n = bytes;
  let unit = 0;
  while (n >= 1000 && unit < units.length - 1) {
    n /= 1000;
    unit++;
  }
  return `${unit === 0 ? Math.round(n) : n.toFixed(1)} ${units[unit]}`;
}
