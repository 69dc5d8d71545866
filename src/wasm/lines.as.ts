// Inflating, and reading of documents where they come to lie, in one memory.
export { begin, goesOn, inflate, more, prepare, read } from './inflate.as';
export { hides, scan, scanWithin } from './json.as';
