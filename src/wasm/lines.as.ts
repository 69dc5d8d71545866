// Inflating, and reading of documents where they come to lie, in one memory.
export { inflate, prepare, read } from './inflate.as';
export { hides, scan, scanWithin } from './json.as';
