/** One framed document, `---` to `...`. */
export function document(value: object): string;
