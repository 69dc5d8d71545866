// What a signal must not leave undone.

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Runs a task. A signal that ends the process meanwhile does so after `last`, which must be short. */
export async function untilInterrupted<T>(last: () => void, task: () => Promise<T>): Promise<T> {
  const leave = () => {
    for (const signal of SIGNALS) process.removeListener(signal, end);
  };
  const end = (signal: NodeJS.Signals) => {
    leave();
    try {
      last();
    } finally {
      process.kill(process.pid, signal);
    }
  };
  for (const signal of SIGNALS) process.on(signal, end);
  try {
    return await task();
  } finally {
    leave();
  }
}
