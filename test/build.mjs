// Bundles the tests, so that no test pays for a compiler.
import { globSync } from 'node:fs';
