// Tells the most memory that a process had, at its end: VmHWM, as its maxRSS may be that of the process that started it.
const { readFileSync, writeFileSync } = require('node:fs');
process.on('exit', () => {
  const [, kilobytes] = /VmHWM:\s+(\d+) kB/.exec(readFileSync('/proc/self/status', 'latin1')) ?? [];
  writeFileSync(process.env.CANNERY_PEAK, kilobytes ?? '0');
});
