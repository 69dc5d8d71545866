// What a signal must not leave undone, or half told.

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Runs a step that a first signal does not cut in two. */
export type Whole = <T>(step: () => Promise<T>) => Promise<T>;

/** Runs a task. A signal that ends the process meanwhile does so after `last`, which must be short. */
export async function untilInterrupted<T>(last: () => void, task: (whole: Whole) => Promise<T>): Promise<T> {
  let isBusy = false;
  let waiting: NodeJS.Signals | undefined;
  let hasEnded = false;
  const leave = () => {
    for (const signal of SIGNALS) process.removeListener(signal, came);
  };
  const end = (signal: NodeJS.Signals) => {
    hasEnded = true;
    leave();
    try {
      last();
    } finally {
      process.kill(process.pid, signal);
    }
  };
  const came = (signal: NodeJS.Signals) => {
    if (isBusy && waiting === undefined) waiting = signal;
    else end(signal);
  };
  for (const signal of SIGNALS) process.on(signal, came);
  try {
    return await task(async (step) => {
      if (hasEnded) await never; // the signal may need a moment
      isBusy = true;
      try {
        return await step();
      } finally {
        isBusy = false;
        if (waiting !== undefined) {
          end(waiting);
          await never;
        }
      }
    });
  } finally {
    leave();
  }
}

const never = new Promise<void>(() => {});
