/** Wakes whoever waits for something to change: one at a time. */
export class Bell {
  #waiting: (() => void) | undefined;

  ring(): void {
    this.#waiting?.();
    this.#waiting = undefined;
  }

  rung(): Promise<void> {
    return new Promise((done) => (this.#waiting = done));
  }
}
