// Loaded before cannery in a traced run: names that hold a number of chance or of the process are the same in
// every run, so that a system call of one run is found again in the next. No process has this number.
const crypto = require('node:crypto');

crypto.randomBytes = (size) => Buffer.alloc(size, 7);
Object.defineProperty(process, 'pid', { value: 4_194_305 });
require('node:module').syncBuiltinESMExports();
